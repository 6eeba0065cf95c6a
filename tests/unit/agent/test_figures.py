"""The lines of an execution over the durable runner: each once, whatever is replayed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lambda_llm.agent.agent import Agent
from lambda_llm.agent.budget import Limits
from lambda_llm.agent.errors import ToolError
from lambda_llm.agent.tools.functions import tool
from lambda_llm.agent.tools.human import ask_human, wait
from lambda_llm.telemetry.lines import AGENT_EXECUTION, AGENT_MODEL_CALL, AGENT_TOOL_CALL
from support.durable import Model, bench, called, calls, refused, said
from support.written_lines import Written, metrics

PROMPT = "what nobody may log"


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Written]:
    written = Written(capsys)
    yield written
    assert PROMPT not in written.text


@tool("none")
def look() -> dict[str, str]:
    """Look."""
    return {"seen": PROMPT}


@tool("once")
def pay(amount: int) -> str:
    """Pay."""
    raise ToolError(f"{PROMPT} {amount}")


def several(lines: Written, kind: Any, *names: str) -> list[tuple[Any, ...]]:
    return sorted(tuple(line.get(name) for name in names) for line in lines.of(kind))


def test_what_is_suspended_and_replayed_is_told_once(tmp_path: Path, lines: Written) -> None:
    """Three turns of the model, two calls beside each other, a wait and a human: the orchestrator begins five times."""
    model = Model(
        [
            calls(("look", {}), ("pay", {"amount": 1})),
            called("wait", {"days": 3}),
            called("ask_human", {"question": PROMPT}),
            said(PROMPT),
        ]
    )
    agent = Agent("You act.", "demo", (look, pay, ask_human(), wait()), denial="continue")
    with bench(agent, model, tmp_path, lines=True) as made:
        made.start(PROMPT, tenant="acme")
        made.answer("ask-6", action="approve", comment=PROMPT)
        end = made.end()
    assert several(lines, AGENT_MODEL_CALL, "step", "status", "InputTokens", "OutputTokens", "Errors", "model") == [
        (f"think-{number}", 200, 10, 5, 0, "demo") for number in (1, 3, 5, 7)
    ]
    assert several(lines, AGENT_TOOL_CALL, "step", "tool", "status", "error", "Errors", "source") == [
        ("act-2-0", "look", "ok", None, 0, "functions"),
        ("act-2-1", "pay", "error", "ToolError", 1, "functions"),
    ]
    line = lines.one(AGENT_EXECUTION)
    assert (line["status"], line["Errors"], line["Steps"]) == ("answered", 0, 6)
    assert (line["model_calls"], line["tool_calls"]) == (4, 2)
    assert end.result is not None
    assert 0 < line["Dollars"] < end.result["spent"]["dollars"]
    assert metrics(line) == {"Errors", "ExecutionSeconds", "Steps", "Dollars"}
    every = [*lines.of(AGENT_MODEL_CALL), *lines.of(AGENT_TOOL_CALL), line]
    assert {(each["execution"], each["tenant"]) for each in every} == {(made.arn, "acme")}


@pytest.mark.parametrize(
    ("answers", "status", "error", "failed"),
    [
        ([refused(400, "bad_request")], "failed:model", "model", 1),
        ([called("look", {})], "limit:turns", None, 0),
    ],
)
def test_how_an_execution_ends(
    tmp_path: Path, lines: Written, answers: list[Any], status: str, error: str | None, failed: int
) -> None:
    model = Model([lambda _, each=each: json.loads(json.dumps(each)) for each in answers])
    with bench(Agent("You act.", "demo", (look,), limits=Limits(turns=2)), model, tmp_path, lines=True) as made:
        made.run(PROMPT)
    line = lines.one(AGENT_EXECUTION)
    assert (line["status"], line.get("error"), line["Errors"]) == (status, error, failed)
    assert len(lines.of(AGENT_MODEL_CALL)) == line["model_calls"]
    assert len(lines.of(AGENT_TOOL_CALL)) == line["tool_calls"]
    assert {each["Errors"] for each in lines.of(AGENT_MODEL_CALL)} == {failed}


def test_a_task_that_is_none_is_its_caller_s_error(tmp_path: Path, lines: Written) -> None:
    with bench(Agent("You act.", "demo"), Model([said("No.")]), tmp_path, lines=True) as made:
        made.run(" ")
    line = lines.one(AGENT_EXECUTION)
    assert (line["status"], line["error"], line["Errors"], line["Steps"]) == ("failed:task", "task", 0, 0)


def test_an_execution_that_fails_by_a_bug_says_so(tmp_path: Path, lines: Written) -> None:
    """The service has an error and no status."""

    def store(tenant: str) -> Any:
        raise ZeroDivisionError(tenant)

    with bench(Agent("You act.", "demo"), Model([said("No.")]), tmp_path, lines=True, store=store) as made:
        assert made.run("Do it.", tenant="acme").status == "FAILED"
    line = lines.one(AGENT_EXECUTION)
    assert (line["status"], line["error"], line["Errors"]) == ("failed:unexpected", "ZeroDivisionError", 1)
    assert (line["tenant"], line["Steps"]) == ("acme", 0)


@pytest.mark.parametrize("after", [False, True], ids=["lost", "answer-lost"])
def test_a_call_whose_process_dies_is_told_as_what_is_known_of_it(
    tmp_path: Path, lines: Written, *, after: bool
) -> None:
    """One that was interrupted before its end has a line of its own: what it had done is not known."""

    @tool("once")
    def send() -> str:
        """Send."""
        return "sent"

    model = Model([called("send", {}), said("Done.")])
    with bench(Agent("You act.", "demo", (send,)), model, tmp_path, lines=True) as made:
        made.kill("act-2-0", "START", after=after)
        made.run(PROMPT)
        assert all(kill.done for kill in made.client.kills)
    expected = [("act-2-0", "unknown", "interrupted", 1)] if after else [("act-2-0", "ok", None, 0)]
    assert several(lines, AGENT_TOOL_CALL, "step", "status", "error", "Errors") == expected
    assert lines.one(AGENT_EXECUTION)["tool_calls"] == 1


def test_at_a_terminal_none_is_written(tmp_path: Path, lines: Written) -> None:
    with bench(Agent("You act.", "demo", (look,)), Model([called("look", {}), said("Yes.")]), tmp_path) as made:
        assert made.run(PROMPT).status == "SUCCEEDED"
    assert "_aws" not in lines.text
