"""Events of an API Gateway's REST API (payload version 1.0), and those of its authorizer.

Sources: https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html,
https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-input.html
"""

from collections.abc import Mapping
from typing import Any

from support.chat import PATH

API = "a1b2c3d4e5"
STAGE = "prod"
METHOD_ARN = f"arn:aws:execute-api:eu-central-1:123456789012:{API}/{STAGE}/POST/v1/chat/completions"
HOST = f"{API}.execute-api.eu-central-1.amazonaws.com"


def request_context(method: str, path: str, authorizer: Any) -> dict[str, Any]:
    context = {
        "accountId": "123456789012",
        "apiId": API,
        "domainName": HOST,
        "domainPrefix": API,
        "extendedRequestId": "a",
        "httpMethod": method,
        "identity": {"accessKey": None, "accountId": None, "caller": None, "sourceIp": "192.0.2.1", "userArn": None},
        "path": f"/{STAGE}{path}",
        "protocol": "HTTP/1.1",
        "requestId": "id",
        "requestTime": "12/Mar/2026:19:03:58 +0000",
        "requestTimeEpoch": 1773342238000,
        "resourceId": "abc123",
        "resourcePath": "/{proxy+}",
        "stage": STAGE,
    }
    return context if authorizer is None else context | {"authorizer": authorizer}


def rest_event(
    body: str | None,
    authorizer: dict[str, Any] | None = None,
    *,
    method: str = "POST",
    path: str = PATH,
    encoded: bool = False,
    headers: Mapping[str, str] = {},
) -> Any:
    """A request as the function gets it.

    Args:
        body: of the request.
        authorizer: the context that the authorizer returned; None: there is no authorizer.
        method: of the request.
        path: without the stage, as REST APIs give it.
        encoded: whether `body` is base64.
        headers: further ones.
    """
    all_headers = {
        "Accept": "*/*",
        "Content-Type": "application/json",
        "Host": HOST,
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Port": "443",
        "User-Agent": "tests",
        **headers,
    }
    # API Gateway adds a principal, and numbers of its own.
    told = None if authorizer is None else {"principalId": "key_1", "integrationLatency": 12, **authorizer}
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": method,
        "headers": all_headers,
        "multiValueHeaders": {name: [value] for name, value in all_headers.items()},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": {"proxy": path.removeprefix("/")},
        "stageVariables": None,
        "requestContext": request_context(method, path, told),
        "body": body,
        "isBase64Encoded": encoded,
    }


def authorizer_event(*authorization: str, method_arn: str = METHOD_ARN, name: str = "Authorization") -> Any:
    """What the authorizer gets for a request with these `Authorization` headers."""
    event = rest_event(None)
    del event["body"], event["isBase64Encoded"]
    if authorization:
        event["headers"][name] = authorization[-1]
        event["multiValueHeaders"][name] = list(authorization)
    return {"type": "REQUEST", "methodArn": method_arn, **event}
