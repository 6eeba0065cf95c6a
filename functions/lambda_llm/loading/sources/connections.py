"""The connections of one S3 client, so that the end of a load is the end of all of them."""

import os
import socket
import threading
from contextlib import suppress
from typing import Any, Final

from lambda_llm.loading.budget import Budget

SHORTEST_WAIT: Final = 0.001
"""Seconds; a timeout of 0 would mean something else to a socket."""


class Connections:
    """Knows every connection from the moment it is made, and can end whatever waits on one.

    A connection's own timeout is about silence, so neither a body that drips nor one more silent step would keep to a
    time budget. botocore offers no hook for this; urllib3 does (`ConnectionCls` of a pool), and the pools are those of
    botocore's session. Should that session look different one day, loads still work, but a budget can be overrun by a
    connection's timeout; a test tells.
    """

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._lock = threading.Lock()
        self._open: dict[Any, socket.socket] = {}
        self._cut = False
        budget.at_stop(self.cut)

    def watch(self, client: Any) -> None:
        """Have every connection that botocore's `client` makes from now on known here."""
        session = getattr(getattr(client, "_endpoint", None), "http_session", None)
        classes = getattr(session, "_pool_classes_by_scheme", {})
        for scheme, pool in classes.items():
            connection = type(pool.ConnectionCls.__name__, (_Watched, pool.ConnectionCls), {"watcher": self})
            classes[scheme] = type(pool.__name__, (pool,), {"ConnectionCls": connection})

    def cut(self) -> None:
        """End every connection; whatever waits for its bytes gets none."""
        with self._lock:
            self._cut = True
            for line in self._open.values():
                with suppress(OSError):  # the other end may have been quicker
                    line.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close every connection now; botocore leaves that to the garbage collector."""
        for connection in list(self._open):
            connection.close()

    def patience(self, seconds: float) -> float:
        """Those seconds, or what is left of the time budget."""
        return max(min(seconds, self._budget.left), SHORTEST_WAIT)

    def opened(self, connection: Any, line: socket.socket) -> None:
        """Remember `line`, which belongs to `connection`."""
        self.closed(connection)
        # A descriptor of its own: when the other is closed meanwhile, this is never that of another file.
        own = socket.socket(fileno=os.dup(line.fileno()))
        with self._lock:
            self._open[connection] = own
        if self._cut:
            self.cut()

    def closed(self, connection: Any) -> None:
        """Forget the connection."""
        with self._lock:
            line = self._open.pop(connection, None)
        if line:
            line.close()


class _Watched:
    """Goes before urllib3's class of a connection, plain or TLS."""

    watcher: Connections
    timeout: float

    def _new_conn(self) -> socket.socket:
        self.timeout = self.watcher.patience(self.timeout)
        line: socket.socket = super()._new_conn()  # type: ignore[misc] # urllib3's class comes after this one
        try:
            self.watcher.opened(self, line)
        except OSError:
            line.close()
            raise
        return line

    def close(self) -> None:
        self.watcher.closed(self)
        super().close()  # type: ignore[misc] # as above
