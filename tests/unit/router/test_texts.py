"""All text of requests and answers, in every API's format."""

import json
import re
from typing import Any

import pytest

from lambda_llm.router.texts import UnseenError, answered, asked, plain

CHAT = {
    "model": "chat",
    "temperature": 0.5,
    "messages": [
        {"role": "system", "content": "one"},
        {"role": "user", "name": "two", "content": [{"type": "text", "text": "three"}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "four", "type": "function", "function": {"name": "five", "arguments": '{"six": "\\u0073even"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "eight", "content": "nine"},
        {"role": "user and ten", "content": "eleven"},
    ],
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "twelve",
                "description": "thirteen",
                "parameters": {
                    "type": "object",
                    "properties": {"a key of fourteen": {"type": "fifteen", "description": "sixteen"}},
                },
            },
        }
    ],
    "stop": ["seventeen"],
    "next_years_field": {"deep": ["eighteen"]},
    "user": "somebody@example.com",
    "metadata": {"a": "somebody@example.com"},
}
MESSAGES = {
    "model": "chat",
    "system": [{"type": "text", "text": "one"}],
    "messages": [
        {
            "role": "assistant",
            "content": [
                {
                    "type": "tool_use",
                    "id": "two",
                    "name": "three",
                    "input": {"status": "four", "card": 4111111111111111, "type": "five"},
                }
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "two", "content": [{"type": "text", "text": "six"}]},
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "seven"}},
            ],
        },
    ],
}
RESPONSES = {
    "model": "chat",
    "instructions": "one",
    "previous_response_id": None,
    "input": [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "two"}]},
        {"type": "function_call_output", "call_id": "c", "output": "three"},
    ],
    "text": {"format": {"type": "json_schema", "name": "four", "schema": {"enum": ["five"]}}},
}


NUMBERS = (
    *("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"),
)


@pytest.mark.parametrize(("body", "most"), [(CHAT, 18), (MESSAGES, 7), (RESPONSES, 5)])
def test_every_text_of_a_request_is_seen(body: dict[str, Any], most: int) -> None:
    """Wherever a model could get it from."""
    given = list(asked(body))
    words = re.findall(r"[a-z]+", " ".join(given))
    assert sorted(set(words) & set(NUMBERS)) == sorted(NUMBERS[:most])
    assert "somebody@example.com" not in given


def test_numbers_of_what_a_tool_gets_are_text() -> None:
    assert "4111111111111111" in list(asked(MESSAGES))
    assert "0.5" not in list(asked(CHAT))


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": "a"}, {"prompt": ["a", "b"]}, {"input": "a"}, {"input": ["a", "b"]},
        {"query": "a", "documents": ["b", {"text": "c"}]},
    ],
)  # fmt: skip
def test_prompts_and_inputs_in_every_form(body: dict[str, Any]) -> None:
    assert "a" in list(asked(body))


def user(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (user({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}), "image_url"),
        (user({"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}), "input_audio"),
        (user({"type": "file", "file": {"file_id": "f"}}), "file"),
        (user({"type": "image", "source": {"type": "base64", "data": ""}}), "image"),
        (user({"type": "document", "source": {"type": "base64", "data": ""}}), "document"),
        (user({"type": "of_next_year", "url": "data:image/png;base64,AAAA"}), "url"),
        (user({"type": "tool_result", "content": [{"type": "image", "source": {}}]}), "image"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": [[1], [2]]}, "prompt"),
        ({"prompt": ["a", [2]]}, "prompt"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"input": [1, 2]}, "input"),
        ({"input": [{"type": "input_image", "image_url": "https://example.com"}]}, "input_image"),
        ({"input": [{"type": "item_reference", "id": "m"}]}, "item_reference"),
        ({"previous_response_id": "r"}, "previous_response_id"),
        ({"conversation": "c"}, "conversation"),
    ],
)
def test_what_is_no_text_is_named(body: dict[str, Any], field: str) -> None:
    """Whoever must see all text can't let it pass."""
    with pytest.raises(UnseenError) as refused:
        list(asked(body))
    assert str(refused.value) == field


def test_nothing_hides_at_the_bottom() -> None:
    deep: Any = "bomb"
    for _ in range(100):
        deep = [deep]
    with pytest.raises(UnseenError):
        list(asked({"messages": deep}))


def pieces(*events: dict[str, Any]) -> dict[str, str]:
    """Texts, each put together as its client does it."""
    found: dict[str, str] = {}
    for each in events:
        for name, text in answered(json.dumps(each).encode()):
            found[name] = found.get(name, "") + text
    return found


def delta(choice: int = 0, **fields: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "m", "system_fingerprint": "f",
        "choices": [{"index": choice, "delta": fields, "finish_reason": None}],
    }  # fmt: skip


def test_the_pieces_of_a_text_are_one_text() -> None:
    """What comes between them is none, and texts at the same time are not mixed."""
    call = {"index": 0, "function": {"arguments": '{"a":'}}
    found = pieces(
        delta(role="assistant", content=""),
        delta(content="Hel"),
        delta(choice=1, content="Bon"),
        delta(content="lo"),
        delta(choice=1, content="jour"),
        delta(reasoning_content="Hm"),
        delta(tool_calls=[call]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": "1}"}}]),
        {"choices": [], "usage": {"prompt_tokens": 1}},
    )
    assert sorted(text for text in found.values() if text) == ["Bonjour", "Hello", "Hm", '{"a":1}']


def test_answers_of_the_other_apis() -> None:
    """Whole and in pieces; what repeats the request is not the model's."""
    block = {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": '{"x'}}
    more = {**block, "delta": {"type": "input_json_delta", "partial_json": '":1}'}}
    assert list(pieces(block, more).values()) == ['{"x":1}']
    event = {"type": "response.output_text.delta", "item_id": "i", "output_index": 0, "content_index": 0}
    found = pieces({**event, "delta": "Hel"}, {**event, "content_index": 1, "delta": "x"}, {**event, "delta": "lo"})
    assert sorted(found.values()) == ["Hello", "x"]
    response = {
        "object": "response",
        "instructions": "theirs",
        "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]}],
    }
    assert list(pieces({"type": "response.completed", "response": response}).values()) == ["Hi"]
    message = {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "tool_use", "id": "t", "name": "pay", "input": {"id": "a", "card": 41, "a b": None}}],
    }
    assert sorted(pieces(message).values()) == ["41", "a", "a b", "pay"]
    assert list(pieces({"object": "list", "data": [{"index": 0, "embedding": [0.5]}]}).values()) == []
    with pytest.raises(ValueError, match="Expecting"):
        list(answered(b"{"))


@pytest.mark.parametrize(
    ("text", "seen"),
    [("a", "a"), ('{"a": "\\u0062"}', '{"a": "b"}'), ("C:\\u", "C:\\u"), ('"\\u0062"', '"b"'), ("\\", "\\")],
)
def test_an_escape_hides_nothing(text: str, seen: str) -> None:
    assert plain(text) == seen
