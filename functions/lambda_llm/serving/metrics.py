"""`GET /metrics` for Prometheus, for a server that can be scraped, which an environment on Lambda can't.

Names and buckets are OpenTelemetry's, in Prometheus's spelling; metrics that OpenTelemetry does not define begin with
`lambda_llm_`.

Source: https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/ and …/http/http-metrics/
"""

import time
from contextvars import ContextVar
from http import HTTPStatus
from typing import Final

from fastapi import APIRouter, FastAPI, Response
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lambda_llm import __version__
from lambda_llm.engine.generate import FinishReason, Generation
from lambda_llm.serving.service import Service
from lambda_llm.telemetry.genai import OPERATIONS

_METHODS: Final = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"})
_OTHER: Final = "_OTHER"
"""OpenTelemetry's methods, and what it writes for any other: HTTP allows any word, and each would be a series."""

_SECONDS: Final = tuple(0.01 * 2**power for power in range(14))
_TO_FIRST: Final = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60)
_PER_TOKEN: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5)
"""OpenTelemetry's buckets, and smaller ones: a tiny model takes a millisecond per token."""
_TOKENS: Final = tuple(4**power for power in range(10))

_operation: ContextVar[str] = ContextVar("operation", default="")


class Metrics:
    """The metrics of one application.

    Attributes:
        registry: all of them, for Prometheus.
    """

    def __init__(self, service: Service) -> None:
        self.registry = CollectorRegistry()
        self._model = service.options.model_id
        labels = ("gen_ai_operation_name", "gen_ai_request_model")

        def histogram(name: str, text: str, buckets: tuple[float, ...], *more: str) -> Histogram:
            return Histogram(name, text, (*labels, *more), buckets=buckets, registry=self.registry)

        self._http = Histogram(
            "http_server_request_duration_seconds",
            "From the arrival of a request to the end of its response",
            ("http_request_method", "http_route", "http_response_status_code"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._request = histogram(
            "gen_ai_server_request_duration_seconds", "The same, of requests to the model", _SECONDS, "error_type"
        )
        self._to_first = histogram(
            "gen_ai_server_time_to_first_token_seconds", "From the start of the prefill to the first token", _TO_FIRST
        )
        self._per_token = histogram(
            "gen_ai_server_time_per_output_token_seconds", "Between two tokens of a response", _PER_TOKEN
        )
        self._usage = histogram("gen_ai_client_token_usage", "Tokens of a request", _TOKENS, "gen_ai_token_type")
        self._cached = Counter(
            "lambda_llm_cached_input_tokens_total",
            "Prompt tokens that were found in the KV cache",
            labels,
            registry=self.registry,
        )
        self._guessed = Counter(
            "lambda_llm_guessed_tokens_total",
            "Tokens that were evaluated before they were chosen",
            labels,
            registry=self.registry,
        )
        self._accepted = Counter(
            "lambda_llm_accepted_guessed_tokens_total",
            "Guessed tokens that were then chosen",
            labels,
            registry=self.registry,
        )
        self._ended = Counter(
            "lambda_llm_generations_total",
            "Generations by finish reason",
            (*labels, "gen_ai_response_finish_reason"),
            registry=self.registry,
        )
        counts = service.worker.counts
        active = Gauge("lambda_llm_requests_active", "Requests that run or wait", registry=self.registry)
        active.set_function(lambda: counts.active)
        waiting = Gauge("lambda_llm_requests_waiting", "Requests that wait", registry=self.registry)
        waiting.set_function(lambda: max(0, counts.active - 1))
        info = Gauge(
            "lambda_llm_info", "The model and the version of lambda-llm", ("model", "version"), registry=self.registry
        )
        info.labels(self._model, __version__).set(1)
        ProcessCollector(registry=self.registry)
        service.worker.listeners.append(self.generated)

    def generated(self, generation: Generation) -> None:
        """Count a generation that has ended."""
        labels, stats = (_operation.get(), self._model), generation.stats
        self._ended.labels(*labels, stats.finish_reason or "error").inc()
        if stats.finish_reason in {None, FinishReason.CANCELLED}:
            return
        self._to_first.labels(*labels).observe(stats.seconds_to_first_token)
        if stats.completion_tokens > 1:
            self._per_token.labels(*labels).observe(stats.decode_seconds / (stats.completion_tokens - 1))
        self._usage.labels(*labels, "input").observe(stats.prompt_tokens)
        self._usage.labels(*labels, "output").observe(stats.completion_tokens)
        self._cached.labels(*labels).inc(stats.cached_tokens)
        self._guessed.labels(*labels).inc(stats.guessed_tokens)
        self._accepted.labels(*labels).inc(stats.accepted_tokens)

    def answered(self, scope: Scope, status: int, seconds: float) -> None:
        """Count a request whose response has ended."""
        # Unknown paths share one series, as unknown methods do: otherwise clients could create any number of them.
        route = getattr(scope.get("route"), "path", "")
        method = scope["method"] if scope["method"] in _METHODS else _OTHER
        self._http.labels(method, route, int(status)).observe(seconds)
        if route in OPERATIONS:
            failed = str(int(status)) if status >= HTTPStatus.BAD_REQUEST else ""
            self._request.labels(OPERATIONS[route], self._model, failed).observe(seconds)


class _Timed:
    """Measures each request until the last byte of its response."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        _operation.set(OPERATIONS.get(scope["path"], ""))
        began, status = time.perf_counter(), 499  # if the client disconnects first, as proxies log it

        async def sending(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception:
            status = HTTPStatus.INTERNAL_SERVER_ERROR  # sent by an outer middleware
            raise
        finally:
            self._metrics.answered(scope, status, time.perf_counter() - began)


def install(app: FastAPI) -> None:
    """Collect metrics of an application of `create_app`, and serve them at `/metrics`."""
    metrics = Metrics(app.state.service)
    routes = APIRouter()

    @routes.get("/metrics", include_in_schema=False)
    async def metrics_page() -> Response:
        return Response(generate_latest(metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app.include_router(routes)
    # Behind `Paths`, so that every spelling of a path is counted as the one that was meant.
    app.user_middleware.insert(1, Middleware(_Timed, metrics=metrics))
