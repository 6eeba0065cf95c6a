"""The uvicorn server of every entry point that listens on a socket."""

import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.types import ASGIApp


class Server(uvicorn.Server):
    """Shuts down promptly: running responses are ended with an error instead of being waited for."""

    def __init__(self, app: ASGIApp, stop_answering: Callable[[], None], **options: Any) -> None:
        """Configure uvicorn.

        Args:
            app: to serve.
            stop_answering: ends the app's running responses; called at shutdown.
            options: for `uvicorn.Config`.
        """
        # uvicorn caches its `Date` header for a second; after a restore it would be the snapshot's.
        own: dict[str, Any] = {"access_log": False, "date_header": False, "ws": "none", "timeout_graceful_shutdown": 2}
        super().__init__(uvicorn.Config(app, **own, **options))
        self._stop_answering = stop_answering

    def hang_up(self) -> None:
        """Close every connection: idle ones now, others after their current response."""
        for connection in list(self.server_state.connections):
            connection.shutdown()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn."""
        self._stop_answering()
        await super().shutdown(sockets)
