"""Rules for API Gateway in front of an inference function: every way in has an authorizer, which forgets soon."""

import re
from typing import Any, Final

from lambda_llm.policies import openapi
from lambda_llm.policies.function import equals, every, is_inference, of_inference
from lambda_llm.policies.graph import FUNCTION, INVOKED, Resource
from lambda_llm.policies.openapi import Operation
from lambda_llm.policies.rules import Severity, rule
from lambda_llm.policies.values import is_known, strings

HTTP_API: Final = "aws_apigatewayv2_api"
ROUTE: Final = "aws_apigatewayv2_route"
HTTP_INTEGRATION: Final = "aws_apigatewayv2_integration"
REST_API: Final = "aws_api_gateway_rest_api"
METHOD: Final = "aws_api_gateway_method"
REST_INTEGRATION: Final = "aws_api_gateway_integration"
AUTHORIZER: Final = "aws_api_gateway_authorizer"

OPEN: Final = "NONE"
"""Authorization of who anyone is; Terraform's default."""
WITH_AUTHORIZER: Final = ("JWT", "CUSTOM", "COGNITO_USER_POOLS")
"""Authorizations that need an authorizer beside them."""

FORGOTTEN_SECONDS: Final = 60
"""After which a key that was revoked must be refused."""


def leads_to_inference(entry: Resource) -> bool | None:
    """Whether an API, a route or a method leads to an inference function; None if that is not known."""
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
        return False if entry.get("target") is not None else _operations_authorized(entry)
    kind = entry.get("authorization" if entry.kind == METHOD else "authorization_type")
    if kind is None or equals(kind, OPEN):
        return False
    if not is_known(kind):
        return None
    return str(kind).upper() not in WITH_AUTHORIZER or entry.get("authorizer_id") is not None


def remembers_callers(entry: Resource) -> bool | None:
    """Whether an authorizer, or one in an API's document, is a function whose answers are kept for inference."""
    if entry.kind == REST_API:
        leads = _described(entry)
        document = openapi.read(entry.get("body"))
        if leads is False or (document is not None and not openapi.remembered_seconds(document)):
            return False
        return None if document is None else leads
    if equals(entry.get("type"), "COGNITO_USER_POOLS"):
        return False
    methods = (one for one in entry.siblings(METHOD) if _same(entry, one, "rest_api_id"))
    leading = [leads_to_inference(one) for one in methods]
    if True in leading:
        return True
    return None if None in leading else False


@rule(
    20,
    Severity.HIGH,
    "API Gateway in front of an inference function forgets a caller within a minute",
    REST_API,
    AUTHORIZER,
    applies=remembers_callers,
)
def forgets(entry: Resource) -> bool | None:
    """What an authorizer said holds for as long as API Gateway keeps it, whatever was revoked meanwhile."""
    if entry.kind == REST_API:
        document = openapi.read(entry.get("body"))
        return every(*map(_is_short, openapi.remembered_seconds(document))) if document is not None else None
    kept = entry.get("authorizer_result_ttl_in_seconds")
    return _is_short(openapi.REMEMBERED_SECONDS if kept is None else kept)


def _is_short(seconds: Any) -> bool | None:
    try:
        return float(seconds) <= FORGOTTEN_SECONDS
    except (TypeError, ValueError):
        return None


def _described(api: Resource) -> bool | None:
    """Whether an API's OpenAPI document leads to an inference function; None if that can't be told."""
    document = openapi.read(api.get("body"))
    if document is None:
        return None if _mentions_inference(api) else False
    leading = [_operation_leads(api, operation) for operation in openapi.operations(document)]
    if True in leading:
        return True
    return None if None in leading and _mentions_inference(api) else False


def _mentions_inference(api: Resource) -> bool:
    """Whether a document names an inference function, or refers to one."""
    functions = [one for one in api.siblings(FUNCTION) if is_inference(one)]
    named = {match[1] for text in strings(api.get("body")) for match in INVOKED.finditer(text)}
    return any(one.get("function_name") in named for one in functions) or any(
        found.is_resource(one) for found in _functions_of(api) for one in functions
    )


def _functions_of(api: Resource) -> list[Resource]:
    """Functions that a document refers to."""
    both = [(referred, referred.function()) for referred in api.referred("body")]
    return [found for pair in both for found in pair if found is not None and found.kind == FUNCTION]


def _operation_leads(api: Resource, operation: Operation) -> bool | None:
    """Whether an operation invokes an inference function; None if that can't be told."""
    uri = operation.uri
    if uri is None:
        return False
    text = str(uri)
    if match := INVOKED.search(text):
        return any(one.get("function_name") == match[1] for one in api.siblings(FUNCTION) if is_inference(one))
    for referred in api.referred("body"):
        if re.search(rf"\b{re.escape(referred.vertex.name)}\b", text):
            function = referred if referred.kind == FUNCTION else referred.function()
            return None if function is None else is_inference(function)
    return False if is_known(uri) and text.startswith(("http://", "https://")) else None


def _operations_authorized(api: Resource) -> bool | None:
    """Whether every operation that leads to an inference function, or may, has an authorizer."""
    document = openapi.read(api.get("body"))
    if document is None:
        return None
    verdicts: list[bool | None] = []
    for operation in openapi.operations(document):
        leads, known = _operation_leads(api, operation), operation.is_authorized()
        if leads is not False and known is not True:
            verdicts.append(known if leads else None)
    return every(*verdicts)


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
