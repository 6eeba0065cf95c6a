"""A server on loopback whose answers are written piece by piece, with AWS's event streams and their faults.

with answering(Answer([event("messageStart", {"role": "assistant"}), CUT])) as server:
    ...                                   # asks server.url
    assert server.asked[0].path == "/model/m/converse-stream"
"""

import base64
import json
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from zlib import crc32

GUARD_SECONDS: Final = 60


class Fault(Enum):
    CUT = "the connection ends without the last chunk"
    SILENCE = "nothing comes until the client has left"


CUT, SILENCE = Fault.CUT, Fault.SILENCE
EVENT_STREAM: Final = {"content-type": "application/vnd.amazon.eventstream"}
SSE: Final = {"content-type": "text/event-stream"}
JSON: Final = {"content-type": "application/json"}


@dataclass
class Answer:
    pieces: Sequence[bytes | Fault]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: EVENT_STREAM)


@dataclass
class Asked:
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class AnsweringServer:
    """`asked` is what came; `left` is set once a client ended its connection during a `SILENCE`."""

    url: str
    asked: list[Asked]
    left: threading.Event


@contextmanager
def answering(*answers: Answer) -> Iterator[AnsweringServer]:
    """Serve answers in turn; the last one is repeated."""
    waiting = list(answers)
    running = AnsweringServer("", [], threading.Event())

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            running.asked.append(Asked(self.path, headers, body))
            answer = waiting.pop(0) if len(waiting) > 1 else waiting[0]
            self.send_response(answer.status)
            for name, value in {**answer.headers, "transfer-encoding": "chunked"}.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                self.written(answer.pieces)
            except ConnectionError:
                self.close_connection = True
                running.left.set()

        def written(self, pieces: Sequence[bytes | Fault]) -> None:
            for piece in pieces:
                if isinstance(piece, bytes):
                    self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                    continue
                self.close_connection = True
                if piece is SILENCE:
                    self.connection.settimeout(GUARD_SECONDS)
                    if self.connection.recv(1) == b"":
                        running.left.set()
                return
            self.wfile.write(b"0\r\n\r\n")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    running.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield running
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One message of an event stream.

    Source: https://docs.aws.amazon.com/lexv2/latest/dg/event-stream-encoding.html
    """
    head = b"".join(
        struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", 7, len(text)) + text.encode()
        for name, text in headers.items()
    )
    prelude = struct.pack("!II", 16 + len(head) + len(payload), len(head))
    message = prelude + struct.pack("!I", crc32(prelude)) + head + payload
    return message + struct.pack("!I", crc32(message))


def event(name: str, value: Any) -> bytes:
    """An event whose fields are JSON, or whose payload is bytes."""
    kind = "application/octet-stream" if isinstance(value, bytes) else "application/json"
    headers = {":event-type": name, ":content-type": kind, ":message-type": "event"}
    return frame(headers, value if isinstance(value, bytes) else json.dumps(wire(value)).encode())


def exception(name: str, value: Any) -> bytes:
    headers = {":exception-type": name, ":content-type": "application/json", ":message-type": "exception"}
    return frame(headers, json.dumps(wire(value)).encode())


def error(code: str) -> bytes:
    """A failure that the service's model does not have."""
    return frame({":error-code": code, ":error-message": "so it is", ":message-type": "error"}, b"")


def cut(content: bytes, size: int) -> list[bytes]:
    """The same bytes in pieces."""
    return [content[start : start + size] for start in range(0, len(content), size)]


def wire(value: Any) -> Any:
    """A value as JSON has it: bytes are base64."""
    if isinstance(value, dict):
        return {name: wire(each) for name, each in value.items()}
    if isinstance(value, list):
        return [wire(each) for each in value]
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value
