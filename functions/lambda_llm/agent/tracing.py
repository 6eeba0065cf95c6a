"""One execution's ids and spans: the same in each invocation that goes on with it, as they follow from its ARN.

The span of the execution is recorded at its end, when its children were sent long before. What the model does for it is
a child of the step that asks: the request carries that step's ids, whether spans are recorded here or not.

Source: https://github.com/open-telemetry/semantic-conventions-genai
"""

import hashlib
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from lambda_llm.agent.agent import Known
from lambda_llm.agent.budget import Spent
from lambda_llm.agent.commands import Done
from lambda_llm.agent.inference import Thought, Unanswered
from lambda_llm.telemetry import spans
from lambda_llm.telemetry.context import TRACEPARENT, plain_id, trace_id, traceparent
from lambda_llm.telemetry.genai import OURS
from lambda_llm.telemetry.span import Span

_ID_DIGITS: Final = 32

Times = tuple[float, float]
"""Beginning and end of an operation, in seconds since 1970."""


class Trace:
    """See the module.

    Attributes:
        fields: of all lines of the execution.
    """

    def __init__(self, execution: str, given: Mapping[str, Any], model: str, lambda_request_id: str | None) -> None:
        """Take what the ids follow from; nothing is recorded.

        Args:
            execution: its ARN.
            given: its input; `request_id` and `traceparent` are of whoever started it, as far as they are there.
            model: name of the agent's.
            lambda_request_id: of this invocation.
        """
        caused_by = {name: value for name, value in given.items() if isinstance(value, str)}
        self._execution = execution
        self._model = model
        self._parent = traceparent({TRACEPARENT: caused_by.get(TRACEPARENT, "")})
        self._identity = spans.identity(execution, trace_id(self._parent, None))
        self._trace = self._identity.split("-")[1]
        named = plain_id(caused_by.get("request_id"))
        self.fields: Mapping[str, str | None] = {
            "request_id": named or hashlib.sha256(execution.encode()).hexdigest()[:_ID_DIGITS],
            "trace_id": self._trace,
            "lambda_request_id": plain_id(lambda_request_id),
        }

    def headers(self, step: str) -> dict[str, str]:
        """What a request carries that a step makes."""
        return {TRACEPARENT: self._step(step)}

    def thought(self, step: str, outcome: Thought | Unanswered, times: Times) -> None:
        """The model has answered, or not."""
        answered = outcome if isinstance(outcome, Thought) else None
        error = None if isinstance(outcome, Thought) else outcome.code or str(outcome.status)
        spans.record(
            f"chat {self._model}",
            *times,
            kind="client",
            parent={TRACEPARENT: self._identity},
            identity=self._step(step),
            error=error,
            attributes={
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": OURS,
                "gen_ai.request.model": self._model,
                "gen_ai.usage.input_tokens": answered.input_tokens if answered else None,
                "gen_ai.usage.output_tokens": answered.output_tokens if answered else None,
                "gen_ai.response.finish_reasons": [answered.finish] if answered else None,
                "lambda_llm.step": step,
            },
        )

    def waited(self, what: str, step: str, times: Times) -> None:
        """A time without the orchestrator is over: `wait`, or `ask` for a human."""
        spans.record(
            what,
            *times,
            parent={TRACEPARENT: self._identity},
            identity=self._step(step),
            attributes={"lambda_llm.step": step},
        )

    @contextmanager
    def called(self, step: str, known: Known, again: type[Exception]) -> Iterator[Span]:
        """The span of one attempt at a call, within its step.

        Args:
            step: name of it.
            known: the tool.
            again: exception that asks for another attempt.
        """
        with ExitStack() as recorded:
            span = recorded.enter_context(
                spans.span(
                    f"execute_tool {known.tool.name}",
                    parent={TRACEPARENT: self._identity},
                    attributes={
                        "gen_ai.operation.name": "execute_tool",
                        "gen_ai.tool.name": known.tool.name,
                        "gen_ai.tool.type": "function",
                        "lambda_llm.source": known.source,
                        "lambda_llm.step": step,
                    },
                )
            )
            try:
                yield span
            except again:
                span.fail("again")
                recorded.close()
                raise

    def ended(self, done: Done, spent: Spent) -> None:
        """The execution has ended."""
        now = time.time()
        failed = done.status.startswith("failed:")
        spans.record(
            "invoke_agent",
            spent.began or now,
            now,
            kind="internal",
            parent=None if self._parent is None else {TRACEPARENT: self._parent},
            identity=self._identity,
            error=done.status.removeprefix("failed:") if failed else None,
            attributes={
                "gen_ai.operation.name": "invoke_agent",
                "gen_ai.provider.name": OURS,
                "gen_ai.request.model": self._model,
                "gen_ai.conversation.id": self.fields["request_id"],
                "lambda_llm.status": done.status,
                "lambda_llm.execution": self._execution,
            },
        )

    def _step(self, name: str) -> str:
        return spans.identity(f"{self._execution} {name}", self._trace)
