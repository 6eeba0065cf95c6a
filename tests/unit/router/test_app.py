"""The router's API over HTTP: real clients in front, servers on loopback behind."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from lambda_llm.router import app as module
from lambda_llm.router.budget import Amount
from lambda_llm.router.settings import Identity
from lambda_llm.web.front_door import REQUEST_CONTEXT
from support.budgets import Book
from support.event_streams import CUT, JSON, SILENCE, SSE, Answer, answering
from support.routing import BODY, EVERY, MESSAGES, STREAM, THROTTLED, WHOLE, Routing, configuration, delta, routing, sse
from support.servers import until


@pytest.fixture
def book() -> Book:
    return Book()


def client(router: Routing, name: str = "alice") -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{router.url}/v1", api_key="unused", http_client=router.client(name), max_retries=0)


def test_a_stream_comes_token_by_token_and_is_charged_with_the_backend_s_usage(tmp_path: Path, book: Book) -> None:
    with answering(STREAM) as server, routing(tmp_path, configuration(server.url), book) as router:
        with client(router) as asking:
            chunks = list(asking.chat.completions.create(model="chat", messages=MESSAGES, stream=True))
        assert [chunk.choices[0].delta.content for chunk in chunks] == ["Hel", "lo"]
        (asked,) = server.asked
        assert (asked.path, asked.json["model"], asked.json["max_tokens"]) == ("/v1/chat/completions", "theirs", 100)
        until(lambda: book.charged)
    assert list(book.charged.values()) == [("acme", Amount(9, 17))]
    assert not book.held


def test_usage_is_in_the_stream_of_whoever_asked_for_it(tmp_path: Path, book: Book) -> None:
    with (
        answering(STREAM) as server,
        routing(tmp_path, configuration(server.url), book) as router,
        client(router) as asking,
    ):
        chunks = list(
            asking.chat.completions.create(
                model="chat",
                messages=MESSAGES,
                stream=True,
                stream_options={"include_usage": True},
            )
        )
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 9


def test_a_whole_answer_says_which_backend_gave_it(tmp_path: Path, book: Book) -> None:
    with (
        answering(THROTTLED) as full,
        answering(WHOLE) as server,
        routing(tmp_path, configuration(full.url, server.url), book) as router,
        router.client() as asking,
    ):
        answer = asking.post("/v1/chat/completions", json=BODY)
        assert (answer.status_code, answer.json()["choices"][0]["message"]["content"]) == (200, "Hello")
        assert answer.headers["x-lambda-llm-backend"] == "backend-1"
        assert answer.headers["x-lambda-llm-attempts"] == "backend-0=throttled, backend-1"
        assert answer.headers["x-request-id"] == server.asked[0].headers["x-request-id"]
        assert list(book.charged) == [answer.headers["x-request-id"]]


def test_a_backend_that_is_slow_to_begin_is_left_for_another_one(tmp_path: Path, book: Book) -> None:
    """Its connection ends, and the tenant pays for its prompt too."""
    with answering(Answer([SILENCE], headers=SSE)) as slow, answering(STREAM) as server:
        given = configuration(slow.url, server.url)
        given["models"]["chat"]["hedge_seconds"] = 0.01
        with routing(tmp_path, given, book) as router, router.client() as asking:
            answer = asking.post("/v1/chat/completions", json={**BODY, "stream": True})
            assert answer.headers["x-lambda-llm-attempts"] == "backend-0=left, backend-1"
            assert answer.headers["x-lambda-llm-backend"] == "backend-1"
            assert answer.text.endswith("data: [DONE]\n\n")
            assert slow.left.wait(60)
            until(lambda: book.charged)
    ((_, amount),) = book.charged.values()
    assert amount.tokens > 9


def test_when_every_backend_is_throttled_the_client_is_told_when_to_come_back(tmp_path: Path, book: Book) -> None:
    with answering(THROTTLED) as full, routing(tmp_path, configuration(full.url), book) as router:
        with client(router) as asking, pytest.raises(openai.RateLimitError) as refused:
            asking.chat.completions.create(model="chat", messages=MESSAGES)
        assert refused.value.response.headers["retry-after"] == "7"
        assert refused.value.code == "rate_limit_exceeded"
        with router.client() as again:
            answer = again.post("/v1/chat/completions", json=BODY)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")
        assert len(full.asked) == 1
    assert not book.charged


ENDS: list[tuple[str, Any]] = [
    ("/v1/chat/completions", {"error": {"code": "unavailable"}}),
    ("/v1/messages", {"type": "error", "error": {"type": "overloaded_error"}}),
    ("/v1/responses", {"type": "error", "code": "unavailable", "sequence_number": 1}),
]


def like(expected: Any, found: Any) -> bool:
    """Whether all that is expected is there."""
    if isinstance(expected, dict):
        return all(name in found and like(each, found[name]) for name, each in expected.items())
    return bool(expected == found)


@pytest.mark.parametrize(("path", "expected"), ENDS)
def test_a_stream_that_is_cut_ends_with_an_error_event_in_its_api_s_form(
    tmp_path: Path, book: Book, path: str, expected: Any
) -> None:
    cut = Answer([*sse(delta("Hel"), done=False), CUT], headers=SSE)
    with (
        answering(cut) as server,
        routing(tmp_path, configuration(server.url), book) as router,
        router.client() as asking,
    ):
        body = {"model": "chat", "stream": True, "messages": MESSAGES, "input": "Hello", "max_tokens": 50}
        answer = asking.post(path, json=body)
    assert answer.status_code == 200
    *_, last = answer.text.strip().split("\n\n")
    assert like(expected, json.loads(last.partition("data: ")[2])), last
    assert "[DONE]" not in answer.text
    ((_, amount),) = book.charged.values()
    assert amount.tokens > 1


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_ends_the_backend_s_work(tmp_path: Path, book: Book, *, stream: bool) -> None:
    pieces: list[Any] = [*sse(delta("Hel"), done=False), SILENCE] if stream else [SILENCE]
    silent = Answer(pieces, headers=SSE if stream else JSON)
    with answering(silent) as server, routing(tmp_path, configuration(server.url), book) as router:
        with router.client() as asking:
            if stream:
                with asking.stream("POST", "/v1/chat/completions", json={**BODY, "stream": True}) as answer:
                    assert next(answer.iter_lines()).startswith("data: ")
            else:
                with pytest.raises(Exception, match="timed out"):
                    asking.post("/v1/chat/completions", json=BODY, timeout=0.5)
        assert server.left.wait(60)
        until(lambda: not book.held)
    assert len(book.charged) == (1 if stream else 0)


def test_anthropic_s_client_is_answered_and_refused_in_its_own_form(tmp_path: Path, book: Book) -> None:
    message = {"id": "m", "type": "message", "role": "assistant", "model": "theirs", "stop_reason": "end_turn",
               "content": [{"type": "text", "text": "Hello"}],
               "usage": {"input_tokens": 7, "output_tokens": 2}}  # fmt: skip
    with (
        answering(Answer([json.dumps(message).encode()], headers=JSON)) as server,
        routing(tmp_path, configuration(server.url), book) as router,
        anthropic.Anthropic(
            base_url=router.url, api_key="unused", http_client=router.client(), max_retries=0
        ) as asking,
    ):
        answer = asking.messages.create(model="chat", messages=MESSAGES, max_tokens=50)
        assert answer.content[0].text == "Hello"  # type: ignore[union-attr]
        with pytest.raises(anthropic.NotFoundError) as refused:
            asking.messages.create(model="other", messages=MESSAGES, max_tokens=50)
        assert refused.value.body["error"]["type"] == "not_found_error"  # type: ignore[index]
    assert list(book.charged.values()) == [("acme", Amount(9, 17))]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/embeddings", {"model": "chat", "input": "Hello"}),
        ("/v1/rerank", {"model": "chat", "query": "Hello", "documents": ["a"]}),
        ("/embeddings", {"model": "chat", "input": "Hello"}),
    ],
)
def test_what_is_no_generation_goes_through_too(tmp_path: Path, book: Book, path: str, body: Any) -> None:
    result = {"object": "list", "data": [], "usage": {"prompt_tokens": 3, "total_tokens": 3}}
    with (
        answering(Answer([json.dumps(result).encode()], headers=JSON)) as server,
        routing(tmp_path, configuration(server.url), book) as router,
        router.client() as asking,
    ):
        assert asking.post(path, json=body).json() == result
        assert server.asked[0].path == (path if path.startswith("/v1") else f"/v1{path}")
    assert list(book.charged.values()) == [("acme", Amount(3, 3))]


@pytest.fixture
def idle(tmp_path: Path, book: Book) -> Iterator[Routing]:
    """A router whose backend nobody has to ask."""
    with (
        answering(WHOLE) as server,
        routing(tmp_path, configuration(server.url, minute={"tokens": 200}), book) as router,
    ):
        yield router
        assert not server.asked


def test_models_are_listed_with_what_they_can_do(idle: Routing) -> None:
    with idle.client() as asking:
        (model,) = asking.get("/v1/models").json()["data"]
        assert asking.get("/v1/models/chat").json() == model
        missing = asking.get("/v1/models/other")
    assert model == {"id": "chat", "object": "model", "created": 0, "owned_by": "lambda-llm", "context_length": 8192,
                     "max_output_tokens": 100, "operations": sorted(EVERY),
                     "features": ["json_schema", "tools"]}  # fmt: skip
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")


REFUSED: list[tuple[bytes, int, str]] = [
    (b"", 400, "invalid_json"),
    (b'{"model": NaN}', 400, "invalid_json"),
    (b"\xff", 400, "invalid_json"),
    (b"[]", 400, "invalid_body"),
    (b"[" * 100_000, 400, "invalid_json"),
    (b"{}", 404, "model_not_found"),
    (b'{"model": ["chat"]}', 404, "model_not_found"),
    (json.dumps({**BODY, "model": "other"}).encode(), 404, "model_not_found"),
    (json.dumps({**BODY, "messages": [{"role": "user", "content": "x" * 30_000}]}).encode(), 400, "no_backend"),
    (json.dumps({**BODY, "messages": [{"role": "user", "content": "x" * 900}]}).encode(), 429, "insufficient_quota"),
]


@pytest.mark.parametrize(
    ("body", "status", "code"), REFUSED, ids=[code + str(n) for n, (_, _, code) in enumerate(REFUSED)]
)
def test_what_can_t_be_answered_is_refused_in_one_sentence(idle: Routing, body: bytes, status: int, code: str) -> None:
    with idle.client() as asking:
        answer = asking.post("/v1/chat/completions", content=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code), error
    assert error["message"].endswith(".")


def test_nobody_is_served_who_can_t_be_told(idle: Routing) -> None:
    with idle.client("mallory") as other:
        assert other.post("/v1/chat/completions", json=BODY).status_code == 403
        assert other.get("/v1/models").status_code == 403
        other.headers["x-tenant"] = "acme"
        other.headers["authorization"] = "Bearer acme"
        assert other.post("/v1/chat/completions", json={**BODY, "user": "acme"}).status_code == 403
    with idle.client() as nobody:
        del nobody.headers[REQUEST_CONTEXT]
        assert nobody.post("/v1/chat/completions", json=BODY).json()["error"]["code"] == "no_tenant"


def test_behind_an_authorizer_the_tenant_is_the_one_that_it_names(tmp_path: Path, book: Book) -> None:
    told = json.dumps({"authorizer": {"lambda": {"tenant": "acme", "max_tokens": "20"}}})
    with (
        answering(WHOLE) as server,
        routing(tmp_path, configuration(server.url), book, Identity.AUTHORIZER) as router,
        router.client() as asking,
    ):
        assert asking.post("/v1/chat/completions", json=BODY).status_code == 403  # a signature is no tenant here
        asking.headers[REQUEST_CONTEXT] = told
        assert asking.post("/v1/chat/completions", json=BODY).status_code == 200
        assert server.asked[0].json["max_tokens"] == 20
    assert [tenant for tenant, _ in book.charged.values()] == ["acme"]


def test_what_there_is_not_is_told_with_what_there_is(idle: Routing) -> None:
    with idle.client() as asking:
        nowhere, wrong = asking.get("/v1/nothing"), asking.get("/v1/embeddings")
    assert (nowhere.status_code, "/v1/chat/completions" in nowhere.json()["error"]["message"]) == (404, True)
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (405, "method_not_allowed")


def test_without_the_books_nothing_is_sent(idle: Routing, book: Book) -> None:
    book.gone = True
    with idle.client() as asking:
        answer = asking.post("/v1/chat/completions", json=BODY)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "budgets_unavailable")
    assert answer.headers["retry-after"] == "1"


def test_every_answer_has_an_id_of_the_router_s_own(idle: Routing, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever it is, and whatever the client calls it."""
    with idle.client() as asking:
        asking.headers["x-request-id"] = "mine"
        answers = [
            asking.get("/v1/models"),
            asking.head("/v1/models"),
            asking.get("/health"),
            asking.get("/v1/nothing"),
            asking.options("/v1/models"),
            asking.get("/v1/responses/resp_1"),
            asking.post("/v1/chat/completions", content=b"{"),
            asking.post("/v1/chat/completions", content=b"{}", headers={"content-encoding": "br"}),
            asking.post("/v1/chat/completions", json={**BODY, "model": "other"}),
            asking.post("/v1/chat/completions", json={**BODY, "n": 0}),
        ]
        with idle.client("mallory") as other:
            answers.append(other.get("/v1/models"))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "listed", lambda *_: 1 / 0)
            answers.append(asking.get("/v1/models"))
    assert [each.status_code for each in answers] == [200, 200, 200, 404, 405, 400, 400, 415, 404, 400, 403, 500]
    ids = [each.headers.get_list("x-request-id") for each in answers]
    assert all(len(each) == 1 and re.fullmatch("[0-9a-f]{32}", each[0]) for each in ids), ids
    assert len({each for (each,) in ids}) == len(answers)
    # It is logged behind the answer.
    until(lambda: f"request {answers[-1].headers['x-request-id']} has failed" in caplog.text)


