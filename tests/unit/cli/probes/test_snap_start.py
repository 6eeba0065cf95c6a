"""The probe of SnapStart."""

from typing import Any

import pytest

from lambda_llm.cli.probes.base import Outcome
from lambda_llm.cli.probes.snap_start import PROBE
from support.fake_deployment import Deploy, configuration


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"}},
            "SnapStart None instead of PublishedVersions",
        ),
        (
            {"SnapStart": {"ApplyOn": "PublishedVersions", "OptimizationStatus": "Off"}},
            "OptimizationStatus Off instead of On",
        ),
        ({"State": "Pending"}, "State Pending instead of Active"),
        ({"LastUpdateStatus": "Failed"}, "LastUpdateStatus Failed instead of Successful"),
    ],
)
def test_what_lambda_says_of_a_version_is_wrong(deploy: Deploy, changes: dict[str, Any], said: str) -> None:
    with deploy() as stage:
        stage.aws.answers["GetFunctionConfiguration"] = configuration(**changes)
        finding = PROBE.run(stage.deployment)
    assert finding.outcome is Outcome.WRONG
    assert f"ersion 7 has {said}" in finding.sentence


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"initialization": "on-demand"}, "initialized as 'on-demand'"),
        ({"restored": False}, "was not restored: the web adapter did not call the hook"),
    ],
)
def test_what_the_environment_says_is_wrong_whatever_lambda_says(
    deploy: Deploy, own: dict[str, Any], said: str
) -> None:
    with deploy(own=own) as stage:
        finding = PROBE.run(stage.deployment)
        assert finding.outcome is Outcome.WRONG
        assert said in finding.sentence
        stage.aws.answers["ListAliases"] = ("AccessDeniedException", "no")
        again = PROBE.run(stage.deployment)
    assert again.outcome is Outcome.WRONG


def test_a_server_that_does_not_tell_leaves_it_to_lambda(deploy: Deploy) -> None:
    with deploy(own={"initialization": None}) as stage:
        finding = PROBE.run(stage.deployment)
    assert finding.outcome is Outcome.OK
    assert "does not tell how it was initialized" in finding.sentence
