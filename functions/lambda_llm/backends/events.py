"""Events of a streamed answer, from bytes that were cut anywhere."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

import httpx2

from lambda_llm.backends.errors import BackendError, Kind
from lambda_llm.backends.http import HTTP

EVENT_STREAM: Final = {"content-type": "text/event-stream"}


def sse(parts: AsyncIterator[bytes]) -> AsyncIterator[httpx2.ServerSentEvent]:
    """Server-sent events in bytes that come from elsewhere than a response of HTTP.

    Args:
        parts: the bytes, cut anywhere.
    """
    asked = httpx2.Request("POST", "http://elsewhere")  # httpx2 names it in errors, and reads nothing without one
    response = httpx2.Response(200, headers=EVENT_STREAM, stream=_Stream(parts), request=asked)
    return aiter(httpx2.EventSource(response))


class _Stream(httpx2.AsyncByteStream):
    def __init__(self, parts: AsyncIterator[bytes]) -> None:
        self._parts = parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._parts:
            yield part


async def frames(
    parts: AsyncIterator[bytes], broken: BackendError
) -> AsyncIterator[tuple[Mapping[str, object], bytes]]:
    """Messages of an AWS event stream: their headers and payload.

    Args:
        parts: the bytes, cut anywhere.
        broken: raised where they are no such stream, or end within a message.

    Source: https://docs.aws.amazon.com/lexv2/latest/dg/event-stream-encoding.html
    """
    from botocore.eventstream import EventStreamBuffer, ParserError  # noqa: PLC0415 - importing does without AWS's SDK

    buffer: Any = EventStreamBuffer()  # its typings take a message's prelude for a number
    size = 0
    try:
        async for part in parts:
            buffer.add_data(part)
            size += len(part)
            for message in buffer:
                size -= message.prelude.total_length
                yield message.headers, message.payload
    except ParserError:
        raise broken from None
    if size:
        raise broken


KindOf = Callable[[str, bytes], Kind]
"""Kind of an exception within a stream, by its name and its JSON."""


async def aws_events(parts: AsyncIterator[bytes], http: HTTP, kind_of: KindOf) -> AsyncIterator[tuple[str, bytes]]:
    """Events of an AWS event stream: their type and their payload.

    Args:
        parts: the bytes, cut anywhere.
        http: that they come from, for errors.
        kind_of: knows the service's exceptions, whose names it gets in UpperCamelCase, as errors of HTTP have them.

    Raises:
        BackendError: the stream has an exception, or is none.

    Source: https://smithy.io/2.0/aws/amazon-eventstream.html
    """
    async for headers, payload in frames(parts, http.broken("is no event stream, or ends within an event")):
        if headers.get(":message-type") != "event":
            name = str(headers.get(":exception-type") or headers.get(":error-code") or "")
            kind = kind_of(name[:1].upper() + name[1:], payload)
            raise BackendError(kind, f"The backend {http.name!r} failed while it answered.")
        yield str(headers.get(":event-type", "")), payload


def fields_of(payload: bytes) -> dict[str, Any]:
    """The JSON object of an event; empty: there is none."""
    try:
        fields = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}
