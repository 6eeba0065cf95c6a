"""The router's ASGI application: OpenAI's API, and Anthropic's messages, for every model of the configuration."""

import functools
import logging
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import pydantic_core
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from lambda_llm.backends.contract import Chunk, Operation
from lambda_llm.errors import LambdaLLMError
from lambda_llm.openai_types.sse import DONE, event
from lambda_llm.router.answers import explain, failure_event
from lambda_llm.router.background import Background
from lambda_llm.router.batches import Store, routes
from lambda_llm.router.config import Configuration
from lambda_llm.router.dispatch import Answer, told
from lambda_llm.router.errors import NotConfiguredError, UnknownError
from lambda_llm.router.live import Live
from lambda_llm.router.models import listed
from lambda_llm.router.request_line import RequestLine
from lambda_llm.telemetry.context import correlation
from lambda_llm.web.deadline import deadline_of
from lambda_llm.web.errors import APIError, install
from lambda_llm.web.origin import APPLICATION, Origin, application_of, origin_of
from lambda_llm.web.paths import Paths
from lambda_llm.web.request_body import RequestBody
from lambda_llm.web.streaming import EventStream, while_connected

ANSWER_SECONDS: Final = 900.0
"""Longest time for an answer where Lambda does not say less; a backend's own limit is in the configuration."""

KEEP_ALIVE_SECONDS: Final = 15.0
"""Silence of a stream after which a comment is sent: load balancers and proxies close what is silent for a minute."""

_WITH_DONE: Final = frozenset({Operation.CHAT, Operation.COMPLETIONS})
"""Streams that end with `[DONE]`."""

_ID: Final = "lambda_llm.request_id"
"""Key of the ASGI scope under which a request's id is."""

logger = logging.getLogger(__name__)

TenantOf = Callable[[Origin, Configuration], str]
"""Whose a request is, by what the front door says; raises UnknownError."""


@dataclass(frozen=True)
class Asked:
    """A request of a tenant.

    Attributes:
        operation: what is asked for.
        body: its JSON.
        tenant: who asks.
        id: of the request, as its answer, logs and backends have it.
        deadline: when the answer must have ended, as `time.monotonic` tells it.
        most: tokens that the authorizer allows for an answer.
        line: of the request.
    """

    operation: Operation
    body: dict[str, Any]
    tenant: str
    id: str
    deadline: float
    most: int | None
    line: RequestLine

    @property
    def streams(self) -> bool:
        """Whether the answer comes in events."""
        return self.body.get("stream") is True

    def wants(self, chunk: Chunk) -> bool:
        """Whether the client asked for a chunk: usage comes to the router in any case."""
        options = self.body.get("stream_options")
        return not chunk.usage_only or (isinstance(options, dict) and options.get("include_usage") is True)


