"""Credentials as Lambda gives them under SnapStart: by HTTP, on request; and a look for them in another process."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

SECRET = "a-secret-key-that-is-nowhere-else-40-long"  # noqa: S105 - nobody's
AUTHORIZATION = "authorization-that-stays-in-the-environment"


@contextmanager
def container_credentials(key_id: str) -> Iterator[dict[str, str]]:
    """Variables with which botocore asks here for the key of this id and the secret `SECRET`.

    Source: https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
    """
    given = {
        "AccessKeyId": key_id,
        "SecretAccessKey": SECRET,
        "Token": "token",
        "Expiration": "2099-01-01T00:00:00Z",
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(given).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield {
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{server.server_port}/",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN": AUTHORIZATION,
            }
        finally:
            server.shutdown()
            thread.join()


def in_memory(process: int, text: str) -> bool:
    """Whether what a process has written to its memory holds `text`."""
    with Path(f"/proc/{process}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{process}/maps").read_text().splitlines():
            addresses, permissions = line.split()[:2]
            start, end = (int(address, 16) for address in addresses.split("-"))
            if permissions == "rw-p":
                memory.seek(start)
                with suppress(OSError):  # it may have been given back meanwhile
                    if text.encode() in memory.read(end - start):
                        return True
    return False
