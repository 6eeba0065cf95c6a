"""A way to a server on which nothing gets through before it is opened."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from urllib.parse import urlsplit

import pytest

from scripts.local_aws.server import LocalAWS

LIMIT_SECONDS = 120


class Gate:
    """Clients that use `endpoint` wait for `open`; `reached` tells that one does."""

    def __init__(self, endpoint: str) -> None:
        self.reached = threading.Event()
        self.open = threading.Event()
        self._target = (str(urlsplit(endpoint).hostname), int(urlsplit(endpoint).port or 0))
        self._server = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self._connections = ExitStack()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                inside, _ = self._server.accept()
                self._connections.callback(_hang_up, inside)
                self.reached.set()
                assert self.open.wait(LIMIT_SECONDS)
                outside = socket.create_connection(self._target)
                self._connections.callback(_hang_up, outside)
                for one, other in ((inside, outside), (outside, inside)):
                    self._threads.append(threading.Thread(target=_pass_on, args=(one, other)))
                    self._threads[-1].start()

    def close(self) -> None:
        self.open.set()
        _hang_up(self._server)
        self._threads[0].join()
        self._connections.close()
        for thread in self._threads:
            thread.join()


def _pass_on(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
        other.shutdown(socket.SHUT_WR)


def _hang_up(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


@pytest.fixture
def gate(local_aws: LocalAWS) -> Iterator[Gate]:
    """In front of the local AWS."""
    gate = Gate(local_aws.endpoint)
    yield gate
    gate.close()
