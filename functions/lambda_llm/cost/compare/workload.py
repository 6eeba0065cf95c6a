"""A workload with its numbers, and what follows from them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from lambda_llm.cost.compare import formulas
from lambda_llm.cost.compare.inputs import INPUTS
from lambda_llm.cost.compare.options import Derived, Option, Options, Server, load
from lambda_llm.cost.prices import Prices
from lambda_llm.errors import LambdaLLMError


class WorkloadError(LambdaLLMError):
    """A number of a workload is impossible."""


@dataclass(frozen=True)
class Workload:
    """A workload, with all that formulas may name.

    Attributes:
        inputs: by name, all of `INPUTS`.
        quantities: inputs, constants and what is derived of them.
        servers: by name; those of options.toml unless measured ones are given.
    """

    inputs: Mapping[str, float]
    quantities: Mapping[str, float]
    servers: Mapping[str, Server]

    @classmethod
    def of(cls, given: Mapping[str, float], servers: Mapping[str, Server] | None = None) -> Self:
        """Complete what is given.

        Args:
            given: some of `INPUTS` by name, in their units.
            servers: measured speeds, by name.

        Raises:
            WorkloadError: a number is impossible.
            FormulaError: the numbers together are: they would keep more functions busy than can be computed with.
        """
        options = load()
        inputs = {name: given.get(name, entry.value) for name, entry in INPUTS.items()}
        _check(inputs)
        known: dict[str, float] = {**inputs, **{name: each.value for name, each in options.constants.items()}}
        known = with_derived(options, known, _value)
        return cls(inputs, known, {**options.servers, **(servers or {})})

    def with_inputs(self, **changes: float) -> "Workload":
        """This workload with other numbers."""
        return Workload.of({**self.inputs, **changes}, self.servers)

    @property
    def utilization(self) -> float:
        """The time that one function would be busy with all requests, as a part of the time that passes."""
        return self.quantities["load"]

    def at(self, utilization: float) -> "Workload":
        """The same requests, as many of them a day as make this utilization."""
        day_seconds = self.quantities["month_seconds"] / self.quantities["month_days"]
        return self.with_inputs(requests_per_day=utilization * day_seconds / self.quantities["seconds"])

    def for_option(self, option: Option) -> dict[str, float]:
        """What the option's formulas may name: the quantities, and those of its server."""
        if option.server is None:
            return dict(self.quantities)
        server = self.servers[option.server]
        return with_server(load(), server, {**self.quantities, **server.speeds}, _value)


Compute = Callable[[Derived, Mapping[str, Any]], Any]
"""Computes a derived quantity from those before it."""


def with_derived(options: Options, known: Mapping[str, Any], compute: Compute) -> dict[str, Any]:
    """Inputs and constants, with all that follows from them.

    Args:
        options: whose formulas.
        known: inputs and constants by name.
        compute: with plain numbers, or with units.
    """
    every = dict(known)
    for name, each in options.derived.items():
        every[name] = compute(each, every)
    return every


def with_server(options: Options, server: Server, known: Mapping[str, Any], compute: Compute) -> dict[str, Any]:
    """The quantities, with all that follows for an option with servers.

    Args:
        options: whose formulas.
        server: of the option.
        known: the quantities by name, and the server's speeds.
        compute: see `with_derived`.
    """
    every = dict(known)
    every["capacity"] = compute(options.server[server.capacity], every)
    for name, each in options.server.items():
        if not name.startswith("capacity"):
            every[name] = compute(each, every)
    return every


def _value(each: Derived, known: Mapping[str, Any]) -> Any:
    return each.formula.value(known, _CALLS)


def _check(inputs: Mapping[str, float]) -> None:
    for name, value in inputs.items():
        if refused := INPUTS[name].refused(value):
            raise WorkloadError(refused)
    if inputs["prompt_tokens"] + inputs["answer_tokens"] < 1:
        raise WorkloadError("A request has neither a prompt nor an answer: expected tokens of one of them.")


_CALLS = formulas.calls(Prices("none", {}))
"""No derived quantity has a price in it."""
