"""What an execution may spend and what it has spent: turns, tokens, time, and the durable service's own limits."""

from dataclasses import dataclass, fields, replace
from typing import Final, Self

from lambda_llm import limits
from lambda_llm.agent.errors import AgentDefinitionError
from lambda_llm.cost import prices

STOP: Final = 0.8
"""Share of the service's limits at which an execution stops by itself: a stop has a status, and a limit does not."""

WARN: Final = 0.5
"""Share of a limit at which the execution warns."""

MEMORY_MB: Final = 1_769
"""Memory of the orchestrator, which buys one vCPU.
Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html"""


@dataclass(frozen=True)
class Limits:
    """Limits of one execution; the first that is reached ends it as `limit:<name>`.

    Attributes:
        turns: requests to the model that were answered.
        tokens: of all prompts and answers.
        dollars: estimate by `Spent.dollars`, at us-east-1's prices.
        operations: of the durable service, of its 3,000.
        bytes: written to the durable service, of its 100 MB.
        seconds: of wall time, waits included.
    """

    turns: int = 20
    tokens: int = 500_000
    dollars: float = 1.0
    operations: int = int(STOP * limits.DURABLE_OPERATIONS)
    bytes: int = int(STOP * limits.DURABLE_BYTES)
    seconds: float = 14 * 24 * 60 * 60

    def __post_init__(self) -> None:
        """Validate; raises AgentDefinitionError."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
                raise AgentDefinitionError(f"Limits.{field.name} is {value!r}: set it to a number above 0.")
        for name, most in (
            ("operations", int(STOP * limits.DURABLE_OPERATIONS)),
            ("bytes", int(STOP * limits.DURABLE_BYTES)),
            ("seconds", limits.DURABLE_EXECUTION_SECONDS),
        ):
            if getattr(self, name) > most:
                raise AgentDefinitionError(
                    f"Limits.{name} is {getattr(self, name):,}, and at most {most:,} can be had: the durable service "
                    "ends an execution beyond it without a status."
                )


@dataclass(frozen=True)
class Spent:
    """What an execution has spent. The same after every replay: it is computed from values of its history alone.

    Attributes:
        turns, tokens, operations, bytes: as in `Limits`.
        inference_seconds: that the inference function was busy, as far as its answers say.
        tool_seconds: that tools took in the orchestrator.
        began: Unix time of the first step.
        now: Unix time of the latest event that had one.
    """

    turns: int = 0
    tokens: int = 0
    operations: int = 1  # the execution itself
    bytes: int = 0
    inference_seconds: float = 0.0
    tool_seconds: float = 0.0
    began: float = 0.0
    now: float = 0.0

    def plus(self, **amounts: float) -> Self:
        """With more of some."""
        return replace(self, **{name: getattr(self, name) + amount for name, amount in amounts.items()})

    def at(self, now: float) -> Self:
        """At a later time; clocks of different machines may disagree, and time never goes back."""
        return replace(self, now=max(self.now, now))

    @property
    def seconds(self) -> float:
        """Wall time so far."""
        return self.now - self.began

    @property
    def dollars(self) -> float:
        """Estimate: durable operations and bytes, and both functions' time."""
        return self._orchestrating + prices.busy(self.inference_seconds) + prices.REQUEST * self.turns

    @property
    def own_dollars(self) -> float:
        """Estimate of the agent's part, without inference, which says itself what it takes."""
        return self._orchestrating + prices.REQUEST * (1 + self.turns)

    @property
    def _orchestrating(self) -> float:
        return prices.durable(self.operations, self.bytes) + prices.busy(self.tool_seconds, MEMORY_MB)


def reached(spent: Spent, limit: Limits) -> str:
    """Name of the first limit that is reached, or an empty text."""
    return next((field.name for field in fields(limit) if _share(spent, limit, field.name) >= 1), "")


def warnings(spent: Spent, limit: Limits) -> tuple[str, ...]:
    """Names of the limits that are more than half reached."""
    return tuple(field.name for field in fields(limit) if _share(spent, limit, field.name) >= WARN)


def _share(spent: Spent, limit: Limits, name: str) -> float:
    share: float = getattr(spent, name) / getattr(limit, name)
    return share
