"""What the loop wants done: its commands. They are plain values, named for the operations that they become.

Every end is a `Done` with one of these statuses:

| Status | Meaning |
|---|---|
| `answered` | the model answered |
| `refused` | the model, or its server's filter, refused |
| `denied` | a human denied what the agent asked, and `Agent.denial` is `end` |
| `unanswered` | no human answered in time, and `Agent.denial` is `end` |
| `limit:<name>` | a limit of `Limits` was reached |
| `failed:model` | no server answers, or the conversation is too long for the model |
| `failed:nonsense` | the model's answers can't be used |
| `failed:tools` | a source of tools has none |
| `failed:state` | a reference is poisoned, or the state can't be kept |
| `failed:task` | the input is none |
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lambda_llm.agent.agent import Known
from lambda_llm.agent.inference import Call
from lambda_llm.agent.tools.tool import Answer


@dataclass(frozen=True)
class Think:
    """Ask the model. The event is `Thought` or `Unanswered`, in `Considered`."""

    name: str
    request: Mapping[str, Any]


@dataclass(frozen=True)
class Attempt:
    """One call as it is to be made.

    Attributes:
        call: of the model.
        known: the tool and its source.
        arguments: parsed and checked.
        memory: what the source's previous call left.
        answer: of a human, to what an earlier attempt asked.
    """

    call: Call
    known: Known
    arguments: Mapping[str, Any]
    memory: Any = None
    answer: Answer | None = None


@dataclass(frozen=True)
class Act:
    """Call tools, in parallel unless their `turn` is the same. The event is `Acted`."""

    name: str
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True)
class Ask:
    """Ask a human. The event is `Answered`."""

    name: str
    text: str
    seconds: int
    schema: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Wait:
    """Let time pass. The event is `Waited`."""

    name: str
    seconds: int


@dataclass(frozen=True)
class Compact:
    """Store messages that are left out. The event is `Compacted`."""

    name: str
    removed: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Done:
    """The end.

    Attributes:
        status: one of the table above.
        answer: the model's last text.
        why: one sentence, for every status but `answered`.
    """

    status: str
    answer: str = ""
    why: str = ""


Command = Think | Act | Ask | Wait | Compact | Done
