"""Lambda's Runtime API on loopback, for the real Python runtime client.

Sources: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html and, for `restore`, the runtime client itself.
"""

import json
import queue
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

LIMIT_SECONDS = 120
BASE = "/2018-06-01/runtime"


@dataclass
class Report:
    """What the runtime posted."""

    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class RuntimeAPI:
    """Hands out events and collects what comes back.

    `snapshot` is set when the runtime asks to be restored; it is restored when `restore` is set.
    """

    snapshot: threading.Event = field(default_factory=threading.Event)
    restore: threading.Event = field(default_factory=threading.Event)
    asked_for_events: threading.Event = field(default_factory=threading.Event)
    _events: "queue.Queue[Any]" = field(default_factory=queue.Queue)
    _reports: "queue.Queue[Report]" = field(default_factory=queue.Queue)

    @property
    def address(self) -> str:
        """As AWS_LAMBDA_RUNTIME_API names it."""
        return f"127.0.0.1:{self._server.server_port}"

    def invoke(self, event: Any) -> Report:
        """Give the function an event and wait for its answer."""
        self._events.put(event)
        return self.report()

    def report(self) -> Report:
        return self._reports.get(timeout=LIMIT_SECONDS)

    def __enter__(self) -> Self:
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.path == f"{BASE}/restore/next":
                    api.snapshot.set()
                    api.restore.wait(LIMIT_SECONDS)
                    self._answer(200)
                elif self.path == f"{BASE}/invocation/next":
                    api.asked_for_events.set()
                    if (event := api._events.get(timeout=LIMIT_SECONDS)) is not api:
                        headers = {
                            "Content-Type": "application/json",
                            "Lambda-Runtime-Aws-Request-Id": "id-1",
                            "Lambda-Runtime-Deadline-Ms": "4102444800000",
                            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:123456789012:function:f",
                        }
                        self._answer(200, json.dumps(event).encode(), headers)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self._answer(202)
                headers = {name.lower(): value for name, value in self.headers.items()}
                api._reports.put(Report(self.path.removeprefix(BASE), headers, json.loads(body)))

            def _answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.restore.set()
        self._events.put(self)
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
