"""Spans of what a function does, in OpenTelemetry's form; nothing at all where no collector is configured.

    with spans.span("chat tiny", kind="server", parent=headers, attributes={"gen_ai.operation.name": "chat"}) as span:
        span.set("gen_ai.usage.output_tokens", 64)

Names of attributes are those of the semantic conventions of generative AI. Prompts and answers are never in one.
OpenTelemetry is imported by `configure`, and only if the environment has an endpoint: importing it takes as long as
importing everything else.

Sources: https://github.com/open-telemetry/semantic-conventions-genai, https://www.w3.org/TR/trace-context/
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from lambda_llm.telemetry.span import Kind, Span, Value

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

    from lambda_llm.telemetry.tracing import Tracing

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


class _Off:
    """Of everything that is not recorded."""

    def set(self, name: str, value: Value) -> None:
        pass

    def fail(self, error_type: str) -> None:
        pass


_OFF: Final = _Off()

_tracing: "Tracing | None" = None


def configure(service: str, exporter: "SpanExporter | None" = None) -> None:
    """Begin to record, if the environment says where spans go to; what was configured before ends.

    `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` or `OTEL_EXPORTER_OTLP_ENDPOINT` is the endpoint, `OTEL_EXPORTER_OTLP_HEADERS`
    has what it asks for. Requests to X-Ray's are signed. OpenTelemetry's `OTEL_TRACES_SAMPLER`,
    `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SDK_DISABLED` are obeyed.

    Args:
        service: what kind of function this is, as `lines` has it.
        exporter: takes the spans instead, whatever the environment says.
    """
    global _tracing  # noqa: PLW0603 - of the process, as logging is
    if _tracing is not None:
        _tracing.shutdown()
        _tracing = None
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return
    if exporter is not None or any(os.environ.get(name) for name in _ENDPOINTS):
        from lambda_llm.telemetry.tracing import Tracing  # noqa: PLC0415 - see the module

        _tracing = Tracing(service, exporter)


def enabled() -> bool:
    """Whether spans are recorded."""
    return _tracing is not None


@contextmanager
def span(
    name: str,
    *,
    kind: Kind = "internal",
    parent: Mapping[str, str] | None = None,
    start: float | None = None,
    attributes: Mapping[str, Value] | None = None,
) -> Iterator[Span]:
    """A span as long as the `with` block, and the parent of those that begin within it.

    An exception that leaves the block makes it a failed one, named by its type.

    Args:
        name: with few values: what is done, not to what.
        kind: of it.
        parent: headers of the request that caused it, in small letters; None: the span that this one is within.
        start: seconds since 1970; None: now.
        attributes: by name; those that are None are left out.
    """
    if _tracing is None:
        yield _OFF
        return
    with _tracing.span(name, kind, parent, start, attributes or {}) as recorded:
        yield recorded


def record(
    name: str,
    start: float,
    end: float,
    *,
    kind: Kind = "internal",
    parent: Mapping[str, str] | None = None,
    identity: str | None = None,
    error: str | None = None,
    attributes: Mapping[str, Value] | None = None,
) -> None:
    """A span whose times are known only afterwards.

    Args:
        name: as of `span`.
        start: seconds since 1970.
        end: seconds since 1970.
        kind: of it.
        parent: as of `span`.
        identity: the ids that it has, as `identity` makes them; None: new ones.
        error: kind of the error, if it failed.
        attributes: by name; those that are None are left out.
    """
    if _tracing is not None:
        _tracing.record(name, kind, parent, (start, end), identity, error, attributes or {})


def headers() -> dict[str, str]:
    """What a request to another function carries, so that its spans are within the current one; {}: there is none."""
    return {} if _tracing is None else _tracing.headers()


def identity(of: str, trace: str | None = None) -> str:
    """Ids that follow from a name, in the form of `traceparent`: the same in each process and in each replay.

    Args:
        of: what the span is about, in the whole world: an ARN, and a step in it.
        trace: the trace that it belongs to, in 32 hex digits; None: one that follows from the name too.
    """
    digest = hashlib.sha256(of.encode()).hexdigest()
    return f"00-{trace or digest[:32]}-{digest[32:48]}-01"


def flush(seconds: float) -> None:
    """Send what was recorded: Lambda freezes the process as soon as its answer has ended.

    Args:
        seconds: to wait at most.
    """
    if _tracing is not None:
        _tracing.flush(seconds)


def close() -> None:
    """Send what was recorded and close the connection, as before a snapshot; the next spans open another."""
    if _tracing is not None:
        _tracing.close()
