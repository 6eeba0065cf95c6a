"""Connections that can't be kept open by clients that neither send nor read."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_SECONDS: Final = 15.0
"""How long a client may take from the first byte of a request, or from connecting, to the end of the headers."""

READ_SECONDS: Final = 60.0
"""How long a client may leave a response unread: nothing of what is buffered for it was taken."""

CONNECTIONS_MAX: Final = 512
"""Open connections; with one more, the oldest that has no request is closed. A process may have 1,024 open files."""


class Connection(H11Protocol):
    """uvicorn's HTTP/1.1, which by itself waits for a client for ever, except between two requests.

    Attributes:
        since: when the client connected, as `time.monotonic` tells it.
    """

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self._for_request = _Timer()
        self._for_reader = _Timer()
        self.since = time.monotonic()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS_MAX:
            self._make_room()
        self._wait_for_request()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        super().data_received(data)
        self._wait_for_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        super().connection_lost(exc)
        self._for_request.stop()
        self._for_reader.stop()

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        super().pause_writing()
        self._for_reader.start(READ_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        super().resume_writing()
        self._for_reader.stop()

    @property
    def idle(self) -> bool:
        """Whether no request is being answered."""
        cycle: Any = self.cycle  # None before the first request
        return cycle is None or cycle.response_complete

    def _wait_for_request(self) -> None:
        if self.idle:
            self._for_request.start(REQUEST_SECONDS, self.transport.abort)
        else:
            self._for_request.stop()

    def on_response_complete(self) -> None:
        """See uvicorn: from here on its own limit of the time between two requests holds."""
        self._for_request.stop()
        super().on_response_complete()

    def _make_room(self) -> None:
        """Close the connection that has waited longest without a request."""
        others = [each for each in self.connections if isinstance(each, Connection) and each is not self and each.idle]
        if others:
            min(others, key=lambda each: each.since).transport.abort()


class _Timer:
    """One call that may be due."""

    def __init__(self) -> None:
        self._handle: asyncio.TimerHandle | None = None

    def start(self, seconds: float, call: Callable[[], object]) -> None:
        """Make the call in so many seconds, unless it is due already."""
        self._handle = self._handle or asyncio.get_running_loop().call_later(seconds, call)

    def stop(self) -> None:
        """Don't make the call."""
        if self._handle:
            self._handle.cancel()
            self._handle = None
