"""The streaming front door: the ASGI app under uvicorn, behind the Lambda Web Adapter.

`bin/serve` starts this module. The adapter knocks at the port until it is open, which is only when the model
is verified and warm; if it can't be, the process ends and Lambda reports the failed init.

Source: https://github.com/aws/aws-lambda-web-adapter
"""

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Callable, Mapping
from typing import Final

from fastapi import FastAPI, Response

from lambda_llm.errors import LambdaLLMError
from lambda_llm.inference.init import init
from lambda_llm.inference.settings import Settings
from lambda_llm.inference.snapshot.hooks import SnapshotHooks
from lambda_llm.serving.app import create_app
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
    """Let the web adapter reach the hooks: at the paths that it is told, and nowhere when it is told none.

    The adapter refuses these paths to callers from outside. It takes a new HTTP client after a restore.

    Args:
        app: gets the routes.
        hooks: the pair.
        environment: the process's variables.
        hang_up: closes every connection of the server, as no open one may be in a snapshot.
    """

    def add(variable: str, hook: Callable[[], None]) -> None:
        async def run() -> Response:
            try:
                await asyncio.to_thread(hook)
                hang_up()
            except LambdaLLMError as error:
                logger.error("%s", error)  # noqa: TRY400 - the sentence says it all
                return _failed(error)
            except Exception as error:  # whatever a resource raises: the adapter reads the status, people read the log
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
    """Start, serve until told to end, and return the exit status."""
    logs.configure()
    try:
        settings = Settings.load()
        environment = init(settings)
    except LambdaLLMError as error:
        logger.error("%s", error)  # noqa: TRY400 - the sentence says it all
        return FAILED
    app = create_app(environment.engine, environment.serving, with_page=bool(settings.page))
    port = int(os.environ.get(PORT, DEFAULT_PORT))
    server = Server(app, app.state.stop_answering, host="127.0.0.1", port=port, log_config=None)
    hooks = SnapshotHooks(environment.engine.context, environment.resources)
    add_hook_routes(app, hooks, os.environ, server.hang_up)
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
