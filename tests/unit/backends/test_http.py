"""One attempt at a time, bounded in time and size, its failures told by kind."""

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from botocore.credentials import Credentials

from lambda_llm.aws.errors import CredentialsError
from lambda_llm.aws.signing import SigV4Auth
from lambda_llm.backends import http
from lambda_llm.backends.contract import opened
from lambda_llm.backends.errors import BackendError, Kind
from lambda_llm.backends.http import HTTP, seconds_of
from lambda_llm.backends.openai_http import OpenAIHTTP
from support.backends import REGION, answered, asking, chunks, failure
from support.event_streams import CUT, JSON, SILENCE, SSE, Answer, Fault, answering

EVENT = b'data: {"choices": []}\n\n'
STATUSES = {
    400: Kind.INVALID,
    401: Kind.FORBIDDEN,
    402: Kind.FORBIDDEN,
    403: Kind.FORBIDDEN,
    404: Kind.NOT_FOUND,
    408: Kind.TIMEOUT,
    409: Kind.UNAVAILABLE,
    413: Kind.TOO_LONG,
    422: Kind.INVALID,
    424: Kind.UNAVAILABLE,
    429: Kind.THROTTLED,
    500: Kind.UNAVAILABLE,
    502: Kind.UNAVAILABLE,
    503: Kind.UNAVAILABLE,
    504: Kind.TIMEOUT,
    529: Kind.UNAVAILABLE,
}


class Slowly(list[bytes | Fault]):
    """Pieces with a pause before each."""

    def __iter__(self) -> Iterator[bytes | Fault]:
        for piece in super().__iter__():
            time.sleep(0.2)
            yield piece


def backend(url: str, **more: Any) -> OpenAIHTTP:
    return OpenAIHTTP("b", url, "m", **more)


@pytest.mark.parametrize(("status", "kind"), STATUSES.items())
async def test_a_status_has_its_kind(status: int, kind: Kind) -> None:
    with answering(Answer([b'{"error": {"message": "You said: Hello", "code": "a_code"}}'], status, JSON)) as server:
        failed = await failure(backend(server.url), asking())
    assert (failed.kind, failed.started, len(server.asked)) == (kind, False, 1)
    assert str(failed) == f"The backend 'b' refused the request with status {status} (a_code)."


REFUSALS: list[tuple[Any, Kind, str | None, str]] = [
    ({"error": {"message": "x", "code": None, "type": "a_type", "param": "stop"}}, Kind.INVALID, "stop", " (a_type)"),
    ({"error": {"message": "x", "code": "context_length_exceeded", "param": "messages"}}, Kind.TOO_LONG, None, ""),
    ({"error": {"message": "prompt is too long: 9 tokens > 8 maximum"}}, Kind.TOO_LONG, None, ""),
    ({"__type": "ValidationException", "message": "x"}, Kind.INVALID, None, " (ValidationException)"),
    ({"error": {"message": "x", "code": "You said: Hello", "param": ["x"]}}, Kind.INVALID, None, ""),
    ({"error": "x"}, Kind.INVALID, None, ""),
    ([], Kind.INVALID, None, ""),
    ("x" * 100_000, Kind.INVALID, None, ""),
]


@pytest.mark.parametrize(("content", "kind", "param", "about"), REFUSALS)
async def test_a_refusal_is_told_without_its_words(content: Any, kind: Kind, param: str | None, about: str) -> None:
    with answering(Answer([json.dumps(content).encode()], 400, JSON)) as server:
        failed = await failure(backend(server.url), asking())
    assert (failed.kind, failed.param) == (kind, param)
    assert about in str(failed)
    assert "Hello" not in str(failed)


def test_when_to_come_again() -> None:
    assert [seconds_of(text) for text in ("7", " 0 ", None, "", "soon", "-1", "1.5", "٣")] == [7, 0, *[None] * 6]
    later = seconds_of(format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True))
    assert later is not None
    assert 3500 < later <= 3600
    assert seconds_of(format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True)) == 0


async def test_the_deadline_ends_a_silence_before_and_within_the_answer() -> None:
    for before, started in (([], False), ([EVENT], True)):
        with answering(Answer([*before, SILENCE], headers=SSE)) as server:
            failed = await failure(backend(server.url), asking(stream=True, seconds=0.3))
            assert server.left.wait(60)
        assert (failed.kind, failed.started) == (Kind.TIMEOUT, started)


