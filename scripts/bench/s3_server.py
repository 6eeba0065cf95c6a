"""An S3 server for benchmarks, on loopback: GET and HEAD of files, verified signatures, zero-copy bodies.

    python s3_server.py FOLDER [--bytes-per-second N] [--latency SECONDS]

serves `FOLDER/BUCKET/KEY` and prints its port. Each request must carry a valid AWS Signature Version 4 of the
credentials `KEY_ID` and `SECRET`: botocore recomputes it from the request. `sendfile` copies bodies from the page
cache to the socket. One token bucket for all connections and a delay before each response emulate a network.

`GET /-/requests` returns the number of requests since its last call.
"""

import argparse
import base64
import os
import re
import threading
import time
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from awscrt.checksums import crc64nvme
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

KEY_ID: Final = "AKIAIOSFODNN7EXAMPLE"
SECRET: Final = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"  # noqa: S105 - the example of AWS's documentation
REGION: Final = "eu-central-1"

CHUNK_BYTES: Final = 256 * 1024
"""Granularity of the token bucket."""

BURST_SECONDS: Final = 0.005
"""Depth of the token bucket: what was not sent for this long may be sent at once, so late wake-ups cost nothing."""


class Network:
    """A token bucket that all connections share; a rate of 0 means no limit."""

    def __init__(self, bytes_per_second: float, latency: float) -> None:
        self.limited = bytes_per_second > 0
        self._rate = bytes_per_second
        self._latency = latency
        self._lock = threading.Lock()
        self._free_at = 0.0

    def delay(self) -> None:
        """Wait for the network latency of a request and its response."""
        if self._latency:
            time.sleep(self._latency)

    def take(self, count: int) -> None:
        """Wait until `count` bytes may be sent."""
        with self._lock:
            now = time.monotonic()
            begin = max(self._free_at, now - BURST_SECONDS)
            self._free_at = begin + count / self._rate
        if begin > now:
            time.sleep(begin - now)


class Server(ThreadingHTTPServer):
    """Serves files below a folder."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, folder: Path, network: Network) -> None:
        self.folder = folder
        self.network = network
        self.requests = 0
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 64 * 1024  # a response's headers fit one packet
    server: Server

    def do_HEAD(self) -> None:
        """Describe an object."""
        self._respond()

    def do_GET(self) -> None:
        """Send an object, or a range of it."""
        if self.path == "/-/requests":
            with self.server.lock:
                count, self.server.requests = self.server.requests, 0
            self._send(200, {}, str(count).encode())
        else:
            self._respond()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - overridden
        """Log nothing."""

    def _respond(self) -> None:
        with self.server.lock:
            self.server.requests += 1
        self.server.network.delay()
        path = self.server.folder / unquote(urlsplit(self.path).path).lstrip("/")
        if not signed(self.command, self.path, {name.lower(): value for name, value in self.headers.items()}):
            return self._refuse(403, "SignatureDoesNotMatch")
        if not path.is_file():
            return self._refuse(404, "NoSuchKey")
        size, checksum = path.stat().st_size, stored_checksum(path)
        headers = {"ETag": f'"{checksum}"', "Accept-Ranges": "bytes", "Last-Modified": self.date_time_string(0)}
        if self.headers.get("If-Match", headers["ETag"]) != headers["ETag"]:
            return self._refuse(412, "PreconditionFailed")
        ranged = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if ranged is None:
            if self.headers.get("x-amz-checksum-mode") == "ENABLED":
                headers |= {"x-amz-checksum-crc64nvme": checksum, "x-amz-checksum-type": "FULL_OBJECT"}
            return self._send_file(200, headers, path, 0, size)
        start = int(ranged[1])
        end = min(int(ranged[2] or size) + 1, size)
        if start >= size:
            return self._refuse(416, "InvalidRange")
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        return self._send_file(206, headers, path, start, end)

    def _refuse(self, status: int, code: str) -> None:
        text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message></Message></Error>"
        self._send(status, {"Content-Type": "application/xml"}, text.encode())

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self._send_head(status, headers, len(body))
        if self.command != "HEAD":
            self.wfile.write(body)

    def _send_head(self, status: int, headers: dict[str, str], length: int) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(length)} | headers).items():
            self.send_header(name, value)
        self.end_headers()

    def _send_file(self, status: int, headers: dict[str, str], path: Path, start: int, end: int) -> None:
        self._send_head(status, headers, end - start)
        self.wfile.flush()
        if self.command == "HEAD":
            return
        network = self.server.network
        with path.open("rb", buffering=0) as file:
            while start < end:
                count = end - start
                if network.limited:
                    count = min(count, CHUNK_BYTES)
                    network.take(count)
                sent = os.sendfile(self.connection.fileno(), file.fileno(), start, count)
                if sent == 0:
                    break
                start += sent

    def handle(self) -> None:
        """See the base class; a client that disconnects is no error."""
        try:
            super().handle()
        except ConnectionError:
            self.close_connection = True


def signed(method: str, path: str, headers: dict[str, str]) -> bool:
    """Return whether a request, with header names in lower case, has a valid signature in `authorization`."""
    found = re.fullmatch(
        rf"AWS4-HMAC-SHA256 Credential={KEY_ID}/\d+/[^/]+/s3/aws4_request, ?SignedHeaders=([^,]+), ?Signature=(\w+)",
        headers.get("authorization", ""),
    )
    if found is None:
        return False
    covered = {name: value for name, value in headers.items() if name in found[1].split(";")}
    request = AWSRequest(method, f"http://{headers['host']}{path}", headers=covered)
    request.context["timestamp"] = covered.get("x-amz-date", "")
    auth = S3SigV4Auth(Credentials(KEY_ID, SECRET), "s3", headers["authorization"].split("/")[2])
    return bool(auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request) == found[2])


@cache
def stored_checksum(path: Path) -> str:
    """Return the CRC64NVME of a file in S3's format, computed once; it is also the ETag."""
    crc = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            crc = crc64nvme(chunk, crc)
    return base64.b64encode(crc.to_bytes(8)).decode()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="contains a folder for each bucket")
    parser.add_argument("--bytes-per-second", type=float, default=0, help="for all connections together; 0: no limit")
    parser.add_argument("--latency", type=float, default=0, metavar="SECONDS", help="delay before each response")
    given = parser.parse_args()
    for path in given.folder.glob("*/*"):
        stored_checksum(path)
    with Server(given.folder, Network(given.bytes_per_second, given.latency)) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
