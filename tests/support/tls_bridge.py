"""A port without TLS that leads to one with it, for programs that trust no certificate authority of a test's own."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from support.servers import LIMIT_SECONDS


@contextmanager
def bridged(url: str, authority: str) -> Iterator[str]:
    """Carry requests to a server with TLS as they are, signatures and the host's name included.

    Args:
        url: of the server.
        authority: file with the certificate of its authority.

    Yields:
        The address without TLS.
    """
    there = urlsplit(url).netloc
    context = ssl.create_default_context(cafile=authority)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            with closing(HTTPSConnection(there, context=context, timeout=LIMIT_SECONDS)) as connection:
                connection.request("POST", self.path, body, dict(self.headers.items()))
                answer = connection.getresponse()
                content = answer.read()
            self.send_response_only(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in {"content-length", "transfer-encoding", "connection"}:
                    self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
