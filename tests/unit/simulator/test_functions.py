"""Requests on Lambda functions, against closed forms, by hand, and by what must always hold."""

import math
import tracemalloc
from collections import deque
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_llm.cost import prices
from lambda_llm.cost.speeds import Speeds
from lambda_llm.limits import SCALING_ENVIRONMENTS, SCALING_SECONDS, TIMEOUT_MAX_SECONDS
from lambda_llm.simulator.arrivals import Bursts, Poisson
from lambda_llm.simulator.errors import SimulatorError
from lambda_llm.simulator.functions import Rules, simulate_functions
from lambda_llm.simulator.result import SCHEMA, Result
from lambda_llm.simulator.work import Tokens, Work
from support.simulated import At, work

SPEEDS = Speeds(1.0, 1.0, 0.0)
"""A token a second: tokens are seconds."""

TIMES = st.lists(st.floats(0, 99), min_size=1, max_size=60).map(lambda times: tuple(sorted(times)))
LENGTHS = st.floats(0.01, 30)
MANY = settings(deadline=None, max_examples=60)  # the first one compiles


def rules(**given: float) -> Rules:
    return replace(Rules(SPEEDS, scaling=1_000_000), **given)  # type: ignore[arg-type] # whole numbers are floats, too


def erlang_b(load: float, servers: int) -> float:
    """Share of the requests that are lost. Source: https://en.wikipedia.org/wiki/Erlang_(unit)#Erlang_B_formula"""
    lost = 1.0
    for number in range(1, servers + 1):
        lost = load * lost / (number + load * lost)
    return lost


@pytest.mark.parametrize(("load", "concurrency"), [(5, 5), (8, 10), (20, 20)])
@pytest.mark.parametrize("kind", ["exponential", "lognormal"])
def test_throttling_is_erlang_s_blocking_whatever_the_distribution(load: float, concurrency: int, kind: str) -> None:
    """A million requests: repeated with eight seeds, the share spreads by 0.5 % at most (standard deviation)."""
    tokens = Tokens(1, kind="exponential") if kind == "exponential" else Tokens(1)
    arrivals = Poisson(load, 1e6 / load)
    result = simulate_functions(arrivals, Work(Tokens(0), tokens), rules(concurrency=concurrency), seed=1)
    assert result.refused_share == pytest.approx(erlang_b(load, concurrency), rel=0.02)
    assert result.refused == {"concurrency": result.arrived - result.served, "scaling rate": 0, "request rate": 0}
    assert result.most_running == concurrency


@MANY
@given(TIMES, LENGTHS, st.integers(1, 5), st.integers(1, 4), st.integers(0, 3), st.floats(0, 3))
def test_each_request_is_answered_or_throttled(
    times: tuple[float, ...], length: float, concurrency: int, scaling: int, retries: int, restore: float
) -> None:
    allowed = replace(Rules(Speeds(1.0, 1.0, restore)), concurrency=concurrency, scaling=scaling, retries=retries)
    result = simulate_functions(At(times, 100.0), work(length / 3, length), allowed)
    assert result.arrived == len(times) == sum(result.course.arrived)
    assert result.served + sum(result.refused.values()) == result.arrived
    assert result.most_running <= min(concurrency, result.restores)
    assert result.throttles >= sum(result.refused.values())


@MANY
@given(TIMES, LENGTHS, st.floats(0, 50), st.floats(0, 50), st.integers(1, 6))
def test_environments_that_are_kept_longer_are_never_restored_more_often(
    times: tuple[float, ...], length: float, one: float, other: float, concurrency: int
) -> None:
    """Without restore times, that is: a request that waits for one ends later, and its environment idles later."""
    found = [
        simulate_functions(At(times, 100.0), work(0, length), rules(keep_warm_seconds=keep, concurrency=concurrency))
        for keep in sorted((one, other))
    ]
    assert found[0].restores >= found[1].restores
    assert found[0].served == found[1].served


