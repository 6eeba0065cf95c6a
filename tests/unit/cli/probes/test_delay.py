"""The probe of the web adapter's delay."""

import pytest

from lambda_llm.cli.probes.base import Outcome
from lambda_llm.cli.probes.delay import PROBE, REQUESTS, judged
from lambda_llm.cli.probes.deployment import connected
from support.fake_deployment import Deploy
from support.function_url import REGION


@pytest.mark.parametrize(
    ("taken", "trip", "outcome"),
    [
        ([0.044] * 9 + [0.043], 0.001, Outcome.WRONG),
        ([0.044] * 9 + [0.011], 0.001, Outcome.OK),  # one acknowledgement that was not delayed is the rule elsewhere
        ([0.144] * 10, 0.120, Outcome.OK),
        ([0.164] * 10, 0.120, Outcome.WRONG),
    ],
)
def test_what_is_left_without_the_network_counts(taken: list[float], trip: float, outcome: Outcome) -> None:
    finding = judged(taken, trip)
    assert finding.outcome is outcome
    assert finding.figures["round_trip_seconds"] == trip
    assert finding.figures["request_seconds_least"] == min(taken)


def test_a_server_that_takes_its_time_is_wrong(deploy: Deploy) -> None:
    with deploy(health_seconds=0.045) as stage:
        finding = PROBE.run(stage.deployment)
    assert finding.outcome is Outcome.WRONG
    assert stage.fake.requests == ["health"] * REQUESTS


def test_a_host_that_only_a_proxy_reaches_can_t_be_judged(deploy: Deploy) -> None:
    with deploy() as stage, connected("http://nowhere.invalid", REGION) as deployment:
        finding = PROBE.run(deployment)
    assert finding.outcome is Outcome.UNKNOWN
    assert "can't be reached directly" in finding.sentence
    assert stage.fake.requests == []
