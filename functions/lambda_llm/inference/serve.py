"""The streaming front door: the ASGI app under uvicorn, behind the Lambda Web Adapter.

`bin/serve` starts this module. The adapter polls the port, which opens only when the model is verified and warm; if
that fails, the process exits and Lambda reports a failed init.

Source: https://github.com/aws/aws-lambda-web-adapter
"""

import contextlib
import logging
import os
import sys
from typing import Final

from lambda_llm.errors import LambdaLLMError
from lambda_llm.inference import raw_events
from lambda_llm.inference.figures import Figures, RequestLines, through_the_adapter
from lambda_llm.inference.init import init
from lambda_llm.inference.settings import Settings
from lambda_llm.inference.snapshot.hooks import SnapshotHooks
from lambda_llm.serving.app import create_app
from lambda_llm.telemetry import logs, spans
from lambda_llm.telemetry.lines import INFERENCE_INIT
from lambda_llm.telemetry.propagation import FLUSH_SECONDS
from lambda_llm.web.adapter import EVENTS_PATH, add_hook_routes, port_of
from lambda_llm.web.correlation import Correlation
from lambda_llm.web.front_door import FrontDoor, from_adapter
from lambda_llm.web.origin import Tenancy
from lambda_llm.web.server import Server

logger = logging.getLogger(__name__)

FAILED: Final = 1


def main() -> int:
    """Initialize, serve until a signal, and return the exit status."""
    logs.configure()
    spans.configure(INFERENCE_INIT.service)
    try:
        settings = Settings.load()
        with spans.span("init"):
            environment = init(settings)
    except LambdaLLMError as error:
        logger.error("%s", error)  # noqa: TRY400 - the message is complete
        return FAILED
    app = create_app(environment.engine, environment.serving, with_page=bool(settings.page))
    lines = None if settings.lines is False else Figures(environment, app)
    answering = app if lines is None else RequestLines(app, lines, through_the_adapter)
    server = Server(
        Correlation(answering), app.state.stop_answering, host="127.0.0.1", port=port_of(os.environ), log_config=None
    )
    hooks = SnapshotHooks(environment.engine.context, environment.resources, lines.restored if lines else None)
    add_hook_routes(app, hooks, os.environ, server.hang_up)
    raw_events.add_route(app, environment.engine)
    app.add_middleware(
        FrontDoor,
        context_of=from_adapter,
        tenants=settings.tenant is Tenancy.AUTHORIZER,
        checked_inside=EVENTS_PATH,
    )
    if lines is not None:
        lines.init()
    spans.flush(FLUSH_SECONDS)
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
