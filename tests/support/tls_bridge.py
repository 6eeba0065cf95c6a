"""A port without TLS that leads to one with it, for programs that trust no certificate authority of a test's own."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from socketserver import BaseRequestHandler, ThreadingTCPServer
from urllib.parse import urlsplit


@contextmanager
def bridged(url: str, authority: str) -> Iterator[str]:
    """Carry bytes to and from a server with TLS as they are, signatures and the host's name included.

    Args:
        url: of the server.
        authority: file with the certificate of its authority.

    Yields:
        The address without TLS.
    """
    there = urlsplit(url)
    context = ssl.create_default_context(cafile=authority)

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            with (
                suppress(OSError),
                socket.create_connection((there.hostname, there.port)) as plain,
                context.wrap_socket(plain, server_hostname=there.hostname) as tls,
            ):
                back = threading.Thread(target=_carry, args=(tls, self.request), daemon=True)
                back.start()
                _carry(self.request, tls)
                back.join()

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def _carry(source: socket.socket, target: socket.socket) -> None:
    """Until one of both ends; then neither has anything more to say."""
    with suppress(OSError):
        while content := source.recv(65536):
            target.sendall(content)
    for one in (source, target):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
