"""Rules for access to the inference function: alias, URL, permissions."""

from typing import Final

from lambda_llm.policies.function import equals, every, is_inference
from lambda_llm.policies.graph import ALIAS, Resource
from lambda_llm.policies.rules import Severity, rule
from lambda_llm.policies.values import is_known, strings

URL: Final = "aws_lambda_function_url"
PERMISSION: Final = "aws_lambda_permission"


def of_inference(resource: Resource) -> bool:
    """Whether a resource belongs to an inference function."""
    function = resource.function()
    return function is not None and is_inference(function)


@rule(9, Severity.HIGH, "An alias of an inference function points at a published version", ALIAS)
def alias_version(alias: Resource) -> bool | None:
    """`$LATEST` has no snapshot, so each of its environments loads the model."""
    if not of_inference(alias):
        return None
    return bool(alias.get("function_version") != "$LATEST")


@rule(10, Severity.HIGH, "The URL of an inference function is that of an alias", URL)
def url_on_alias(url: Resource) -> bool | None:
    """A URL without a qualifier invokes `$LATEST`."""
    return bool(url.get("qualifier")) if of_inference(url) else None


@rule(11, Severity.CRITICAL, "The URL of an inference function requires IAM authorization", URL)
def url_authorization(url: Resource) -> bool | None:
    """Without it, anyone who finds the URL can invoke the function at the account's expense."""
    return equals(url.get("authorization_type"), "AWS_IAM") if of_inference(url) else None


@rule(12, Severity.MEDIUM, "The URL of an inference function streams its responses", URL)
def url_streams(url: Resource) -> bool | None:
    """Buffered is Terraform's default."""
    return equals(url.get("invoke_mode"), "RESPONSE_STREAM") if of_inference(url) else None


@rule(13, Severity.CRITICAL, "No wildcard principal may call an inference function", PERMISSION)
def permission(granted: Resource) -> bool | None:
    """The principal `*` is everyone, and so is anyone with a URL authorization type of `NONE`."""
    if not of_inference(granted):
        return None
    principals = strings(granted.get("principal"))
    named = None if not is_known(principals) else bool(principals) and not any("*" in name for name in principals)
    return every(named, granted.get("function_url_auth_type") != "NONE")
