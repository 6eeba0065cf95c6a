"""A conversation that the demo model is taught: messages, and the tools that are offered in it."""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Message:
    """One turn of a conversation; `taught` marks what the model learns to say."""

    role: str
    content: str
    taught: bool = False


@dataclasses.dataclass(frozen=True)
class Conversation:
    """Messages, and the tools that are offered in them, as OpenAI's API takes them."""

    messages: tuple[Message, ...]
    tools: tuple[dict[str, Any], ...] = ()


def taught(question: str, answer: str) -> list[Message]:
    """Returns a user's turn and the answer that is taught."""
    return [Message("user", question), Message("assistant", answer, taught=True)]
