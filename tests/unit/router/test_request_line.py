"""One line for each request, however it ends: asked over HTTP, answered by servers on loopback."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from lambda_llm.telemetry.lines import ROUTER_REQUEST
from support.budgets import Book
from support.event_streams import CUT, SILENCE, SSE, Answer, answering
from support.routing import BODY, STREAM, THROTTLED, WHOLE, Routing, configuration, delta, role, routing, sse
from support.written_lines import Written, metrics

PROMPT = "what nobody may log"


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Written]:
    written = Written(capsys)
    yield written
    assert PROMPT not in written.text


@contextlib.contextmanager
def router(
    folder: Path, *urls: str, book: Book | None = None, hedge: float | None = None, **tenant: Any
) -> Iterator[Routing]:
    given = configuration(*urls, **tenant)
    if hedge is not None:
        given["models"]["chat"]["hedge_seconds"] = hedge
    with routing(folder, given, book or Book(), lines=True) as made:
        yield made


def ask(made: Routing, path: str = "/v1/chat/completions", headers: dict[str, str] | None = None, **body: Any) -> Any:
    message = {"role": "user", "content": PROMPT}
    with made.client() as client:
        return client.post(path, json={**BODY, "messages": [message], **body}, headers=headers or {})


def like(line: dict[str, Any], **expected: Any) -> None:
    assert {name: line.get(name) for name in expected} == expected


def test_a_stream_says_what_it_took(tmp_path: Path, lines: Written) -> None:
    with answering(STREAM) as server, router(tmp_path, server.url, month={"dollars": 0.001}) as made:
        ask(made, stream=True, headers={"X-Lambda-LLM-Application": "night-shift"})
        line = lines.one(ROUTER_REQUEST)
    like(line, status=200, error=None, operation="/v1/chat/completions", stream=True, model="chat", tenant="acme")
    like(line, backend="backend-0", backend_kind="openai_http", attempts="backend-0", application="night-shift")
    like(line, Errors=0, InputTokens=7, CachedTokens=0, OutputTokens=2, Fallbacks=0, Dollars=17e-6, level="INFO")
    like(line, budget_window="month", BudgetUsed=pytest.approx(1.7))
    assert 0 < line["FirstTokenSeconds"] <= line["seconds"]
    assert metrics(line) == {name for each in ROUTER_REQUEST.directives for name in each.metrics}


def test_a_whole_answer_after_another_backend_s_failure(tmp_path: Path, lines: Written) -> None:
    """Who signed it is what sent it, where it does not say; an answer in a piece has no first token to time."""
    with answering(THROTTLED) as full, answering(WHOLE) as server, router(tmp_path, full.url, server.url) as made:
        ask(made, headers={"X-Lambda-LLM-Application": "no name {"})
        line = lines.one(ROUTER_REQUEST)
    like(line, backend="backend-1", attempts="backend-0=throttled, backend-1", Fallbacks=1, application=role("alice"))
    like(line, stream=False, Errors=0, OutputTokens=2, FirstTokenSeconds=None, BudgetUsed=None)


def test_a_hedge_is_a_fallback_whose_prompt_is_paid(tmp_path: Path, lines: Written) -> None:
    slow_answer = Answer([SILENCE], headers=SSE)
    with (
        answering(slow_answer) as slow,
        answering(STREAM) as server,
        router(tmp_path, slow.url, server.url, hedge=0.01) as made,
    ):
        ask(made, stream=True)
        line = lines.one(ROUTER_REQUEST)
    like(line, attempts="backend-0=left, backend-1", Fallbacks=1, Errors=0)
    assert line["Dollars"] > 17e-6


def test_when_every_backend_fails_the_last_one_is_named(tmp_path: Path, lines: Written) -> None:
    broken = Answer([b"{}"], 500)
    with answering(broken) as first, answering(broken) as second, router(tmp_path, first.url, second.url) as made:
        assert ask(made).status_code == 503
        line = lines.one(ROUTER_REQUEST)
    like(line, status=503, error="unavailable", Errors=1, level="ERROR", backend="backend-1", Fallbacks=2, Dollars=0.0)
    assert "OutputTokens" not in line


def test_an_answer_that_is_cut_is_an_error_behind_a_good_status(tmp_path: Path, lines: Written) -> None:
    cut = Answer([*sse(delta("Hel"), done=False), CUT], headers=SSE)
    with answering(cut) as server, router(tmp_path, server.url) as made:
        ask(made, stream=True)
        line = lines.one(ROUTER_REQUEST)
    like(line, status=200, error="unavailable", Errors=1, backend="backend-0", Fallbacks=0, OutputTokens=1)
    assert line["Dollars"] > 0


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_is_no_error(tmp_path: Path, lines: Written, *, stream: bool) -> None:
    pieces: list[Any] = [*sse(delta("Hel"), done=False), SILENCE] if stream else [SILENCE]
    with answering(Answer(pieces, headers=SSE)) as server, router(tmp_path, server.url) as made:
        with made.client() as client:
            if stream:
                with client.stream("POST", "/v1/chat/completions", json={**BODY, "stream": True}) as answer:
                    assert next(answer.iter_lines()).startswith("data: ")
            else:
                with pytest.raises(httpx2.ReadTimeout):
                    client.post("/v1/chat/completions", json=BODY, timeout=0.5)
        line = lines.one(ROUTER_REQUEST)
    like(line, status=200 if stream else 499, error="client_left", Errors=0, backend="backend-0")


def test_what_no_backend_was_asked_for(tmp_path: Path, lines: Written) -> None:
    """A budget refuses, a model is not there, a body is none, a signer is nobody's: each has its line."""
    book = Book()
    with answering(WHOLE) as server, router(tmp_path, server.url, book=book, day={"tokens": 60}) as made:
        assert ask(made, max_tokens=1).status_code == 200
        assert ask(made, max_tokens=40).status_code == 429
        assert ask(made, model=PROMPT).status_code == 404
        with made.client() as client:
            assert client.post("/v1/chat/completions", content=b"{").status_code == 400
        with made.client("mallory") as client:
            assert client.post("/v1/chat/completions", json=BODY).status_code == 403
        book.gone = True
        assert ask(made, max_tokens=1).status_code == 503
        found = lines.of(ROUTER_REQUEST)
    assert [(line["status"], line.get("error"), line["backend"], line["Errors"]) for line in found] == [
        (200, None, "backend-0", 0),
        (429, "insufficient_quota", "none", 0),
        (404, "model_not_found", "none", 0),
        (400, "invalid_json", "none", 0),
        (403, "no_tenant", "none", 0),
        (503, "budgets_unavailable", "none", 1),
    ]
    assert [line.get("model") for line in found] == ["chat", "chat", None, None, None, "chat"]
    assert found[1]["BudgetUsed"] == pytest.approx(100 * 9 / 60)
    assert "BudgetUsed" not in found[5]


def test_the_router_of_a_laptop_writes_none(tmp_path: Path, lines: Written) -> None:
    with answering(WHOLE) as server, routing(tmp_path, configuration(server.url), Book()) as made:
        assert isinstance(ask(made), httpx2.Response)
    assert lines.of(ROUTER_REQUEST) == []
