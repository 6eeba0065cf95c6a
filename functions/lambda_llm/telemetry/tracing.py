"""OpenTelemetry behind `spans`, which imports this only where spans are recorded."""

import contextvars
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from lambda_llm.telemetry.context import TRACEPARENT, traceparent
from lambda_llm.telemetry.otlp import OTLPExporter, endpoint
from lambda_llm.telemetry.span import Kind, Span, Value

_KINDS: Final = {"internal": SpanKind.INTERNAL, "server": SpanKind.SERVER, "client": SpanKind.CLIENT}

_W3C: Final = TraceContextTextMapPropagator()

_given: contextvars.ContextVar[str | None] = contextvars.ContextVar("given", default=None)
"""Ids that the next span gets, in the form of `traceparent`."""


class _Ids(IdGenerator):
    """From the system's entropy, which is fresh after a restore; Python's own generator is in the snapshot."""

    def generate_trace_id(self) -> int:
        given = _given.get()
        return int(given.split("-")[1], 16) if given else int.from_bytes(os.urandom(16)) or 1

    def generate_span_id(self) -> int:
        given = _given.get()
        return int(given.split("-")[2], 16) if given else int.from_bytes(os.urandom(8)) or 1


class _Recorded:
    """A span that is recorded."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def set(self, name: str, value: Value) -> None:
        if value is not None:
            self._span.set_attribute(name, value)

    def fail(self, error_type: str) -> None:
        self._span.set_attribute("error.type", error_type)
        self._span.set_status(Status(StatusCode.ERROR))


class Tracing:
    """One provider with one exporter; what it can't send is lost."""

    def __init__(self, service: str, exporter: SpanExporter | None) -> None:
        """See `spans.configure`.

        Raises:
            ValueError: there is neither an exporter nor an endpoint.
        """
        if exporter is None:
            if (url := endpoint(os.environ)) is None:
                raise ValueError("There is no endpoint for spans.")
            exporter = OTLPExporter.configured(url, os.environ)
        function = os.environ.get("AWS_LAMBDA_FUNCTION_NAME")
        on_lambda = {
            "cloud.provider": "aws",
            "cloud.platform": "aws_lambda",
            "cloud.region": os.environ.get("AWS_REGION", ""),
            "faas.name": function or "",
            "faas.version": os.environ.get("AWS_LAMBDA_FUNCTION_VERSION", ""),
        }
        named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": function or service}
        resource = Resource.create({**named, **(on_lambda if function else {})})
        self._exporter = exporter
        self._processor = BatchSpanProcessor(exporter)
        self._provider = TracerProvider(resource=resource, id_generator=_Ids(), shutdown_on_exit=False)
        self._provider.add_span_processor(self._processor)
        self._tracer = self._provider.get_tracer("lambda_llm", attributes={"lambda_llm.service": service})

    @contextmanager
    def span(
        self,
        name: str,
        kind: Kind,
        parent: Mapping[str, str] | None,
        start: float | None,
        attributes: Mapping[str, Value],
    ) -> Iterator[Span]:
        """See `spans.span`."""
        begun = self._tracer.start_span(
            name,
            _context(parent),
            _KINDS[kind],
            {key: value for key, value in attributes.items() if value is not None},
            start_time=None if start is None else _nanoseconds(start),
            record_exception=False,
            set_status_on_exception=False,
        )
        recorded = _Recorded(begun)
        token = otel_context.attach(trace.set_span_in_context(begun))
        try:
            yield recorded
        except BaseException as error:
            recorded.fail(type(error).__name__)
            raise
        finally:
            with suppress(ValueError):  # a generator that is closed in another context than it was begun in
                token.var.reset(token)
            begun.end()

    def record(
        self,
        name: str,
        kind: Kind,
        parent: Mapping[str, str] | None,
        times: tuple[float, float],
        identity: str | None,
        error: str | None,
        attributes: Mapping[str, Value],
    ) -> None:
        """See `spans.record`."""
        token = _given.set(identity)
        try:
            begun = self._tracer.start_span(
                name,
                _context(parent),
                _KINDS[kind],
                {key: value for key, value in attributes.items() if value is not None},
                start_time=_nanoseconds(times[0]),
            )
        finally:
            _given.reset(token)
        if error is not None:
            _Recorded(begun).fail(error)
        begun.end(_nanoseconds(times[1]))

    def headers(self) -> dict[str, str]:
        """See `spans.headers`."""
        carrier: dict[str, str] = {}
        _W3C.inject(carrier)
        return carrier

    def flush(self, seconds: float) -> None:
        """See `spans.flush`: sending has a timeout of its own, and goes on behind the wait."""
        sending = threading.Thread(target=self._processor.force_flush, daemon=True)
        sending.start()
        sending.join(seconds)

    def close(self) -> None:
        """See `spans.close`."""
        self._processor.force_flush()
        if isinstance(self._exporter, OTLPExporter):
            self._exporter.close()

    def shutdown(self) -> None:
        """Send what is left, and end."""
        self._provider.shutdown()


def _context(parent: Mapping[str, str] | None) -> Context:
    """The context that a span begins in: of the headers if they tell, or the current one."""
    if parent is not None and (known := traceparent(parent)) is not None:
        state = parent.get("tracestate")
        return _W3C.extract({TRACEPARENT: known, **({"tracestate": state} if state else {})}, Context())
    return otel_context.get_current() if parent is None else Context()


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
