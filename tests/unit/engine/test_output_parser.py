"""Thoughts, content and calls are told apart, however the text is cut into pieces."""

import json
from typing import Any

import pytest

from lambda_llm.engine.output_parser import CallArguments, CallStart, Content, OutputParser, Part, Reasoning
from lambda_llm.engine.tool_call_formats import deepseek, hermes, llama
from lambda_llm.engine.tool_call_formats.base import ToolCallFormat

TOOLS = ("get_weather", "add")


def folded(parts: list[Part]) -> dict[str, Any]:
    """What the parts add up to."""
    calls: dict[int, list[str]] = {}
    for part in parts:
        if isinstance(part, CallStart):
            assert part.number == len(calls)
            calls[part.number] = [part.name, ""]
        elif isinstance(part, CallArguments):
            calls[part.number][1] += part.text
    return {
        "reasoning": "".join(part.text for part in parts if isinstance(part, Reasoning)),
        "content": "".join(part.text for part in parts if isinstance(part, Content)),
        "calls": [(name, json.loads(arguments)) for name, arguments in calls.values()],
    }


def read(text: str, size: int, **options: Any) -> dict[str, Any]:
    parser = OutputParser(**options)
    parts = []
    for at in range(0, len(text) + size, size):
        new = parser.feed(text[at : at + size]) if at < len(text) else parser.finish()
        for part, (start, end) in zip(new, parser.spans, strict=True):
            assert not isinstance(part, Content) or text[start:end] == part.text
        parts += new
    result = folded(parts)
    assert parser.calls == len(result["calls"])
    return result


def said(content: str = "", *calls: tuple[str, Any], reasoning: str = "") -> dict[str, Any]:
    return {"reasoning": reasoning, "content": content, "calls": list(calls)}


WEATHER = ("get_weather", {"city": 'Paris "}</tool_call>'})
ADD = ("add", {"a": 1, "b": [2, {"c": "\\"}]})


