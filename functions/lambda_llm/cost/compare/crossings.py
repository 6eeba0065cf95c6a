"""Where two options cost the same: the utilization up to which one of them is cheaper."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations, pairwise
from typing import Final

from lambda_llm.cost.compare.costs import cost
from lambda_llm.cost.compare.options import Option
from lambda_llm.cost.compare.workload import Workload
from lambda_llm.cost.prices import Prices

LEAST: Final = 1e-6
MOST: Final = 1e3
"""The ends of the utilizations that are looked at: one request in months, and a thousand functions that never rest."""

POINTS: Final = 181
"""How many are looked at: twenty a decade. Two options whose order changes twice between neighbours are missed."""

_NEAR: Final = 1e-9
"""Ratio less one of two utilizations that are the same."""

_CHORDS: Final = 4
"""After so many, two options that don't jump have met."""


@dataclass(frozen=True)
class BreakEven:
    """Where two options cost the same.

    Attributes:
        cheap_first: name of the option that is cheaper with few requests.
        cheap_later: of the other.
        utilization: at which they cost the same first; None: the one stays cheaper.
        requests_per_day: that this is.
        crossings: every utilization at which their order changes; servers come whole, so there may be several.
        fixed: F1 and F2, what each costs without requests, US dollars a month.
        variable: V1 and V2, what it costs more for each unit of utilization, from none to the point where they meet (or
            to 1, where they don't), US dollars a month. So the utilization is `(F2 - F1) / (V1 - V2)`.
    """

    cheap_first: str
    cheap_later: str
    utilization: float | None
    requests_per_day: float | None
    crossings: tuple[float, ...]
    fixed: tuple[float, float]
    variable: tuple[float, float]


class Curve:
    """What an option costs at any utilization, in US dollars a month, computed once for each."""

    def __init__(self, option: Option, at: Callable[[float], Workload], prices: Prices) -> None:
        """Take the option, and what gives the workload of a utilization."""
        self.option = option
        self._cost = cache(lambda utilization: cost(option, at(utilization), prices).monthly)

    def __call__(self, utilization: float) -> float:
        """US dollars a month."""
        return self._cost(utilization)


def grid() -> list[float]:
    """The utilizations that are looked at."""
    step = (math.log(MOST) - math.log(LEAST)) / (POINTS - 1)
    return [LEAST * math.exp(step * number) for number in range(POINTS)]


def break_even(one: Curve, other: Curve, workload: Workload) -> BreakEven:
    """Where two options cost the same.

    Args:
        one: an option.
        other: another one.
        workload: whose requests it is about; how many there are does not matter.
    """
    points = grid()
    if one(LEAST) > other(LEAST):
        one, other = other, one
    dearer = [one(point) > other(point) for point in points]
    crossings = tuple(
        _between(low, high, lambda point: one(point) - other(point))
        for (low, before), (high, after) in pairwise(zip(points, dearer, strict=True))
        if before != after
    )
    first = crossings[0] if crossings else None
    at = first or 1.0
    fixed = one(0.0), other(0.0)
    return BreakEven(
        one.option.name,
        other.option.name,
        first,
        workload.at(at).inputs["requests_per_day"] if first else None,
        crossings,
        fixed,
        ((one(at) - fixed[0]) / at, (other(at) - fixed[1]) / at),
    )


def against(option: Option, others: Sequence[Option], workload: Workload, prices: Prices) -> dict[str, BreakEven]:
    """Where an option costs the same as each of others, by their names."""
    at = cache(workload.at)
    one = Curve(option, at, prices)
    return {other.name: break_even(one, Curve(other, at, prices), workload) for other in others}


def break_evens(options: Sequence[Option], workload: Workload, prices: Prices) -> list[BreakEven]:
    """Where each pair of options costs the same."""
    at = cache(workload.at)
    curves = [Curve(option, at, prices) for option in options]
    return [break_even(one, other, workload) for one, other in combinations(curves, 2)]


def _between(low: float, high: float, difference: Callable[[float], float]) -> float:
    """The utilization at which the difference changes its sign.

    Costs are nearly straight between two that are so near, so chords find it, unless they jump there, as servers come
    whole. Middles then find it, which are the same for all pairs of options: each is computed once.
    """
    return _by_chords(low, high, difference) or _by_middles(low, high, difference)


def _by_chords(low: float, high: float, difference: Callable[[float], float]) -> float | None:
    below, above = difference(low), difference(high)
    for _ in range(_CHORDS):
        chord = low + (high - low) * below / (below - above)
        for point in (chord * (1 - _NEAR), chord * (1 + _NEAR)):
            if not low < point < high:
                continue
            found = difference(point)
            if (found > 0) == (below > 0):
                low, below = point, found
            else:
                high, above = point, found
        if _are_one(low, high):
            return high
    return None


def _by_middles(low: float, high: float, difference: Callable[[float], float]) -> float:
    at_first = difference(low) > 0
    while not _are_one(low, high):
        middle = math.sqrt(low * high)
        if (difference(middle) > 0) == at_first:
            low = middle
        else:
            high = middle
    return high


def _are_one(low: float, high: float) -> bool:
    return high <= low * (1 + 3 * _NEAR)
