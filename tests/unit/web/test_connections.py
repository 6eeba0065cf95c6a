"""Clients that connect and do nothing, over real sockets."""

import asyncio
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from lambda_llm.serving.errors import install
from lambda_llm.web import connections, request_body
from lambda_llm.web.request_body import RequestBody
from lambda_llm.web.server import Server

LIMIT_SECONDS = 60


class Site:
    """An application that answers slowly, endlessly, or with the length of what it was sent."""

    def __init__(self) -> None:
        self.left = threading.Event()
        self.app = FastAPI(
            routes=[
                Route("/slow", self._slow),
                Route("/endless", self._endless),
                Route("/length", self._length, methods=["POST"]),
            ]
        )
        install(self.app)
        self.app.add_middleware(RequestBody)

    async def _slow(self, _: Request) -> PlainTextResponse:
        await asyncio.sleep(1)
        return PlainTextResponse("done")

    async def _endless(self, _: Request) -> StreamingResponse:
        async def parts() -> Any:
            try:
                while True:
                    yield b"x" * 65536
                    await asyncio.sleep(0)
            finally:
                self.left.set()

        return StreamingResponse(parts())

    async def _length(self, request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(len(await request.body())))


Connect = Callable[[], socket.socket]


@contextmanager
def running(app: Any) -> Iterator[int]:
    """A server in a thread of this process; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = Server(app, lambda: None, log_level="critical")
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(LIMIT_SECONDS)
            assert not thread.is_alive()


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def port(site: Site) -> Iterator[int]:
    with running(site.app) as port:
        yield port


@pytest.fixture
def connect(port: int) -> Iterator[Connect]:
    with ExitStack() as opened:
        yield lambda: opened.enter_context(socket.create_connection(("127.0.0.1", port), LIMIT_SECONDS))


def closed(connection: socket.socket) -> bool:
    """Whether the server closes it, sooner or later."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize(
    "sent", [b"", b"G", b"GET /slow HTTP/1.1\r\nHost: x\r\n", b"GET /slow HTTP/1.1\r\nX: " + b"x" * 999]
)
def test_a_client_that_does_not_finish_its_headers_is_left(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.2)
    connection = connect()
    connection.sendall(sent)
    assert closed(connection)


def test_a_second_request_that_is_not_finished_is_left_too(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.2)
    connection = connect()
    connection.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
    assert connection.recv(4096).startswith(b"HTTP/1.1 200")
    connection.sendall(b"GET /slow HTTP/1.1\r\n")
    while connection.recv(4096):
        pass


def test_a_slow_answer_is_not_the_client_s_fault(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.2)
    assert httpx2.get(f"http://127.0.0.1:{port}/slow", timeout=LIMIT_SECONDS).text == "done"


def test_a_body_that_does_not_come_is_not_waited_for(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_body, "BODY_SECONDS", 0.2)
    connection = connect()
    connection.sendall(b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345")
    answer = b""
    while part := connection.recv(4096):
        answer += part
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"was not complete after 0.2 s: send it again" in answer


def test_a_client_that_does_not_read_is_left(site: Site, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "READ_SECONDS", 0.2)
    connect().sendall(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
    assert site.left.wait(LIMIT_SECONDS)


def test_open_connections_don_t_close_the_server_to_others(
    port: int, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "CONNECTIONS_MAX", 8)
    waiting = [connect() for _ in range(40)]
    for _ in range(3):
        response = httpx2.post(f"http://127.0.0.1:{port}/length", content=b"12345", timeout=LIMIT_SECONDS)
        assert response.text == "5"
    assert closed(waiting[0])


STUCK = """
import threading, sys
from concurrent.futures import ThreadPoolExecutor
from lambda_llm.web import server
server.STOP_SECONDS = 0.5
pool = ThreadPoolExecutor(1)
pool.submit(threading.Event().wait)
async def app(scope, receive, send):
    while scope["type"] == "lifespan":
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.startup":
            print("ready", flush=True)
        else:
            return
server.Server(app, lambda: None, port=0, log_level="critical").run()
"""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_told_to_stop_is_gone_whatever_its_threads_compute(how: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", STUCK], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == b"ready\n"
            process.send_signal(how)
            assert process.wait(LIMIT_SECONDS) != 0
        finally:
            process.kill()
