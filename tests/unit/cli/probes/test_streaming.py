"""The probe of streaming: what arrivals mean, and servers that stream as they should not."""

from collections.abc import Sequence

import pytest

from lambda_llm.cli.probes.base import Outcome
from lambda_llm.cli.probes.deployment import connected
from lambda_llm.cli.probes.stream import Arrival
from lambda_llm.cli.probes.streaming import PROBE, judged
from support.fake_deployment import Deploy
from support.servers import Server

COUNT = 48


def arrivals(made: Sequence[float], late: Sequence[float]) -> list[Arrival]:
    return [Arrival(100.0 + seconds + more, seconds) for seconds, more in zip(made, late, strict=True)]


def evenly(gap: float) -> list[float]:
    return [gap * number for number in range(COUNT)]


def collected(made: Sequence[float], every: float) -> list[float]:
    """How late each arrives when what was made is passed on every so many seconds."""
    return [-seconds % every for seconds in made]


def test_tokens_that_arrive_as_they_are_made_are_right() -> None:
    finding = judged(arrivals(evenly(0.02), [0.0, 0.004] * 24), 0.5)
    assert finding.outcome is Outcome.OK
    assert finding.figures["server_gap_seconds_median"] == pytest.approx(0.02)
    assert finding.figures["chunks"] == COUNT


@pytest.mark.parametrize(
    ("made", "late", "said"),
    [
        pytest.param(evenly(0.02), [1 - each for each in evenly(0.02)], "in one piece: 48 chunks", id="one piece"),
        pytest.param(evenly(0.005), evenly(0.04), "later than the fastest", id="each 40 ms later"),
        pytest.param(evenly(0.005), collected(evenly(0.005), 0.04), "later than the fastest", id="40 ms collected"),
    ],
)
def test_tokens_that_arrive_otherwise_are_wrong(made: list[float], late: list[float], said: str) -> None:
    finding = judged(arrivals(made, late), 0.5)
    assert finding.outcome is Outcome.WRONG
    assert said in finding.sentence


def test_a_first_token_that_is_late_is_another_probe_s_business() -> None:
    assert judged(arrivals(evenly(0.02), [0.04] * COUNT), 0.5).outcome is Outcome.OK


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (arrivals(evenly(0.001), [0.0] * COUNT), "too fast to tell"),
        (arrivals(evenly(0.02), [0.0] * COUNT)[:7], "had 7 chunks"),
        ([Arrival(each, None) for each in evenly(0.02)], "does not tell when it made each token"),
    ],
)
def test_what_is_too_little_can_t_be_judged(given: list[Arrival], said: str) -> None:
    finding = judged(given, 0.5)
    assert finding.outcome is Outcome.UNKNOWN
    assert said in finding.sentence


def test_one_piece_shows_without_the_server_s_word_too() -> None:
    finding = judged([Arrival(each, None) for each in evenly(0.00001)], 1.0)
    assert finding.outcome is Outcome.WRONG
    assert "in one piece" in finding.sentence


def test_a_url_that_collects_the_answer_is_wrong(deploy: Deploy) -> None:
    with deploy(one_piece=True) as stage:
        finding = PROBE.run(stage.deployment)
    assert finding.outcome is Outcome.WRONG
    assert "set the URL's invoke mode to RESPONSE_STREAM" in finding.sentence


def test_a_delay_of_40_ms_behind_each_token_is_wrong(deploy: Deploy) -> None:
    with deploy(token_seconds=0.05, told_seconds=0.01) as stage:
        finding = PROBE.run(stage.deployment)
    assert finding.outcome is Outcome.WRONG
    assert finding.figures["gap_seconds_median"] >= 0.05
    assert finding.figures["server_gap_seconds_median"] == pytest.approx(0.01)


def test_a_server_of_this_package_tells_its_times(demo_server: Server) -> None:
    with connected(demo_server.url) as deployment:
        finding = PROBE.run(deployment)
    # On a busy machine the chunks may be late, but never in one piece, nor untold.
    assert finding.outcome is not Outcome.UNKNOWN
    assert finding.figures["server_gap_seconds_median"] > 0
    assert "in one piece" not in finding.sentence
