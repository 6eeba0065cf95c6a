"""Tracks the connections of one S3 client, so that a load that ends can close all of them."""

import os
import socket
import threading
from contextlib import suppress
from typing import Any, Final

from lambda_llm.loading.budget import Budget

TIMEOUT_MIN: Final = 0.001
"""Seconds; a timeout of 0 would make a socket non-blocking."""


class Connections:
    """Registers every connection when it is opened, and can end every wait on one.

    A socket timeout limits silence only, so neither a body that drips nor one more silent step would respect a time
    budget. botocore offers no hook for this; urllib3 does (`ConnectionCls` of a pool), and the pools are those of
    botocore's session. If a later botocore changes that session, loads still work, but may exceed the budget by a
    socket timeout; a test detects it.
    """

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._lock = threading.Lock()
        self._open: dict[Any, socket.socket] = {}
        self._cut = False
        budget.at_stop(self.cut)

    def watch(self, client: Any) -> None:
        """Register every connection that botocore's `client` opens from now on."""
        session = getattr(getattr(client, "_endpoint", None), "http_session", None)
        classes = getattr(session, "_pool_classes_by_scheme", {})
        for scheme, pool in classes.items():
            connection = type(pool.ConnectionCls.__name__, (_Watched, pool.ConnectionCls), {"watcher": self})
            classes[scheme] = type(pool.__name__, (pool,), {"ConnectionCls": connection})

    def cut(self) -> None:
        """Shut every connection down; pending reads end."""
        with self._lock:
            self._cut = True
            for sock in self._open.values():
                with suppress(OSError):  # the peer may have closed it first
                    sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close every connection now; botocore leaves that to the garbage collector."""
        for connection in list(self._open):
            connection.close()

    def timeout(self, seconds: float) -> float:
        """`seconds`, or what is left of the time budget if that is less."""
        return max(min(seconds, self._budget.left), TIMEOUT_MIN)

    def opened(self, connection: Any, sock: socket.socket) -> None:
        """Register the socket of `connection`."""
        self.closed(connection)
        # A duplicate descriptor: if the original is closed meanwhile, its number may be reused for another file.
        own = socket.socket(fileno=os.dup(sock.fileno()))
        with self._lock:
            self._open[connection] = own
        if self._cut:
            self.cut()

    def closed(self, connection: Any) -> None:
        """Unregister the connection."""
        with self._lock:
            sock = self._open.pop(connection, None)
        if sock:
            sock.close()


class _Watched:
    """Mixed in before urllib3's connection class, plain or TLS."""

    watcher: Connections
    timeout: float

    def _new_conn(self) -> socket.socket:
        self.timeout = self.watcher.timeout(self.timeout)
        sock: socket.socket = super()._new_conn()  # type: ignore[misc] # urllib3's class comes after this one
        try:
            self.watcher.opened(self, sock)
        except OSError:
            sock.close()
            raise
        return sock

    def close(self) -> None:
        self.watcher.closed(self)
        super().close()  # type: ignore[misc] # as above
