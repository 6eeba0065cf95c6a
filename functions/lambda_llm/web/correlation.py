"""Which request this is, for whoever reads the lines of several functions: its id, its trace, Lambda's own id.

The outermost part of a front door. Every answer has the id in `x-request-id`; every line and span that is written
meanwhile belongs to it.
"""

import asyncio
import json
import os
import uuid
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lambda_llm.telemetry import spans
from lambda_llm.telemetry.context import TRACEPARENT, XRAY, correlated, plain_id, trace_id
from lambda_llm.telemetry.propagation import FLUSH_SECONDS
from lambda_llm.web.deadline import LAMBDA_CONTEXT

REQUEST_ID: Final = "x-request-id"
"""Header of a request's id."""

_SERVER_ERRORS: Final = 500


class Correlation:
    """ASGI middleware that names a request, and makes one span of it."""

    def __init__(self, app: ASGIApp, *, takes_ids: bool = True) -> None:
        """Take the application.

        Args:
            app: with everything that is to write lines.
            takes_ids: whether a caller's own id is taken, if a log can show it. Where callers are billed by lines they
                are not to choose ids: two of one id could not be told apart.
        """
        self._app = app
        self._takes_ids = takes_ids

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = plain_id(headers.get(REQUEST_ID)) if self._takes_ids else None
        request_id = given or uuid.uuid4().hex
        told = _lambda_context(scope, headers)
        xray = headers.get(XRAY) or told.get("xray_trace_id") or _of_the_runtime(scope)
        parent = {
            name: value
            for name, value in {
                TRACEPARENT: headers.get(TRACEPARENT),
                "tracestate": headers.get("tracestate"),
                XRAY: xray,
            }.items()
            if value
        }
        with ExitStack() as during:
            span = during.enter_context(
                spans.span(
                    scope["method"],
                    kind="server",
                    parent=parent,
                    attributes={"http.request.method": scope["method"]},
                )
            )
            trace = trace_id(spans.headers().get(TRACEPARENT) or headers.get(TRACEPARENT), xray)

            async def sending(message: Message) -> None:
                if message["type"] == "http.response.start":
                    status = message["status"]
                    span.set("http.response.status_code", status)
                    if status >= _SERVER_ERRORS:
                        span.fail(str(status))
                    kept = [each for each in message.get("headers", ()) if each[0].lower() != REQUEST_ID.encode()]
                    message["headers"] = [*kept, (REQUEST_ID.encode(), request_id.encode())]
                elif spans.enabled() and message["type"] == "http.response.body" and not message.get("more_body"):
                    # Lambda freezes the process as soon as the answer has ended.
                    during.close()
                    await asyncio.to_thread(spans.flush, FLUSH_SECONDS)
                await send(message)

            with correlated(request_id=request_id, trace_id=trace, lambda_request_id=plain_id(told.get("request_id"))):
                await self._app(scope, receive, sending)


def _lambda_context(scope: Scope, headers: Mapping[str, str]) -> dict[str, str]:
    """What Lambda tells of the invocation, as far as it is text."""
    context: Any = scope.get("aws.context")
    if context is not None:
        known: Any = {"request_id": getattr(context, "aws_request_id", None)}
    else:
        try:
            known = json.loads(headers.get(LAMBDA_CONTEXT, "{}"))
        except (ValueError, RecursionError):
            known = {}
    told = known if isinstance(known, dict) else {}
    named = {name: told.get(name) for name in ("request_id", "xray_trace_id")}
    return {name: value for name, value in named.items() if isinstance(value, str)}


def _of_the_runtime(scope: Scope) -> str | None:
    """The trace as Lambda's Python runtime tells it, for the invocation that is running."""
    return os.environ.get("_X_AMZN_TRACE_ID") if "aws.context" in scope else None
