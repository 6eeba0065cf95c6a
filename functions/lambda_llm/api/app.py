"""The ASGI application."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import FastAPI, Request
from fastapi.responses import Response

from lambda_llm import __version__
from lambda_llm.api.chat import Chat
from lambda_llm.api.errors import ErrorResponse, install
from lambda_llm.api.schema import (
    ChatCompletion,
    ChatCompletionRequest,
    Health,
    Memory,
    ModelCard,
    ModelList,
)
from lambda_llm.api.worker import Worker
from lambda_llm.engine import backend
from lambda_llm.engine.model import Model
from lambda_llm.engine.template import ChatTemplate
from lambda_llm.settings import Weights


@dataclass(frozen=True)
class Served:
    """What is served.

    Attributes:
        model: ready to generate.
        template: its chat template.
        model_id: the name under which clients ask for it.
        placement: `copied` or `mapped`.
        memory: asked at each look at `/health`.
    """

    model: Model
    template: ChatTemplate
    model_id: str
    placement: Weights
    memory: Callable[[], Memory]


def create_app(served: Served) -> FastAPI:
    """Make the application for a model that is ready; there is no application without one.

    Its `state.stop_answering()` ends every answer that is on its way, for a server that is about to end.
    """
    worker = Worker()
    chat = Chat(served.model, served.template, served.model_id, worker)
    created = int(time.time())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        worker.close()

    app = FastAPI(
        title="lambda-llm",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        responses={400: {"model": ErrorResponse}, 500: {"model": ErrorResponse}},
    )
    app.state.stop_answering = worker.stop
    install(app)

    @app.post("/v1/chat/completions", response_model=ChatCompletion, responses={404: {"model": ErrorResponse}})
    async def chat_completions(body: ChatCompletionRequest, request: Request) -> Response:
        return await chat.answer(body, request)

    @app.get("/v1/models")
    async def models() -> ModelList:
        return ModelList(data=[ModelCard(id=served.model_id, created=created)])

    @app.get("/health")
    async def health() -> Health:
        return Health(
            model=served.model_id,
            context=served.model.context,
            threads=served.model.threads,
            placement="mapped" if served.placement is Weights.MAPPED else "copied",
            backend=backend.variant(),
            memory=served.memory(),
            requests=worker.counts,
        )

    return app
