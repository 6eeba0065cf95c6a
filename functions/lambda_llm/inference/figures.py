"""The lines that an inference function writes for figures: one for its init, for each restore, for each request.

Neither prompts nor answers are in them. `lines` has what each number means.
"""

import json
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

import psutil
from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lambda_llm.cost.this_function import dollars
from lambda_llm.engine import backend
from lambda_llm.engine.generate import FinishReason, Generation
from lambda_llm.inference.init import Environment
from lambda_llm.inference.request_spans import record_request
from lambda_llm.inference.snapshot import cpu
from lambda_llm.telemetry import emf
from lambda_llm.telemetry.context import plain_id
from lambda_llm.telemetry.emf import Value
from lambda_llm.telemetry.lines import INFERENCE_INIT, INFERENCE_REQUEST, INFERENCE_RESTORE, OWN
from lambda_llm.web.deadline import LAMBDA_CONTEXT
from lambda_llm.web.front_door import REQUEST_CONTEXT
from lambda_llm.web.origin import APPLICATION, application_of, origin_of

OTHER: Final = "other"
"""Path of a request that this server does not have: callers could write anything into it."""

_LEFT: Final = 499
"""Status of a request whose client left before the answer began, as proxies log it."""

CLIENT_LEFT: Final = "client_left"
"""Kind of the error that is the client's own doing."""

_ERROR_BYTES: Final = 4096
"""Of the body of a refusal, which has its code."""

_request: "ContextVar[Request | None]" = ContextVar("request", default=None)


@dataclass
class Request:
    """A request that is being answered.

    Attributes:
        arrived: as `time.perf_counter` tells it.
        restored: whether it is the first one behind a restore.
        status: of the answer.
        stream: whether the answer comes in pieces.
        refusal: beginning of the body of an answer that is an error.
        generations: those that have ended.
        encoded_tokens: that an encoder was given.
        complete: whether the answer went to its end.
        written: whether its line was.
    """

    arrived: float
    restored: bool
    status: int = _LEFT
    stream: bool = False
    refusal: bytearray = field(default_factory=bytearray)
    generations: list[Generation] = field(default_factory=list)
    encoded_tokens: int | None = None
    complete: bool = False
    written: bool = False


class Figures:
    """Writes the lines of one warm process."""

    def __init__(self, environment: Environment, app: FastAPI) -> None:
        """Listen to the generations of an application.

        Args:
            environment: of the process.
            app: of `create_app`.
        """
        service = app.state.service
        self._paths = app.state.paths
        self._environment = environment
        self._service = service
        self._restored = False
        self._first = False
        self._began = time.monotonic()
        self._variant = backend.variant()  # reads the process's whole map of memory
        self._process = psutil.Process()
        self._read_cpu()
        service.worker.listeners.append(_ended)
        service.worker.token_listeners.append(_encoded)

    def init(self) -> None:
        """Write the line of the init, which is over."""
        made = self._environment
        emf.write(
            INFERENCE_INIT,
            InitSeconds=time.time() - self._process.create_time(),
            download_seconds=made.loaded.download.seconds,
            open_seconds=made.open_seconds,
            warm_seconds=made.warm_seconds,
            warm_tokens=made.warm_tokens,
            **self._model(),
            **self._memory(),
        )

    def restored(self, seconds: float) -> None:
        """Write the line of a restore.

        Args:
            seconds: that the hook took.
        """
        self._restored = self._first = True
        self._began = time.monotonic()
        self._read_cpu()
        if self._environment.serving.environment is None:
            emf.renew()
        emf.write(
            INFERENCE_RESTORE,
            RestoreSeconds=seconds,
            resident_bytes=self._process.memory_info().rss,
            **self._model(),
        )

    def begin(self) -> Request:
        """Note that a request has arrived."""
        first, self._first = self._first, False
        return Request(time.perf_counter(), first)

    def end(self, request: Request, scope: Scope) -> None:
        """Write the line of a request, and record its spans; only once.

        Args:
            request: as `begin` gave it.
            scope: of ASGI, with the path that was found.
        """
        if request.written:
            return
        request.written = True
        seconds = time.perf_counter() - request.arrived
        said = measured(request)
        error = error_of(request)
        operation = scope["path"] if scope["path"] in self._paths else OTHER
        origin = origin_of(scope)
        tenant = request.generations[0].request.scope.tenant if request.generations else origin.tenant
        values: dict[str, Value] = {
            "Errors": int(error not in {None, CLIENT_LEFT} and request.status not in _REFUSED),
            "Restores": int(request.restored),
            "Dollars": dollars(seconds, restored=request.restored),
            "status": request.status,
            "error": error,
            "operation": operation,
            "stream": request.stream,
            "seconds": seconds,
            "restored": self._restored,
            "seconds_since_restore": time.monotonic() - self._began,
            "backend": OWN,
            "backend_kind": OWN,
            "tenant": tenant or None,
            "application": application_of(Headers(scope=scope).get(APPLICATION), origin),
            **said,
            **self._model(),
            **self._memory(),
        }
        emf.write(INFERENCE_REQUEST, **values)
        record_request(request.generations, self._service.options.model_id, operation, seconds, values)

    def _read_cpu(self) -> None:
        self._cpu = cpu.name()

    def _model(self) -> dict[str, Value]:
        return {
            "model": self._service.options.model_id,
            "model_version": self._environment.loaded.inspection.described.version_id,
            "cpu": self._cpu,
            "cpu_variant": self._variant,
        }

    def _memory(self) -> dict[str, Value]:
        plan = self._service.engine.plan
        return {
            "weights_bytes": plan.weights,
            "kv_cache_bytes": plan.kv_cache,
            "compute_bytes": plan.compute_buffers,
            "prefix_bytes": self._service.engine.pinned_bytes,
            "resident_bytes": self._process.memory_info().rss,
        }


