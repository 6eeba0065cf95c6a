"""Which request a process is busy with: all lines say it, so that those of one request are found together."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Final

_CORRELATION: ContextVar[Mapping[str, str]] = ContextVar("correlation", default=MappingProxyType({}))

TRACEPARENT: Final = "traceparent"
"""W3C's header. Source: https://www.w3.org/TR/trace-context/"""

XRAY: Final = "x-amzn-trace-id"
"""X-Ray's header.
Source: https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader"""

_ROOT: Final = re.compile(r"(?:^|;)\s*Root=1-([0-9a-fA-F]{8})-([0-9a-fA-F]{24})(?:;|$)")
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")
_PARENT: Final = re.compile(r"(?:^|;)\s*Parent=([0-9a-fA-F]{16})(?:;|$)")
_ID: Final = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


def correlation() -> Mapping[str, str]:
    """Fields of the request that this task or thread is busy with: `request_id`, `trace_id`, `lambda_request_id`."""
    return _CORRELATION.get()


@contextmanager
def correlated(**fields: str | None) -> Iterator[None]:
    """Add fields to every line that is written within; those that are None are left out."""
    known = {name: value for name, value in fields.items() if value is not None}
    token = _CORRELATION.set({**_CORRELATION.get(), **known})
    try:
        yield
    finally:
        _CORRELATION.reset(token)


def trace_id(traceparent: str | None, xray: str | None) -> str | None:
    """The trace that a request is part of, in 32 hex digits; None: neither header tells.

    Args:
        traceparent: W3C's header.
        xray: `X-Amzn-Trace-Id`, or the variable `_X_AMZN_TRACE_ID`.

    Sources: https://www.w3.org/TR/trace-context/,
    https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
    """
    if traceparent and (match := _TRACEPARENT.fullmatch(traceparent.strip())) and set(match[1]) != {"0"}:
        return match[1]
    if xray and (match := _ROOT.search(xray)):
        return (match[1] + match[2]).lower()
    return None


def traceparent(given: Mapping[str, str]) -> str | None:
    """The span that a request was caused by, in W3C's form; None: its headers don't tell.

    X-Ray's header is taken where W3C's is not there. Its `Sampled=0` means nothing here: Lambda writes it wherever
    active tracing is off.

    Args:
        given: headers, in small letters.
    """
    w3c, xray = given.get(TRACEPARENT), given.get(XRAY)
    if w3c and trace_id(w3c, None):
        return w3c.strip()
    if xray and (trace := trace_id(None, xray)) and (match := _PARENT.search(xray)):
        return f"00-{trace}-{match[1].lower()}-01"
    return None


def plain_id(given: str | None) -> str | None:
    """An id that somebody else made, if it is one that a log can show; None otherwise."""
    return given if given and _ID.fullmatch(given) else None
