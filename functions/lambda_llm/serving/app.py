"""The ASGI application."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from fastapi import APIRouter, FastAPI
from starlette.routing import Route

from lambda_llm import __version__
from lambda_llm.engine.engine import Engine
from lambda_llm.openai_types.errors import ErrorResponse
from lambda_llm.serving import chat, completions, encoders, health, messages, models, ollama, page, responses, tokens
from lambda_llm.serving.errors import install
from lambda_llm.serving.service import Service, ServingOptions
from lambda_llm.serving.worker import Worker
from lambda_llm.web.paths import Paths
from lambda_llm.web.request_body import RequestBody

ROUTERS: Final[tuple[Callable[[Service], APIRouter], ...]] = (
    chat.router,
    completions.router,
    responses.router,
    messages.router,
    ollama.router,
    encoders.router,
    models.router,
    tokens.router,
    health.router,
)
"""One per module of endpoints; each takes the service and returns its routes."""


def create_app(engine: Engine, options: ServingOptions, *, with_page: bool = False) -> FastAPI:
    """Create the application for an engine that is ready for requests.

    Args:
        engine: the model with its context and caches.
        options: how it is served.
        with_page: whether `/` serves a chat page.

    Its `state.service` is the `Service`, `state.paths` are the paths that it has; `state.stop_answering()` ends every
    response in progress, for a server that is about to stop.
    """
    service = Service(engine, options, Worker(options.queue))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        service.worker.close()

    app = FastAPI(
        title="lambda-llm",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # `Paths` finds what was meant
        lifespan=lifespan,
        # makes FastAPI leave out its own 422, which is never returned
        responses={"4XX": {"model": ErrorResponse}, 500: {"model": ErrorResponse}},
    )
    app.state.service = service
    app.state.stop_answering = service.worker.stop
    install(app)
    routers = [router(service) for router in (*ROUTERS, *((page.router,) if with_page else ()))]
    for each in routers:
        app.include_router(each)
    app.add_middleware(RequestBody)
    # The outermost one: everything inside knows one spelling of each path.
    app.state.paths = {route.path for each in routers for route in each.routes if isinstance(route, Route)}
    app.add_middleware(Paths, known=app.state.paths)
    return app
