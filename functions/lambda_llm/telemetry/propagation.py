"""What a request to another function carries, so that its lines and spans belong to the same request."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from lambda_llm.telemetry import spans
from lambda_llm.telemetry.context import TRACEPARENT, XRAY, correlated, correlation, plain_id, trace_id, traceparent
from lambda_llm.telemetry.span import Kind, Span, Value

FLUSH_SECONDS: Final = 2.0
"""That the end of an invocation waits for its spans to be sent, at most."""


def carried() -> dict[str, str]:
    """Headers of the trace that this task or thread is busy with; {}: there is none.

    Where no span is recorded here, the trace goes on all the same: its lines are found together, and spans of others
    are in it.
    """
    headers = spans.headers()
    if not headers and (trace := correlation().get("trace_id")):
        return {TRACEPARENT: f"00-{trace}-{os.urandom(8).hex()}-01"}
    return headers


def noted() -> dict[str, str]:
    """The same with the request's id, for a message that somebody else reads later."""
    request_id = correlation().get("request_id")
    return {**carried(), **({} if request_id is None else {"request_id": request_id})}


@contextmanager
def continued(
    message: Mapping[str, Any],
    name: str,
    *,
    kind: Kind = "internal",
    lambda_request_id: str | None = None,
    attributes: Mapping[str, Value] | None = None,
) -> Iterator[Span]:
    """Go on with the request that a message is of; its context is not a generator's that others close.

    Args:
        message: with what `noted` gave, or without; then it is of the trace that Lambda tells.
        name: of the span.
        kind: of it.
        lambda_request_id: of the invocation.
        attributes: of the span.
    """
    given = {name: value for name, value in message.items() if isinstance(value, str)}
    xray = os.environ.get("_X_AMZN_TRACE_ID", "")
    parent = traceparent({XRAY: xray, **given})
    with spans.span(
        name, kind=kind, parent=None if parent is None else {TRACEPARENT: parent}, attributes=attributes
    ) as span:
        trace = trace_id(spans.headers().get(TRACEPARENT) or parent, xray)
        with correlated(
            request_id=plain_id(given.get("request_id")),
            trace_id=trace,
            lambda_request_id=plain_id(lambda_request_id),
        ):
            yield span
