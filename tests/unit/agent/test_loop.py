"""The loop alone: values in, values out, nothing else."""

import ast
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_llm.agent import loop
from lambda_llm.agent.agent import Agent, Known
from lambda_llm.agent.budget import Limits
from lambda_llm.agent.commands import Act, Ask, Command, Compact, Done, Think, Wait
from lambda_llm.agent.events import Acted, Answered, Began, Broken, Compacted, Considered, Event, Waited
from lambda_llm.agent.inference import Call, Thought, Unanswered
from lambda_llm.agent.loop import State, next_
from lambda_llm.agent.references import Reference
from lambda_llm.agent.tools.human import ask_human, wait
from lambda_llm.agent.tools.tool import Answer, Effects, Outcome, ToolDescription

ANYTHING = {"type": "object"}
LOOK = Known("tools", ToolDescription("look", "Looks.", ANYTHING, Effects.NONE), "look")
PAY = Known("tools", ToolDescription("pay", "Pays.", ANYTHING, Effects.ONCE, approval=True), "pay")
TOOLS = {
    "look": LOOK,
    "pay": PAY,
    "ask_human": Known("human", ask_human(), "ask_human"),
    "wait": Known("human", wait(), "wait"),
}
AGENT = Agent("You act.", "demo", denial="continue")


def begun(agent: Agent = AGENT) -> tuple[State, Command]:
    return next_(State(agent), Began("Do it.", TOOLS, 1000.0))


def thought(text: str = "", *calls: tuple[str, str], finish: str = "stop") -> Considered:
    made = tuple(Call(f"c-{place}", name, arguments) for place, (name, arguments) in enumerate(calls))
    return Considered(Thought(text, made, finish, "", 15, 1001.0, 0.5))


