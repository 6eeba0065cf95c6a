"""Route Function URLs and REST APIs to the local AWS: a proxy for HTTPS_PROXY, so that clients need no change."""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

ROUTED: Final = re.compile(r"[a-z0-9]+\.(lambda-url\.[a-z0-9-]+\.on\.aws|execute-api\.[a-z0-9-]+\.amazonaws\.com):443")
PIECE_BYTES: Final = 64 * 1024


@contextmanager
def function_url_proxy(port: int) -> Iterator[str]:
    """Run the proxy while the context lasts.

    Args:
        port: of the local AWS on loopback.

    Yields:
        Its URL.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            if not ROUTED.fullmatch(self.path):
                what = "it serves Function URLs and REST APIs only"
                self.send_error(403, f"The local AWS has no route to {self.path}: {what}")
                return
            with closing(socket.create_connection(("127.0.0.1", port))) as upstream:
                self.send_response(200)
                self.end_headers()
                back = threading.Thread(target=_copy, args=(upstream, self.connection))
                back.start()
                _copy(self.connection, upstream)
                back.join()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def _copy(from_: socket.socket, to: socket.socket) -> None:
    with suppress(OSError):
        while piece := from_.recv(PIECE_BYTES):
            to.sendall(piece)
    with suppress(OSError):
        to.shutdown(socket.SHUT_WR)