def test_a_front_door_s_refusal_has_one_too(tmp_path: Path, book: Book) -> None:
    given = configuration("http://127.0.0.1:9")
    with routing(tmp_path, given, book, Identity.AUTHORIZER) as router, router.client() as asking:
        answer = asking.get("/v1/models")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "no_tenant")
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])


@pytest.mark.parametrize("path", ["/v1/messages", "/messages", "/prod/v1/messages/", "/prod/messages"])
def test_what_nobody_has_foreseen_is_told_in_the_api_s_form_and_its_message_to_nobody(
    idle: Routing, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("a secret")

    monkeypatch.setattr(module, "_begun", broken)
    with idle.client() as asking:
        context = json.loads(asking.headers[REQUEST_CONTEXT])
        asking.headers[REQUEST_CONTEXT] = json.dumps({**context, "stage": "prod"})
        answer = asking.post(path, json={**BODY, "stream": True})
    assert answer.status_code == 500
    assert answer.json()["error"]["type"] == "api_error"
    assert "a secret" not in answer.text


@pytest.mark.parametrize("path", ["/responses/resp_1", "/v1/responses/resp_1/", "/prod/responses/resp_1"])
def test_a_response_is_found_however_its_path_is_spelled(idle: Routing, path: str) -> None:
    with idle.client() as asking:
        context = json.loads(asking.headers[REQUEST_CONTEXT])
        asking.headers[REQUEST_CONTEXT] = json.dumps({**context, "stage": "prod"})
        for answer in (asking.get(path), asking.post(f"{path.rstrip('/')}/cancel")):
            assert answer.json()["error"]["param"] == "background"  # this router has none: the path was found


def test_a_silent_stream_is_kept_alive(tmp_path: Path, book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEEP_ALIVE_SECONDS", 0.01)
    silent = Answer([*sse(delta("Hel"), done=False), SILENCE], headers=SSE)
    with (
        answering(silent) as server,
        routing(tmp_path, configuration(server.url), book) as router,
        router.client() as asking,
    ):
        with asking.stream("POST", "/v1/chat/completions", json={**BODY, "stream": True}) as answer:
            lines = answer.iter_lines()
            got = [next(lines) for _ in range(6)]
        assert got[0].startswith("data: ")
        assert got[1:] == ["", ": keep-alive", "", ": keep-alive", ""]
        assert server.left.wait(60)


def test_a_router_that_is_stopped_ends_its_streams_with_an_error(tmp_path: Path, book: Book) -> None:
    silent = Answer([*sse(delta("Hel"), done=False), SILENCE], headers=SSE)
    with (
        answering(silent) as server,
        routing(tmp_path, configuration(server.url), book) as router,
        router.client() as asking,
    ):
        with asking.stream("POST", "/v1/chat/completions", json={**BODY, "stream": True}) as answer:
            lines = answer.iter_lines()
            assert next(lines).startswith("data: ")
            router.server.should_exit = True
            *_, last = [line for line in lines if line]
        assert json.loads(last.removeprefix("data: "))["error"]["code"] == "unavailable"
        assert server.left.wait(60)
        until(lambda: book.charged)
    assert not book.held


@pytest.mark.parametrize("refusal", [429, 500, 503])
def test_whoever_may_come_again_is_told_when(tmp_path: Path, book: Book, refusal: int) -> None:
    """Even where the backend does not say it."""
    with (
        answering(Answer([b"{}"], refusal, JSON)) as server,
        routing(tmp_path, configuration(server.url), book) as router,
        router.client() as asking,
    ):
        answer = asking.post("/v1/chat/completions", json=BODY)
    assert (answer.status_code, answer.headers["retry-after"]) == (429 if refusal == 429 else 503, "1")
