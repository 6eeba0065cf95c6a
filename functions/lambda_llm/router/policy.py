"""Which backends may answer a request, in which order, and why: a pure function of facts, table, health and time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from lambda_llm.backends.contract import Operation, Usage
from lambda_llm.cost import break_even, prices
from lambda_llm.router.facts import Facts, Feature, Place
from lambda_llm.router.health import Health

HOUR_SECONDS: Final = 3600

_MILLION: Final = 1_000_000


class Prefer(StrEnum):
    """What comes first, of the backends that may answer."""

    ORDER = "order"
    """As the configuration lists them."""
    COST = "cost"
    """The cheapest for such a request."""
    LATENCY = "latency"
    """The one whose first chunk came soonest lately."""
    UTILIZATION = "utilization"
    """Functions while they are cheaper, and servers that are paid by the hour above the break-even utilization."""


@dataclass(frozen=True)
class TokenPrice:
    """A price by the token.

    Attributes:
        input: US dollars for a million tokens of a prompt.
        output: US dollars for a million tokens of an answer.
        cached: US dollars for a million of those tokens of a prompt that a cache had; None: as for `input`.
    """

    input: float
    output: float
    cached: float | None = None

    def dollars(self, usage: Usage) -> float:
        """What an answer cost, in US dollars."""
        cached = min(usage.cached, usage.input)
        read = self.input if self.cached is None else self.cached
        return ((usage.input - cached) * self.input + cached * read + usage.output * self.output) / _MILLION


@dataclass(frozen=True)
class TimePrice:
    """A price by time, and the measured speed that makes it one for a request.

    Attributes:
        hourly: US dollars for an hour: of a server, whether it is busy or not; None: a function of ours, which costs
            what `cost.prices` says, while it is busy.
        prefill: tokens of prompts per second, of all requests together.
        decode: tokens of answers per second, likewise.
    """

    hourly: float | None
    prefill: float
    decode: float

    def seconds(self, usage: Usage) -> float:
        """How long the whole backend is busy with an answer; what a cache had takes no time."""
        return (usage.input - min(usage.cached, usage.input)) / self.prefill + usage.output / self.decode

    def dollars(self, usage: Usage) -> float:
        """What an answer cost, in US dollars; of a server, its part of the hour at full use."""
        seconds = self.seconds(usage)
        return prices.busy(seconds) if self.hourly is None else self.hourly / HOUR_SECONDS * seconds


@dataclass(frozen=True)
class Option:
    """A backend, as far as the policy knows it.

    Attributes:
        name: of the backend.
        operations: that it has.
        context: tokens of prompt and answer together.
        features: that it has.
        place: where it answers.
        region: that it is in; None: in none that can be named.
        price: of it.
    """

    name: str
    operations: frozenset[Operation]
    context: int
    features: frozenset[Feature]
    place: Place
    region: str | None
    price: TokenPrice | TimePrice

    def cost(self, facts: Facts) -> float:
        """What a request costs at most, in US dollars."""
        return self.price.dollars(_most(facts))


def _most(facts: Facts) -> Usage:
    """What a request takes at most: no cache has anything of its prompt, and the answer is as long as it may be."""
    return Usage(facts.input_tokens, facts.output_tokens)


@dataclass(frozen=True)
class Candidate:
    """A backend that may answer, or one that may not.

    Attributes:
        backend: its name.
        why: it comes at its place, or does not come at all; a part of a sentence.
    """

    backend: str
    why: str


@dataclass(frozen=True)
class Choice:
    """What the policy says of a request.

    Attributes:
        candidates: to be asked in this order, until one has begun to answer.
        refused: those that are not asked.
        retry_after: seconds until one of those may be asked that are left alone now; None: waiting changes nothing.
    """

    candidates: tuple[Candidate, ...]
    refused: tuple[Candidate, ...]
    retry_after: float | None = None


def choose(facts: Facts, options: Sequence[Option], prefer: Prefer, health: Mapping[str, Health], now: float) -> Choice:
    """Filter and rank the backends of a model.

    Args:
        facts: of the request.
        options: the model's backends, in the configuration's order.
        prefer: what comes first.
        health: by backend; one that is not there is healthy.
        now: time, by the clock of `health`.
    """
    refused: list[Candidate] = []
    able: list[Option] = []
    waits: list[float] = []
    for option in options:
        state = health.get(option.name, Health())
        if (why := _unable(facts, option)) is not None:
            refused.append(Candidate(option.name, why))
        elif not state.available(now):
            wait = state.wait(now)
            refused.append(Candidate(option.name, f"left alone for {wait:.0f} s after failures"))
            waits.append(wait)
        else:
            able.append(option)
    ranked = sorted(_ranked(facts, able, prefer, health), key=lambda each: each[0])  # equal ones stay in order
    candidates = tuple(Candidate(option.name, why) for _, option, why in ranked)
    return Choice(candidates, tuple(refused), min(waits, default=None) if not candidates else None)


def forbidden(option: Option, place: Place, region: str | None) -> str | None:
    """Why a backend must not get a tenant's data; None: it may.

    Args:
        option: the backend.
        place: farthest that the data may go to.
        region: that it must stay in; None: in any.
    """
    if option.place > place:
        return f"is in place {option.place.name.lower()}, and the data may go to {place.name.lower()} at most"
    if region is not None and option.region != region:
        return f"is in region {option.region or 'unknown'}, not in {region}"
    return None


def _unable(facts: Facts, option: Option) -> str | None:
    """Why a backend can't answer or must not; None: it may."""
    if facts.operation not in option.operations:
        return f"does not have {facts.operation.value}"
    if (why := forbidden(option, facts.place, facts.region)) is not None:
        return why
    if missing := sorted(facts.features - option.features):
        return f"lacks {', '.join(missing)}"
    if (needed := facts.input_tokens + facts.output_tokens) > option.context:
        return f"has a context of {option.context:,} tokens, and about {needed:,} are needed"
    return None


