"""What a trace says of a traffic's shape, as the cost model takes it."""

from datetime import UTC, datetime
from typing import Final

import numpy as np

from lambda_llm.simulator.trace import Trace

_HOUR: Final = 3600
_DAY: Final = 24 * _HOUR
_WEEK: Final = 7 * _DAY
_MONTH: Final = 365 / 12 * _DAY


def shape(trace: Trace) -> dict[str, float]:
    """Requests a day, and how they are spread: inputs of `lambda_llm.cost.compare` by name.

    An hour of the day counts as one with requests if it has any on some day; likewise a day of the week. So a trace of
    less than a day says nothing of hours, one of less than a week nothing of days, and one of less than two months
    nothing of seasons. Hours are UTC.

    Args:
        trace: of requests.

    Returns:
        `requests_per_day`; `burst`, the busiest hour over the mean of the hours with requests; from a day on
        `hours_per_day`, from a week on `days_per_week`, from two months on `season`, the busiest 30.4 days over the
        mean.
    """
    begin = trace.origin - trace.origin % _HOUR
    hours = np.zeros(int(np.ceil((trace.origin + trace.seconds - begin) / _HOUR)), dtype=np.int64)
    for times in trace.times(np.random.default_rng(0)):
        found = ((times + trace.origin - begin) // _HOUR).astype(np.int64)
        hours += np.bincount(found, minlength=hours.size)[: hours.size]
    first = datetime.fromtimestamp(begin, UTC)
    known = {"requests_per_day": trace.expected / (trace.seconds / _DAY)}
    number = np.arange(hours.size)
    of_day = (first.hour + number) % 24
    of_week = (first.weekday() + (first.hour + number) // 24) % 7
    active = np.ones(hours.size, dtype=bool)
    if trace.seconds >= _DAY:
        open_hours = np.bincount(of_day, weights=hours, minlength=24) > 0
        known["hours_per_day"] = float(open_hours.sum())
        active &= open_hours[of_day]
    if trace.seconds >= _WEEK:
        open_days = np.bincount(of_week, weights=hours, minlength=7) > 0
        known["days_per_week"] = float(open_days.sum())
        active &= open_days[of_week]
    known["burst"] = max(1.0, float(hours.max() / hours[active].mean()))
    months = int(trace.seconds // _MONTH)
    if months > 1:
        size = int(_MONTH // _HOUR)
        sums = [hours[place * size : (place + 1) * size].sum() for place in range(months)]
        known["season"] = max(1.0, float(max(sums) / np.mean(sums)))
    return known
