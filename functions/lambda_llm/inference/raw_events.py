"""`POST /events`, where the web adapter sends what is no HTTP request.

Source: https://github.com/aws/aws-lambda-web-adapter
"""

import json
import logging
from typing import Any

from fastapi import FastAPI
from starlette.requests import ClientDisconnect, Request
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from lambda_llm.engine.engine import Engine
from lambda_llm.inference.plain_invoke import UnansweredEventError, body_of, path_of, require_answerable
from lambda_llm.web.adapter import EVENTS_PATH, UNANSWERED
from lambda_llm.web.errors import APIError

logger = logging.getLogger(__name__)


class RawEvents:
    """Answers an invocation whose payload is a request's body, as the application answers that request."""

    def __init__(self, app: FastAPI, engine: Engine) -> None:
        self._app = app
        self._engine = engine

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        try:
            event = await _event(Request(scope, receive))
            require_answerable(event)
        except ClientDisconnect:
            return
        except UnansweredEventError as error:
            logger.error("%s", error)  # noqa: TRY400 - the message is complete
            await APIError(UNANSWERED, str(error), code="unanswered_event").response()(scope, receive, send)
            return
        body, sent = body_of(self._engine, event), False

        async def inner() -> Message:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        path = path_of(self._engine, event)
        scope["path"] = path  # for whoever stands before this
        changed = {"path": path, "raw_path": path.encode(), "headers": _headers(scope["headers"], len(body))}
        await self._app({**scope, **changed}, inner, send)


def add_route(app: FastAPI, engine: Engine) -> None:
    """Add the route to an application."""
    app.router.routes.append(Route(EVENTS_PATH, RawEvents(app, engine), methods=["POST"], include_in_schema=False))


async def _event(request: Request) -> Any:
    try:
        return json.loads(await request.body())
    except (ValueError, RecursionError):
        raise UnansweredEventError from None


def _headers(headers: list[tuple[bytes, bytes]], size: int) -> list[tuple[bytes, bytes]]:
    kept = [(name, value) for name, value in headers if name not in {b"content-length", b"content-type"}]
    return [*kept, (b"content-type", b"application/json"), (b"content-length", str(size).encode())]
