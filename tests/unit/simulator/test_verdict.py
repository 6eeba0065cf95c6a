"""The first line is one that a person can act on."""

from dataclasses import replace

import pytest

from lambda_llm.cost.speeds import Speeds
from lambda_llm.simulator.arrivals import Poisson
from lambda_llm.simulator.fleet import Fleet, simulate_fleet
from lambda_llm.simulator.functions import Rules, simulate_functions
from lambda_llm.simulator.result import Result
from lambda_llm.simulator.verdict import needed, seconds, verdict
from support.simulated import At, work

SPEEDS = Speeds(1.0, 1.0, 0.0)
RULES = Rules(SPEEDS)


def functions(rate: float = 0.01, length: float = 1.0, rules: Rules = RULES) -> Result:
    return simulate_functions(Poisson(rate, 100_000.0), work(length, length), rules, seed=1)


def servers(hourly: float, count: int = 10, queue: int = 100, rate: float = 0.01) -> Result:
    return simulate_fleet(
        Poisson(rate, 100_000.0), work(1, 1), Fleet("boxes", hourly, SPEEDS, servers=count, queue=queue), seed=1
    )


def test_the_cheapest_is_taken() -> None:
    dear = verdict([functions(), servers(1.0)])
    assert dear.startswith("Take Lambda: $")
    assert "99 % see the first token within 1 s" in dear
    assert "wait for a restore; boxes costs $7,300 (first token within 1 s)." in dear
    cheap = verdict([functions(), servers(0.001)])
    assert cheap.startswith("Take boxes: $7.30 a month; 99 % see")
    assert "; Lambda costs $" in cheap


def test_who_does_not_answer_is_not_taken() -> None:
    crowded = servers(0.0001, count=1, queue=0, rate=0.4)
    said = verdict([functions(rate=0.4), crowded])
    assert said.startswith("Take Lambda: $")
    assert f"boxes leaves {crowded.arrived - crowded.served:,} requests unanswered" in said


def test_throttling_says_how_much_concurrency_there_should_be() -> None:
    short = functions(rate=10.0, rules=replace(RULES, concurrency=15))
    said = verdict([short])
    assert "of the requests unanswered, most of them by its concurrency: have the concurrency raised to about" in said
    assert functions(rate=10.0, rules=replace(RULES, concurrency=2 * needed(short))).refused_share == 0
    assert 20 < needed(short) < 40


def test_a_scaling_rate_is_not_cured_by_concurrency() -> None:
    short = simulate_functions(At((0.0,) * 20, 100.0), work(0, 1), replace(RULES, scaling=5))
    assert "since environments can't be added so fast: let clients retry" in verdict([short])


def test_answers_that_are_cut_off_want_a_faster_model() -> None:
    assert "since answers take longer than its time-out" in verdict([functions(length=1000.0)])


def test_no_request_says_so() -> None:
    nothing = simulate_functions(At((), 7200.0), work(0, 1), RULES)
    assert verdict([nothing]) == "No request arrived in 2 hours: simulate more hours."


@pytest.mark.parametrize(("value", "text"), [(0.01234, "0.0123 s"), (12.34, "12.3 s"), (2000.4, "2,000 s")])
def test_seconds_are_for_people(value: float, text: str) -> None:
    assert seconds(value) == text
