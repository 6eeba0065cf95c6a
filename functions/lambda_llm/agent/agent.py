"""The agent as people write it: instructions, a model, tools and limits, in one file.

```python
from lambda_llm.agent.agent import Agent
from lambda_llm.agent.tools.functions import tool
from lambda_llm.agent.tools.human import ask_human, wait

@tool("none")
def temperature(city: str) -> dict[str, float]:
    "Temperature of a city in degrees Celsius."
    return {"degrees": 21.0}

agent = Agent("You answer questions about the weather.", "llama-3.2-1b", (temperature, ask_human(), wait()))
```
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from lambda_llm.agent.budget import Limits
from lambda_llm.agent.errors import AgentDefinitionError
from lambda_llm.agent.tools import human
from lambda_llm.agent.tools.aliases import over_sources
from lambda_llm.agent.tools.functions import FunctionSource, FunctionTool
from lambda_llm.agent.tools.tool import ToolDescription, ToolSource
from lambda_llm.limits import DURABLE_EXECUTION_SECONDS, DURABLE_INVOKE_BYTES

SOURCE_NAME: Final = re.compile(r"[a-z0-9-]{1,32}")
SOURCES: Final = 16
TOOLS: Final = 128
"""Most tools of an agent: each is in every prompt."""

RESERVED: Final = frozenset(
    {"model", "messages", "tools", "stream", "stream_options", "max_tokens", "max_completion_tokens", "n"}
)
"""Fields of a request that are the loop's."""


@dataclass(frozen=True)
class Question:
    """What a human is asked, for whatever brings it to one.

    Attributes:
        callback_id: with which it is answered; whoever has it may decide, so it belongs to whoever may.
        text: of the question, written by a model: show it as text, not as markup.
        execution: ARN of the execution.
        schema: JSON Schema of the answer; None: approval alone.
    """

    callback_id: str
    text: str
    execution: str
    schema: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Agent:
    """An agent. Everything but its tools is plain data.

    Attributes:
        instructions: system prompt. A pinned one of the inference function costs no prefill.
        model: name that the inference function gives its model (`GET /v1/models`).
        tools: functions made by `tool`, sources (MCP servers, code interpreters), `ask_human()` and `wait()`.
        limits: of one execution.
        denial: what a human's denial does, or that nobody answered: `end` the execution with that status, or
            `continue`: the model is told.
        answer_seconds: how long a human may take to answer.
        max_tokens: of one answer of the model.
        options: further fields of each request, such as `temperature`.
        history_bytes: above which the conversation is compacted; a request has at most 1 MB.
        notify: brings a question to a human; called at most once for each. Without it, `lambda-llm agent list` shows
            the questions.

    Raises:
        AgentDefinitionError: it can't be used as written.
    """

    instructions: str
    model: str
    tools: tuple[FunctionTool | ToolSource | ToolDescription, ...] = ()
    limits: Limits = field(default_factory=Limits)
    denial: Literal["end", "continue"] = "end"
    answer_seconds: int = 3 * 24 * 60 * 60
    max_tokens: int = 1024
    options: Mapping[str, Any] = field(default_factory=dict)
    history_bytes: int = 200_000
    notify: Callable[[Question], None] | None = None

    def __post_init__(self) -> None:
        """Validate; raises AgentDefinitionError."""
        if not self.instructions.strip() or not self.model:
            raise AgentDefinitionError("An agent needs instructions and the name of a model.")
        if taken := RESERVED & set(self.options):
            raise AgentDefinitionError(f"Agent.options has {', '.join(sorted(taken))}, which the loop sets itself.")
        if self.denial not in {"end", "continue"}:
            raise AgentDefinitionError(f"Agent.denial is {self.denial!r}: set it to end or continue.")
        for name, most in (
            ("answer_seconds", DURABLE_EXECUTION_SECONDS),
            ("max_tokens", 1_000_000),
            ("history_bytes", DURABLE_INVOKE_BYTES // 2),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
                raise AgentDefinitionError(f"Agent.{name} is {value!r}: set it to a whole number from 1 to {most:,}.")
        names = [source.name for source in self.sources]
        for name in names:
            if not SOURCE_NAME.fullmatch(name) or name == human.SOURCE or names.count(name) > 1:
                raise AgentDefinitionError(
                    f"The source {name!r} needs another name: each has 1 to 32 lower-case letters, digits or hyphens, "
                    f"unlike any other and unlike {human.SOURCE!r}."
                )
        if len(names) > SOURCES:
            raise AgentDefinitionError(f"An agent has at most {SOURCES} sources of tools.")
        known(self, {FunctionSource.name: FunctionSource(self._functions).describe(), human.SOURCE: self.suspending})

    @property
    def sources(self) -> tuple[ToolSource, ...]:
        """Where its tools come from; asking and waiting are no source's."""
        others = tuple(one for one in self.tools if not isinstance(one, FunctionTool | ToolDescription))
        return (FunctionSource(self._functions), *others) if self._functions else others

    @property
    def _functions(self) -> tuple[FunctionTool, ...]:
        return tuple(one for one in self.tools if isinstance(one, FunctionTool))

    @property
    def suspending(self) -> tuple[ToolDescription, ...]:
        """Descriptions of the tools that suspend an execution: asking and waiting."""
        given = tuple(one for one in self.tools if isinstance(one, ToolDescription))
        if any(one.kind == "call" for one in given):
            raise AgentDefinitionError("A description alone can't be called: give the agent a function or a source.")
        return given


@dataclass(frozen=True)
class Known:
    """A tool that the model may call.

    Attributes:
        source: name of its source.
        tool: its description, under the model's name for it.
        name: its source's name for it.
    """

    source: str
    tool: ToolDescription
    name: str


def known(agent: Agent, described: Mapping[str, tuple[ToolDescription, ...]]) -> dict[str, Known]:
    """All tools by name.

    Args:
        agent: whose tools they are.
        described: descriptions by the name of their source.

    Where two sources have a tool of one name, each gets its source's name in front.

    Raises:
        AgentDefinitionError: two tools of a source have one name, a name is none, or there are too many.
    """
    names = over_sources({source: [one.name for one in tools] for source, tools in described.items()})
    found: dict[tuple[str, str], ToolDescription] = {}
    for source, tools in described.items():
        for one in tools:
            if not 0 < one.seconds <= _CALL_SECONDS:
                raise AgentDefinitionError(f"The tool {one.name} may take at most {_CALL_SECONDS} seconds.")
            found[source, one.name] = one
    tools_ = {
        name: Known(source, replace(found[source, inner], name=name), inner) for name, (source, inner) in names.items()
    }
    if len(tools_) > TOOLS:
        raise AgentDefinitionError(f"{agent.model} would get {len(tools_)} tools; at most {TOOLS} are possible.")
    return tools_


_CALL_SECONDS: Final = 600
"""Longest call: within one invocation of at most 15 minutes, beside what else that does."""
