"""An S3 of the tests' own, on loopback, that serves one object and misbehaves on demand.

    with FaultyS3(model) as s3:
        s3.plan = first(3, reset(after=1000))
        ...                                   # with s3.environment in os.environ
        assert s3.gets[0].range == (0, 2**20 - 1)

A *plan* looks at each request and returns a *fault*, or None for the proper answer. A *fault* answers in its own
way. Both are plain functions, so a test writes its own where none below serves.
"""

import base64
import os
import re
import socket
import struct
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from awscrt.checksums import crc64nvme

BUCKET = "models"
KEY = "tiny.gguf"
ACCESS_POINT = "arn:aws:s3:us-west-2:123456789012:accesspoint/reader"
"""Another name of the bucket."""
ACCESS_POINT_HOST = "reader-123456789012"
"""What a client that knows such names puts before the endpoint's."""


@dataclass(frozen=True)
class Request:
    """What a client sent.

    Attributes:
        method: HEAD, GET or PUT.
        range: first and last byte asked for, or None.
        version_id: as asked for, or None.
        headers: with names in lower case.
    """

    method: str
    range: tuple[int, int] | None
    version_id: str | None
    headers: dict[str, str]


@dataclass(frozen=True)
class Stored:
    """One version of the object: its bytes, and what is said of them."""

    body: bytes
    etag: str
    version_id: str | None
    headers: dict[str, str] = field(default_factory=dict)


class Exchange:
    """One request with its proper answer; a fault alters that answer and sends it, or something else."""

    def __init__(self, s3: "FaultyS3", handler: "_Handler", request: Request) -> None:
        self.s3 = s3
        self.request = request
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body: bytes | memoryview = b""
        self._handler = handler

    def prepare(self) -> None:
        """Work out what S3 would answer."""
        self.status = 200
        stored = self.s3.stored(self.request.version_id)
        if stored is None:
            return self.refuse(404, "NoSuchVersion", "The specified version does not exist.")
        wanted = self.request.headers.get("if-match")
        if wanted is not None and wanted != stored.etag:
            return self.refuse(412, "PreconditionFailed", "At least one of the pre-conditions did not hold")
        self.headers = {"ETag": stored.etag, "Accept-Ranges": "bytes"}
        if stored.version_id:
            self.headers["x-amz-version-id"] = stored.version_id
        if self.request.headers.get("x-amz-checksum-mode") == "ENABLED" and self.request.range is None:
            self.headers |= stored.headers
        self.body = memoryview(stored.body)
        if self.request.range is not None:
            start, last = self.request.range
            if start >= len(stored.body):
                return self.refuse(416, "InvalidRange", "The requested range is not satisfiable")
            self.status = 206
            self.body = self.body[start : last + 1]
            self.headers["Content-Range"] = f"bytes {start}-{start + len(self.body) - 1}/{len(stored.body)}"
        return None

    def refuse(self, status: int, code: str, message: str, **fields: str) -> None:
        """Make the answer an error in S3's form, with further fields."""
        named = {"Code": code, "Message": message} | fields
        inside = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in named.items())
        text = f"<?xml version='1.0'?><Error>{inside}</Error>"
        self.status, self.headers, self.body = status, {"Content-Type": "application/xml"}, text.encode()

    def send_head(self) -> None:
        """Send status and headers."""
        self._handler.send_response(self.status)
        headers = {"Content-Length": str(len(self.body))} | self.headers
        for name, value in headers.items():
            self._handler.send_header(name, value)
        self._handler.end_headers()

    def send_body(self, start: int = 0, end: int | None = None) -> None:
        """Send a part of the body; an answer to HEAD has none."""
        if self.request.method != "HEAD":
            self._handler.wfile.write(self.body[start:end])

    def send(self) -> None:
        """Send all of it."""
        self.send_head()
        self.send_body()

    def wait(self, seconds: float) -> bool:
        """Wait until the client has left or the time is over; True: the client is still there."""
        return not self._handler.client_left(seconds)

    def end(self) -> None:
        """Close the connection in order."""
        self._handler.close_connection = True

    def reset(self) -> None:
        """Break the connection: what is on its way is lost."""
        self.end()
        connection = self._handler.connection
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(connection.detach())


Fault = Callable[[Exchange], None]
Plan = Callable[[Request], Fault | None]


