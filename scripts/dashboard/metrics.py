"""Metrics as CloudWatch keeps them: taken from lines in the embedded metric format, and added up by period."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

Series = dict[int, float]
"""Value by the start of its period, in seconds since 1970."""

Key = tuple[str, str, frozenset[tuple[str, str]]]
"""Namespace, name, and dimensions with their values."""

_STATISTICS: Final[Mapping[str, Callable[[Sequence[float]], float]]] = {
    "Sum": sum,
    "Maximum": max,
    "Minimum": min,
    "SampleCount": len,
}


class UnknownError(Exception):
    """CloudWatch has more than what is evaluated here, and something uses it."""


class Metrics:
    """Every data point, by metric.

    Args:
        others: whose points these have too.
    """

    def __init__(self, others: "Metrics | None" = None) -> None:
        self._points: defaultdict[Key, list[tuple[float, float]]] = defaultdict(list)
        if others:
            self._points.update({key: [*others.points(key)] for key in others.named()})

    def put(self, namespace: str, name: str, dimensions: Mapping[str, str], at: float, value: float) -> None:
        """Add a point.

        Args:
            namespace: of the metric.
            name: of the metric.
            dimensions: with their values.
            at: seconds since 1970.
            value: of the metric.
        """
        self._points[namespace, name, frozenset(dimensions.items())].append((at, value))

    def take(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Take the metrics out of lines: for each directive and each of its sets of dimensions one point a metric.

        Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
        """
        for line in lines:
            about = line.get("_aws", {"CloudWatchMetrics": []})
            for directive in about["CloudWatchMetrics"]:
                for names in directive["Dimensions"]:
                    dimensions = {name: str(line[name]) for name in names}
                    for metric in directive["Metrics"]:
                        at, value = about["Timestamp"] / 1000, line[metric["Name"]]
                        self.put(directive["Namespace"], metric["Name"], dimensions, at, value)

    def statistic(self, key: Key, statistic: str, period: int) -> Series:
        """One metric by period; periods without a point are not there.

        Args:
            key: of the metric.
            statistic: `Sum`, `Average`, `Maximum`, `Minimum`, `SampleCount`, or a percentile such as `p95`.
            period: seconds.

        Raises:
            UnknownError: another statistic.
        """
        return merged([self._points.get(key, [])], statistic, period)

    def points(self, key: Key) -> Sequence[tuple[float, float]]:
        """Time and value of each point of a metric."""
        return self._points.get(key, [])

    def named(self) -> Iterable[Key]:
        """Every metric of which there is a point."""
        return self._points.keys()


def merged(points: Iterable[Sequence[tuple[float, float]]], statistic: str, period: int) -> Series:
    """Points of several metrics as if they were of one."""
    periods: defaultdict[int, list[float]] = defaultdict(list)
    for each in points:
        for at, value in each:
            periods[int(at // period * period)].append(value)
    return {start: aggregate(periods[start], statistic) for start in sorted(periods)}


def aggregate(values: Sequence[float], statistic: str) -> float:
    """One number of many.

    Raises:
        UnknownError: a statistic that is not evaluated here.
    """
    if statistic == "Average":
        return sum(values) / len(values)
    if statistic in _STATISTICS:
        return float(_STATISTICS[statistic](values))
    if statistic.startswith("p"):
        return percentile(values, float(statistic[1:]))
    raise UnknownError(f"The statistic {statistic}.")


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest value below which a share in percent of all values is."""
    return sorted(values)[max(0, math.ceil(len(values) * share / 100) - 1)]
