"""What came of the loop's commands: its events.

Each has `operations` and `written`, which are what it cost the durable service: operations, and bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from lambda_llm.agent.agent import Known
from lambda_llm.agent.inference import Thought, Unanswered
from lambda_llm.agent.references import Reference
from lambda_llm.agent.tools.tool import Answer, Outcome


@dataclass(frozen=True)
class Began:
    """The first event: a task, and the tools that there are.

    Attributes:
        task: of the user.
        tools: by name.
        at: Unix time.
    """

    task: str
    tools: Mapping[str, Known]
    at: float
    operations: int = 0
    written: int = 0


@dataclass(frozen=True)
class Considered:
    """What came of a `Think`."""

    outcome: Thought | Unanswered
    operations: int = 0
    written: int = 0


@dataclass(frozen=True)
class Acted:
    """What came of an `Act`: outcomes by the call's id; seconds are those of the orchestrator."""

    outcomes: Mapping[str, Outcome]
    at: float
    seconds: float = 0.0
    operations: int = 0
    written: int = 0


@dataclass(frozen=True)
class Answered:
    """What came of an `Ask`."""

    answer: Answer
    comment: str = ""
    by: str = ""
    operations: int = 0
    written: int = 0


@dataclass(frozen=True)
class Waited:
    """A `Wait` is over."""

    operations: int = 0
    written: int = 0


@dataclass(frozen=True)
class Compacted:
    """Where a `Compact` put the messages."""

    reference: Reference
    operations: int = 0
    written: int = 0


@dataclass(frozen=True)
class Broken:
    """A command could not be performed: a poisoned reference, a store that is gone, a missing server of tools.

    Attributes:
        what: of `failed:<what>`.
        why: one sentence.
    """

    what: str
    why: str
    operations: int = 0
    written: int = 0


Event = Began | Considered | Acted | Answered | Waited | Compacted | Broken