class RouterApp(Starlette):
    """An application that gives every request an id, and its answer the header with it, whatever it is."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        scope[_ID] = correlation().get("request_id") or uuid.uuid4().hex

        def identified(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-request-id", scope[_ID].encode())]
            return send(message)

        try:
            await super().__call__(scope, receive, identified)
        except Exception:  # answered and logged by whoever raises it again
            logger.error("request %s has failed so", scope[_ID])  # noqa: TRY400
            raise


def create_app(
    live: Live,
    tenant_of: TenantOf,
    background: Background | None = None,
    store: Store | None = None,
    *,
    lines: bool = False,
) -> RouterApp:
    """Create the application.

    Args:
        live: the router in use.
        tenant_of: tells tenants apart.
        background: answers later; None: nothing does.
        store: where files and batches are; None: there are none.
        lines: whether each request of a model has a line on standard output.
    """
    handlers = _Handlers(live, tenant_of, background, lines=lines)
    responses = Operation.RESPONSES.value
    paths = [
        *(Route(each.value, functools.partial(handlers.ask, each), methods=["POST"]) for each in Operation),
        Route(f"{responses}/{{response_id}}", handlers.response, methods=["GET"]),
        Route(f"{responses}/{{response_id}}/cancel", handlers.cancel, methods=["POST"]),
        Route("/v1/models", handlers.models, methods=["GET"]),
        Route("/v1/models/{name:path}", handlers.model, methods=["GET"]),
        *routes(handlers.who, store),
        Route("/health", handlers.health, methods=["GET"]),
    ]
    app = RouterApp(routes=paths)
    app.router.redirect_slashes = False  # `Paths` finds what was meant
    known = {route.path for route in paths if "{" not in route.path}
    install(app, explain, [LambdaLLMError], lambda: sorted(known))
    app.add_middleware(RequestBody)
    app.add_middleware(Paths, known=known)
    return app


class _Handlers:
    """What answers each path."""

    def __init__(self, live: Live, tenant_of: TenantOf, background: Background | None, *, lines: bool) -> None:
        self._live = live
        self._lines = lines
        self._tenant_of = tenant_of
        self._background = background

    async def ask(self, operation: Operation, request: Request) -> Response:
        """An operation of a model."""
        content = await request.body()  # before any refusal: what was not read would close the connection
        origin = origin_of(request.scope)
        line = RequestLine(
            operation.value, on=self._lines, application=application_of(request.headers.get(APPLICATION), origin)
        )
        with line.written_if_refused():
            tenant = line.tenant = await self._tenant(request)
            body, deadline = _object(content), deadline_of(request, ANSWER_SECONDS)
        if operation is Operation.RESPONSES and body.get("background") is True:
            with line.written():
                key = request.headers.get("idempotency-key")
                queued = await self._later().submit(tenant, _bounded(body, origin.max_tokens), key)
                line.model = body["model"]
            return JSONResponse(queued)
        asked = Asked(operation, body, tenant, request.scope[_ID], deadline, origin.max_tokens, line)
        return await while_connected(request, _begun(self._live, asked) if asked.streams else _whole(self._live, asked))

    async def response(self, request: Request) -> Response:
        """A response that is or was answered in the background."""
        return JSONResponse(await self._later().get(await self._tenant(request), request.path_params["response_id"]))

    async def cancel(self, request: Request) -> Response:
        """The end of one."""
        await request.body()
        return JSONResponse(await self._later().cancel(await self._tenant(request), request.path_params["response_id"]))

    async def models(self, request: Request) -> Response:
        """All models that a tenant may use."""
        return JSONResponse({"object": "list", "data": await self._models(request)})

    async def model(self, request: Request) -> Response:
        """One of them."""
        name, found = request.path_params["name"], await self._models(request)
        for each in found:
            if each["id"] == name:
                return JSONResponse(each)
        names = ", ".join(each["id"] for each in found)
        raise UnknownError("model", f"There is no model {name!r} for this tenant: use one of {names}.")

    async def health(self, _: Request) -> Response:
        """That the router runs, and with what."""
        async with self._live.request() as current:
            return JSONResponse({"status": "ok", "configuration": current.digest})

    async def who(self, request: Request) -> tuple[str, Configuration]:
        """Whose a request is, and the configuration of that moment."""
        async with self._live.request() as current:
            return self._tenant_of(origin_of(request.scope), current.configuration), current.configuration

    async def _tenant(self, request: Request) -> str:
        return (await self.who(request))[0]

    async def _models(self, request: Request) -> list[dict[str, Any]]:
        tenant, configuration = await self.who(request)
        return listed(configuration, tenant)

    def _later(self) -> Background:
        if self._background is None:
            raise NotConfiguredError(
                "This router answers nothing in the background: leave out background.", "background"
            )
        return self._background


async def _whole(live: Live, asked: Asked) -> Response:
    """An answer in one piece."""
    async with _answered(live, asked) as answer:
        data = b"".join([chunk.data async for chunk in answer.chunks])
    return Response(data, media_type="application/json", headers=_headers(answer))


async def _begun(live: Live, asked: Asked) -> Response:
    """A stream whose first event is there: until then, an error has a status of its own."""
    answers: list[Answer] = []

    async def events() -> AsyncGenerator[str]:
        async with _answered(live, asked) as answer:
            answers.append(answer)
            async for chunk in answer.chunks:
                if asked.wants(chunk):
                    yield event(chunk.data.decode(), chunk.event)
        if asked.operation in _WITH_DONE:
            yield DONE

    def failure(error: Exception) -> str:
        return failure_event(asked.operation, error, answers[0].count)

    stream = events()
    try:
        response = await EventStream.begun(stream, failure, keep_alive_seconds=KEEP_ALIVE_SECONDS)
    except BaseException:
        await stream.aclose()
        raise
    response.headers.update(_headers(answers[0]))
    return response


@asynccontextmanager
async def _answered(live: Live, asked: Asked) -> AsyncIterator[Answer]:
    with asked.line.written():
        async with (
            live.request() as current,
            current.router.answer(
                asked.operation,
                asked.body,
                asked.tenant,
                asked.id,
                asked.deadline,
                most=asked.most,
                line=asked.line,
            ) as answer,
        ):
            yield answer


def _bounded(body: dict[str, Any], most: int | None) -> dict[str, Any]:
    """A response that is answered later, with the limit of whoever asks now."""
    said = body.get("max_output_tokens")
    if most is not None and (said is None or (type(said) is int and said > most)):
        return {**body, "max_output_tokens": most}
    return body  # what is no number is refused later


def _headers(answer: Answer) -> dict[str, str]:
    return {"x-lambda-llm-backend": answer.backend, "x-lambda-llm-attempts": told(answer.attempts)}


def _object(content: bytes) -> dict[str, Any]:
    """The body of a request."""
    try:
        body = pydantic_core.from_json(content, allow_inf_nan=False)
    except ValueError as error:
        raise APIError(
            HTTPStatus.BAD_REQUEST,
            f"The request body is not valid JSON ({error}): send one JSON object.",
            code="invalid_json",
        ) from None
    if not isinstance(body, dict):
        raise APIError(HTTPStatus.BAD_REQUEST, "The request body must be one JSON object.", code="invalid_body")
    return body
