"""What the web adapter and a server agree on: the port, and the paths of the snapshot hooks.

Source: https://github.com/aws/aws-lambda-web-adapter
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final, Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lambda_llm.errors import LambdaLLMError
from lambda_llm.web.deadline import LAMBDA_CONTEXT
from lambda_llm.web.errors import APIError
from lambda_llm.web.front_door import REQUEST_CONTEXT

logger = logging.getLogger(__name__)

BEFORE_PATH: Final = "AWS_LWA_SNAPSTART_BEFORE_CHECKPOINT_PATH"
AFTER_PATH: Final = "AWS_LWA_SNAPSTART_AFTER_RESTORE_PATH"
PORT: Final = "AWS_LWA_PORT"
DEFAULT_PORT: Final = 8080

EVENTS_PATH: Final = "/events"
"""Where the adapter sends what is no HTTP request, by default."""

UNANSWERED: Final = 555
"""Status of an event without an answer, which nothing else here has: `AWS_LWA_ERROR_STATUS_CODES` makes it a failed
invocation. The adapter takes any other one for a success."""


class Hooks(Protocol):
    """What has to happen around a snapshot."""

    def before_snapshot(self) -> None:
        """Drop what must not be in it. An exception fails the init."""

    def after_restore(self) -> None:
        """Take up again. An exception fails the restore."""


def port_of(environment: Mapping[str, str]) -> int:
    """The port on which the adapter expects the server."""
    return int(environment.get(PORT, DEFAULT_PORT))


def add_hook_routes(
    app: Starlette, hooks: Hooks, environment: Mapping[str, str], hang_up: Callable[[], None] = lambda: None
) -> None:
    """Add routes for the snapshot hooks at the paths configured for the web adapter, if any.

    A request that comes through the adapter from outside is refused, whatever spelling of the path led here: the
    adapter tells of the invocation in a header, over a caller's own, and has none for its own calls of the hooks. After
    a restore it uses a new HTTP client.

    Args:
        app: the routes are added to it.
        hooks: both hooks.
        environment: the process's environment variables.
        hang_up: closes every connection of the server: a snapshot must not contain an open one.
    """

    def add(variable: str, hook: Callable[[], None]) -> None:
        async def run(request: Request) -> Response:
            if REQUEST_CONTEXT in request.headers or LAMBDA_CONTEXT in request.headers:
                logger.warning("a caller from outside asked for a snapshot hook and was refused")
                return APIError(
                    HTTPStatus.FORBIDDEN, "This path is for Lambda alone: use another one.", code="not_for_callers"
                ).response()
            try:
                await asyncio.to_thread(hook)
                hang_up()
            except LambdaLLMError as error:
                logger.error("%s", error)  # noqa: TRY400 - the message is complete
                return _failed(error)
            except Exception as error:  # from a resource: the adapter reads the status, people read the log
                logger.exception("a snapshot hook failed")
                return _failed(error)
            return Response(status_code=204, headers={"Connection": "close"})

        if path := environment.get(variable):
            app.router.routes.append(Route(path, run, methods=["POST"], include_in_schema=False))

    add(BEFORE_PATH, hooks.before_snapshot)
    add(AFTER_PATH, hooks.after_restore)


def _failed(error: Exception) -> Response:
    return Response(str(error), status_code=500, media_type="text/plain")
