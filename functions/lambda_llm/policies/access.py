"""Rules for access to functions that answer for models: alias, URL, permissions."""

from typing import Final

from lambda_llm.policies.function import equals, every, of_inference, of_models
from lambda_llm.policies.graph import ALIAS, Resource
from lambda_llm.policies.rules import Severity, rule
from lambda_llm.policies.values import is_known, strings, without_expressions

URL: Final = "aws_lambda_function_url"
PERMISSION: Final = "aws_lambda_permission"

SERVICES: Final = (".amazonaws.com", ".amazonaws.com.cn", ".amazon.com")
"""Endings of the principals that are services."""

S3: Final = "s3.amazonaws.com"
"""A bucket's ARN has no account, and its name may get another owner."""


@rule(
    9,
    Severity.HIGH,
    "An alias of an inference function points at a published version",
    ALIAS,
    applies=of_inference,
)
def alias_version(alias: Resource) -> bool | None:
    """`$LATEST` has no snapshot, so each of its environments loads the model."""
    return bool(alias.get("function_version") != "$LATEST")


@rule(10, Severity.HIGH, "The URL of an inference function is that of an alias", URL, applies=of_inference)
def url_on_alias(url: Resource) -> bool | None:
    """A URL without a qualifier invokes `$LATEST`."""
    return bool(url.get("qualifier"))


@rule(
    11,
    Severity.CRITICAL,
    "The URL of an inference function or a router requires IAM authorization",
    URL,
    applies=of_models,
)
def url_authorization(url: Resource) -> bool | None:
    """Without it, anyone who finds the URL can invoke the function at the account's expense."""
    return equals(url.get("authorization_type"), "AWS_IAM")


@rule(12, Severity.MEDIUM, "The URL of an inference function streams its responses", URL, applies=of_inference)
def url_streams(url: Resource) -> bool | None:
    """Buffered is Terraform's default."""
    return equals(url.get("invoke_mode"), "RESPONSE_STREAM")


@rule(
    13,
    Severity.CRITICAL,
    "No wildcard principal may call an inference function or a router",
    PERMISSION,
    applies=of_models,
)
def permission(granted: Resource) -> bool | None:
    """The principal `*` is everyone, and so is anyone with a URL authorization type of `NONE`."""
    principals = strings(granted.get("principal"))
    named = None if not is_known(principals) else bool(principals) and not any("*" in name for name in principals)
    return every(named, granted.get("function_url_auth_type") != "NONE")


def by_service(granted: Resource) -> bool | None:
    """Whether a permission lets a service call an inference function or a router."""
    principal = granted.get("principal")
    if is_known(principal) and not str(principal).endswith(SERVICES):
        return False
    owned = of_models(granted)
    return None if owned and not is_known(principal) else owned


@rule(
    18,
    Severity.HIGH,
    "A service may call an inference function or a router on behalf of one resource only",
    PERMISSION,
    applies=by_service,
)
def service_permission(granted: Resource) -> bool | None:
    """A service acts for everyone who has an account; `source_arn` names the resource that it may act for."""
    if granted.get("event_source_token"):  # Alexa's way of naming a skill
        return True
    source = granted.get("source_arn")
    if not isinstance(source, str):
        return False
    of_s3 = equals(granted.get("principal"), S3) or source.startswith(("arn:aws:s3:::", "aws_s3_bucket."))
    return every(names_a_resource(source), not of_s3 or bool(granted.get("source_account")))


def names_a_resource(arn: str) -> bool:
    """Whether an ARN has an account, unless it is a bucket's, and the beginning of a resource's name."""
    if not is_known(arn) and not arn.startswith("arn:"):
        return not without_expressions(arn).startswith("*")
    parts = without_expressions(arn).split(":", 5)
    if len(parts) < 6:  # noqa: PLR2004 - an ARN's
        return False
    _, _, service, _, account, resource = parts
    return bool("*" not in account and (account or service == "s3") and resource and resource[0] not in "*?")
