"""Messages of a conversation that grows: what is left out when it is too long, and what is told in its place."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lambda_llm.agent.references import Reference

Message = Mapping[str, Any]

KEPT_RESULTS: Final = 2
"""Tool results that are kept whole, the latest ones."""

STUB_CHARACTERS: Final = 200
"""A result up to this length is not worth a stub."""


@dataclass(frozen=True)
class Compaction:
    """What a compaction keeps and what it takes out.

    Attributes:
        kept: messages of the next request; the task's message still lacks the note.
        removed: messages that are no longer there, or only as stubs; for the state bucket.
    """

    kept: tuple[Message, ...]
    removed: tuple[Message, ...]


def size(messages: Sequence[Message]) -> int:
    """Bytes of the messages as JSON."""
    return len(json.dumps(list(messages)))


def compact(messages: Sequence[Message], most: int) -> Compaction:
    """Shorten a conversation to at most `most` bytes, if that can be done without its instructions, task and last turn.

    First all tool results but the latest become stubs, then the oldest turns go as a whole: a call and its results
    always stay together, because chat templates refuse one without the other.

    Args:
        messages: instructions, task, and then turns, each of which begins with an assistant's message.
        most: bytes.
    """
    start, turns = list(messages[:2]), _turns(messages[2:])
    removed: list[Message] = []
    results = [(turn, place) for turn in turns for place, one in enumerate(turn) if one["role"] == "tool"]
    for turn, place in results[:-KEPT_RESULTS]:
        if size(_joined(start, turns)) <= most:
            break
        if len(turn[place]["content"]) > STUB_CHARACTERS:
            removed.append(turn[place])
            turn[place] = {**turn[place], "content": json.dumps({"removed": "this result was left out"})}
    while len(turns) > 1 and size(_joined(start, turns)) > most:
        removed.extend(turns.pop(0))
    return Compaction(_joined(start, turns), tuple(removed))


def noted(kept: Sequence[Message], count: int, reference: Reference) -> tuple[Message, ...]:
    """The kept messages, with a note behind the task on what was left out."""
    task = kept[1]
    text = f"{task['content']}\n\n({count} earlier messages were left out; they are kept at {reference.uri}.)"
    return (kept[0], {**task, "content": text}, *kept[2:])


def _turns(messages: Sequence[Message]) -> list[list[Message]]:
    turns: list[list[Message]] = []
    for message in messages:
        if message["role"] == "assistant" or not turns:
            turns.append([])
        turns[-1].append(message)
    return turns


def _joined(start: Sequence[Message], turns: Sequence[Sequence[Message]]) -> tuple[Message, ...]:
    return (*start, *(message for turn in turns for message in turn))
