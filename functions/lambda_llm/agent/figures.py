"""The lines of an execution: one for each call of a model or a tool, and one at its end.

A replay writes none again: a tool's is written within its step, and the others where the context says that it is not
replaying. Only a process that dies between a line and the next checkpoint has it written twice.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from lambda_llm.agent.agent import Known
from lambda_llm.agent.budget import Spent
from lambda_llm.agent.commands import Done, Think
from lambda_llm.agent.inference import OK, Thought, Unanswered
from lambda_llm.agent.tools.tool import Outcome
from lambda_llm.telemetry import emf
from lambda_llm.telemetry.lines import AGENT_EXECUTION, AGENT_MODEL_CALL, AGENT_TOOL_CALL

_FAILED: Final = "failed:"
_NO_TASK: Final = "failed:task"
"""The one failure that is its caller's."""


@dataclass
class Figures:
    """See the module.

    Attributes:
        on: whether lines are written.
        execution: ARN of the execution.
        tenant: whose it is.
        model: name of the agent's.
        replaying: whether what happens now has happened before.
        model_calls: until now; the same after a replay.
        tool_calls: likewise.
    """

    on: bool
    execution: str
    tenant: str
    model: str
    replaying: Callable[[], bool]
    model_calls: int = 0
    tool_calls: int = 0

    def thought(self, command: Think, outcome: Thought | Unanswered) -> None:
        """The model has answered, or not."""
        self.model_calls += 1
        if not self.on or self.replaying():
            return
        answered = isinstance(outcome, Thought)
        emf.write(
            AGENT_MODEL_CALL,
            Errors=int(not answered),
            InputTokens=outcome.input_tokens if isinstance(outcome, Thought) else None,
            OutputTokens=outcome.output_tokens if isinstance(outcome, Thought) else None,
            execution=self.execution,
            step=command.name,
            status=OK if isinstance(outcome, Thought) else outcome.status,
            error=None if isinstance(outcome, Thought) else outcome.code or "unanswered",
            seconds=outcome.seconds if isinstance(outcome, Thought) else None,
            tenant=self.tenant,
            model=self.model,
        )

    def called(
        self, step: str, known: Known, outcome: Outcome, seconds: float | None, error: str | None = None
    ) -> None:
        """A call has ended; whoever says so sees to it that a replay does not."""
        if not self.on:
            return
        emf.write(
            AGENT_TOOL_CALL,
            Errors=int(outcome.status in ("error", "unknown")),
            execution=self.execution,
            step=step,
            status=outcome.status,
            error=error,
            seconds=seconds,
            tenant=self.tenant,
            tool=known.tool.name,
            source=known.source,
        )

    def ended(self, done: Done, spent: Spent, error: str | None = None) -> None:
        """The execution has ended; whoever says so sees to it that a replay does not.

        Args:
            done: how.
            spent: by then.
            error: kind of it, where the status does not say it.
        """
        if not self.on:
            return
        failed = done.status.startswith(_FAILED)
        emf.write(
            AGENT_EXECUTION,
            Errors=int(failed and done.status != _NO_TASK),
            ExecutionSeconds=max(0.0, time.time() - spent.began) if spent.began else 0.0,
            Steps=self.model_calls + self.tool_calls,
            Dollars=spent.own_dollars,
            execution=self.execution,
            status=done.status,
            error=error or (done.status.removeprefix(_FAILED) if failed else None),
            tenant=self.tenant,
            model_calls=self.model_calls,
            tool_calls=self.tool_calls,
        )
