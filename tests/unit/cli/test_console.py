"""What commands share: the socket that they listen on."""

import socket

from lambda_llm.cli.console import listening


def test_a_connection_sends_the_second_segment_of_a_response_at_once() -> None:
    with listening("127.0.0.1", 0) as (bound, _), socket.create_connection(bound.getsockname()):
        accepted, _ = bound.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
