"""The probe of the configuration."""

import json
from typing import Any

import pytest

from lambda_llm.cli.probes.base import Outcome
from lambda_llm.cli.probes.invariants import PROBE
from support.fake_deployment import ARN, Deploy, configuration, url_config


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"MemorySize": 4096}, "MemorySize 4096 instead of 10240"),
        ({"Architectures": ["x86_64"]}, "Architectures ['x86_64'] instead of ['arm64']"),
        ({"Runtime": "python3.12"}, "Runtime python3.12 instead of python3.13"),
        ({"PackageType": "Image"}, "PackageType Image instead of Zip"),
        ({"EphemeralStorage": {"Size": 1024}}, "EphemeralStorage 1024 instead of 512"),
        (
            {"FileSystemConfigs": [{"Arn": "arn:aws:elasticfilesystem:x", "LocalMountPath": "/mnt/x"}]},
            "FileSystemConfigs [{'Arn'",
        ),
    ],
)
def test_each_invariant_of_a_version_is_seen(deploy: Deploy, changes: dict[str, Any], said: str) -> None:
    with deploy() as stage:
        stage.aws.answers["GetFunctionConfiguration"] = configuration(**changes)
        finding = PROBE.run(stage.deployment)
    assert finding.outcome is Outcome.WRONG
    assert f"ersion 7 has {said}" in finding.sentence


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"AuthType": "NONE"}, "AuthType NONE instead of AWS_IAM"),
        ({"InvokeMode": "BUFFERED"}, "InvokeMode BUFFERED instead of RESPONSE_STREAM"),
    ],
)
def test_each_invariant_of_the_url_is_seen(deploy: Deploy, changes: dict[str, Any], said: str) -> None:
    with deploy() as stage:
        stage.aws.answers["GetFunctionUrlConfig"] = url_config(**changes)
        finding = PROBE.run(stage.deployment)
    assert finding.outcome is Outcome.WRONG
    assert said in finding.sentence


def test_provisioned_concurrency_is_seen(deploy: Deploy) -> None:
    with deploy() as stage:
        stage.aws.answers["ListProvisionedConcurrencyConfigs"] = {
            "ProvisionedConcurrencyConfigs": [{"FunctionArn": f"{ARN}:live"}]
        }
        finding = PROBE.run(stage.deployment)
    assert finding.outcome is Outcome.WRONG
    assert "1 of its qualifiers have provisioned concurrency" in finding.sentence


AUTH = {"StringEquals": {"lambda:FunctionUrlAuthType": "AWS_IAM"}}
ORGANIZATION = {"StringEquals": {"aws:PrincipalOrgID": "o-x"}, "StringLike": {"lambda:FunctionUrlAuthType": "x"}}


@pytest.mark.parametrize(
    ("statement", "outcome"),
    [
        ({"Principal": "*"}, Outcome.WRONG),
        ({"Principal": {"AWS": "*"}, "Condition": AUTH}, Outcome.WRONG),
        ({"Principal": {"AWS": ["*"]}}, Outcome.WRONG),
        ({"Principal": "*", "Condition": ORGANIZATION}, Outcome.OK),
        ({"Principal": "*", "Effect": "Deny"}, Outcome.OK),
        ({"Principal": {"AWS": "arn:aws:iam::123456789012:root"}, "Condition": AUTH}, Outcome.OK),
    ],
)
def test_an_alias_that_everybody_may_call_is_wrong(deploy: Deploy, statement: dict[str, Any], outcome: Outcome) -> None:
    policy = {"Statement": [{"Sid": "open", "Effect": "Allow", "Action": "lambda:InvokeFunctionUrl", **statement}]}
    with deploy() as stage:
        stage.aws.answers["GetPolicy"] = {"Policy": json.dumps(policy)}
        finding = PROBE.run(stage.deployment)
    assert finding.outcome is outcome
    assert ("lets everybody call (open)" in finding.sentence) is (outcome is Outcome.WRONG)
