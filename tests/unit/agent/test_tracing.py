"""Spans of an execution over the durable runner, and the ids that its requests and lines have."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from lambda_llm.agent.agent import Agent
from lambda_llm.agent.errors import ToolError
from lambda_llm.agent.streamed import HTTPInference
from lambda_llm.agent.tools.functions import tool
from lambda_llm.agent.tools.human import ask_human, wait
from lambda_llm.telemetry import spans
from lambda_llm.telemetry.context import correlation
from lambda_llm.telemetry.lines import AGENT_EXECUTION, AGENT_MODEL_CALL, AGENT_TOOL_CALL
from support.durable import Model, bench, called, calls, refused, said
from support.event_streams import SSE, Answer, answering
from support.recorded_spans import Recorded, recording, traceparent
from support.routing import sse
from support.written_lines import Written

PROMPT = "what nobody may log"
TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = f"00-{TRACE}-b7ad6b7169203331-01"


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    with recording("agent") as made:
        yield made
        assert PROMPT not in made.text


class Asked:
    """A model that notes the headers of what it was asked."""

    def __init__(self, *script: Any) -> None:
        self._model = Model(list(script))
        self.headers: list[dict[str, str]] = []

    def __call__(self, event: Any, context: Any) -> Any:
        self.headers.append(event["headers"])
        return self._model(event, context)


@tool("none")
def look() -> dict[str, str]:
    """Look."""
    return dict(correlation())


@tool("once")
def pay(amount: int) -> str:
    """Pay."""
    raise ToolError(f"{PROMPT} {amount}")


@tool("idempotent")
def fetch() -> str:
    """Fetch."""
    raise ToolError(PROMPT, retriable=True)


def test_steps_and_tools_are_children_of_one_span_whatever_is_replayed(tmp_path: Path, recorded: Recorded) -> None:
    model = Asked(
        calls(("look", {}), ("pay", {"amount": 1})),
        called("wait", {"days": 3}),
        called("ask_human", {"question": PROMPT}),
        said(PROMPT),
    )
    agent = Agent("You act.", "demo", (look, pay, ask_human(), wait()), denial="continue")
    with bench(agent, model, tmp_path) as made:
        made.start(PROMPT)
        made.answer("ask-6", action="approve", comment=PROMPT)
        made.end()
    root = recorded.one("invoke_agent")
    assert traceparent(root) == spans.identity(made.arn)
    assert root.parent is None
    steps = {(span.name, str((span.attributes or {})["lambda_llm.step"])) for span in recorded.all if span is not root}
    assert steps == {
        *(("chat demo", f"think-{number}") for number in (1, 3, 5, 7)),
        ("execute_tool look", "act-2-0"),
        ("execute_tool pay", "act-2-1"),
        ("wait", "wait-4"),
        ("ask", "ask-6"),
    }
    assert len(recorded.all) == len(recorded.children(root)) + 1 == len(steps) + 1
    thoughts = recorded.named("chat demo")
    assert sorted(traceparent(span) for span in thoughts) == sorted(each["traceparent"] for each in model.headers)
    assert {each["x-request-id"] for each in model.headers} == {(root.attributes or {})["gen_ai.conversation.id"]}
    assert all((span.start_time or 0) <= (span.end_time or 0) for span in recorded.all)


def test_what_the_spans_say(tmp_path: Path, recorded: Recorded) -> None:
    with bench(Agent("You act.", "demo", (pay,)), Asked(called("pay", {"amount": 1}), said(PROMPT)), tmp_path) as made:
        made.run(PROMPT)
    first = recorded.named("chat demo")[0]
    assert first.kind is SpanKind.CLIENT
    assert first.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "lambda_llm",
        "gen_ai.request.model": "demo",
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.response.finish_reasons": ("tool_calls",),
        "lambda_llm.step": "think-1",
    }
    call = recorded.one("execute_tool pay")
    assert call.attributes == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "pay",
        "gen_ai.tool.type": "function",
        "lambda_llm.source": "functions",
        "lambda_llm.step": "act-2-0",
        "error.type": "ToolError",
    }
    assert (recorded.one("invoke_agent").attributes or {})["lambda_llm.status"] == "answered"


def test_each_attempt_at_a_call_has_its_span(tmp_path: Path, recorded: Recorded) -> None:
    with bench(Agent("You act.", "demo", (fetch,)), Asked(called("fetch", {}), said("No.")), tmp_path) as made:
        made.run(PROMPT)
    attempts = [(span.attributes or {})["error.type"] for span in recorded.named("execute_tool fetch")]
    assert attempts == ["again", "again", "ToolError"]


def test_an_execution_that_fails_fails_its_span(tmp_path: Path, recorded: Recorded) -> None:
    with bench(Agent("You act.", "demo"), Asked(refused(400, "bad")), tmp_path) as made:
        made.run(PROMPT)
    types = {span.name: (span.attributes or {})["error.type"] for span in recorded.all}
    assert types == {"chat demo": "bad", "invoke_agent": "model"}
    assert {span.status.status_code for span in recorded.all} == {StatusCode.ERROR}


def test_whoever_starts_it_may_say_what_it_belongs_to(
    tmp_path: Path, recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its id and its trace are those of the request that it is a part of: in requests, lines and tools."""
    lines = Written(capsys)
    model = Asked(called("look", {}), said("Done."))
    with bench(Agent("You act.", "demo", (look,)), model, tmp_path, lines=True) as made:
        made.run("Do it.", request_id="the-caller-s", traceparent=CALLER)
    root = recorded.one("invoke_agent")
    assert root.parent is not None
    assert f"{root.parent.span_id:016x}" == CALLER.split("-")[2]
    assert {f"{span.context.trace_id:032x}" for span in recorded.all} == {TRACE}
    assert [each["x-request-id"] for each in model.headers] == ["the-caller-s", "the-caller-s"]
    assert {each["traceparent"].split("-")[1] for each in model.headers} == {TRACE}
    told = [*lines.of(AGENT_MODEL_CALL), *lines.of(AGENT_TOOL_CALL), lines.one(AGENT_EXECUTION)]
    assert {(each["request_id"], each["trace_id"]) for each in told} == {("the-caller-s", TRACE)}


def test_without_a_caller_s_ids_it_has_its_own_where_nothing_is_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = Written(capsys)
    model = Asked(called("look", {}), said("Done."))
    with bench(Agent("You act.", "demo", (look,)), model, tmp_path, lines=True) as made:
        made.run("Do it.", request_id="no id {", traceparent="none")
    trace = spans.identity(made.arn).split("-")[1]
    assert {each["traceparent"].split("-")[1] for each in model.headers} == {trace}
    (request_id,) = {each["x-request-id"] for each in model.headers}
    told = [*lines.of(AGENT_MODEL_CALL), *lines.of(AGENT_TOOL_CALL), lines.one(AGENT_EXECUTION)]
    assert {(each["request_id"], each["trace_id"]) for each in told} == {(request_id, trace)}


def test_requests_of_an_execution_that_somebody_watches_have_its_ids_too(tmp_path: Path) -> None:
    end = {"choices": [{"index": 0, "delta": {"content": "Yes."}, "finish_reason": "stop"}]}
    with answering(Answer(sse(end), headers=SSE)) as server:
        streamed = HTTPInference(server.url)
        with bench(Agent("You act.", "demo"), Asked(), tmp_path, streamed=streamed) as made:
            made.run("Do it.", request_id="the-caller-s", traceparent=CALLER)
        streamed.close()
    (asked,) = server.asked
    assert asked.headers["x-request-id"] == "the-caller-s"
    assert asked.headers["traceparent"].split("-")[1] == TRACE
