"""Lambda's Runtime API on loopback, for the real Python runtime client and the real web adapter.

Sources: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html,
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html, for streamed responses
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html and, for `restore`, the runtime client itself.
"""

import json
import queue
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

LIMIT_SECONDS = 120
BASE = "/2018-06-01/runtime"
EXTENSIONS = "/2020-01-01/extension"
FAR_DEADLINE = 4102444800.0
"""In the year 2100."""


@dataclass
class Chunk:
    """A piece of a streamed body, and the `time.time()` at which it was there."""

    at: float
    data: bytes


@dataclass
class Report:
    """What the runtime posted. While it is still being sent, `chunks` grows.

    Attributes:
        trailers: behind a streamed body, where an error in its midst is told.
        complete: whether it came to its end.
    """

    path: str
    headers: dict[str, str]
    chunks: list[Chunk] = field(default_factory=list)
    trailers: dict[str, str] = field(default_factory=dict)
    complete: bool = False

    @property
    def content(self) -> bytes:
        return b"".join(chunk.data for chunk in self.chunks)

    @property
    def body(self) -> Any:
        return json.loads(self.content)


@dataclass
class RuntimeAPI:
    """Hands out events and collects what comes back.

    `snapshot` is set when the runtime asks to be restored; it is restored when `restore` is set.

    Attributes:
        extensions: names under which extensions have registered.
        begun: every report, in the order of their beginnings.
        events: not yet asked for, with their deadlines.
        reports: complete, or broken off.
        shutdown: set when the environment ends.
    """

    snapshot: threading.Event = field(default_factory=threading.Event)
    restore: threading.Event = field(default_factory=threading.Event)
    asked_for_events: threading.Event = field(default_factory=threading.Event)
    extensions: list[str] = field(default_factory=list)
    begun: list[Report] = field(default_factory=list)
    events: "queue.Queue[Any]" = field(default_factory=queue.Queue)
    reports: "queue.Queue[Report]" = field(default_factory=queue.Queue)
    shutdown: threading.Event = field(default_factory=threading.Event)

    @property
    def address(self) -> str:
        """As AWS_LAMBDA_RUNTIME_API names it."""
        return f"127.0.0.1:{self._server.server_port}"

    def give(self, event: Any, deadline: float = FAR_DEADLINE) -> None:
        """Give the function an event; it times out at `deadline`, as `time.time()` tells it."""
        self.events.put((event, deadline))

    def invoke(self, event: Any, deadline: float = FAR_DEADLINE) -> Report:
        """Give the function an event and wait for its answer."""
        self.give(event, deadline)
        return self.report()

    def report(self) -> Report:
        return self.reports.get(timeout=LIMIT_SECONDS)

    def __enter__(self) -> Self:
        handler = type("Handler", (_Handler,), {"api": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.restore.set()
        self.shutdown.set()
        self.events.put(self)
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    api: RuntimeAPI
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def handle(self) -> None:
        with suppress(ConnectionError):  # the runtime was ended
            super().handle()

    def do_GET(self) -> None:
        if self.path == f"{BASE}/restore/next":
            self.api.snapshot.set()
            self.api.restore.wait(LIMIT_SECONDS)
            self._answer(200)
        elif self.path == f"{BASE}/invocation/next":
            self.api.asked_for_events.set()
            if (given := self.api.events.get(timeout=LIMIT_SECONDS)) is not self.api:
                event, deadline = given
                headers = {
                    "Content-Type": "application/json",
                    "Lambda-Runtime-Aws-Request-Id": "id-1",
                    "Lambda-Runtime-Deadline-Ms": str(int(deadline * 1000)),
                    "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:123456789012:function:f",
                }
                self._answer(200, json.dumps(event).encode(), headers)
        elif self.path == f"{EXTENSIONS}/event/next":
            self.api.shutdown.wait()

    def do_POST(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        report = Report(self.path.removeprefix(BASE), headers)
        if self.path == f"{EXTENSIONS}/register":
            self._read(report)
            self.api.extensions.append(headers["lambda-extension-name"])
            self._answer(200, b"{}", {"Lambda-Extension-Identifier": "extension-1"})
            return
        self.api.begun.append(report)
        self._read(report)
        if report.complete:
            self._answer(202)
        else:
            self.close_connection = True
        self.api.reports.put(report)

    def _read(self, report: Report) -> None:
        if report.headers.get("transfer-encoding") != "chunked":
            size = int(report.headers["content-length"])
            report.chunks.append(Chunk(time.time(), self.rfile.read(size)))
            report.complete = len(report.content) == size
            return
        while (line := self.rfile.readline()) and (size := int(line, 16)):
            report.chunks.append(Chunk(time.time(), self.rfile.read(size)))
            self.rfile.readline()
        while (line := self.rfile.readline()) not in {b"", b"\r\n"}:
            name, _, value = line.decode().partition(":")
            report.trailers[name.lower()] = value.strip()
        report.complete = line == b"\r\n"

    def _answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""
