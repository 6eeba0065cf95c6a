"""Spans of the router: its choice, each attempt, and what the backends get of them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from lambda_llm.backends.contract import Operation
from lambda_llm.router.build import providers
from lambda_llm.router.config import parse
from lambda_llm.telemetry.context import correlated
from lambda_llm.telemetry.genai import OPERATIONS
from lambda_llm.telemetry.propagation import carried, continued, noted
from support.budgets import Book
from support.event_streams import CUT, SILENCE, SSE, Answer, answering
from support.recorded_spans import Recorded, recording, traceparent
from support.router import written
from support.routing import BODY, STREAM, THROTTLED, WHOLE, configuration, delta, routing, sse
from support.servers import until

PROMPT = "what nobody may log"
TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    with recording("router") as made:
        yield made
        assert PROMPT not in made.text


def ask(folder: Path, given: dict[str, Any], *, leaves: bool = False, **body: Any) -> None:
    messages = [{"role": "user", "content": PROMPT}]
    with routing(folder, given, Book(), correlated=True) as router, router.client() as client:
        if not leaves:
            client.post("/v1/chat/completions", json={**BODY, "messages": messages, **body})
            return
        with client.stream("POST", "/v1/chat/completions", json={**BODY, "messages": messages, **body}) as answer:
            next(answer.iter_lines())


def test_a_choice_and_two_attempts(tmp_path: Path, recorded: Recorded) -> None:
    with answering(THROTTLED) as full, answering(STREAM) as server:
        ask(tmp_path, configuration(full.url, server.url), stream=True)
        sent = [each.asked[0].headers["traceparent"] for each in (full, server)]
    route = recorded.one("route")
    assert recorded.children(route) == ["choose", "chat chat", "chat chat"]
    failed, good = recorded.named("chat chat")
    assert sent == [traceparent(failed), traceparent(good)]
    assert (failed.status.status_code, (failed.attributes or {})["error.type"]) == (StatusCode.ERROR, "throttled")
    assert (failed.end_time or 0) <= (good.start_time or 0)
    assert good.kind is SpanKind.CLIENT
    said = dict(good.attributes or {})
    first = said.pop("gen_ai.response.time_to_first_chunk")
    assert isinstance(first, float)
    assert first > 0
    assert said == {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "chat",
        "gen_ai.request.stream": True,
        "gen_ai.provider.name": "openai",
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 2,
        "lambda_llm.backend": "backend-1",
    }
    about = route.attributes or {}
    assert (about["lambda_llm.backend"], about["lambda_llm.attempts"]) == (
        "backend-1",
        "backend-0=throttled, backend-1",
    )
    assert route.status.status_code is StatusCode.UNSET
    candidates = (recorded.one("choose").attributes or {})["lambda_llm.candidates"]
    assert [str(each).partition(":")[0] for each in candidates] == ["backend-0", "backend-1"]  # type: ignore[union-attr]


def test_an_answer_that_is_cut_fails_both_spans(tmp_path: Path, recorded: Recorded) -> None:
    with answering(Answer([*sse(delta("Hel"), done=False), CUT], headers=SSE)) as server:
        ask(tmp_path, configuration(server.url), stream=True)
    types = {span.name: (span.attributes or {}).get("error.type") for span in recorded.all}
    assert types == {"choose": None, "chat chat": "unavailable", "route": "BackendError", "POST": None}


def test_who_is_left_has_not_failed(tmp_path: Path, recorded: Recorded) -> None:
    """Neither a backend that was too slow, nor one whose client left."""
    silent = Answer([SILENCE], headers=SSE)
    endless = Answer([*sse(delta("Hel"), done=False), SILENCE], headers=SSE)
    with answering(silent) as slow, answering(endless) as server:
        given = configuration(slow.url, server.url)
        given["models"]["chat"]["hedge_seconds"] = 0.01
        ask(tmp_path, given, leaves=True, stream=True)
    until(lambda: bool(recorded.named("POST")))
    assert {
        span.name: dict(span.attributes or {}) for span in recorded.all if span.status.status_code is StatusCode.ERROR
    } == {}
    left = {span.name: (span.attributes or {}).get("lambda_llm.left") for span in recorded.all}
    assert left == {"route": True, "choose": None, "chat chat": True, "POST": None}
    assert len(recorded.named("chat chat")) == 2


def test_a_request_s_id_and_trace_reach_the_backend_where_no_span_is_recorded(tmp_path: Path) -> None:
    """The id is the router's own: a client that repeats one is charged each time, and only for itself."""
    book = Book()
    named = {"x-request-id": "the-caller-s", "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
    with (
        answering(WHOLE) as server,
        routing(tmp_path, configuration(server.url), book, correlated=True) as router,
        router.client() as client,
    ):
        for _ in range(2):
            answer = client.post("/v1/chat/completions", json=BODY, headers=named)
            assert answer.headers["x-request-id"] == server.asked[-1].headers["x-request-id"] != "the-caller-s"
    assert book.charged.keys() == {asked.headers["x-request-id"] for asked in server.asked}
    assert len(book.charged) == 2
    for asked in server.asked:
        assert asked.headers["traceparent"].split("-")[1] == TRACE


def test_a_message_goes_on_with_its_request() -> None:
    with correlated(request_id="one", trace_id=TRACE):
        message = json.loads(json.dumps(noted()))
        sent = carried()
    assert carried() == {}
    assert sent["traceparent"].split("-")[1] == message["traceparent"].split("-")[1] == TRACE
    with continued(message, "later", lambda_request_id="two"):
        again = noted()
    assert (again["request_id"], again["traceparent"].split("-")[1]) == ("one", TRACE)
    with continued({"request_id": "no id {", "traceparent": 5}, "later"):
        assert noted() == {}


def test_every_kind_of_backend_and_every_operation_has_its_name() -> None:
    configured = parse(json.dumps(written()).encode())
    assert providers(configured) == {
        "small": "lambda_llm",
        "bedrock": "aws.bedrock",
        "gpu": "aws.sagemaker",
        "queued": "aws.sagemaker",
        "elsewhere": "openai",
    }
    assert OPERATIONS.keys() >= {each.value for each in Operation}