@MANY
@given(st.lists(st.floats(0, 60), min_size=1, max_size=80), st.integers(1, 6), st.integers(1, 30))
def test_no_more_environments_are_created_in_any_ten_seconds(given: list[float], most: int, piece: int) -> None:
    """Answers never end here, so each request that is served takes an environment of its own."""
    times = tuple(sorted(given))
    created: deque[float] = deque()
    for time in times:
        if sum(time - SCALING_SECONDS < each for each in created) < most:
            created.append(time)
    arrivals = At(times, 100.0, piece)
    result = simulate_functions(arrivals, work(0, TIMEOUT_MAX_SECONDS), replace(rules(), scaling=most))
    assert result.restores == result.served == len(created)
    assert result.refused["scaling rate"] == len(times) - len(created)


def test_a_thousand_environments_come_at_once_and_as_many_ten_seconds_later() -> None:
    times = (*np.linspace(0, 1, 2500), *np.linspace(11.5, 12, 1500))
    result = simulate_functions(At(times, 100.0), work(0, 50), Rules(SPEEDS, concurrency=5000))
    assert result.restores == 2 * SCALING_ENVIRONMENTS
    assert result.refused == {"concurrency": 0, "scaling rate": 2000, "request rate": 0}


def test_more_than_ten_requests_a_second_for_each_concurrency_are_throttled() -> None:
    times = tuple(np.linspace(0.001, 1.999, 60))
    result = simulate_functions(At(times, 100.0), work(0, 0.0001), rules(concurrency=2))
    assert result.refused["request rate"] == 20
    assert result.served == 2 * 20


def test_by_hand() -> None:
    """Restores take 2 s, prefill 3 s, decode 5 s; environments are kept for 20 s."""
    times = (0.0, 1.0, 12.0, 12.5, 40.0)
    # Two restores, done at 10 and 11; both are used again, until 20 and 20.5; at 40 one is still there, at 40.4 too.
    result = simulate_functions(
        At(times, 100.0), work(3, 5), Rules(Speeds(1.0, 1.0, 2.0), keep_warm_seconds=20, restore_billed=0.5)
    )
    assert (result.arrived, result.served, result.restores, result.most_running) == (5, 5, 2, 2)
    assert result.cold_share == 2 / 5
    assert result.mean_wait == pytest.approx(4 / 5)
    assert result.first_token
    assert result.whole
    assert result.first_token.longest == pytest.approx(5)
    assert result.first_token.mean == pytest.approx(3 + 4 / 5)
    assert result.whole.longest == pytest.approx(10)
    assert result.busy_seconds == pytest.approx(40)
    assert result.billed_gb_seconds == pytest.approx((40 + 0.5 * 4) * prices.GB)
    # From 0 until 48 + 20, and from 1 until 20 + 20: at 40 the one is taken that was used last, until 20.5.
    assert result.running_hours * 3600 == pytest.approx(68 + 39)
    assert sum(result.course.at_work) * result.course.bin_seconds == pytest.approx(40 + 4)
    assert result.cost["duration"] == pytest.approx(prices.ARM64_GB_SECOND * 10 * 42)
    assert result.cost["requests"] == pytest.approx(5 * prices.REQUEST)
    assert result.cost["restores"] == pytest.approx(2 * prices.restore())
    assert result.cost["live versions"] == pytest.approx(prices.live_version(3 / 24)), "three hours at least"
    assert result.month["restores"] == pytest.approx(2 * prices.restore() * prices.MONTH_HOURS * 36)
    assert result.month_dollars == pytest.approx(sum(result.month.values()))
    told = result.as_json()
    assert told["schema"] == SCHEMA
    assert told["first_token"]["longest"] == pytest.approx(5)


def test_the_environment_that_was_used_last_is_used_next() -> None:
    """So the other one, which idles since 1, is gone at 30, while the requests between keep one alive."""
    times = (0.0, 0.5, 10.0, 20.0, 30.0, 30.1)
    result = simulate_functions(At(times, 100.0), work(0, 1), rules(keep_warm_seconds=15))
    assert result.restores == 3


def test_a_throttled_client_comes_again_if_it_is_told_to() -> None:
    arrivals = At((0.0, 1.0), 100.0)
    given_up = simulate_functions(arrivals, work(1, 1), rules(concurrency=1))
    again = simulate_functions(arrivals, work(1, 1), rules(concurrency=1, retries=10))
    assert (given_up.served, given_up.throttles) == (1, 1)
    assert (again.served, sum(again.refused.values())) == (2, 0)
    assert again.throttles >= 1
    assert again.whole
    assert again.whole.longest > 3, "it waited for the first one's end"


