"""Invoking the function directly, as a Function URL would."""

import json
from typing import Any, Final, NamedTuple

from lambda_llm.cli.probes.deployment import Deployment

NUL_BYTES: Final = b"\0" * 8
"""Between the prelude of a streamed response and its body.
Source: https://docs.aws.amazon.com/lambda/latest/dg/response-streaming-tutorial.html"""

EVENT: Final[dict[str, Any]] = {
    "version": "2.0",
    "routeKey": "$default",
    "rawPath": "/health",
    "rawQueryString": "",
    "headers": {"accept": "application/json", "host": "localhost"},
    "requestContext": {
        "http": {
            "method": "GET",
            "path": "/health",
            "protocol": "HTTP/1.1",
            "sourceIp": "127.0.0.1",
            "userAgent": "lambda-llm verify",
        },
        "domainName": "localhost",
        "requestId": "lambda-llm-verify",
        "routeKey": "$default",
        "stage": "$default",
        "timeEpoch": 0,
    },
    "isBase64Encoded": False,
}
"""`GET /health` as a Function URL sends it.
Source: https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html"""


class Invoked(NamedTuple):
    """What an invocation came to.

    Attributes:
        version: that ran.
        error: of the function; empty if there was none.
        status: of the HTTP response; 0 if there was none.
        health: the response's JSON; empty if it is none.
        form: `prelude` or `JSON`, in which the response came.
    """

    version: str
    error: str
    status: int
    health: dict[str, Any]
    form: str


def invoked(deployment: Deployment, qualifier: str) -> Invoked:
    """Ask a version or an alias for its `/health`.

    Raises:
        UnknowableError: the invocation was refused.
        MissingError: it has no such version.
    """
    answer = deployment.aws.call(
        "lambda",
        "Invoke",
        FunctionName=deployment.function,
        Qualifier=qualifier,
        Payload=json.dumps(EVENT).encode(),
    )
    payload: bytes = answer["Payload"].read()
    version = str(answer.get("ExecutedVersion", ""))
    if answer.get("FunctionError"):
        return Invoked(version, _json(payload).get("errorMessage") or answer["FunctionError"], 0, {}, "JSON")
    head, nul, body = payload.partition(NUL_BYTES)
    said = _json(head)
    content = body if nul else str(said.get("body", "")).encode()
    return Invoked(version, "", int(said.get("statusCode", 0)), _json(content), "prelude" if nul else "JSON")


def _json(content: bytes) -> dict[str, Any]:
    try:
        said = json.loads(content)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
