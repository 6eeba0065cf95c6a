"""The uvicorn server of every entry point that listens on a socket."""

import logging
import os
import socket
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp

from lambda_llm.web.connections import Connection

GRACEFUL_SECONDS: Final = 2
"""How long responses that were told to end may take."""

STOP_SECONDS: Final = 5.0
"""How long the process may take to end after a signal; whatever computes then is left behind."""


class Server(uvicorn.Server):
    """Shuts down promptly: running responses are ended with an error instead of being waited for."""

    def __init__(self, app: ASGIApp, stop_answering: Callable[[], None], **options: Any) -> None:
        """Configure uvicorn.

        Args:
            app: to serve.
            stop_answering: ends the app's running responses; called at shutdown.
            options: for `uvicorn.Config`.
        """
        own: dict[str, Any] = {
            "access_log": False,
            "date_header": False,  # uvicorn caches it for a second; after a restore it would be the snapshot's
            "http": Connection,
            "ws": "none",
            "timeout_graceful_shutdown": GRACEFUL_SECONDS,
        }
        super().__init__(uvicorn.Config(app, **own, **options))
        self._stop_answering = stop_answering

    def hang_up(self) -> None:
        """Close every connection: idle ones now, others after their current response."""
        for connection in list(self.server_state.connections):
            connection.shutdown()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """See uvicorn. A thread inside a library can't be stopped, and Python's exit would wait for it."""
        super().handle_exit(sig, frame)
        last = threading.Timer(STOP_SECONDS, _leave)
        last.daemon = True
        last.start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn."""
        self._stop_answering()
        await super().shutdown(sockets)


def _leave() -> None:
    """End the process as it is."""
    logging.getLogger(__name__).warning("stopped while a request was still being computed")
    logging.shutdown()
    os._exit(1)