def _ranked(
    facts: Facts, able: Sequence[Option], prefer: Prefer, health: Mapping[str, Health]
) -> list[tuple[float, Option, str]]:
    """Rank (a smaller one comes first), backend and reason."""
    if prefer is Prefer.COST:
        return [(cost, each, f"${cost:.6f} at most") for each in able for cost in [each.cost(facts)]]
    if prefer is Prefer.LATENCY:
        return [
            # One that nobody has tried is tried: that is how its latency becomes known.
            (seconds or 0.0, each, "not measured yet" if seconds is None else f"first chunk after {seconds:.2f} s")
            for each in able
            for seconds in [health.get(each.name, Health()).first_chunk]
        ]
    if prefer is Prefer.UTILIZATION:
        return _by_utilization(facts, able, health)
    return [(number, each, f"number {number + 1} of the list") for number, each in enumerate(able)]


def _by_utilization(
    facts: Facts, able: Sequence[Option], health: Mapping[str, Health]
) -> list[tuple[float, Option, str]]:
    functions = [each for each in able if isinstance(each.price, TimePrice) and each.price.hourly is None]
    measured = [health.get(each.name, Health()).utilization for each in functions]
    used = sum(each or 0.0 for each in measured)
    ranked: list[tuple[float, Option, str]] = []
    for each in able:
        threshold = threshold_of(facts, functions[0], each) if functions else None
        if each in functions:
            ranked.append((1.0, each, f"functions are at {used:.0%}"))
        elif threshold is None:
            ranked.append((2.0, each, "is paid by the token"))
        else:
            cheaper = used >= threshold
            said = f"functions are at {used:.0%}, break-even at {threshold:.0%}"
            ranked.append((0.0 if cheaper else 1.5, each, said))
    return ranked


def threshold_of(facts: Facts, function: Option, server: Option) -> float | None:
    """The utilization of functions above which a server is cheaper, for requests like this one.

    Args:
        facts: of the request: the ratio of both speeds depends on prompt and answer.
        function: a function of ours.
        server: a backend; None is returned unless it is paid by the hour.
    """
    ours, theirs = function.price, server.price
    if not isinstance(ours, TimePrice) or not isinstance(theirs, TimePrice) or theirs.hourly is None:
        return None
    most = _most(facts)
    seconds = theirs.seconds(most)
    if not seconds:
        return None
    return break_even.utilization(theirs.hourly, prices.busy(HOUR_SECONDS), ours.seconds(most) / seconds)