def written(form: ToolCallFormat, *calls: tuple[str, Any]) -> str:
    return form.render([(name, json.dumps(arguments)) for name, arguments in calls])


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("Hello <think>there", {}, said("Hello <think>there")),
        ("  Hello ", {}, said("  Hello ")),
        # thoughts
        ("<think>\nHm.\n</think>\n\nHi.", {"thinks": True}, said("Hi.", reasoning="Hm.")),
        ("\n<think>Hm.</think>Hi. ", {"thinks": True}, said("Hi. ", reasoning="Hm.")),
        ("Hm.\n</think>\n\nHi.", {"thinks": True, "thinking": True}, said("Hi.", reasoning="Hm.")),
        ("\nHm </thin", {"thinking": True}, said(reasoning="Hm </thin")),
        ("<think>\n\n</think>\n\nHi.", {"thinks": True}, said("Hi.")),
        ("<thanks", {"thinks": True}, said("<thanks")),
        ("<thin", {"thinks": True}, said("<thin")),
        ("Hi <think>.", {"thinks": True}, said("Hi <think>.")),
        # calls between marks
        (written(hermes.FORMAT, WEATHER), {"form": hermes.FORMAT}, said("", WEATHER)),
        (
            f"Let me see.\n\n{written(hermes.FORMAT, WEATHER, ADD)}",
            {"form": hermes.FORMAT},
            said("Let me see.", WEATHER, ADD),
        ),
        ('<tool_call>{"name":"add","arguments":{}}</tool_call>', {"form": hermes.FORMAT}, said("", ("add", {}))),
        (
            '<tool_call>\n{"arguments": {"a": 1}, "name": "add"}\n</tool_call>',
            {"form": hermes.FORMAT},
            said("", ("add", {"a": 1})),
        ),
        (
            '<tool_call>{"name": "add", "arguments": "{\\"a\\": 1}"}</tool_call>',
            {"form": hermes.FORMAT},
            said("", ("add", {"a": 1})),
        ),
        ('<tool_call>{"name": "add", "arguments": {"a": 1}', {"form": hermes.FORMAT}, said("", ("add", {"a": 1}))),
        ('<tool_call>{"name": "add", "arguments": 5}</tool_call>', {"form": hermes.FORMAT}, said("", ("add", 5))),
        ("<tool_call>nonsense</tool_call> so", {"form": hermes.FORMAT}, said("<tool_call>nonsense</tool_call> so")),
        ("<tool_call>[1]</tool_call>", {"form": hermes.FORMAT}, said("<tool_call>[1]</tool_call>")),
        ("a < b <tool", {"form": hermes.FORMAT}, said("a < b <tool")),
        (
            f"<think>Hm.</think>\n{written(hermes.FORMAT, ADD)}",
            {"form": hermes.FORMAT, "thinks": True},
            said("", ADD, reasoning="Hm."),
        ),
        (
            f"<think><tool_call></think>{written(hermes.FORMAT, ADD)}",
            {"form": hermes.FORMAT, "thinks": True},
            said("", ADD, reasoning="<tool_call>"),
        ),
        # calls without marks
        (written(llama.FORMAT, WEATHER), {"form": llama.FORMAT}, said("", WEATHER)),
        (f"<|python_tag|>{written(llama.FORMAT, ADD)}", {"form": llama.FORMAT}, said("", ADD)),
        (
            '{"type": "function", "name": "add", "parameters": {"a": 1}}',
            {"form": llama.FORMAT},
            said("", ("add", {"a": 1})),
        ),
        (
            f"{written(llama.FORMAT, ADD)}; {written(llama.FORMAT, WEATHER)}",
            {"form": llama.FORMAT},
            said("", ADD, WEATHER),
        ),
        ('{"parameters": {"a": 1}, "name": "add"}', {"form": llama.FORMAT}, said("", ("add", {"a": 1}))),
        (
            '{"name": "unknown", "parameters": {}}',
            {"form": llama.FORMAT},
            said('{"name": "unknown", "parameters": {}}'),
        ),
        ('{"answer": 42}', {"form": llama.FORMAT}, said('{"answer": 42}')),
        (f"So: {written(llama.FORMAT, ADD)}", {"form": llama.FORMAT}, said(f"So: {written(llama.FORMAT, ADD)}")),
        ("{" + "long " * 200, {"form": llama.FORMAT}, said("{" + "long " * 200)),
        (
            f"Hm.</think>\n\n{written(llama.FORMAT, ADD)}",
            {"form": llama.FORMAT, "thinking": True},
            said("", ADD, reasoning="Hm."),
        ),
        # DeepSeek's
        (written(deepseek.FORMAT, WEATHER), {"form": deepseek.FORMAT}, said("", WEATHER)),
        (
            f"Hm.\n</think>\n\nLet me see.{written(deepseek.FORMAT, WEATHER, ADD)}",
            {"form": deepseek.FORMAT, "thinks": True, "thinking": True},
            said("Let me see.", WEATHER, ADD, reasoning="Hm."),
        ),
        (
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>nonsense<｜tool▁call▁end｜>",
            {"form": deepseek.FORMAT},
            said("<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>nonsense<｜tool▁call▁end｜>"),
        ),
    ],
)
def test_what_was_said_is_told_apart(text: str, options: dict[str, Any], expected: dict[str, Any], size: int) -> None:
    result = read(text, size, tools=TOOLS, **options)
    # A model may write something after its last call; where it is but white space nothing hangs on it.
    assert result | {"content": result["content"].rstrip() if expected["calls"] else result["content"]} == expected


def test_what_is_clear_is_told_at_once() -> None:
    parser = OutputParser(form=hermes.FORMAT, tools=TOOLS, thinks=True)
    assert parser.feed("<think>") == []
    assert parser.thinking
    assert parser.feed("One ") == [Reasoning("One")]
    assert parser.feed("two</") == [Reasoning(" two")]
    assert parser.feed("think>\n") == []
    assert not parser.thinking
    assert parser.feed("Three") == [Content("Three")]
    assert parser.feed("\n<tool_call>\n") == []
    assert parser.feed('{"name": "add", ') == []
    assert parser.feed('"arguments": {"a": ') == [CallStart(0, "add"), CallArguments(0, '{"a": ')]
    assert parser.feed("1}}\n</tool") == [CallArguments(0, "1}")]
    assert parser.feed("_call>") == []
    assert parser.finish() == []
