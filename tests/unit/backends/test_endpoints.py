"""Addresses are those of botocore's clients, in every partition."""

import pytest

from lambda_llm.backends.endpoints import endpoint
from support.backends import client


@pytest.mark.parametrize("region", ["eu-central-1", "cn-north-1", "us-gov-west-1", "eusc-de-east-1"])
@pytest.mark.parametrize(
    ("prefix", "service"),
    [("bedrock-runtime", "bedrock-runtime"), ("lambda", "lambda"), ("runtime.sagemaker", "sagemaker-runtime")],
)
def test_addresses_are_botocores(prefix: str, service: str, region: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    made = client(service, region=region)
    assert endpoint(prefix, region) == made.meta.endpoint_url
    made.close()