def test_an_answer_that_takes_too_long_is_cut_off() -> None:
    result = simulate_functions(At((0.0,), 10.0), work(0, 5000), rules())
    assert (result.served, result.timed_out, result.first_token) == (0, 1, None)
    assert result.busy_seconds == TIMEOUT_MAX_SECONDS


@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_pieces_of_the_arrivals_do_not_show(piece: int) -> None:
    times = tuple(np.sort(np.random.default_rng(0).uniform(0, 100, 300)))
    allowed = rules(concurrency=4, retries=3, keep_warm_seconds=2)
    whole = simulate_functions(At(times, 100.0), work(0, 2), allowed)
    pieces = simulate_functions(At(times, 100.0, piece), work(0, 2), allowed)
    assert pieces.restores == whole.restores
    assert pieces.refused == whole.refused
    assert pieces.course == whole.course


def varied(seed: int) -> Result:
    lengths = Work(Tokens(300, 1.0), Tokens(100, 1.0), 0.5)
    speeds = Speeds(100.0, 20.0, 1.5)
    return simulate_functions(
        Bursts(2.0, 20_000.0), lengths, Rules(speeds, restore_variation=0.5, concurrency=40, retries=2), seed
    )


def test_the_same_seed_gives_the_same_result_and_another_one_another() -> None:
    assert varied(5).as_json() == varied(5).as_json()
    assert varied(5).first_token != varied(6).first_token


def test_restores_take_their_time_on_average() -> None:
    result = simulate_functions(
        Poisson(1 / 3600, 3600 * 20_000), work(0, 1), Rules(Speeds(1.0, 1.0, 2.0), restore_variation=0.7)
    )
    assert result.cold_share == pytest.approx(math.exp(-361 / 3600), rel=0.02), (
        "who comes within six minutes finds it warm"
    )
    assert result.mean_wait / result.cold_share == pytest.approx(2, rel=0.02)


def test_memory_is_the_same_for_ten_times_as_many_requests() -> None:
    def peak(requests: float) -> int:
        tracemalloc.start()
        simulate_functions(Poisson(100.0, requests / 100), work(0, 1), rules())
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(1000)  # compiles
    assert peak(2_000_000) < 1.1 * peak(200_000)


def test_a_hundred_thousand_requests_a_second() -> None:
    result = simulate_functions(
        Poisson(100_000.0, 20.0), work(0, 5), Rules(SPEEDS, concurrency=600_000, scaling=500_000)
    )
    assert result.served + sum(result.refused.values()) == result.arrived == pytest.approx(2_000_000, rel=0.01)
    assert result.most_running == pytest.approx(500_000, rel=0.01)


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"concurrency": 0}, "The concurrency is 0: give a number of at least 1"),
        ({"concurrency": -5}, "The concurrency is -5"),
        ({"keep_warm_seconds": math.nan}, "kept warm, in seconds, is nan"),
        ({"keep_warm_seconds": -1}, "kept warm"),
        ({"restore_variation": -1}, "variation of restores"),
        ({"restore_billed": 2}, "billed share of restores is 2: give a number of at least 0 and of at most 1"),
        ({"retries": -1}, "number of retries"),
        ({"backoff_seconds": 0}, "backoff in seconds is 0: give a number above 0"),
        ({"scaling": 0}, "environments that may be created"),
        ({"live_versions": -1}, "live versions"),
        ({"speeds": Speeds(0, 1)}, "prefill in tokens a second is 0: give a number above 0"),
        ({"speeds": Speeds(1, math.nan)}, "decode in tokens a second is nan"),
        ({"speeds": Speeds(1, 1, -1)}, "time of a restore"),
    ],
)
def test_rules_that_are_none_are_refused(given: dict[str, float], what: str) -> None:
    with pytest.raises(SimulatorError, match=what):
        rules(**given)


def test_a_seed_below_zero_is_refused() -> None:
    with pytest.raises(SimulatorError, match="The seed is -1"):
        simulate_functions(Poisson(1.0, 1.0), work(0, 1), rules(), seed=-1)
