"""The rule for API Gateway in front of an inference function: every way in has an authorizer."""

from typing import Final

from lambda_llm.policies.function import equals, of_inference
from lambda_llm.policies.graph import Resource
from lambda_llm.policies.rules import Severity, rule
from lambda_llm.policies.values import is_known

HTTP_API: Final = "aws_apigatewayv2_api"
ROUTE: Final = "aws_apigatewayv2_route"
HTTP_INTEGRATION: Final = "aws_apigatewayv2_integration"
METHOD: Final = "aws_api_gateway_method"
REST_INTEGRATION: Final = "aws_api_gateway_integration"

OPEN: Final = "NONE"
"""Authorization of who anyone is; Terraform's default."""
WITH_AUTHORIZER: Final = ("JWT", "CUSTOM", "COGNITO_USER_POOLS")
"""Authorizations that need an authorizer beside them."""


def leads_to_inference(entry: Resource) -> bool | None:
    """Whether an API by quick create, a route or a method leads to an inference function; None if that is not known."""
    if entry.kind == HTTP_API:
        return of_inference(entry, "target") if entry.get("target") is not None else False
    leading = [
        of_inference(one, "integration_uri" if one.kind == HTTP_INTEGRATION else "uri") for one in _behind(entry)
    ]
    if True in leading:
        return True
    return None if None in leading else False


@rule(
    19,
    Severity.CRITICAL,
    "API Gateway in front of an inference function authorizes every request",
    HTTP_API,
    ROUTE,
    METHOD,
    applies=leads_to_inference,
)
def authorized(entry: Resource) -> bool | None:
    """A quick create's only route is open to everyone, and so is a route without an authorizer."""
    if entry.kind == HTTP_API:
        return False
    kind = entry.get("authorization" if entry.kind == METHOD else "authorization_type")
    if kind is None or equals(kind, OPEN):
        return False
    if not is_known(kind):
        return None
    return str(kind).upper() not in WITH_AUTHORIZER or entry.get("authorizer_id") is not None


def _behind(entry: Resource) -> list[Resource]:
    """Integrations that a route or a method leads to."""
    if entry.kind == ROUTE:
        named = [one for one in entry.referred("target") if one.kind == HTTP_INTEGRATION]
        return named or [one for one in entry.siblings(HTTP_INTEGRATION) if _same(entry, one, "api_id")]
    return [
        one for one in entry.siblings(REST_INTEGRATION) if _same(entry, one, "resource_id") and _same_method(entry, one)
    ]


def _same_method(method: Resource, integration: Resource) -> bool:
    """Whether an integration is a method's: it names the method, by its value or by reference."""
    if any(one.is_resource(method) for one in integration.referred("http_method")):
        return True
    return equals(integration.get("http_method"), method.get("http_method")) is True


def _same(one: Resource, other: Resource, argument: str) -> bool:
    """Whether an argument of two resources refers to the same one, or has the same value."""
    targets = [found.number for found in one.referred(argument)]
    if targets:
        return any(found.number in targets for found in other.referred(argument))
    return bool(one.get(argument) == other.get(argument))
