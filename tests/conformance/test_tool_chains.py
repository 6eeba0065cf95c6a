"""The demo model calls one tool after another through OpenAI's client, as an agent has it do."""

import json
from typing import Any

import pytest
from openai import OpenAI

from scripts.models.demo_model import corpus

CASES = [json.loads(line) for line in corpus.EVALUATION.read_text(encoding="utf-8").splitlines()]
KINDS = ("research, the demo's task", "research, denied", "research, a tool fails", "weather, among tools", "tool call")


@pytest.mark.parametrize("kind", KINDS)
def test_the_model_does_what_was_asked_step_by_step(client: OpenAI, kind: str) -> None:
    case = next(case for case in CASES if case["kind"] == kind)
    messages: list[Any] = list(case["messages"])
    asked: Any = {"model": "lambda-llm-demo", "messages": messages, "tools": case["tools"], "temperature": 0}
    expected = [(json.loads(step["call"]), step["result"]) for step in case.get("steps", ())]
    if kind == "tool call":
        expected.append((json.loads(case["answer"]), ""))
    for wanted, result in expected:
        choice = client.chat.completions.create(**asked).choices[0]
        assert choice.finish_reason == "tool_calls"
        (call,) = choice.message.tool_calls or []
        assert call.type == "function"
        assert {"name": call.function.name, "parameters": json.loads(call.function.arguments)} == wanted
        messages.append(choice.message.model_dump(exclude_none=True))
        messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    if kind != "tool call":
        choice = client.chat.completions.create(**asked).choices[0]
        assert (choice.finish_reason, choice.message.content) == ("stop", case["answer"])