def test_it_imports_nothing_that_could_do_something() -> None:
    tree = ast.parse(Path(str(loop.__file__)).read_text())
    imported = {
        alias.name if isinstance(node, ast.Import) else str(node.module)
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    allowed = {"json", "collections.abc", "dataclasses", "typing"}
    assert {name for name in imported if not name.startswith("lambda_llm.agent")} <= allowed


def test_only_one_module_imports_the_durable_sdk() -> None:
    folder = Path(str(loop.__file__)).parent
    importers = {path.name for path in folder.rglob("*.py") if "aws_durable_execution_sdk_python" in path.read_text()}
    assert importers == {"durable.py"}


def test_a_run_from_the_first_thought_to_the_answer() -> None:
    state, command = begun()
    assert isinstance(command, Think)
    assert command.name == "think-1"
    assert [one["role"] for one in command.request["messages"]] == ["system", "user"]
    assert [one["function"]["name"] for one in command.request["tools"]] == list(TOOLS)
    state, command = next_(state, thought("", ("look", '{"a": 1}'), ("look", "{}")))
    assert isinstance(command, Act)
    assert [attempt.arguments for attempt in command.attempts] == [{"a": 1}, {}]
    state, command = next_(state, Acted({"c-0": Outcome("ok", {"x": 1}), "c-1": Outcome("ok", "text")}, 1002.0, 0.1))
    assert isinstance(command, Think)
    assert [one["content"] for one in command.request["messages"][3:]] == ['{"x": 1}', '{"result": "text"}']
    state, command = next_(state, thought("It is done."))
    assert command == Done("answered", "It is done.")
    assert state.spent.turns == 2
    assert state.spent.seconds == 2.0


def test_approval_comes_before_the_call_and_a_denial_in_its_place() -> None:
    state, _ = begun()
    state, command = next_(state, thought("", ("pay", '{"amount": 7}')))
    assert command == Ask("ask-2", 'May pay be called with {"amount": 7}?', AGENT.answer_seconds)
    denied, command = next_(state, Answered(Answer("decline"), "too dear"))
    assert isinstance(command, Think)
    assert "denied" in command.request["messages"][-1]["content"]
    _, command = next_(state, Answered(Answer("accept")))
    assert isinstance(command, Act)
    assert not denied.calls


def test_a_turn_calls_first_and_suspends_then() -> None:
    state, _ = begun()
    state, command = next_(
        state, thought("", ("wait", '{"days": 2}'), ("ask_human", '{"question": "May I?"}'), ("look", "{}"))
    )
    assert isinstance(command, Act)
    state, command = next_(state, Acted({"c-2": Outcome("ok", {})}, 1002.0))
    assert command == Wait("wait-3", 2 * 24 * 60 * 60)
    state, command = next_(state, Waited())
    assert isinstance(command, Ask)
    assert command.text == "May I?"
    state, command = next_(state, Answered(Answer("accept"), "yes"))
    assert isinstance(command, Think)
    results = [one["content"] for one in command.request["messages"] if one["role"] == "tool"]
    assert results == ['{"waited_days": 2}', '{"answer": "approved", "comment": "yes"}', "{}"]


def test_pauses_grow_and_heed_the_server() -> None:
    state, _ = begun()
    pauses = []
    for retry_after in (0.0, 0.0, 120.0, 1e9, 0.0):
        state, command = next_(state, Considered(Unanswered(429, "busy", "Busy.", retry_after)))
        assert isinstance(command, Wait)
        pauses.append(command.seconds)
        state, command = next_(state, Waited())
        assert isinstance(command, Think)
    assert pauses == [15, 30, 120, 900, 240]
    _, command = next_(state, Considered(Unanswered(429, "busy", "Busy.")))
    assert command == Done("failed:model", "", "Busy.")


def test_what_can_t_be_performed_ends_with_its_sentence() -> None:
    state, _ = begun()
    assert next_(state, Broken("state", "It is gone."))[1] == Done("failed:state", why="It is gone.")


def test_a_wait_counts_as_time_that_passed() -> None:
    agent = replace(AGENT, limits=Limits(seconds=100 * 24 * 60 * 60))
    state, _ = begun(agent)
    state, _ = next_(state, thought("", ("wait", '{"days": 60}')))
    state, _ = next_(state, Waited())
    assert state.spent.seconds == pytest.approx(60 * 24 * 60 * 60 + 1)
    state, _ = next_(state, thought("", ("wait", '{"days": 39}')))
    state, command = next_(state, Waited())
    assert isinstance(command, Think)
    assert state.warnings == ("seconds",)


EVENTS: st.SearchStrategy[Any] = st.one_of(
    st.builds(
        lambda text, calls, finish: thought(text, *calls, finish=finish),
        st.sampled_from(["", "text", "\x00", "<|im_end|>"]),
        st.lists(
            st.tuples(
                st.sampled_from([*TOOLS, "nobody", "", "a b"]),
                st.sampled_from(["{}", '{"days": 1}', '{"question": "?"}', "[]", "{", "null", '{"days": -1}']),
            ),
            max_size=3,
        ),
        st.sampled_from(["stop", "length", "tool_calls", "content_filter"]),
    ),
    st.builds(lambda status: Considered(Unanswered(status, "x", "It failed.")), st.sampled_from([0, 400, 429, 500])),
    st.just(Considered(Unanswered(400, loop.TOO_LONG, "Too long."))),
)
ANSWERS = st.sampled_from([Answer("accept"), Answer("decline"), Answer("cancel")])
OUTCOMES = st.sampled_from(
    [Outcome("ok", {"a": 1}), Outcome("error", "no"), Outcome("unknown", "?"), Outcome("ok", "x" * 500)]
)


@given(st.data())
def test_whatever_happens_it_ends_and_no_request_is_malformed(data: st.DataObject) -> None:
    """Any sequence of events: a status at the end, results for each call, names that never repeat."""
    agent = replace(
        AGENT, limits=Limits(turns=6), history_bytes=2_000, denial=data.draw(st.sampled_from(["end", "continue"]))
    )
    state, command = begun(agent)
    names = set()
    for _ in range(200):
        if isinstance(command, Done):
            break
        assert command.name not in names
        names.add(command.name)
        event: Event
        if isinstance(command, Think):
            messages = command.request["messages"]
            asked = [call["id"] for one in messages for call in one.get("tool_calls", ())]
            assert asked == [one["tool_call_id"] for one in messages if one["role"] == "tool"]
            event = data.draw(EVENTS)
        elif isinstance(command, Act):
            event = Acted({one.call.id: data.draw(OUTCOMES) for one in command.attempts}, 1003.0)
        elif isinstance(command, Ask):
            event = Answered(data.draw(ANSWERS))
        elif isinstance(command, Compact):
            event = Compacted(Reference("s3://b/k", "0" * 64, 1, "application/json"))
        else:
            event = Waited()
        before = state
        state, command = next_(state, event)
        assert next_(before, event) == (state, command), "the same event made another command"
    assert isinstance(command, Done)
    statuses = {"answered", "refused", "denied", "unanswered"}
    assert command.status in statuses or command.status.startswith(("limit:", "failed:"))
    assert command.why or command.status == "answered"
