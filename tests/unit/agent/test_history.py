"""Conversations that are too long: calls and their results stay together, the task and the last turn stay."""

import json
from typing import Any

import pytest

from lambda_llm.agent.history import compact, noted, size
from lambda_llm.agent.references import Reference

START = ({"role": "system", "content": "You act."}, {"role": "user", "content": "Do it."})


def turn(number: int, length: int) -> tuple[dict[str, Any], ...]:
    call = {"id": f"c-{number}", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    return (
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": f"c-{number}", "content": json.dumps({"text": "x" * length})},
    )


def conversation(turns: int, length: int) -> tuple[dict[str, Any], ...]:
    return (*START, *(message for number in range(turns) for message in turn(number, length)))


@pytest.mark.parametrize(
    ("turns", "length", "most"), [(10, 1000, 5000), (10, 1000, 3000), (40, 100, 3000), (3, 5000, 9000)]
)
def test_it_is_short_enough_and_whole(turns: int, length: int, most: int) -> None:
    messages = conversation(turns, length)
    compaction = compact(messages, most)
    assert size(compaction.kept) <= most
    assert compaction.kept[:2] == START
    assert compaction.kept[-2:] == messages[-2:]
    calls = [call["id"] for one in compaction.kept for call in one.get("tool_calls", ())]
    assert calls == [one["tool_call_id"] for one in compaction.kept if one["role"] == "tool"]
    assert compaction.removed


def test_what_fits_is_left_alone() -> None:
    messages = conversation(3, 10)
    compaction = compact(messages, 10_000)
    assert (compaction.kept, compaction.removed) == (messages, ())


def test_the_last_turn_stays_even_if_it_is_too_long() -> None:
    messages = conversation(2, 5000)
    compaction = compact(messages, 1000)
    assert compaction.kept == (*START, *messages[-2:])
    assert compaction.removed == messages[2:4]
    assert compact(compaction.kept, 1000).removed == ()


def test_a_note_says_where_the_rest_is_and_the_latest_one_alone() -> None:
    reference = Reference("s3://b/one", "0" * 64, 5, "application/json")
    once = noted(conversation(1, 10), 4, reference)
    assert once[1]["content"] == "Do it.\n\n(4 earlier messages were left out; they are kept at s3://b/one.)"
