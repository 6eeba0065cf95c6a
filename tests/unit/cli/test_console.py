"""What commands share: the socket that they listen on, and URLs that are none."""

import socket

import pytest
import typer

from lambda_llm.cli.console import check_url, listening


def test_a_connection_sends_the_second_segment_of_a_response_at_once() -> None:
    with listening("127.0.0.1", 0) as (bound, _), socket.create_connection(bound.getsockname()):
        accepted, _ = bound.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize(
    "url", ["abc.lambda-url.us-east-1.on.aws", "ftp://127.0.0.1", "https://", "http://[::", "", " "]
)
def test_what_is_no_url_is_a_usage_error(url: str) -> None:
    with pytest.raises(typer.BadParameter, match="is not a URL: give the Function URL"):
        check_url(url)


def test_urls_of_both_kinds_are_taken() -> None:
    check_url("https://abc.lambda-url.us-east-1.on.aws/")
    check_url("http://127.0.0.1:8080/v1")
