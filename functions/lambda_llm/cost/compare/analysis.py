"""All that `lambda-llm cost` says of a workload, as data."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from lambda_llm.cost.compare.costs import Cost, cost, costs, priced
from lambda_llm.cost.compare.crossings import BreakEven, against, break_evens
from lambda_llm.cost.compare.inputs import INPUTS
from lambda_llm.cost.compare.options import Option
from lambda_llm.cost.compare.verdict import LAMBDA, Verdict, verdict
from lambda_llm.cost.compare.workload import Workload
from lambda_llm.cost.prices import Price, Prices

SCHEMA: Final = "lambda-llm-cost/1"
"""Name and version of the JSON; another number means other fields."""

FACTORS: Final = (0.5, 2.0)
"""What the speeds are multiplied with, to see what depends on them."""


@dataclass(frozen=True)
class Sensitivity:
    """What changes with one input.

    Attributes:
        name: of the input.
        factor: that it is multiplied with.
        monthly: what Lambda costs then, US dollars a month.
        until: utilization up to which Lambda is cheaper than what can be given back; None: always, or never.
        requests_per_day: that this is.
    """

    name: str
    factor: float
    monthly: float
    until: float | None
    requests_per_day: float | None


@dataclass(frozen=True)
class Saving:
    """What a cache saves on Lambda.

    Attributes:
        what: is kept.
        monthly: US dollars that Lambda would cost more a month without it, its own cost taken off.
        seconds: that a request would take longer.
    """

    what: str
    monthly: float
    seconds: float


@dataclass(frozen=True)
class Rule:
    """A rule of thumb for this workload.

    Attributes:
        name: of the server's option.
        utilization: of the *server*, in its own time, up to which Lambda is cheaper than it; None: at any, or at none.
        lambda_always: whether Lambda is cheaper at any utilization.
        ratio: how many functions the server is worth.
    """

    name: str
    utilization: float | None
    lambda_always: bool
    ratio: float


@dataclass(frozen=True)
class Analysis:
    """What running a model costs for one workload.

    Attributes:
        workload: its numbers.
        verdict: the answer.
        costs: of every option, cheapest first.
        break_evens: of Lambda and each other option.
        rules: by server.
        sensitivities: of Lambda's cost and the verdict's break-even.
        savings: by what is kept.
        missing: by option the prices that the list lacks; the option is not among `costs`, or without minor lines.
        prices: that all of it was computed with.
    """

    workload: Workload
    verdict: Verdict
    costs: Sequence[Cost]
    break_evens: Sequence[BreakEven]
    rules: Sequence[Rule]
    sensitivities: Sequence[Sensitivity]
    savings: Sequence[Saving]
    missing: dict[str, list[str]]
    prices: Prices

    @property
    def ours(self) -> Cost:
        """What Lambda costs."""
        return next(each for each in self.costs if each.option.name == LAMBDA)

    @property
    def cold_share(self) -> float:
        """Share of requests that wait for a restore."""
        requests = self.workload.quantities["requests"]
        return self.workload.quantities["cold"] / requests if requests else 0.0

    @property
    def used(self) -> dict[str, Price]:
        """The prices that some option takes, by name and in its order."""
        names = {name for each in self.costs for name in each.option.prices}
        return {name: self.prices[name] for name in sorted(names)}

    def as_json(self) -> dict[str, Any]:
        """Everything, with the break-even of every pair of options."""
        every = break_evens([each.option for each in self.costs], self.workload, self.prices)
        return {
            "schema": SCHEMA,
            "verdict": asdict(self.verdict),
            "inputs": dict(self.workload.inputs),
            "derived": {
                name: value for name, value in self.workload.quantities.items() if name not in self.workload.inputs
            },
            "cold_share": self.cold_share,
            "utilization": self.workload.utilization,
            "options": [_option(each) for each in self.costs],
            "break_evens": [asdict(each) for each in every],
            "break_even_formula": "(fixed[1] - fixed[0]) / (variable[0] - variable[1])",
            "rules": [asdict(each) for each in self.rules],
            "sensitivities": [asdict(each) for each in self.sensitivities],
            "savings": [asdict(each) for each in self.savings],
            "missing": self.missing,
            "price_list": self.prices.group,
            "prices": {
                name: {"first": price.first, "unit": price.unit, "source": price.source, "read_on": price.read_on}
                for name, price in self.used.items()
            },
        }


def analyse(workload: Workload, prices: Prices) -> Analysis:
    """Compute everything.

    Raises:
        PriceError: the list lacks a price that Lambda itself takes.
    """
    known, missing = priced(prices)
    if LAMBDA not in {option.name for option in known}:
        prices[missing[LAMBDA][0]]
    found = costs(workload, prices)
    options = {option.name: option for option in known}
    ours = options[LAMBDA]
    meetings = against(ours, [each.option for each in found if each.option.name != LAMBDA], workload, prices)
    judged = verdict(found, workload, prices, meetings)
    free = options[judged.free.name]
    return Analysis(
        workload,
        judged,
        found,
        list(meetings.values()),
        [_rule(option, meetings[option.name], workload) for option in known if option.kind in {"server", "scaled"}],
        [_changed(name, factor, ours, free, workload, prices) for name in ("decode", "prefill") for factor in FACTORS],
        _savings(ours, workload, prices),
        missing,
        prices,
    )


def _option(found: Cost) -> dict[str, Any]:
    return {
        "name": found.option.name,
        "title": found.option.title,
        "kind": found.option.kind,
        "own": found.option.own,
        "monthly": found.monthly,
        "per_million_tokens": found.per_million_tokens,
        "servers": found.servers,
        "lines": [
            {"what": line.what, "formula": line.formula.text, "monthly": found.lines[line.what]}
            for line in found.option.lines
        ],
        "note": found.option.note,
    }


def _rule(other: Option, meeting: BreakEven, workload: Workload) -> Rule:
    ratio = workload.for_option(other)["capacity"]
    first = meeting.utilization if meeting.cheap_first == LAMBDA else None
    return Rule(
        other.name,
        first / ratio if first is not None else None,
        meeting.cheap_first == LAMBDA and meeting.utilization is None,
        ratio,
    )


def _changed(name: str, factor: float, ours: Option, free: Option, workload: Workload, prices: Prices) -> Sensitivity:
    ends = INPUTS[name]
    other = workload.with_inputs(**{name: min(max(workload.inputs[name] * factor, ends.least), ends.most)})
    meeting = against(ours, [free], other, prices)[free.name]
    first = meeting.cheap_first == LAMBDA
    return Sensitivity(
        name,
        factor,
        cost(ours, other, prices).monthly,
        meeting.utilization if first else None,
        meeting.requests_per_day if first else None,
    )


def _savings(option: Option, workload: Workload, prices: Prices) -> list[Saving]:
    now, seconds = cost(option, workload, prices).monthly, workload.quantities["seconds"]
    savings = []
    for what, name in (("session store", "session_store"), ("system prompt in the snapshot", "prompt_cache")):
        without = workload.with_inputs(**{name: 0.0})
        savings.append(
            Saving(what, cost(option, without, prices).monthly - now, without.quantities["seconds"] - seconds)
        )
    return savings
