"""Jupyter kernels behind HTTP, as the sandboxes of E2B and Blaxel have them."""

import contextlib
import io
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def executed(names: dict[str, Any], code: str) -> bytes:
    """The lines that a kernel with these names streams of code."""
    lines: list[dict[str, Any]] = [{"type": "number_of_executions", "execution_count": 1}]
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        try:
            exec(code, names)  # noqa: S102 - a test's code
        except Exception as error:  # noqa: BLE001
            lines.append({"type": "error", "name": type(error).__name__, "value": str(error), "traceback": ""})
    lines.append({"type": "stdout", "text": out.getvalue(), "timestamp": 1})
    return "".join(f"{json.dumps(line)}\n" for line in lines).encode()


@contextlib.contextmanager
def served(answer: Callable[[str, str, Any, Any], tuple[int, bytes]]) -> Iterator[str]:
    """A server's address; `answer` gets method, path, headers and body, and gives a status and JSON."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle(self) -> None:
            with contextlib.suppress(ConnectionError):
                super().handle()

        def respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            path = self.path.partition("?")[0]
            status, said = answer(self.command, path, self.headers, json.loads(body) if body else None)
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        do_GET = do_POST = do_DELETE = respond  # noqa: N815 - names of http.server

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()
