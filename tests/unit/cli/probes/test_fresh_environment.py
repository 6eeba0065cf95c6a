"""The probe of the restore."""

import pytest

from lambda_llm.cli.probes import function_log
from lambda_llm.cli.probes.base import Outcome
from lambda_llm.cli.probes.fresh_environment import PROBE, restored
from lambda_llm.limits import RESTORE_SECONDS
from support.fake_deployment import Deploy, Environment


def test_a_second_request_restores_an_environment_and_waits_for_it(deploy: Deploy) -> None:
    with deploy() as stage:
        finding = PROBE.run(stage.deployment)
    assert finding.outcome is Outcome.OK
    assert len(stage.fake.environments) == 2
    assert finding.figures["restore_seconds"] == pytest.approx(0.8125)
    assert finding.figures["first_token_seconds"] > 0


def test_an_environment_that_was_not_restored_is_wrong(deploy: Deploy) -> None:
    with deploy(restores=False) as stage:
        finding = PROBE.run(stage.deployment)
    assert finding.outcome is Outcome.WRONG
    assert "was initialized, not restored" in finding.sentence


def test_one_that_was_warm_already_tells_nothing(deploy: Deploy) -> None:
    with deploy() as stage:
        stage.fake.environments.append(Environment("1", restored=True, began=0.0))
        finding = PROBE.run(stage.deployment)
    assert finding.outcome is Outcome.UNKNOWN
    assert "warm already" in finding.sentence


def test_an_answer_in_one_piece_holds_no_environment(deploy: Deploy) -> None:
    with deploy(one_piece=True, token_seconds=0.0) as stage:
        finding = PROBE.run(stage.deployment)
    assert finding.outcome is Outcome.UNKNOWN
    assert "The first answer was over before the second" in finding.sentence


def test_a_function_without_a_log_tells_what_its_client_saw(deploy: Deploy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(function_log, "DELIVERY_SECONDS", 0.0)
    with deploy() as stage:
        stage.aws.answers["FilterLogEvents"] = {"events": []}
        finding = PROBE.run(stage.deployment)
    assert finding.outcome is Outcome.OK
    assert "not in the log" in finding.figures["restore_unknown"]


def test_one_process_has_no_second_environment(deploy: Deploy) -> None:
    with deploy(signed=False) as stage:
        assert PROBE.run(stage.deployment).outcome is Outcome.UNKNOWN
    assert stage.fake.requests == []


@pytest.mark.parametrize(("status", "outcome"), [(429, Outcome.UNKNOWN), (502, Outcome.WRONG)])
def test_a_limit_of_the_concurrency_is_not_wrong_and_a_failure_is(
    deploy: Deploy, status: int, outcome: Outcome
) -> None:
    with deploy(status=status) as stage:
        finding = PROBE.run(stage.deployment)
    assert finding.outcome is outcome
    assert f"refused ({status})" in finding.sentence


def test_a_restore_beyond_its_limit_is_wrong() -> None:
    assert restored(12.0, 0.2, RESTORE_SECONDS + 0.5, {}).outcome is Outcome.WRONG
    assert restored(9.0, 0.2, RESTORE_SECONDS - 0.5, {}).outcome is Outcome.OK
