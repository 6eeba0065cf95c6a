"""The rule for API Gateway in front of an inference function: every way in has an authorizer."""

from typing import Final

from lambda_llm.policies.function import equals, is_inference, of_inference
from lambda_llm.policies.graph import FUNCTION, INVOKED, Resource
from lambda_llm.policies.rules import Severity, rule
from lambda_llm.policies.values import is_known, strings

HTTP_API: Final = "aws_apigatewayv2_api"
ROUTE: Final = "aws_apigatewayv2_route"
HTTP_INTEGRATION: Final = "aws_apigatewayv2_integration"
REST_API: Final = "aws_api_gateway_rest_api"
METHOD: Final = "aws_api_gateway_method"
REST_INTEGRATION: Final = "aws_api_gateway_integration"

OPEN: Final = "NONE"
"""Authorization of who anyone is; Terraform's default."""
WITH_AUTHORIZER: Final = ("JWT", "CUSTOM", "COGNITO_USER_POOLS")
"""Authorizations that need an authorizer beside them."""


def leads_to_inference(entry: Resource) -> bool | None:
    """Whether an API by quick create, a route or a method leads to an inference function; None if that is not known."""
    if entry.kind in {HTTP_API, REST_API}:
        quick = of_inference(entry, "target") if entry.get("target") is not None else False
        return quick if quick is not False else _described(entry)
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
    REST_API,
    METHOD,
    applies=leads_to_inference,
)
def authorized(entry: Resource) -> bool | None:
    """A quick create's only route is open to everyone, and so is a route without an authorizer."""
    if entry.kind in {HTTP_API, REST_API}:
        return False
    kind = entry.get("authorization" if entry.kind == METHOD else "authorization_type")
    if kind is None or equals(kind, OPEN):
        return False
    if not is_known(kind):
        return None
    return str(kind).upper() not in WITH_AUTHORIZER or entry.get("authorizer_id") is not None


def _described(api: Resource) -> bool | None:
    """None if an API's OpenAPI document, which is not judged, leads to an inference function; else False."""
    functions = [one for one in api.siblings(FUNCTION) if is_inference(one)]
    named = {match[1] for text in strings(api.get("body")) for match in INVOKED.finditer(text)}
    leading = any(one.get("function_name") in named for one in functions) or any(
        found.is_resource(one)
        for referred in api.referred("body")
        for found in (referred, referred.function())
        if found is not None
        for one in functions
    )
    return None if leading else False


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
