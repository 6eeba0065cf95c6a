"""The router's function: the ASGI app under uvicorn, behind the Lambda Web Adapter.

`bin/serve-router` starts this module. The adapter polls the port, which opens once a configuration was read that can be
used; without one the process exits, and Lambda reports a failed init.

Source: https://github.com/aws/aws-lambda-web-adapter
"""

import asyncio
import contextlib
import functools
import gc
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lambda_llm.aws import clients
from lambda_llm.batch_store import figures
from lambda_llm.batch_store.batches import Batches
from lambda_llm.batch_store.files import READERS, Files
from lambda_llm.errors import LambdaLLMError
from lambda_llm.router.app import create_app
from lambda_llm.router.background import Background
from lambda_llm.router.batches import Store
from lambda_llm.router.identity import tenant_of
from lambda_llm.router.ledger import Ledger
from lambda_llm.router.live import Live
from lambda_llm.router.results import Results
from lambda_llm.router.settings import Identity, Settings
from lambda_llm.router.source import Reloading, source
from lambda_llm.router.utilization import Utilization
from lambda_llm.telemetry import emf, logs, process, spans
from lambda_llm.telemetry.lines import ROUTER_INIT
from lambda_llm.web.adapter import EVENTS_PATH, UNANSWERED, add_hook_routes, port_of
from lambda_llm.web.correlation import Correlation
from lambda_llm.web.entropy import reseed
from lambda_llm.web.errors import APIError
from lambda_llm.web.front_door import FrontDoor, from_adapter
from lambda_llm.web.server import Server

logger = logging.getLogger(__name__)

FAILED: Final = 1


class SnapshotHooks:
    """Both hooks of the router: a snapshot has no connection and no backend's key."""

    def __init__(self, live: Live, closing: Sequence[Callable[[], None]]) -> None:
        self._live = live
        self._closing = closing
        self._loop = asyncio.get_running_loop()

    def stop(self) -> None:
        """End running answers, within the event loop: the process ends."""
        self._live.stop()

    def before_snapshot(self) -> None:
        """Close every connection and forget every key; called on a thread."""
        asyncio.run_coroutine_threadsafe(self._live.close(), self._loop).result()
        for close in (*self._closing, spans.close):
            close()
        gc.collect()
        logger.info("ready for the snapshot")

    def after_restore(self) -> None:
        """Reseed what was seeded before the snapshot, and take another id: they are the same in every environment."""
        reseed()
        emf.renew()


async def _unanswered(_: Request) -> Response:
    """What was invoked without being an HTTP request: its tenant could not be told."""
    logger.error("an event that is no HTTP request was refused")
    return APIError(
        UNANSWERED,
        "The router answers HTTP requests alone, by which it knows whose they are: send them to its Function URL.",
        code="unanswered_event",
    ).response()


def application(settings: Settings) -> tuple[Starlette, SnapshotHooks]:
    """The application behind the web adapter, and its hooks; the configuration is read.

    Args:
        settings: of the function.

    Raises:
        LambdaLLMError: the configuration can't be read or used, or the budgets' region is not known.
    """
    reloading = Reloading(source(settings.configuration))
    ledger = Ledger.connect(settings.table)
    utilization = Utilization(settings.table, clients.create("dynamodb"))
    live = Live(reloading, ledger, utilization=utilization)
    closing = [reloading.close, ledger.close, utilization.close]
    background = None
    if settings.results is not None and settings.queue is not None:
        store, queues = clients.create("s3"), clients.create("sqs")
        closing += [store.close, queues.close]
        background = Background(Results(settings.results, store), settings.queue, queues, lambda: live.router)
    batches = None
    if settings.batches is not None and settings.batch_machine is not None:
        s3, states = clients.create("s3", connections=READERS, signs_urls=True), clients.create("stepfunctions")
        closing += [s3.close, states.close]
        batches = Store(
            Files(settings.batches, s3),
            Batches(settings.batches, s3, states, settings.batch_machine, changed=figures.write),
        )
    app = create_app(live, functools.partial(tenant_of, settings.identity), background, batches, lines=True)
    app.router.routes.append(Route(EVENTS_PATH, _unanswered, methods=["POST"]))
    app.add_middleware(
        FrontDoor,
        context_of=from_adapter,
        tenants=settings.identity is Identity.AUTHORIZER,
        checked_inside=EVENTS_PATH,
    )
    return app, SnapshotHooks(live, closing)


async def _serve() -> None:
    app, hooks = application(Settings.load(os.environ))
    named = Correlation(app, takes_ids=False)
    server = Server(named, hooks.stop, host="127.0.0.1", port=port_of(os.environ), log_config=None)
    add_hook_routes(app, hooks, os.environ, server.hang_up)
    emf.write(ROUTER_INIT, InitSeconds=process.seconds(), resident_bytes=process.resident_bytes())
    with contextlib.suppress(KeyboardInterrupt):
        await server.serve()


def main() -> int:
    """Read the configuration, serve until a signal, and return the exit status."""
    logs.configure()
    spans.configure("router")
    try:
        asyncio.run(_serve())
    except LambdaLLMError as error:
        logger.error("%s", error)  # noqa: TRY400 - the message is complete
        return FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
