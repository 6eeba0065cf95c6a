"""What a person should do, in one sentence."""

import math
from collections.abc import Sequence
from typing import Final

from lambda_llm.simulator.result import Result
from lambda_llm.units import dollars

ENOUGH: Final = 0.999
"""Share of the requests that must be answered."""

_HEADROOM: Final = 1.2


def verdict(results: Sequence[Result]) -> str:
    """Say which of the results to take and why, or what is wrong with all of them.

    Args:
        results: at least one, of the same requests; the functions first.
    """
    functions = results[0]
    if not functions.arrived:
        return f"No request arrived in {functions.seconds / 3600:,.3g} hours: simulate more hours."
    enough = sorted((each for each in results if _answers(each)), key=lambda each: each.month_dollars)
    if not enough:
        return remedy(functions)
    best = enough[0]
    said = [f"Take {best.name}: {dollars(best.month_dollars)} a month", _waits(best)]
    others = [each for each in results if each is not best]
    for other in others:
        if not _answers(other):
            said.append(f"{other.name} leaves {other.arrived - other.served:,} requests unanswered")
        else:
            said.append(f"{other.name} costs {dollars(other.month_dollars)} (first token within {_first(other)})")
    return "; ".join(said) + "."


def remedy(result: Result) -> str:
    """What is wrong with functions that do not answer all requests, and what to do."""
    share = 1 - result.served / result.arrived
    said = f"{result.name} leaves {share:.2%} of the requests unanswered"
    reason = max(result.refused, key=lambda each: result.refused[each])
    if result.timed_out > sum(result.refused.values()):
        return f"{said}, since answers take longer than its time-out: ask for fewer tokens, or take a faster model."
    if reason == "queue full":
        return f"{said}, since its queue is full: add servers."
    if reason == "scaling rate":
        return f"{said}, since environments can't be added so fast: let clients retry, or spread the bursts."
    return f"{said}, most of them by its {reason}: have the concurrency raised to about {needed(result):,}."


def needed(result: Result) -> int:
    """Environments that the busiest part of the time would have needed, with a fifth to spare: arrivals by seconds."""
    answered = max(result.served + result.timed_out, 1)
    busiest = max(result.course.arrived) / result.course.bin_seconds
    return math.ceil(busiest * result.busy_seconds / answered * _HEADROOM)


def _answers(result: Result) -> bool:
    return result.served >= ENOUGH * result.arrived


def _waits(result: Result) -> str:
    said = f"99 % see the first token within {_first(result)}"
    return f"{said}, {result.cold_share:.2%} wait for a restore" if result.kind == "functions" else said


def _first(result: Result) -> str:
    """Only of results that answer requests."""
    return seconds(result.first_token.p99 if result.first_token else 0.0)


def seconds(value: float) -> str:
    """Seconds for people, with three digits."""
    return f"{value:,.0f} s" if value >= 100 else f"{value:.3g} s"  # noqa: PLR2004 - no powers of ten