class FaultyS3:
    """A context manager: serves `body` as `uri` until it ends.

    Attributes:
        requests: everything that was asked, in order.
        plan: which request gets which fault.
        crashes: what went wrong in the server itself; empty unless a test is wrong.
    """

    def __init__(self, body: bytes = b"", *, versioned: bool = True, checksum: str | None = "FULL_OBJECT") -> None:
        self.uri = f"s3://{BUCKET}/{KEY}"
        self.requests: list[Request] = []
        self.crashes: list[BaseException] = []
        self.plan: Plan = lambda _: None
        self.at_work = 0
        self.idle = threading.Condition()
        self.lock = threading.Lock()
        self._versioned = versioned
        self._checksum = checksum
        self._versions: list[Stored] = []
        self.put(body)
        self._server = _Server(self)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), name="faulty-s3")

    @property
    def environment(self) -> dict[str, str]:
        """Variables that point an AWS client here."""
        return {
            "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{self.port}",
            "AWS_REGION": "eu-central-1",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }

    @property
    def newest(self) -> Stored:
        """The current version."""
        return self._versions[-1]

    @property
    def versions(self) -> list[Stored]:
        """All of them, the oldest first; a bucket without versions gives what it once held."""
        return self._versions

    @property
    def gets(self) -> list[Request]:
        """The requests for bytes."""
        return [request for request in self.requests if request.method == "GET"]

    def put(self, body: bytes) -> Stored:
        """Store another version; it takes the place of the older ones where the bucket keeps none."""
        checksum = base64.b64encode(crc64nvme(body).to_bytes(8)).decode()
        stored = Stored(
            body=body,
            etag=f'"{checksum}"',
            version_id=f"version-{len(self._versions) + 1}" if self._versioned else None,
            headers={"x-amz-checksum-crc64nvme": checksum, "x-amz-checksum-type": self._checksum}
            if self._checksum
            else {},
        )
        self._versions.append(stored)
        return stored

    def begin_anew(self, body: bytes, *, versioned: bool = True, checksum: str | None = "FULL_OBJECT") -> None:
        """Forget everything, as if just made, once the last request has been answered."""
        self.settle()
        self.requests, self.plan, self._versions = [], lambda _: None, []
        self._versioned, self._checksum = versioned, checksum
        self.put(body)

    def settle(self) -> None:
        """Wait until no request is being answered."""
        with self.idle:
            assert self.idle.wait_for(lambda: self.at_work == 0, timeout=30), "a request is never answered"

    def damage(self, position: int) -> None:
        """Flip a bit of the stored bytes; checksum and ETag stay."""
        stored = self.newest
        body = bytearray(stored.body)
        body[position] ^= 0x10
        self._versions[-1] = Stored(bytes(body), stored.etag, stored.version_id, stored.headers)

    def cut(self, size: int) -> None:
        """Lose the end of the stored bytes; checksum and ETag stay."""
        stored = self.newest
        self._versions[-1] = Stored(stored.body[:size], stored.etag, stored.version_id, stored.headers)

    def stored(self, version_id: str | None) -> Stored | None:
        """The version of that id, or the newest."""
        if version_id is None:
            return self.newest
        return next((stored for stored in self._versions if stored.version_id == version_id), None)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        # Waits for every handler, so that no thread of one test runs into the next.
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 64

    def __init__(self, s3: FaultyS3) -> None:
        self.s3 = s3
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - overridden
        error = sys.exception()
        if error is not None and not isinstance(error, ConnectionError):
            self.s3.crashes.append(error)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 5  # a client that forgets a connection shows up as a leftover, not as a test run that hangs
    disable_nagle_algorithm = True
    server: _Server

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - overridden
        pass

    def _answer(self) -> None:
        s3 = self.server.s3
        with s3.idle:
            s3.at_work += 1
        try:
            self._answer_it()
        finally:
            with s3.idle:
                s3.at_work -= 1
                s3.idle.notify_all()

    def _answer_it(self) -> None:
        s3 = self.server.s3
        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        headers = {name.lower(): value for name, value in self.headers.items()}
        ranged = re.fullmatch(r"bytes=(\d+)-(\d+)", headers.get("range", ""))
        request = Request(
            method=self.command,
            range=(int(ranged[1]), int(ranged[2])) if ranged else None,
            version_id=query.get("versionId", [None])[0],
            headers=headers,
        )
        with s3.lock:
            s3.requests.append(request)
            fault = s3.plan(request)
        exchange = Exchange(s3, self, request)
        path = unquote(parts.path)
        if headers.get("host", "").startswith(f"{ACCESS_POINT_HOST}."):
            path = f"/{BUCKET}{path}"
        if request.method == "PUT":
            exchange.refuse(501, "NotImplemented", "Uploads are only refused here.")
        elif path != f"/{BUCKET}/{KEY}":
            exchange.refuse(404, "NoSuchKey", "The specified key does not exist.")
        else:
            exchange.prepare()
        if fault:
            fault(exchange)
        else:
            exchange.send()

    def client_left(self, seconds: float) -> bool:
        self.connection.settimeout(seconds)
        try:
            return not self.connection.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            return False
        except OSError:
            return True
        finally:
            self.connection.settimeout(self.timeout)


# -- Plans ------------------------------------------------------------------------------------------


def is_part(request: Request) -> bool:
    """Whether it asks for something behind the beginning."""
    return request.range is not None and request.range[0] > 0


def first(count: int, fault: Fault, which: Callable[[Request], bool] = is_part) -> Plan:
    """`fault` for the first `count` requests that `which` picks."""
    left = count

    def plan(request: Request) -> Fault | None:
        nonlocal left
        if left and which(request):
            left -= 1
            return fault
        return None

    return plan


def always(fault: Fault, which: Callable[[Request], bool] = is_part) -> Plan:
    """`fault` for every request that `which` picks."""
    return lambda request: fault if which(request) else None


