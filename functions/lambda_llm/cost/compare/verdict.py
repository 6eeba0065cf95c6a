"""The verdict in one sentence: is Lambda right for this traffic, and until when?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from lambda_llm.cost.compare.costs import Cost
from lambda_llm.cost.compare.crossings import BreakEven
from lambda_llm.cost.compare.workload import Workload
from lambda_llm.cost.prices import PriceError, Prices
from lambda_llm.units import dollars

LAMBDA: Final = "lambda"
"""Name of this project's option."""

EQUAL: Final = 0.9
"""A server below this share of a function's speed answers slower than it: no equal."""


Answer = Literal["right", "right without commitment", "wrong"]


@dataclass(frozen=True)
class Rival:
    """Another way to run one's own model, at a function's speed or above.

    Attributes:
        name: of the option.
        monthly: US dollars.
        until: utilization up to which Lambda is cheaper; None: it always is, or never.
        requests_per_day: that this is.
    """

    name: str
    monthly: float
    until: float | None
    requests_per_day: float | None


@dataclass(frozen=True)
class Verdict:
    """The answer to the one question.

    Attributes:
        sentence: for people.
        answer: whether Lambda is the cheapest way to run one's own model at its speed or above: even against servers
            that are paid for years ahead, only against those that can be given back, or not.
        free: the cheapest that can be given back at any time.
        committed: the cheapest that is paid for a year or three.
    """

    sentence: str
    answer: Answer
    free: Rival
    committed: Rival | None


def verdict(found: Sequence[Cost], workload: Workload, prices: Prices, meetings: Mapping[str, BreakEven]) -> Verdict:
    """Judge.

    Servers that are slower than a function are no equals, spot instances may go away in two minutes, and what sleeps
    takes minutes to wake: all are in the table, none is what Lambda is measured by.

    Args:
        found: what the options cost, Lambda among them.
        workload: that they are for.
        prices: that they were computed with.
        meetings: where each other option costs what Lambda does, by its name.

    Raises:
        PriceError: the list prices nothing that could be compared with Lambda.
    """
    ours = next(each for each in found if each.option.name == LAMBDA)
    equals = [each for each in found if _equal(each, workload)]
    free = _cheapest([each for each in equals if each.option.kind == "scaled"])
    committed = _cheapest([each for each in equals if each.option.kind == "server"])
    if free is None:
        raise PriceError(f"The price list {prices.group!r} has no server: give one as --price NAME=DOLLARS.")
    first = _rival(free, meetings)
    second = _rival(committed, meetings) if committed else None
    answer: Answer = "right"
    if ours.monthly > free.monthly:
        answer = "wrong"
    elif committed and ours.monthly > committed.monthly:
        answer = "right without commitment"
    words = {
        "right": "Lambda is right for this traffic",
        "right without commitment": "Lambda is right for this traffic unless you commit for years",
        "wrong": "Lambda is not right for this traffic",
    }
    parts = [f"{words[answer]}: {dollars(ours.monthly)} a month, against {_told(free, first, ours, workload)}"]
    if committed and second:
        parts.append(_told(committed, second, ours, workload))
    if tokens := _cheapest([each for each in found if _at_once_by_token(each)]):
        parts.append(f"{dollars(tokens.monthly)} by the token for another's model ({tokens.option.title})")
    return Verdict(f"{', '.join(parts[:-1])}, and {parts[-1]}." if parts[1:] else f"{parts[0]}.", answer, first, second)


def _equal(found: Cost, workload: Workload) -> bool:
    option = found.option
    if not option.own or option.kind not in {"server", "scaled"} or option.name.endswith(".spot"):
        return False
    return workload.for_option(option)["capacity"] >= EQUAL


def _at_once_by_token(found: Cost) -> bool:
    return found.option.kind == "tokens" and not found.option.name.endswith((".batch", ".flex"))


def _cheapest(found: Sequence[Cost]) -> Cost | None:
    return min(found, key=lambda each: each.monthly, default=None)


def _rival(other: Cost, meetings: Mapping[str, BreakEven]) -> Rival:
    meeting = meetings[other.option.name]
    ours_first = meeting.cheap_first == LAMBDA
    return Rival(
        other.option.name,
        other.monthly,
        meeting.utilization if ours_first else None,
        meeting.requests_per_day if ours_first else None,
    )


def _told(found: Cost, rival: Rival, ours: Cost, workload: Workload) -> str:
    text = f"{dollars(found.monthly)} for {found.option.title}"
    if rival.until is None or rival.requests_per_day is None:
        return text
    if (workload.utilization > rival.until) != (ours.monthly > found.monthly):
        return text  # servers come whole: beyond that point Lambda is the cheaper one again for a while
    return f"{text} (which is cheaper from {rival.requests_per_day:,.0f} requests a day on)"
