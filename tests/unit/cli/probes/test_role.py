"""The probe of the function's role."""

import re
from collections.abc import Mapping
from typing import Any

import pytest

from lambda_llm.cli.probes.base import Outcome
from lambda_llm.cli.probes.role import PROBE
from support.fake_deployment import Deploy, configuration, evaluated

READ = "s3:GetObjectVersion"
OPEN = {
    "another version of the model": rf"{READ} .*/demo\.gguf .*",
    "another key": rf"{READ} arn:aws:s3:::models/.* v1",
    "another bucket": rf"{READ} .* v1",
    "writing the model": "s3:PutObject .*",
    "deleting the model": "s3:DeleteObjectVersion .*",
    "deleting it without its version": "s3:DeleteObject .*",
    "the bucket's policy": "s3:PutBucketPolicy .*",
    "invoking functions": "lambda:InvokeFunction .*",
    "changing itself": "lambda:UpdateFunctionConfiguration .*",
    "its own role": "iam:PutRolePolicy .*",
    "other roles": "sts:AssumeRole .*",
    "secrets": "secretsmanager:.*",
    "parameters": "ssm:.*",
    "tables": "dynamodb:.*",
}
"""What a role may be allowed by mistake: action, resource and version."""


def decided(params: Mapping[str, Any], what: str) -> dict[str, Any]:
    """As the right role, and beyond it what is open."""
    versions = [value for entry in params["ContextEntries"] for value in entry["ContextKeyValues"]]
    asked = " ".join([*params["ActionNames"], *params["ResourceArns"], *(versions or [""])])
    right = asked == f"{READ} arn:aws:s3:::models/demo.gguf v1"
    return evaluated(params, allowed=right or re.fullmatch(OPEN[what], asked) is not None)


@pytest.mark.parametrize("what", OPEN)
def test_each_thing_that_the_role_may_beside_its_model_is_seen(deploy: Deploy, what: str) -> None:
    with deploy() as stage:
        stage.aws.answers["SimulatePrincipalPolicy"] = lambda params: decided(params, what)
        finding = PROBE.run(stage.deployment)
    assert finding.outcome is Outcome.WRONG
    assert what in finding.figures["allowed_beside_the_model"]
    assert finding.figures["tried"] == len(OPEN) + 1


def test_a_role_that_may_not_read_its_model_is_wrong(deploy: Deploy) -> None:
    with deploy() as stage:
        stage.aws.answers["SimulatePrincipalPolicy"] = lambda params: evaluated(params, allowed=False)
        finding = PROBE.run(stage.deployment)
    assert finding.outcome is Outcome.WRONG
    assert "may not read its model (arn:aws:s3:::models/demo.gguf, version v1)" in finding.sentence


def test_a_simulator_that_ignores_conditions_can_t_tell(deploy: Deploy) -> None:
    with deploy() as stage:
        stage.aws.answers["SimulatePrincipalPolicy"] = lambda params: decided(params, "another version of the model")
        stage.aws.answers["SimulateCustomPolicy"] = lambda params: evaluated(params, allowed=True)
        finding = PROBE.run(stage.deployment)
    assert finding.outcome is Outcome.UNKNOWN
    assert "takes no notice of conditions" in finding.sentence


def test_a_function_without_a_pinned_object_can_t_be_judged(deploy: Deploy) -> None:
    with deploy() as stage:
        stage.aws.answers["GetFunctionConfiguration"] = configuration(Environment={"Variables": {}})
        finding = PROBE.run(stage.deployment)
    assert finding.outcome is Outcome.UNKNOWN
    assert "LAMBDA_LLM_MODEL" in finding.sentence
