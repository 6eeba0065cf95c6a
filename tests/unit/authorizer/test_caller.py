"""From an event of API Gateway to a token, and from a caller to API Gateway's answer."""

import hashlib
from typing import Any

import pytest

from lambda_llm.authorizer.caller import Caller, allowed, bearer_token
from lambda_llm.authorizer.errors import UnauthorizedError
from support.rest_api import API, METHOD_ARN, STAGE, authorizer_event

ACME = Caller("acme", "standard", "key_1")


@pytest.mark.parametrize("name", ["Authorization", "authorization", "AUTHORIZATION"])
@pytest.mark.parametrize("value", ["Bearer sk-a", "bearer sk-a", "BEARER  sk-a", "Bearer sk-a "])
def test_the_bearer_token_is_read(name: str, value: str) -> None:
    assert bearer_token(authorizer_event(value, name=name)) == "sk-a"


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer ", "Basic c2s6", "sk-a", "Token sk-a", "BearerX sk-a"])
def test_anything_else_is_none(value: str) -> None:
    assert bearer_token(authorizer_event(value)) is None


def test_two_tokens_are_none() -> None:
    """API Gateway might remember its answer under the one, for the other."""
    assert bearer_token(authorizer_event()) is None
    assert bearer_token(authorizer_event("Bearer sk-a", "Bearer sk-b")) is None
    twice = authorizer_event("Bearer sk-a")
    twice["multiValueHeaders"]["authorization"] = ["Bearer sk-b"]
    assert bearer_token(twice) is None


@pytest.mark.parametrize("headers", [None, {}, {"Authorization": None}, {"Authorization": []}], ids=str)
def test_an_event_without_headers_has_none(headers: Any) -> None:
    assert bearer_token({"multiValueHeaders": headers}) is None
    assert bearer_token({}) is None


def test_an_event_with_single_headers_alone_is_read() -> None:
    assert bearer_token(authorizer_event("Bearer sk-a") | {"multiValueHeaders": None}) == "sk-a"


def test_this_stage_of_this_api_is_allowed_and_nothing_else() -> None:
    answer = allowed(ACME, METHOD_ARN)
    (statement,) = answer["policyDocument"]["Statement"]
    assert statement == {
        "Action": "execute-api:Invoke",
        "Effect": "Allow",
        "Resource": f"arn:aws:execute-api:eu-central-1:123456789012:{API}/{STAGE}/*",
    }
    assert answer["policyDocument"]["Version"] == "2012-10-17"
    assert answer["principalId"] == "key_1"


def test_the_context_is_of_texts() -> None:
    assert allowed(ACME, METHOD_ARN)["context"] == {"tenant": "acme", "plan": "standard", "key_id": "key_1"}
    limited = Caller("acme", "standard", "key_1", 500)
    assert allowed(limited, METHOD_ARN)["context"]["max_tokens"] == "500"


def test_the_usage_plan_s_key_is_that_of_api_plan_and_tenant() -> None:
    """As Terraform makes it, `sha256("API/PLAN/TENANT")`, with more characters than API Gateway's least, 20."""
    expected = f"lambda-llm-{hashlib.sha256(f'{API}/standard/acme'.encode()).hexdigest()[:40]}"
    assert allowed(ACME, METHOD_ARN)["usageIdentifierKey"] == expected
    assert len(expected) == 51


@pytest.mark.parametrize(
    "arn", ["", "None", "arn:aws:execute-api:eu-central-1:123456789012:*/prod/GET/", "*", "a/b", "/prod/GET/x"]
)
def test_what_is_no_method_of_a_stage_is_not_allowed(arn: str) -> None:
    with pytest.raises(UnauthorizedError):
        allowed(ACME, arn)
