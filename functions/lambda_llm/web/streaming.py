"""Event streams, and requests whose client disconnects.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import aclosing
from typing import Any, Final, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from lambda_llm.openai_types.sse import KEEP_ALIVE

Result = TypeVar("Result")

EVENTS: Final = "text/event-stream"
SSE_HEADERS: Final[Mapping[str, str]] = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


class EventStream(StreamingResponse):
    """A stream that closes its events' generator at its end, even if the client stopped reading before that."""

    def __init__(
        self,
        first: str,
        events: AsyncGenerator[str, None],
        failure: Callable[[Exception], str],
        media_type: str,
        *,
        keep_alive_seconds: float | None = None,
    ) -> None:
        self._events = events
        self._failure = failure
        self._keep_alive_seconds = keep_alive_seconds
        super().__init__(self._all(first), media_type=media_type, headers=SSE_HEADERS)

    @classmethod
    async def begun(
        cls,
        events: AsyncGenerator[str, None],
        failure: Callable[[Exception], str],
        media_type: str = EVENTS,
        *,
        keep_alive_seconds: float | None = None,
    ) -> "EventStream":
        """Generate the first event before the status line is sent, so that errors until then have their own status.

        Args:
            events: the stream.
            failure: makes the last event, of an error after the first one.
            media_type: of the stream.
            keep_alive_seconds: silence after which a comment is sent; None: the events have their own.
        """
        return cls(await anext(events), events, failure, media_type, keep_alive_seconds=keep_alive_seconds)

    async def _all(self, first: str) -> AsyncGenerator[str, None]:
        yield first
        try:
            async for each in self._events:
                yield each
        except Exception as error:  # noqa: BLE001 - the status line has been sent: any error must be an event
            yield self._failure(error)

    async def aclose(self) -> None:
        """End a stream that nobody sends."""
        await self._events.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        async with aclosing(self._events):
            if self._keep_alive_seconds is None:
                await super().__call__(scope, receive, send)
                return
            alive = _KeepAlive(send, self._keep_alive_seconds)
            try:
                await super().__call__(scope, receive, alive.send)
            finally:
                alive.end()


class _KeepAlive:
    """Sends comments while a stream is silent: a timer beside it, which costs an event nothing."""

    def __init__(self, send: Send, seconds: float) -> None:
        self._send = send
        self._seconds = seconds
        self._last = 0.0
        self._timer: asyncio.Task[None] | None = None

    async def send(self, message: Message) -> None:
        """Pass a message on, and note when."""
        self._last = asyncio.get_running_loop().time()
        if not message.get("more_body", True):
            self.end()
        await self._send(message)
        if message["type"] == "http.response.start":
            self._timer = asyncio.ensure_future(self._run())

    def end(self) -> None:
        """Send nothing more."""
        if self._timer is not None:
            self._timer.cancel()

    async def _run(self) -> None:
        while True:
            silent = asyncio.get_running_loop().time() - self._last
            if silent >= self._seconds:
                await self.send({"type": "http.response.body", "body": KEEP_ALIVE.encode(), "more_body": True})
                silent = 0.0
            await asyncio.sleep(self._seconds - silent)


async def while_connected(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """Await what a response needs, or cancel it as soon as the client disconnects.

    Raises:
        ClientDisconnect: the client has disconnected.
        Exception: any that `work` raises.
    """
    task = asyncio.ensure_future(work)
    disconnected = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait([task, disconnected], return_when=asyncio.FIRST_COMPLETED)
        if not disconnected.done():
            return await task
        # Even if the work has just been done: whoever comes next might not be told again.
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled() and task.exception() is None and isinstance(result := task.result(), EventStream):
            await result.aclose()
        raise ClientDisconnect
    finally:
        task.cancel()
        disconnected.cancel()


async def _disconnected(request: Request) -> None:
    """Return when the client has disconnected."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
