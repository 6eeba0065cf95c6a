"""Widgets and alarms, evaluated."""

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from scripts.dashboard import insights
from scripts.dashboard.expressions import Expressions, Value, key_of
from scripts.dashboard.metrics import Metrics, Series

_PROPERTY: Final = re.compile(r"\$\{PROP\('Dim\.(\w+)'\)\}")
_BREACHES: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
}


@dataclass(frozen=True)
class Account:
    """What there is to be evaluated.

    Attributes:
        metrics: of AWS and from the lines.
        logs: lines by log group.
        quotas: limits of the account.
    """

    metrics: Metrics
    logs: Mapping[str, Iterable[Mapping[str, Any]]]
    quotas: Mapping[str, float]


@dataclass
class Shown:
    """What a widget shows: curves by label, or rows of a table.

    Attributes:
        title: of the widget.
        curves: by label; one for each entry that is visible, and for a search one for each metric found.
        rows: of a query.
        empty: labels of entries of which nothing was found.
    """

    title: str
    curves: dict[str, Series] = field(default_factory=dict)
    rows: list[insights.Row] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)


def widget(given: Mapping[str, Any], account: Account) -> Shown:
    """Evaluate a widget of a dashboard.

    Raises:
        UnknownError: it uses what is not evaluated here.
    """
    properties = given["properties"]
    shown = Shown(properties["title"])
    if given["type"] == "log":
        shown.rows = insights.run(properties["query"], account.logs)
        # A column without any value is as wrong as no row: its field has another name.
        columns = {name for row in shown.rows for name in row}
        shown.empty = [name for name in columns if all(row.get(name) is None for row in shown.rows)]
        return shown
    period = properties["period"]
    known: dict[str, Value] = {}
    # Entries with an id first: an expression may name one that comes later.
    for *metric, options in sorted(properties["metrics"], key=lambda entry: "id" not in entry[-1]):
        if metric:
            value: Value = account.metrics.statistic(key_of(metric), options["stat"], period)
        else:
            value = Expressions(account.metrics, period, known, account.quotas).evaluate(options["expression"])
        if "id" in options:
            known[options["id"]] = value
        label = options.get("label") or options["id"]
        if not value:
            shown.empty.append(label)
        if options.get("visible", True):
            shown.curves |= _labelled(label, value)
    return shown


def _labelled(label: str, value: Value) -> dict[str, Series]:
    if isinstance(value, dict):
        return {label: value}
    if isinstance(value, list):
        return {_with_dimensions(label, dimensions): series for dimensions, series in value}
    return {label: {0: value}}


def _with_dimensions(label: str, dimensions: Mapping[str, str]) -> str:
    return _PROPERTY.sub(lambda found: dimensions[found[1]], label)


def watched(alarm: Mapping[str, Any], account: Account) -> Series:
    """What an alarm compares with its threshold, by period."""
    if queries := alarm["metric_query"]:
        (query,) = queries
        value = Expressions(account.metrics, query["period"], {}).evaluate(query["expression"])
        return value if isinstance(value, dict) else {}
    key = alarm["namespace"], alarm["metric_name"], frozenset(alarm["dimensions"].items())
    return account.metrics.statistic(key, alarm["statistic"] or alarm["extended_statistic"], alarm["period"])


def rings(alarm: Mapping[str, Any], account: Account) -> bool:
    """Whether an alarm would be in alarm at any time; a period without data is right."""
    series = watched(alarm, account)
    if not series:
        return False
    period = alarm["period"] or alarm["metric_query"][0]["period"]
    breaches = {
        start for start, value in series.items() if _BREACHES[alarm["comparison_operator"]](value, alarm["threshold"])
    }
    window, needed = alarm["evaluation_periods"], alarm["datapoints_to_alarm"]
    return any(sum(start - number * period in breaches for number in range(window)) >= needed for start in breaches)
