"""What a tool is: the contract between the loop and whatever acts for it.

A tool comes from a `ToolSource`: a Python function, a server of the Model Context Protocol, a code interpreter. The
loop knows descriptions and outcomes, never how a source works.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Literal, Protocol

from lambda_llm.agent.references import Reference

NAME_PATTERN: Final = r"^[a-zA-Z0-9_-]{1,64}$"
"""What a model's server takes as a name. Source: https://platform.openai.com/docs/api-reference/chat/create"""


class Effects(StrEnum):
    """What calling a tool again does. Only whoever configures the agent says so; a server's annotations are claims."""

    NONE = "none"
    """It only reads: it may be called again."""
    IDEMPOTENT = "idempotent"
    """It changes something, but twice is as once: it may be called again with the same idempotency key."""
    ONCE = "once"
    """It must not happen twice: it is called at most once, and an interrupted call is reported as unknown."""


@dataclass(frozen=True)
class ToolDescription:
    """A tool as the loop and the model see it. Plain JSON, because lists of tools are part of an execution's state.

    Attributes:
        name: the model's name for it, of `NAME_PATTERN`, unique in the agent.
        description: for the model.
        parameters: JSON Schema of the arguments, an object.
        effects: what a second call does.
        kind: `call` is run by its source; `ask` and `wait` suspend the execution.
        approval: whether a human must approve each call first.
        seconds: most that a call may take.
        turn: calls with the same text here are run one after the other, in the model's order, because they share state;
            empty: beside all others.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    effects: Effects = Effects.ONCE
    kind: Literal["call", "ask", "wait"] = "call"
    approval: bool = False
    seconds: float = 60
    turn: str = ""


class Store(Protocol):
    """Content-addressed bytes of one tenant."""

    def put(self, content: bytes, kind: str) -> Reference:
        """Store content of a media type. Storing the same again changes nothing.

        Raises:
            AgentError: it was not stored.
        """

    def get(self, reference: Reference, most: int) -> bytes:
        """Verified content of at most `most` bytes.

        Raises:
            BadReferenceError: missing, changed, or of another tenant.
            TooLargeError: it has more than `most` bytes.
            AgentError: the store can't be read now.
        """


@dataclass(frozen=True)
class CallContext:
    """What a source is told beside the arguments.

    Attributes:
        key: idempotency key: the same for every attempt at this call, unlike for any other; 64 hexadecimal digits.
        execution: names the execution, as a text of at most 64 of `[A-Za-z0-9_-]`, unlike every other one's.
        seconds: that are left for the call.
        store: for results that are too large for the state.
        memory: what this source's previous call in this execution returned as `Outcome.memory`; None at first.
        answer: to what an earlier attempt at this call asked with `Question`, and `Question.state`; None at first.
    """

    key: str
    execution: str
    seconds: float
    store: Store
    memory: Any = None
    answer: "Answer | None" = None


@dataclass(frozen=True)
class Question:
    """A call needs something of a human first (MCP: `input_required`, elicitation).

    Attributes:
        text: what to ask.
        schema: JSON Schema of the answer; None: approval alone.
        state: given back with the answer, to continue the call; JSON.
    """

    text: str
    schema: Mapping[str, Any] | None = None
    state: Any = None


@dataclass(frozen=True)
class Answer:
    """A human's answer to a `Question`.

    Attributes:
        action: `accept`, `decline`, or `cancel` (nobody answered in time).
        content: by the question's schema; JSON.
        state: the question's.
    """

    action: Literal["accept", "decline", "cancel"]
    content: Any = None
    state: Any = None


@dataclass(frozen=True)
class Outcome:
    """What came of a call: always a value, never an exception, because an exception would end the execution.

    Attributes:
        status: `ok`; `error`: it did not happen, or the tool says that it failed; `unknown`: it may have happened;
            `question`: it waits for a human.
        content: JSON for the model: an object, text, or what else the tool returned. Untrusted.
        references: larger results, in the store.
        memory: for this source's next call in this execution; small JSON.
        question: with status `question`.
    """

    status: Literal["ok", "error", "unknown", "question"]
    content: Any = None
    references: tuple[Reference, ...] = field(default=())
    memory: Any = None
    question: Question | None = None


class ToolSource(Protocol):
    """Tools of one origin.

    An instance lives as long as the process and is shared by executions: it keeps no state of one, except what it can
    do without.
    """

    name: str
    """Unique in the agent, of `[a-z0-9-]{1,32}`; of operations, and of the memory that its calls share."""

    def describe(self) -> tuple[ToolDescription, ...]:
        """Its tools. It may ask a server: it is called in a step, once per execution.

        Raises:
            AgentError: they can't be had; the execution ends with the sentence.
        """

    def call(self, name: str, arguments: Mapping[str, Any], context: CallContext) -> Outcome:
        """Call a tool. The arguments have been checked against `parameters`.

        A source may also have `suspend(memory)` and `close(memory)`, which get what its last call left: before
        a long wait, and at the end of the execution. They may be called twice, and that they fail changes nothing.

        Within `context.seconds`, whatever a server does. Raises nothing but `AgentError` subclasses: a `ToolError` is
        told to the model (`unknown` if it may have happened), and a `BadReferenceError` ends the execution.
        """
