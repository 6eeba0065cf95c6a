"""What a server says, on a terminal."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from support.command_line import Run

TRICKS = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e\x00"
"""Sets the window's title, clears the screen, changes the colour and the direction."""


class Trickster(BaseHTTPRequestHandler):
    """A server whose every text has control characters."""

    def do_GET(self) -> None:
        self._send(json.dumps({"object": "list", "data": [{"id": f"model{TRICKS}", "object": "model"}]}))

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        pieces = [f"Hello{TRICKS[:3]}", f"{TRICKS[3:]},\n\tworld"]
        chunks = [{"id": "1", "object": "x", "choices": [{"index": 0, "delta": {"content": each}}]} for each in pieces]
        self._send(
            "".join(f"data: {json.dumps(each)}\n\n" for each in chunks) + "data: [DONE]\n\n", "text/event-stream"
        )

    def _send(self, body: str, kind: str = "application/json") -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Trickster) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_an_answer_reaches_the_terminal_without_what_a_terminal_obeys(run: Run, url: str) -> None:
    told = run("chat", url, "--ask", "Hi")
    assert told.out.startswith("Hello]0;owned[2J31m,\n\tworld")


def test_scripts_get_the_answer_as_it_is(run: Run, url: str) -> None:
    told = run("chat", url, "--ask", "Hi", "--json")
    assert json.loads(told.out)["answer"] == f"Hello{TRICKS},\n\tworld"
    assert all(each.isprintable() or each == "\n" for each in told.out)
