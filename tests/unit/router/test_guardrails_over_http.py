"""Guardrails as clients meet them: real clients in front, servers and a guardrail on loopback behind."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from starlette.responses import JSONResponse

from support.budgets import Book
from support.event_streams import SSE, Answer, AnsweringServer, answering
from support.guardrails import Guard, guarding
from support.routing import BODY, MESSAGES, STREAM, USAGE, WHOLE, Routing, configuration, delta, routing, sse
from support.servers import until

WORDS = [f"word{number} " for number in range(400)]
BLOCKED = Answer(sse(*(delta(word) for word in [*WORDS, "bomb", *WORDS]), USAGE), headers=SSE)
"""About 6,000 characters, of which the guardrail blocks something in the middle."""


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "unused")
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)


@contextmanager
def guarded(folder: Path, book: Book, *answers: Answer) -> Iterator[tuple[Routing, AnsweringServer, Guard]]:
    with guarding("bomb") as guard, answering(*answers) as server:
        given = configuration(server.url)
        entry = {"id": "abc123", "version": "1", "region": "eu-central-1", "url": guard.url}
        given |= {"guardrails": {"safe": entry}}
        given["models"]["chat"]["guardrail"] = "safe"
        with routing(folder, given, book) as router:
            yield router, server, guard


def client(router: Routing) -> openai.OpenAI:
    http = router.client()
    return openai.OpenAI(base_url=f"{router.url}/v1", api_key="unused", http_client=http, max_retries=0)


@pytest.mark.parametrize("stream", [True, False])
def test_a_blocked_question_has_a_status_and_costs_nothing(tmp_path: Path, *, stream: bool) -> None:
    book = Book()
    with guarded(tmp_path, book, STREAM) as (router, server, _), client(router) as asking:
        with pytest.raises(openai.BadRequestError) as refused:
            asking.chat.completions.create(
                model="chat", messages=[{"role": "user", "content": "a bomb"}], stream=stream
            )
        assert refused.value.code == "content_filter"
        assert "The guardrail 'safe' blocked the request by its wordPolicy." in str(refused.value)
        assert server.asked == []
    assert (book.charged, book.held) == ({}, {})


def test_a_picture_is_refused_by_its_name(tmp_path: Path) -> None:
    part = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    with guarded(tmp_path, Book(), STREAM) as (router, server, guard), router.client() as asking:
        answer = asking.post("/v1/chat/completions", json=BODY | {"messages": [{"role": "user", "content": [part]}]})
        assert (answer.status_code, server.asked, guard.texts) == (400, [], [])


@pytest.mark.parametrize("stream", [True, False])
def test_what_is_not_blocked_comes_as_without_a_guardrail(tmp_path: Path, *, stream: bool) -> None:
    book = Book()
    with guarded(tmp_path, book, STREAM if stream else WHOLE) as (router, _, guard), client(router) as asking:
        if stream:
            chunks = list(asking.chat.completions.create(model="chat", messages=MESSAGES, stream=True))
            assert [chunk.choices[0].delta.content for chunk in chunks] == ["Hel", "lo"]
        else:
            answer = asking.chat.completions.create(model="chat", messages=MESSAGES)
            assert answer.choices[0].message.content == "Hello"
        assert (guard.texts, guard.sources) == (["Hello", "Hello"], ["INPUT", "OUTPUT"])
        until(lambda: book.charged)
    assert [amount.tokens for _, amount in book.charged.values()] == [9]


def test_a_blocked_stream_ends_with_an_error_event_before_what_is_blocked(tmp_path: Path) -> None:
    """What came before is whole; the tenant pays for what the backend did until then."""
    book = Book()
    with guarded(tmp_path, book, BLOCKED) as (router, _, guard), router.client() as asking:
        answer = asking.post("/v1/chat/completions", json=BODY | {"stream": True})
        until(lambda: book.charged)
    events: list[Any] = [json.loads(line.partition("data: ")[2]) for line in answer.text.strip().split("\n\n")]
    came = "".join(each["choices"][0]["delta"]["content"] for each in events[:-1])
    assert answer.status_code == 200
    assert "".join(WORDS).startswith(came)
    assert len("".join(WORDS)) - len(came) < 1000
    assert (events[-1]["error"]["code"], "bomb" in answer.text) == ("content_filter", False)
    assert len(guard.texts) > 3
    assert not book.held


def test_a_guardrail_that_fails_is_no_fault_of_the_request(tmp_path: Path) -> None:
    book = Book()
    with guarded(tmp_path, book, STREAM) as (router, server, guard), client(router) as asking:
        guard.instead = JSONResponse({}, 403, {"x-amzn-errortype": "AccessDeniedException"})
        with pytest.raises(
            openai.InternalServerError, match="The guardrail 'safe' did not check the request"
        ) as failed:
            asking.chat.completions.create(model="chat", messages=MESSAGES)
        assert (failed.value.status_code, server.asked) == (503, [])
    assert (book.charged, book.held) == ({}, {})
