"""Requests on fleets, against closed forms, by hand, and by what must always hold."""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_llm.cost.speeds import Speeds
from lambda_llm.simulator.arrivals import DAY, Diurnal, Poisson
from lambda_llm.simulator.errors import SimulatorError
from lambda_llm.simulator.fleet import Fleet, Scaling, simulate_fleet
from lambda_llm.simulator.functions import Rules, simulate_functions
from lambda_llm.simulator.result import Result
from lambda_llm.simulator.work import Tokens, Work
from support.simulated import At, work

SPEEDS = Speeds(1.0, 1.0, 0.0)
"""A token a second: tokens are seconds."""

TIMES = st.lists(st.floats(0, 99), min_size=1, max_size=60).map(lambda times: tuple(sorted(times)))
MANY = settings(deadline=None, max_examples=60)  # the first one compiles


def fleet(servers: int = 1, slots: int = 1, **given: object) -> Fleet:
    return Fleet("fleet", 1.0, SPEEDS, servers=servers, slots=slots, **given)  # type: ignore[arg-type] # by name


def erlang_c(load: float, servers: int) -> float:
    """Share of the requests that wait. Source: https://en.wikipedia.org/wiki/Erlang_(unit)#Erlang_C_formula"""
    lost = 1.0
    for number in range(1, servers + 1):
        lost = load * lost / (number + load * lost)
    return lost / (1 - load / servers * (1 - lost))


def drawn(result: Result) -> tuple[float, float]:
    """Load and mean work of the requests that were drawn: without the chance in these, fewer are enough."""
    return result.busy_seconds / result.seconds, result.busy_seconds / result.served


@pytest.mark.parametrize(
    ("load", "servers", "kind"),
    [
        (0.5, 2, fleet(2)),
        (0.6, 4, fleet(4)),
        (0.75, 4, fleet(4)),
        (0.75, 4, fleet(2, slots=2)),
        (0.6, 4, fleet(slots=4)),
    ],
)
def test_the_wait_is_erlang_s(load: float, servers: int, kind: Fleet) -> None:
    """M/M/c. Repeated with eight seeds, a million requests spread by 0.9 % (standard deviation), four by half of it."""
    asked = Work(Tokens(0), Tokens(1, kind="exponential"))
    result = simulate_fleet(Poisson(load * servers, 4e6 / (load * servers)), asked, kind, seed=1)
    offered, mean = drawn(result)
    assert offered == pytest.approx(load * servers, rel=0.01)
    assert result.mean_wait == pytest.approx(erlang_c(offered, servers) * mean / (servers - offered), rel=0.02)