_REFUSED: Final = range(HTTPStatus.BAD_REQUEST, HTTPStatus.INTERNAL_SERVER_ERROR)
"""Of callers' mistakes, full queues, and callers that left."""


def measured(request: Request) -> dict[str, Value]:
    """Tokens and times of a request's generations; of an encoder's results the tokens alone."""
    if not request.generations:
        return {"InputTokens": request.encoded_tokens}
    stats = [each.stats for each in request.generations]
    answered = [each for each in stats if each.completion_tokens]
    # A prompt's choices share its tokens: the first one evaluates them.
    prompts = list({id(each.request.prompt): each.stats for each in reversed(request.generations)}.values())
    evaluated = [each for each in answered if each.prompt_tokens > each.cached_tokens]
    prefill = sum(each.seconds_to_first_token for each in evaluated)
    later = [each for each in answered if each.completion_tokens > 1]
    decode = sum(each.decode_seconds for each in later)
    first = min((each.started + each.seconds_to_first_token for each in answered), default=None)
    return {
        "FirstTokenSeconds": None if first is None else first - request.arrived,
        "DecodeRate": sum(each.completion_tokens - 1 for each in later) / decode if decode else None,
        "InputTokens": sum(each.prompt_tokens for each in prompts),
        "CachedTokens": sum(each.cached_tokens for each in prompts),
        "OutputTokens": sum(each.completion_tokens for each in stats),
        "finish_reason": stats[-1].finish_reason,
        "queue_seconds": stats[0].queued_seconds,
        "prefill_rate": (
            sum(each.prompt_tokens - each.cached_tokens for each in evaluated) / prefill if prefill else None
        ),
        "restored_tokens": sum(each.restored_tokens for each in prompts),
        "guessed_tokens": sum(each.guessed_tokens for each in stats),
        "accepted_tokens": sum(each.accepted_tokens for each in stats),
    }


def error_of(request: Request) -> str | None:
    """The kind of a request's error: a refusal's code, or what cut the answer; None: there was none."""
    if request.status == _LEFT:
        return CLIENT_LEFT
    if request.status >= HTTPStatus.BAD_REQUEST:
        return _code(bytes(request.refusal)) or str(request.status)
    for generation in request.generations:
        if generation.stats.finish_reason is None:
            return "engine_failed"
        if generation.stats.finish_reason is FinishReason.CANCELLED:
            if generation.cancellation.expired:
                return "deadline_exceeded"
            return "server_stopping" if request.complete else CLIENT_LEFT
    return None if request.complete else CLIENT_LEFT


def _code(body: bytes) -> str | None:
    """The code in a refusal, of those that this project has."""
    try:
        said: Any = json.loads(body)
        error = said["error"]
        code = error.get("code") or error.get("type")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return plain_id(code) if isinstance(code, str) else None


def _ended(generation: Generation) -> None:
    """A listener of the worker, which calls it in the context of the request."""
    if (request := _request.get()) is not None:
        request.generations.append(generation)


def _encoded(tokens: int) -> None:
    """The same of an encoder's results."""
    if (request := _request.get()) is not None:
        request.encoded_tokens = tokens


class RequestLines:
    """ASGI middleware that has the line of each request written before its answer has ended.

    As soon as it has, Lambda freezes the process.
    """

    def __init__(self, app: ASGIApp, figures: Figures, invoked: Callable[[Scope], bool]) -> None:
        """Take the application.

        Args:
            app: all of it.
            figures: writes the lines.
            invoked: whether a request is an invocation of the function; others have no line.
        """
        self._app = app
        self._figures = figures
        self._invoked = invoked

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http" or not self._invoked(scope):
            await self._app(scope, receive, send)
            return
        request = self._figures.begin()
        token = _request.set(request)

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                request.status = message["status"]
                kind = Headers(raw=message.get("headers", [])).get("content-type", "")
                request.stream = kind.startswith(("text/event-stream", "application/x-ndjson"))
            elif message["type"] == "http.response.body":
                if request.status >= HTTPStatus.BAD_REQUEST:
                    request.refusal += message.get("body", b"")[: _ERROR_BYTES - len(request.refusal)]
                if not message.get("more_body"):
                    request.complete = True
                    self._figures.end(request, scope)
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            _request.reset(token)
            self._figures.end(request, scope)


def through_the_adapter(scope: Scope) -> bool:
    """Whether the web adapter forwards an invocation: its own requests, for hooks and readiness, say nothing of one."""
    names = {name for name, _ in scope["headers"]}
    return not names.isdisjoint({REQUEST_CONTEXT.encode(), LAMBDA_CONTEXT.encode()})


def always(_: Scope) -> bool:
    """Each request is an invocation: at the buffered door, and on a machine of one's own."""
    return True
