"""What ministack lacks of API Gateway's REST APIs for this project; imported by `ministack_server`.

- PutRestApi, with which Terraform applies an OpenAPI document: resources, authorizers, gateway responses, the source of
  API keys, and the integrations' timeouts and response transfer mode.
- URIs of streamed invocations. The response still arrives as a whole.
- API keys that the authorizer names (`usageIdentifierKey`), where the API's key source is AUTHORIZER: a caller's own
  `x-api-key` counts for nothing there.
- A usage plan without a quota has none, instead of an empty one, which Terraform would remove with each apply.
- `https://API.execute-api.REGION.amazonaws.com/STAGE`, as on AWS: the API's id says whose it is, as its callers have no
  signature that would.

Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-swagger-extensions.html
"""

import json
import re
from contextvars import ContextVar
from typing import Any

from ministack import app
from ministack.services import apigateway_v1 as v1

ANY = "x-amazon-apigateway-any-method"
RESPONSES = "x-amazon-apigateway-gateway-responses"
KEY_SOURCE = "x-amazon-apigateway-api-key-source"
INTEGRATION = "x-amazon-apigateway-integration"
STREAMED = "/response-streaming-invocations"

_of_authorizer: ContextVar[str | None] = ContextVar("usage_identifier", default=None)
"""The API key that the authorizer of the request in progress named; None where callers name it themselves."""

_handle = v1.handle_request
_create_usage_plan = v1._create_usage_plan  # noqa: SLF001
_lambda_of = v1._extract_lambda_ref_from_integration_uri  # noqa: SLF001 - none of this has a public API
_invoke_authorizer = v1._invoke_authorizer_lambda  # noqa: SLF001
_authorize = v1._authorize_request_v1  # noqa: SLF001
_key_of = v1._api_key_from_request  # noqa: SLF001


def put_rest_api(api_id: str, document: dict[str, Any]) -> Any:
    """Replace what an API consists of by an OpenAPI document (mode overwrite)."""
    api = v1._rest_apis.get(api_id)  # noqa: SLF001
    if api is None:
        return v1._v1_error("NotFoundException", "Invalid API identifier specified", 404)  # noqa: SLF001
    resources = v1._resources[api_id]  # noqa: SLF001
    for number in [number for number, resource in resources.items() if resource["path"] != "/"]:
        del resources[number]
    v1._authorizers_v1[api_id] = {}  # noqa: SLF001
    v1._gateway_responses[api_id] = {}  # noqa: SLF001
    schemes = v1._import_security_schemes(api_id, document)  # noqa: SLF001
    for path, given in document.get("paths", {}).items():
        item = {("any" if method == ANY else method): operation for method, operation in given.items()}
        v1._import_path_item(api_id, path, item, schemes, document.get("security"))  # noqa: SLF001
        (resource,) = [one for one in resources.values() if one["path"] == path]
        for method, operation in item.items():
            extra = {key: operation[INTEGRATION].get(key) for key in ("timeoutInMillis", "responseTransferMode")}
            integration = resource["resourceMethods"][method.upper()]["methodIntegration"]
            integration.update({key: value for key, value in extra.items() if value is not None})
    for kind, response in document.get(RESPONSES, {}).items():
        v1._put_gateway_response(api_id, kind, response)  # noqa: SLF001
    api["apiKeySource"] = document.get(KEY_SOURCE, api["apiKeySource"])
    return v1._get_rest_api(api_id)  # noqa: SLF001


def _scope_of(api_id: str) -> tuple[str, str] | None:
    """Account and region of an API."""
    found = (scope[:2] for scope, _ in v1._rest_apis.all_items() if scope[2] == api_id)  # noqa: SLF001
    return next(found, None)


async def _with_put(method: str, path: str, headers: Any, body: bytes, query_params: Any) -> Any:
    if method == "PUT" and (found := re.fullmatch(r"/restapis/([^/]+)/?", path)):
        return put_rest_api(found[1], json.loads(body))
    return await _handle(method, path, headers, body, query_params)


def _create_plan(data: dict[str, Any]) -> Any:
    status, _, body = _create_usage_plan(data)
    plan = v1._usage_plans[json.loads(body)["id"]]  # noqa: SLF001
    if not plan["quota"]:
        del plan["quota"]
    return v1._v1_response(plan, status)  # noqa: SLF001


def _lambda_of_any(uri: str) -> str:
    return str(_lambda_of(uri.replace(STREAMED, "/invocations")))


async def _invoke_and_keep_identifier(*arguments: Any) -> Any:
    """Hand the identifier on inside the authorizer's context, which is what ministack caches of its response."""
    result = await _invoke_authorizer(*arguments)
    answer = (result or {}).get("body")
    answer = json.loads(answer) if isinstance(answer, str | bytes) and not (result or {}).get("error") else answer
    if isinstance(answer, dict) and "usageIdentifierKey" in answer:
        context = {**answer.get("context", {}), "usageIdentifierKey": answer["usageIdentifierKey"]}
        return {**result, "body": {**answer, "context": context}}
    return result


async def _authorize_and_identify(api_id: str, *arguments: Any) -> Any:
    error, context = await _authorize(api_id, *arguments)
    named = {**(context or {})}.pop("usageIdentifierKey", "")
    of_authorizer = v1._rest_apis[api_id].get("apiKeySource") == "AUTHORIZER"  # noqa: SLF001
    _of_authorizer.set(named if of_authorizer else None)
    rest = {key: value for key, value in (context or {}).items() if key != "usageIdentifierKey"}
    return error, rest if context is not None else None


def _key_of_either(headers: Any) -> Any:
    named = _of_authorizer.get()
    return _key_of(headers) if named is None else named


def install() -> None:
    """Put it into ministack."""
    v1.handle_request = _with_put
    v1.find_api_scope = _scope_of
    v1._OPENAPI_HTTP_METHODS.add("any")  # noqa: SLF001
    v1._create_usage_plan = _create_plan  # noqa: SLF001
    v1._extract_lambda_ref_from_integration_uri = _lambda_of_any  # noqa: SLF001
    v1._invoke_authorizer_lambda = _invoke_and_keep_identifier  # noqa: SLF001
    v1._authorize_request_v1 = _authorize_and_identify  # noqa: SLF001
    v1._api_key_from_request = _key_of_either  # noqa: SLF001
    app._EXECUTE_API_RE = re.compile(r"^([a-f0-9]{8})\.execute-api\.[a-z0-9.-]+(?::\d+)?$")  # noqa: SLF001
