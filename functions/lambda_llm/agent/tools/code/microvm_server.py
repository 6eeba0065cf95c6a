"""The server in the image of a Lambda MicroVM: HTTP before `interpreter.py`, which lies beside it.

Both need Python 3.9 or later, nothing else. The image's Dockerfile copies the two files and runs this one. It answers
`POST /<operation>` with JSON, as `interpreter.py` does its messages; `GET /` tells that it is there and whether its
interpreter has run code: `{"ready": true, "used": bool}`. Who may ask is the business of the MicroVM's proxy.
"""

import json
import os
import runpy
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

INTERPRETER: Final = Path(__file__).with_name("interpreter.py")
PORT: Final = 8080
REQUEST_MOST: Final = 16 * 1024 * 1024
OUTPUT_MOST: Final = 64 * 1024


_protocol = runpy.run_path(str(INTERPRETER))


class Session:
    """The interpreter's process: started at once, and again if its code ended it."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._turn = threading.Lock()
        self._process = self._started()
        self.used = self._closed = False

    def _started(self) -> "subprocess.Popen[bytes]":
        settings = {"folder": self._folder, "output": OUTPUT_MOST, "limits": {"RLIMIT_CORE": 0}}
        return subprocess.Popen(  # noqa: S603 - this Python and the file beside this one
            [sys.executable, "-B", str(INTERPRETER), json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=self._folder,
        )

    def ask(self, operation: str, request: "dict[str, Any]") -> "dict[str, Any]":
        """What the interpreter answers; with `ended`, the code ended it, and variables are gone."""
        with self._turn:
            self.used = self.used or operation == "run"
            process = self._process
            assert process.stdin and process.stdout  # noqa: S101, PT018 - PIPE
            timer = threading.Timer(request.get("seconds", 60) + 1, process.kill)
            timer.start()
            try:
                name = os.urandom(16).hex()
                _protocol["send"](process.stdin, {**request, "op": operation, "id": name})
                answer = _protocol["receive"](process.stdout)
            except (OSError, ValueError):
                answer = None
            finally:
                timer.cancel()
            if isinstance(answer, dict) and answer.pop("id", None) == name:
                return answer
            self._end()
            if not self._closed:
                self._process, self.used = self._started(), False
            return {"ended": True}

    def close(self) -> None:
        """End the interpreter for good."""
        self._closed = True
        self._process.kill()
        with self._turn:
            self._end()

    def _end(self) -> None:
        process = self._process
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                try:
                    pipe.close()
                except OSError:  # what was not sent is lost
                    continue


def server(folder: str, address: str = "", port: int = PORT) -> ThreadingHTTPServer:
    """A server for one session, whose files are in a folder."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    session = Session(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(200, {"ready": True, "used": session.used})

        def do_POST(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            if length > REQUEST_MOST:
                self.close_connection = True
                self._answer(413, {"refused": "The request is too long."})
                return
            try:
                request = json.loads(self.rfile.read(length))
                answer = session.ask(self.path.strip("/"), request)
            except (TypeError, ValueError, AttributeError, KeyError):
                self._answer(400, {"refused": "The request is not what this server takes."})
                return
            self._answer(200, answer)

        def _answer(self, status: int, answer: "dict[str, Any]") -> None:
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing: a request's line is no news, and its body is a secret."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def server_close(self) -> None:
            super().server_close()
            session.close()

    return Server((address, port), Handler)


if __name__ == "__main__":
    server(os.environ.get("WORK", "/work")).serve_forever()
