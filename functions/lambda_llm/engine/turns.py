"""Conversations rewritten for templates that refuse, or leave out, some of their turns."""

from collections.abc import Collection, Iterable, Sequence
from itertools import takewhile
from typing import Any, Final

Message = dict[str, Any]

_BETWEEN: Final = "\n\n"
"""Between texts of several messages in one."""


def with_instructions(messages: Sequence[Message], text: str) -> list[Message]:
    """The conversation with `text` appended to its system message."""
    if messages[0]["role"] == "system":
        return [{**messages[0], "content": _joined(messages[0]["content"], text)}, *messages[1:]]
    return [{"role": "system", "content": text}, *messages]


def folded(messages: Sequence[Message], *, first: bool) -> list[Message]:
    """The conversation with its system messages in the user turns that follow them, before the user's own text.

    Where no user turn follows, a system message goes behind the user's text before it, or is a turn of the user's.

    Args:
        messages: with any number of system messages, anywhere.
        first: keep those at the beginning, as one system message.
    """
    opening = list(takewhile(lambda message: message["role"] == "system", messages)) if first else []
    result: list[Message] = []
    if opening:
        result.append({**opening[0], "content": _joined(*(each["content"] for each in opening))})
    waiting: list[str] = []
    for message in messages[len(opening) :]:
        if message["role"] == "system":
            waiting.append(message["content"])
        elif waiting and message["role"] == "user":
            result.append({**message, "content": _joined(*waiting, message["content"])})
            waiting = []
        else:
            if message["role"] == "assistant":
                waiting = _appended(result, waiting)
            result.append(message)
    _appended(result, waiting)
    return result


def _appended(result: list[Message], waiting: Sequence[str]) -> list[str]:
    """Add texts to `result` as the user's; nothing is left to wait."""
    if waiting and result and result[-1]["role"] == "user":
        result[-1] = {**result[-1], "content": _joined(result[-1]["content"], *waiting)}
    elif waiting:
        result.append({"role": "user", "content": _joined(*waiting)})
    return []


def merged(messages: Iterable[Message], roles: Collection[str]) -> list[Message]:
    """The conversation with successive messages of one of these roles in one; what follows a tool call stays apart."""
    result: list[Message] = []
    for message in messages:
        last = result[-1] if result else None
        if last and last["role"] == message["role"] in roles and not last.get("tool_calls"):
            content = _joined(last["content"], message["content"]) or message["content"]
            result[-1] = {**last, **message, "content": content}
        else:
            result.append(message)
    return result


def in_parts(message: Message) -> Message:
    """The message with its content as a list of parts: of one, or none where the content is empty."""
    content = message["content"]
    if content is None:
        return message
    return {**message, "content": [{"type": "text", "text": content}] if content else []}


def _joined(*texts: str | None) -> str:
    return _BETWEEN.join(filter(None, texts))