def after(count: int, fault: Fault, which: Callable[[Request], bool] = is_part) -> Plan:
    """`fault` for every request that `which` picks but the first `count`."""
    seen = 0

    def plan(request: Request) -> Fault | None:
        nonlocal seen
        seen += which(request)
        return fault if which(request) and seen > count else None

    return plan


# -- Faults -----------------------------------------------------------------------------------------


def refuse(status: int, code: str, message: str = "", headers: Mapping[str, str] | None = None, **fields: str) -> Fault:
    """An error in S3's form, with further fields and headers."""

    def fault(exchange: Exchange) -> None:
        exchange.refuse(status, code, message, **fields)
        exchange.headers |= headers or {}
        exchange.send()

    return fault


SLOW_DOWN = refuse(503, "SlowDown", "Please reduce your request rate.")


def say(**headers: str) -> Fault:
    """The proper answer but for some headers, `_` standing for `-`."""

    def fault(exchange: Exchange) -> None:
        exchange.headers |= {name.replace("_", "-"): value for name, value in headers.items()}
        exchange.send()

    return fault


def whole(exchange: Exchange) -> None:
    """The whole object whatever range was asked for, as HTTP allows."""
    if exchange.status == 206:
        stored = exchange.s3.stored(exchange.request.version_id)
        assert stored is not None
        exchange.status, exchange.body = 200, stored.body
        del exchange.headers["Content-Range"]
    exchange.send()


def shifted(exchange: Exchange) -> None:
    """As many bytes as were asked for, but others, and the header says so."""
    start, last = exchange.request.range or (0, 0)
    stored = exchange.s3.newest.body
    exchange.body = stored[start - 1 : last]
    exchange.headers["Content-Range"] = f"bytes {start - 1}-{last - 1}/{len(stored)}"
    exchange.send()


def reset(after: int) -> Fault:
    """The connection breaks after so many bytes."""

    def fault(exchange: Exchange) -> None:
        exchange.send_head()
        exchange.send_body(0, after)
        # What is still in the client's buffer when the connection breaks is lost too; let it take some first.
        exchange.wait(0.01)
        exchange.reset()

    return fault


def hang_up(exchange: Exchange) -> None:
    """The connection is closed without any answer."""
    exchange.end()


def shorten(after: int) -> Fault:
    """The connection is closed in order after fewer bytes than Content-Length announces."""

    def fault(exchange: Exchange) -> None:
        exchange.send_head()
        exchange.send_body(0, after)
        exchange.end()

    return fault


def announce_less(count: int) -> Fault:
    """Content-Range as asked for, but Content-Length and body are shorter."""

    def fault(exchange: Exchange) -> None:
        exchange.body = exchange.body[:count]
        exchange.send()

    return fault


def stall(exchange: Exchange) -> None:
    """The request is taken and nothing ever comes."""
    exchange.wait(20)
    exchange.end()


def stall_after(count: int) -> Fault:
    """So many bytes come, then nothing more."""

    def fault(exchange: Exchange) -> None:
        exchange.send_head()
        exchange.send_body(0, count)
        exchange.wait(20)
        exchange.end()

    return fault


def drip(count: int, seconds: float) -> Fault:
    """`count` bytes come every so many seconds: never silent, never done."""

    def fault(exchange: Exchange) -> None:
        exchange.send_head()
        for start in range(0, len(exchange.body), count):
            exchange.send_body(start, start + count)
            if not exchange.wait(seconds):
                break
        exchange.end()

    return fault


def flip(position: int) -> Fault:
    """A bit of the object is flipped on the way, in an answer that holds this position."""

    def fault(exchange: Exchange) -> None:
        start, last = exchange.request.range or (0, len(exchange.body) - 1)
        if start <= position <= last:
            body = bytearray(exchange.body)
            body[position - start] ^= 1
            exchange.body = bytes(body)
        exchange.send()

    return fault


def then(action: Callable[[FaultyS3], object]) -> Fault:
    """Something happens to the object before the request is looked at."""

    def fault(exchange: Exchange) -> None:
        action(exchange.s3)
        exchange.prepare()
        exchange.send()

    return fault


def repeat(position: int) -> Fault:
    """From `position` of the answer on, what came before comes again in the place of the rest."""

    def fault(exchange: Exchange) -> None:
        body = bytes(exchange.body)
        exchange.body = (body[:position] * (1 + len(body) // max(position, 1)))[: len(body)] if position else body
        exchange.send()

    return fault


def more(count: int) -> Fault:
    """The body goes on behind its end, into what the client takes for the next answer."""

    def fault(exchange: Exchange) -> None:
        exchange.send()
        if exchange.request.method != "HEAD":
            exchange.send_body(0, count)

    return fault


def late(seconds: float) -> Fault:
    """The proper answer, after a while."""

    def fault(exchange: Exchange) -> None:
        exchange.wait(seconds)
        exchange.send()

    return fault


def without_checksum(exchange: Exchange) -> None:
    """The proper answer but for the checksum, as of an object from before S3 kept any."""
    for name in ("x-amz-checksum-crc64nvme", "x-amz-checksum-type"):
        exchange.headers.pop(name, None)
    exchange.send()
