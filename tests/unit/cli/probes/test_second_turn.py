"""The probe of the prefix cache."""

import pytest

from lambda_llm.cli.probes.base import Outcome
from lambda_llm.cli.probes.second_turn import PROBE
from support.fake_deployment import Deploy


def test_a_prefix_that_is_not_reused_is_wrong(deploy: Deploy) -> None:
    with deploy(caches=False) as stage:
        finding = PROBE.run(stage.deployment)
    assert finding.outcome is Outcome.WRONG
    assert (finding.figures["first_turn_cached_tokens"], finding.figures["second_turn_cached_tokens"]) == (1, 1)


def test_another_environment_can_t_have_it(deploy: Deploy, monkeypatch: pytest.MonkeyPatch) -> None:
    with deploy(caches=False) as stage:
        ids = iter("abc")
        health = stage.deployment.ask_health
        monkeypatch.setattr(stage.deployment, "ask_health", lambda: {**health(), "environment": {"id": next(ids)}})
        finding = PROBE.run(stage.deployment)
    assert finding.outcome is Outcome.UNKNOWN
    assert "Another environment answered meanwhile" in finding.sentence


@pytest.mark.parametrize(("status", "outcome"), [(400, Outcome.UNKNOWN), (404, Outcome.WRONG), (500, Outcome.WRONG)])
def test_a_server_that_refuses_is_wrong_unless_it_is_the_request(deploy: Deploy, status: int, outcome: Outcome) -> None:
    with deploy(status=status) as stage:
        finding = PROBE.run(stage.deployment)
    assert finding.outcome is outcome
    assert f"refused ({status}): It can't." in finding.sentence
