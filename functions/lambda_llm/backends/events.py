"""Events of a streamed answer, from bytes that were cut anywhere."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import httpx2
from botocore.eventstream import EventStreamBuffer, ParserError

from lambda_llm.backends.errors import BackendError

EVENT_STREAM: Final = {"content-type": "text/event-stream"}


def sse(parts: AsyncIterator[bytes]) -> AsyncIterator[httpx2.ServerSentEvent]:
    """Server-sent events in bytes that come from elsewhere than a response of HTTP.

    Args:
        parts: the bytes, cut anywhere.
    """
    return aiter(httpx2.EventSource(httpx2.Response(200, headers=EVENT_STREAM, stream=_Stream(parts))))


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