async def test_a_stream_that_falls_silent_is_given_up_before_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "SILENCE_SECONDS", 0.05)
    with answering(Answer([EVENT, SILENCE], headers=SSE)) as server:
        failed = await failure(backend(server.url), asking(stream=True))
        assert server.left.wait(60)
    assert (failed.kind, failed.started) == (Kind.TIMEOUT, True)


async def test_an_answer_in_one_piece_may_take_until_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server computes all of it before it says anything: no silence is too long."""
    monkeypatch.setattr(http, "SILENCE_SECONDS", 0.05)
    with answering(Answer(Slowly([b'{"choices"', b": []}"]), headers=JSON)) as server:
        assert await answered(backend(server.url), asking()) == [{"choices": []}]


async def test_a_deadline_that_comes_while_the_answer_is_used_is_told_at_the_next_read() -> None:
    """And cancels nothing of what the reader does meanwhile."""
    uses = 0

    async def used(asked: OpenAIHTTP) -> None:
        nonlocal uses
        async with opened(asked, asking(stream=True, seconds=0.2)) as answer:
            async for _ in answer:
                await asyncio.sleep(0.4)
                uses += 1

    with answering(Answer([EVENT, SILENCE], headers=SSE)) as server:
        asked = backend(server.url)
        with pytest.raises(BackendError) as failed:
            await used(asked)
        await asked.close()
    assert (failed.value.kind, failed.value.started, uses) == (Kind.TIMEOUT, True, 1)


async def test_after_the_deadline_nothing_is_asked() -> None:
    with answering(Answer([b"{}"], headers=JSON)) as server:
        assert (await failure(backend(server.url), asking(seconds=-1))).kind is Kind.TIMEOUT
    assert server.asked == []


async def test_a_server_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    failed = await failure(backend(f"http://127.0.0.1:{port}"), asking())
    assert (failed.kind, failed.started) == (Kind.UNAVAILABLE, False)
    assert str(failed) == "The connection to the backend 'b' failed (ConnectError)."


async def test_a_connection_that_breaks() -> None:
    for before, started in (([], False), ([EVENT], True)):
        with answering(Answer([*before, CUT], headers=SSE)) as server:
            failed = await failure(backend(server.url), asking(stream=True))
        assert (failed.kind, failed.started) == (Kind.UNAVAILABLE, started)


async def test_leaving_early_ends_the_connection() -> None:
    with answering(Answer([EVENT, SILENCE], headers=SSE)) as server:
        asked = backend(server.url)
        async with opened(asked, asking(stream=True)) as answer:
            await anext(answer)
        assert server.left.wait(60)
        await asked.close()


async def test_an_answer_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "ANSWER_BYTES_MAX", 10)
    with answering(Answer([b'{"a": 1}', b"     "], headers=JSON)) as server:
        failed = await failure(backend(server.url), asking())
    assert (failed.kind, str(failed)) == (Kind.BROKEN, "The answer of the backend 'b' is longer than 10 bytes.")


async def test_credentials_that_have_expired_are_told_as_such() -> None:
    class Expired(Credentials):
        def get_frozen_credentials(self) -> Any:
            raise ValueError("the login has ended")

    auth = SigV4Auth("lambda", REGION, lambda: Expired("a", "b"))
    failed = await failure(backend("http://127.0.0.1:9", auth=auth), asking())
    assert failed.kind is Kind.FORBIDDEN
    assert isinstance(failed.__cause__, CredentialsError)


async def test_a_service_may_know_more_of_a_refusal() -> None:
    def known(status: int, headers: Any, content: bytes) -> BackendError | None:
        assert (status, headers["x-a"], content) == (400, "b", b"{}")
        return BackendError(Kind.WAKING, "It wakes.")

    with answering(Answer([b"{}"], 400, {**JSON, "X-A": "b"})) as server:
        asked = HTTP("b", server.url, refusal=known)
        with pytest.raises(BackendError, match=r"^It wakes\.$"):
            async with asked.post(asking(), "/", b"{}"):
                pass
        await asked.close()


async def test_the_next_request_after_closing_connects_again() -> None:
    with answering(Answer([b'{"a": 1}'], headers=JSON)) as server:
        asked = backend(server.url)
        given = [(await chunks(asked, asking()))[0].data for _ in range(2)]
    assert given == [b'{"a":1}'] * 2
    assert [asked.headers["x-request-id"] for asked in server.asked] == ["an-id"] * 2
