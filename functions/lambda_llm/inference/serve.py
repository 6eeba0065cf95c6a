"""The streaming front door: the ASGI app under uvicorn, behind the Lambda Web Adapter.

`bin/serve` starts this module. The adapter polls the port, which opens only when the model is verified and warm; if
that fails, the process exits and Lambda reports a failed init.

Source: https://github.com/aws/aws-lambda-web-adapter
"""

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final

from fastapi import FastAPI, Request, Response

from lambda_llm.errors import LambdaLLMError
from lambda_llm.inference import raw_events
from lambda_llm.inference.front_door import REQUEST_CONTEXT, FrontDoor, from_adapter
from lambda_llm.inference.init import init
from lambda_llm.inference.settings import Settings
from lambda_llm.inference.snapshot.hooks import SnapshotHooks
from lambda_llm.serving.app import create_app
from lambda_llm.serving.deadline import LAMBDA_CONTEXT
from lambda_llm.serving.errors import APIError
from lambda_llm.serving.server import Server
from lambda_llm.telemetry import logs

logger = logging.getLogger(__name__)

BEFORE_PATH: Final = "AWS_LWA_SNAPSTART_BEFORE_CHECKPOINT_PATH"
AFTER_PATH: Final = "AWS_LWA_SNAPSTART_AFTER_RESTORE_PATH"
PORT: Final = "AWS_LWA_PORT"
DEFAULT_PORT: Final = 8080
FAILED: Final = 1


def add_hook_routes(
    app: FastAPI, hooks: SnapshotHooks, environment: Mapping[str, str], hang_up: Callable[[], None] = lambda: None
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
            app.add_api_route(path, run, methods=["POST"], include_in_schema=False)

    add(BEFORE_PATH, hooks.before_snapshot)
    add(AFTER_PATH, hooks.after_restore)


def _failed(error: Exception) -> Response:
    return Response(str(error), status_code=500, media_type="text/plain")


def main() -> int:
    """Initialize, serve until a signal, and return the exit status."""
    logs.configure()
    try:
        settings = Settings.load()
        environment = init(settings)
    except LambdaLLMError as error:
        logger.error("%s", error)  # noqa: TRY400 - the message is complete
        return FAILED
    app = create_app(environment.engine, environment.serving, with_page=bool(settings.page))
    port = int(os.environ.get(PORT, DEFAULT_PORT))
    server = Server(app, app.state.stop_answering, host="127.0.0.1", port=port, log_config=None)
    hooks = SnapshotHooks(environment.engine.context, environment.resources)
    add_hook_routes(app, hooks, os.environ, server.hang_up)
    raw_events.add_route(app, environment.engine)
    app.add_middleware(FrontDoor, context_of=from_adapter, tenancy=settings.tenant, checked_inside=raw_events.PATH)
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