@pytest.mark.parametrize("load", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("variation", [0.0, 1.0])
def test_the_wait_is_pollaczek_s_and_khinchine_s(load: float, variation: float) -> None:
    """M/D/1, and M/G/1 with a lognormal distribution. A million requests spread by 0.4 and 0.7 %.

    Source: https://en.wikipedia.org/wiki/Pollaczek%E2%80%93Khinchine_formula
    """
    requests = 2e6 if variation else 1e6
    asked = Work(Tokens(0), Tokens(1, variation))
    result = simulate_fleet(Poisson(load, requests / load), asked, fleet(), seed=1)
    offered, mean = drawn(result)
    assert offered == pytest.approx(load, rel=0.01)
    assert result.mean_wait == pytest.approx(mean * offered * (1 + variation**2) / 2 / (1 - offered), rel=0.02)


@MANY
@given(TIMES, st.floats(0.01, 30), st.integers(1, 4), st.integers(1, 3), st.integers(1, 4), st.integers(0, 9))
def test_more_servers_never_wait_longer(
    times: tuple[float, ...], length: float, servers: int, slots: int, more: int, seed: int
) -> None:
    asked = Work(Tokens(length, 1.0), Tokens(length, 1.0))
    few, many = (
        simulate_fleet(At(times, 100.0), asked, fleet(number, slots), seed) for number in (servers, servers + more)
    )
    assert many.mean_wait <= few.mean_wait + 1e-9
    for one, other in ((few.wait, many.wait), (few.first_token, many.first_token), (few.whole, many.whole)):
        for share in ("p50", "p90", "p95", "p99", "p999", "longest"):
            assert getattr(other, share) <= getattr(one, share) + 1e-9


@MANY
@given(
    TIMES,
    st.floats(0.01, 30),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(0, 4),
    st.one_of(st.none(), st.floats(0, 1)),
    st.booleans(),
    st.integers(1, 100),
)
def test_each_request_is_answered_or_refused(
    times: tuple[float, ...],
    length: float,
    servers: int,
    slots: int,
    queue: int,
    slowdown: float | None,
    scales: bool,  # noqa: FBT001 - a parameter
    piece: int,
) -> None:
    scaling = Scaling(0, servers, period_seconds=7, start_seconds=11, cooldown_seconds=13) if scales else None
    kind = fleet(servers, slots, queue=queue, slowdown=slowdown, scaling=scaling)
    result = simulate_fleet(At(times, 100.0, piece), work(length / 2, length), kind)
    assert result.served + result.refused["queue full"] == result.arrived == len(times)
    assert result.most_running <= servers
    assert result.running_hours <= servers * 100 / 3600 + 1e-9
    assert sum(result.course.refused) == result.refused["queue full"]
    if result.first_token and result.whole:
        assert result.first_token.longest >= length / 2 - 1e-9
        assert result.whole.longest >= result.first_token.longest


def test_by_hand() -> None:
    """Two servers, 3 s of prefill and 5 of decode; the third waits for the first, the fourth finds the queue full."""
    result = simulate_fleet(At((0.0, 1.0, 2.0, 3.0), 3600.0), work(3, 5), fleet(2, queue=1))
    assert (result.arrived, result.served, result.refused) == (4, 3, {"queue full": 1})
    assert result.wait
    assert result.wait.longest == pytest.approx(6)
    assert result.mean_wait == pytest.approx(6 / 3)
    assert result.first_token
    assert result.whole
    assert result.first_token.longest == pytest.approx(9)
    assert result.whole.longest == pytest.approx(14)
    assert result.busy_seconds == pytest.approx(24)
    assert result.running_hours == pytest.approx(2)
    assert result.cost == {"servers": pytest.approx(2.0)}
    assert result.month_dollars == pytest.approx(2 * 730)
    assert sum(result.course.waiting) * result.course.bin_seconds == pytest.approx(6)
    assert sum(result.course.at_work) * result.course.bin_seconds == pytest.approx(24)


@pytest.mark.parametrize(("batch", "slowdown"), [(1, 0.1), (4, 0.0), (4, 0.1), (16, 0.05)])
def test_sequences_of_a_batch_slow_each_other_down(batch: int, slowdown: float) -> None:
    """All at once: each is decoded in n seconds times (1 + (b - 1) k), so throughput is b / (1 + (b - 1) k)."""
    result = simulate_fleet(At((0.0,) * batch, 1000.0), work(0, 10), fleet(slots=batch, slowdown=slowdown))
    assert result.whole
    assert result.whole.longest == result.whole.mean == pytest.approx(10 * (1 + (batch - 1) * slowdown))


def test_a_sequence_that_comes_later_is_decoded_with_the_others() -> None:
    """The first is alone for 4 of its 10 s; then two take 1.5 s a token: it ends at 4 + 6 * 1.5 = 13.

    The second has 6 of its 10 by then, and 4 left, alone: it ends at 17, and took 13.
    """
    result = simulate_fleet(At((0.0, 4.0), 100.0), work(0, 10), fleet(slots=2, slowdown=0.5))
    assert result.whole
    assert result.whole.mean == pytest.approx(13)
    assert result.whole.longest == pytest.approx(13)


def test_prompts_are_evaluated_one_after_the_other_and_stop_the_decode() -> None:
    """3 s of prefill each, 5 of decode. First tokens at 3 and, for the second, which comes at 4, at 7.

    The first has 4 tokens left then, at 1.2 s each: until 11.8, when the second has 1 left, alone: until 12.8.
    """
    result = simulate_fleet(At((0.0, 4.0), 100.0), work(3, 5), fleet(slots=2, slowdown=0.2))
    assert result.first_token
    assert result.whole
    assert result.first_token.longest == pytest.approx(3)
    assert result.whole.mean == pytest.approx((11.8 + 8.8) / 2)
    together = simulate_fleet(At((0.0, 0.0), 100.0), work(3, 5), fleet(slots=2, slowdown=0.2))
    assert together.first_token
    assert together.first_token.longest == pytest.approx(6)


def test_a_fleet_without_slowdown_answers_as_functions_do_that_are_never_cold() -> None:
    arrivals = Poisson(5.0, 20_000.0)
    asked = Work(Tokens(2, 1.0), Tokens(3, 1.0))
    servers = simulate_fleet(arrivals, asked, fleet(200))
    functions = simulate_functions(arrivals, asked, Rules(SPEEDS))
    assert servers.mean_wait == 0
    assert servers.first_token
    assert functions.first_token
    assert servers.first_token.p99 == functions.first_token.p99
    assert servers.busy_seconds == pytest.approx(functions.busy_seconds)


def test_the_least_loaded_server_takes_the_next() -> None:
    result = simulate_fleet(At((0.0, 0.0, 0.0, 0.0), 100.0), work(0, 10), fleet(2, slots=4, slowdown=0.5))
    assert result.whole
    assert result.whole.longest == pytest.approx(15), "two on each server"


def test_an_autoscaled_fleet_starts_servers_and_takes_them_away_again() -> None:
    """Ten requests of 1,000 s come at once to one server of one slot; the period's end asks for 10 / 0.5 = 20."""
    scaling = Scaling(1, 20, target=0.5, period_seconds=60, start_seconds=120, cooldown_seconds=300)
    result = simulate_fleet(At((0.0,) * 10, 7200.0), work(0, 1000), fleet(scaling=scaling))
    assert result.most_running == 20
    assert result.restores == 19
    assert result.first_token
    assert result.first_token.longest == pytest.approx(60 + 120), "the end of the period, and a start"
    assert result.course.running[0] == pytest.approx(1)
    assert result.course.running[len(result.course.running) // 3] == pytest.approx(1)
    # 20 from 60 s on; one request ends at 1,000, so 18 would do, and are left 300 s later; the others end at 1,180, so
    # one is left after 300 s more, and the minutes that decisions wait for.
    assert 2 + (1300 * 2 + 1500 * 17 - 60 * 19) / 3600 < result.running_hours < 2 + (1420 * 2 + 1740 * 17) / 3600


def test_a_fleet_may_be_asleep() -> None:
    scaling = Scaling(0, 1, period_seconds=60, start_seconds=100, cooldown_seconds=120)
    result = simulate_fleet(At((30.0,), 3600.0), work(1, 1), fleet(scaling=scaling))
    assert result.served == 1
    assert result.mean_wait == pytest.approx(60 + 100 - 30)
    assert 160 - 60 < result.running_hours * 3600 < 600
    idle = simulate_fleet(At((), 3600.0), work(1, 1), fleet(scaling=scaling))
    assert (idle.served, idle.running_hours, idle.first_token) == (0, 0, None)


def test_an_autoscaled_fleet_follows_a_day() -> None:
    arrivals = Diurnal(2.0, DAY, peak_to_mean=2)
    result = simulate_fleet(arrivals, work(0, 10), fleet(scaling=Scaling(1, 200)), seed=3)
    running = np.array(result.course.running[24:])  # two hours later: at midnight the traffic finds one server
    assert 2 + running.argmax() / 12 == pytest.approx(14, abs=3)
    assert result.running_hours / 24 == pytest.approx(2 * 10 / 0.7, rel=0.25)
    assert running.min() < 0.4 * running.max()


def test_the_same_seed_gives_the_same_result() -> None:
    one, other, another = (
        simulate_fleet(Poisson(2.0, 5000.0), Work(Tokens(1, 1.0), Tokens(1, 1.0)), fleet(5), seed) for seed in (1, 1, 2)
    )
    assert one.as_json() == other.as_json()
    assert one.first_token != another.first_token


def test_memory_is_the_same_for_ten_times_as_many_requests_and_when_all_of_them_wait() -> None:
    def peak(requests: float, servers: int) -> int:
        tracemalloc.start()
        simulate_fleet(Poisson(100.0, requests / 100), work(0, 1), fleet(servers))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(1000, 150)  # compiles
    for servers in (150, 10):
        assert peak(2_000_000, servers) < 1.1 * peak(200_000, servers)


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"servers": 0}, "The number of servers of fleet is 0: give a number of at least 1"),
        ({"slots": 0}, "The number of slots"),
        ({"slowdown": -0.1}, "The slowdown of fleet"),
        ({"slowdown": math.nan}, "The slowdown of fleet is nan"),
        ({"queue": -1}, "The queue of fleet"),
        ({"servers": 100_000, "slots": 4096}, "has 409,600,000 places for requests: simulate 20,000,000 at most"),
    ],
)
def test_fleets_that_are_none_are_refused(given: dict[str, float], what: str) -> None:
    with pytest.raises(SimulatorError, match=what):
        fleet(**given)  # type: ignore[arg-type] # numbers by name


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"least": 3, "most": 2}, "The smallest number of servers is 3: give a number of at least 0 and of at most 2"),
        ({"least": 0, "most": 0}, "The largest number of servers is 0"),
        ({"least": 1, "most": 2, "target": 0.0}, "The target utilization is 0: give a number above 0"),
        ({"least": 1, "most": 2, "period_seconds": 0.0}, "The metric's period"),
        ({"least": 1, "most": 2, "start_seconds": -1.0}, "The start of a server"),
        ({"least": 1, "most": 2, "cooldown_seconds": math.inf}, "The cooldown in seconds is inf"),
    ],
)
def test_scaling_that_is_none_is_refused(given: dict[str, float], what: str) -> None:
    with pytest.raises(SimulatorError, match=what):
        Scaling(**given)  # type: ignore[arg-type] # numbers by name
