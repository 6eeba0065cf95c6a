"""Addresses are those of botocore's clients, in every partition."""

import botocore.session
import pytest

from lambda_llm.backends.endpoints import endpoint


@pytest.mark.parametrize("region", ["eu-central-1", "cn-north-1", "us-gov-west-1", "eusc-de-east-1"])
@pytest.mark.parametrize(
    ("prefix", "service"),
    [("bedrock-runtime", "bedrock-runtime"), ("lambda", "lambda"), ("runtime.sagemaker", "sagemaker-runtime")],
)
def test_addresses_are_botocores(prefix: str, service: str, region: str) -> None:
    session = botocore.session.get_session()
    client = session.create_client(
        service,
        region_name=region,
        aws_access_key_id="an-id",
        aws_secret_access_key="a-secret",  # noqa: S106 - nobody's
    )
    assert endpoint(prefix, region) == client.meta.endpoint_url
    client.close()
