"""Requests to an inference function by Lambda's Invoke, whichever front door it has.

The request is sent as an event of a Function URL, so that the answer has a status at both doors, and whoever wrote the
body chose nothing else: as the whole payload it could be an event of any path and any caller.

It needs nothing but botocore, which Lambda's runtime has, and not even that to be imported.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from lambda_llm.aws.errors import InvocationError

CONNECT_SECONDS: Final = 5
"""Time limit for connecting to Lambda."""

SEPARATOR: Final = b"\0" * 8
"""Between the status and the body of a streamed response.
Source: https://docs.aws.amazon.com/lambda/latest/dg/config-rs-invoke-furls.html"""


@dataclass(frozen=True)
class Answer:
    """An HTTP response.

    Attributes:
        status: of HTTP.
        body: without its transfer encoding.
        request_id: of the invocation, which the function's log has too.
    """

    status: int
    body: bytes
    request_id: str


def lambda_client(answer_seconds: float) -> Any:
    """Create a client of Lambda that waits for an answer once, and leaves it to the caller to try again.

    Args:
        answer_seconds: longest time that an answer may take, which must be more than the function's timeout: an
            invocation goes on when nobody waits for it any more.
    """
    from botocore.config import Config  # noqa: PLC0415 - see the module
    from botocore.session import get_session  # noqa: PLC0415

    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=answer_seconds,
        retries={"total_max_attempts": 1, "mode": "standard"},
        tcp_keepalive=True,
    )
    return get_session().create_client("lambda", config=config)


def ask(client: Any, function: str, path: str, body: bytes, request_id: str | None = None) -> Answer:
    """Send a request to a function and wait for the answer.

    Args:
        client: as `lambda_client` creates it.
        function: ARN of the function's alias.
        path: of the request, such as /v1/chat/completions.
        body: JSON, with streaming off: the answer comes in one piece, of at most 6 MB.
        request_id: of whoever asks, as in `event`.

    Raises:
        InvocationError: it was not invoked (throttled, refused), it failed, or what it answered is no response. The
            sentence has nothing of request and response.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - the client has imported it

    try:
        invoked = client.invoke(FunctionName=function, Payload=event("POST", path, body, request_id))
        payload = invoked["Payload"].read()
    except ClientError as error:
        raise InvocationError(f"The function was not invoked: {error.response['Error']['Code']}.") from None
    except BotoCoreError as error:
        raise InvocationError(
            f"The function was not invoked, or its answer was lost: {type(error).__name__}."
        ) from None
    request_id = str(invoked["ResponseMetadata"].get("RequestId", ""))
    if "FunctionError" in invoked:
        raise InvocationError(f"The function failed ({_error_type(payload)}); its log has request {request_id}.")
    try:
        return Answer(*response(payload), request_id)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InvocationError(
            f"The function's answer to request {request_id} is no HTTP response: name the alias of one for inference."
        ) from None


def event(
    method: str,
    path: str,
    body: bytes = b"",
    request_id: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """The payload of a request, as Function URLs and HTTP APIs send it (version 2.0).

    Args:
        method: of HTTP.
        path: of the request.
        body: JSON; as text it is shorter than in base64.
        request_id: of whoever asks, for the function's log: in the event's context, and in `x-request-id`, where
            requests over HTTP have it; None: there is none but Lambda's own.
        headers: further ones, in small letters, such as those of the trace.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
    """
    host = "lambda.invoke"
    named = {} if request_id is None else {"x-request-id": request_id}
    request = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"content-type": "application/json", "host": host, **named, **(headers or {})},
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "invoke",
            "domainName": host,
            "domainPrefix": "lambda",
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": "lambda-llm",
            },
            "requestId": request_id or "invoke",
            "routeKey": "$default",
            "stage": "$default",
            "time": "01/Jan/1970:00:00:00 +0000",
            "timeEpoch": 0,
        },
        "body": body.decode(),
        "isBase64Encoded": False,
    }
    return json.dumps(request).encode()


def response(payload: bytes) -> tuple[int, bytes]:
    """Status and body: of a streamed response, which an invocation returns as it is, or of a buffered one.

    Args:
        payload: that the invocation returned.

    Raises:
        ValueError, KeyError, TypeError, RecursionError: it is neither.
    """
    prelude, streamed, content = payload.partition(SEPARATOR)
    head = json.loads(prelude)
    status = head["statusCode"]
    if isinstance(status, bool) or not isinstance(status, int):
        raise TypeError
    if streamed:
        return status, content
    body = head.get("body") or ""
    return status, base64.b64decode(body, validate=True) if head.get("isBase64Encoded") else str.encode(body)


def _error_type(payload: bytes) -> str:
    """Class of the exception, or `Runtime.…` and `Function.…` of Lambda's own."""
    try:
        return str(json.loads(payload)["errorType"])[:100]
    except (ValueError, KeyError, TypeError, RecursionError):
        return "without an error type"
