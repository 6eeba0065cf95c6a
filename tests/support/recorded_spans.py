"""Spans that a test's code has recorded, in memory."""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from lambda_llm.telemetry import spans


class Recorded:
    """What ended until now, as one looks."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    @property
    def all(self) -> list[ReadableSpan]:
        spans.flush(10)
        return sorted(self._exporter.get_finished_spans(), key=lambda span: span.start_time or 0)

    def named(self, name: str) -> list[ReadableSpan]:
        """In the order in which they began."""
        return [span for span in self.all if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        (span,) = self.named(name)
        return span

    def children(self, parent: ReadableSpan) -> list[str]:
        return [each.name for each in self.all if each.parent and each.parent.span_id == parent.context.span_id]

    @property
    def text(self) -> str:
        """All that they say."""
        return "".join(span.to_json() for span in self.all)


@contextmanager
def recording(service: str) -> Iterator[Recorded]:
    """Spans are recorded while the context lasts."""
    exporter = InMemorySpanExporter()
    spans.configure(service, exporter)
    try:
        yield Recorded(exporter)
    finally:
        spans.configure(service)


def traceparent(span: ReadableSpan) -> str:
    """What a request carries that a span has caused."""
    return f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-01"
