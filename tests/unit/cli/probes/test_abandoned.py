"""The probe that leaves an answer."""

from collections.abc import Mapping
from typing import Any

import pytest

from lambda_llm.cli.probes import abandoned, function_log
from lambda_llm.cli.probes.abandoned import PROBE, TOKENS
from lambda_llm.cli.probes.base import Outcome
from lambda_llm.cli.probes.deployment import connected
from support.fake_deployment import Deploy
from support.servers import Server


def test_a_function_goes_on_and_its_report_says_how_long(deploy: Deploy) -> None:
    with deploy() as stage:
        finding = PROBE.run(stage.deployment)
    assert finding.outcome is Outcome.OK
    assert finding.figures["duration_seconds"] >= (TOKENS - 2) * stage.fake.token_seconds
    assert 0 < finding.figures["seconds_after_the_client_left"] < finding.figures["duration_seconds"]


def timed_out(params: Mapping[str, Any]) -> dict[str, Any]:
    request_id = params["filterPattern"].strip('"')
    return {"events": [{"message": f"REPORT RequestId: {request_id}\tDuration: 900000.00 ms\tStatus: timeout"}]}


def test_one_that_runs_into_its_time_out_is_wrong(deploy: Deploy) -> None:
    with deploy() as stage:
        stage.aws.answers["FilterLogEvents"] = timed_out
        finding = PROBE.run(stage.deployment)
    assert finding.outcome is Outcome.WRONG
    assert "until its time-out" in finding.sentence


def test_a_report_that_never_comes_can_t_be_known(deploy: Deploy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(function_log, "DELIVERY_SECONDS", 0.0)
    with deploy() as stage:
        stage.aws.answers["FilterLogEvents"] = {"events": []}
        finding = PROBE.run(stage.deployment)
    assert finding.outcome is Outcome.UNKNOWN
    assert "not in the log within 0 s" in finding.sentence


def test_a_server_stops_as_soon_as_it_sees_its_client_leave(endless_server: Server) -> None:
    before = endless_server.settled()["cancelled"]
    with connected(endless_server.url) as deployment:
        finding = PROBE.run(deployment)
    assert finding.outcome is Outcome.OK
    assert finding.figures["cancelled"] == 1
    assert endless_server.settled()["cancelled"] == before + 1


def test_a_server_that_goes_on_to_the_end_is_wrong(deploy: Deploy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(abandoned, "NOTICE_SECONDS", 0.0)
    with deploy(signed=False, follows=True) as stage:
        health = stage.deployment.ask_health
        # It counts the abandoned answer as one that it completed.
        monkeypatch.setattr(
            stage.deployment,
            "ask_health",
            lambda: {**health(), "requests": {**health()["requests"], "cancelled": 0}},
        )
        finding = PROBE.run(stage.deployment)
    assert finding.outcome is Outcome.WRONG
    assert "to the answer's end" in finding.sentence


def test_a_server_that_stays_busy_is_wrong(deploy: Deploy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(abandoned, "WAIT_SECONDS", 0.0)
    with deploy(signed=False, changes={"requests": {"active": 1, "cancelled": 0}}) as stage:
        finding = PROBE.run(stage.deployment)
    assert finding.outcome is Outcome.WRONG
    assert "still busy" in finding.sentence
