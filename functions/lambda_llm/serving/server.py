"""The uvicorn server that every long-lived front door runs."""

import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.types import ASGIApp


class Server(uvicorn.Server):
    """Ends at once when told to: answers on their way are cut short and say so, instead of being waited for."""

    def __init__(self, app: ASGIApp, stop_answering: Callable[[], None], **options: Any) -> None:
        # A `Date` of uvicorn's is up to a second old, which includes the time between a snapshot and its restore.
        own: dict[str, Any] = {"access_log": False, "date_header": False, "ws": "none", "timeout_graceful_shutdown": 2}
        super().__init__(uvicorn.Config(app, **own, **options))
        self._stop_answering = stop_answering

    def hang_up(self) -> None:
        """Close every connection: idle ones now, one that waits for an answer behind it."""
        for connection in list(self.server_state.connections):
            connection.shutdown()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn."""
        self._stop_answering()
        await super().shutdown(sockets)
