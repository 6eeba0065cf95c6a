"""Expressions of widgets and alarms: metric math, SEARCH and Metrics Insights, as far as the module uses them.

Metric math has the form of Python's expressions, so Python's own parser reads it.
Sources: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html,
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/search-expression-syntax.html,
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-metrics-insights-querylanguage.html
"""

import ast
import operator
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from scripts.dashboard.metrics import Key, Metrics, Series, UnknownError, merged

Named = list[tuple[Mapping[str, str], Series]]
"""Dimensions and values of each series of a SEARCH."""

Value = float | Series | Named

_SEARCH: Final = re.compile(r"\{(?P<namespace>[^,}]+),(?P<dimensions>[^}]+)\}\s*(?P<terms>.*)", re.DOTALL)
_TERM: Final = re.compile(r'(?P<name>\w+)=(?:"(?P<one>[^"]*)"|\((?P<several>[^)]*)\))\s*')
_SELECT: Final = re.compile(
    r'SELECT (?P<function>AVG|COUNT|MAX|MIN|SUM)\((?P<metric>\w+)\) FROM SCHEMA\("(?P<namespace>[^"]+)", '
    r"(?P<dimensions>[^)]+)\) WHERE \"?(?P<name>\w+)\"? = '(?P<value>[^']*)'"
)
_STATISTIC: Final = {"AVG": "Average", "COUNT": "SampleCount", "MAX": "Maximum", "MIN": "Minimum", "SUM": "Sum"}
_OPERATORS: Final[Mapping[type[ast.operator], Callable[[float, float], float]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


class Expressions:
    """Evaluates expressions over metrics.

    Args:
        metrics: every data point.
        period: seconds.
        known: values of what other entries of a widget have as their `id`.
        quotas: limit of an account by the name of its resource in AWS/Usage.
    """

    def __init__(
        self, metrics: Metrics, period: int, known: Mapping[str, Value], quotas: Mapping[str, float] | None = None
    ) -> None:
        self._metrics = metrics
        self._period = period
        self._known = known
        self._quotas = quotas or {}

    def evaluate(self, expression: str) -> Value:
        """The value of one.

        Raises:
            UnknownError: it has something that is not evaluated here.
        """
        if expression.startswith("SELECT "):
            return self._select(expression)
        return self._node(ast.parse(expression, mode="eval").body)

    def _node(self, node: ast.expr) -> Value:
        match node:
            case ast.Constant(value=int() | float() as number):
                return float(number)
            case ast.Name(id=name):
                return self._known[name]
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                return _each(_OPERATORS[type(op)], self._node(left), self._node(right))
            case ast.Call(
                func=ast.Name(id="SEARCH"), args=[ast.Constant(value=str() as search), ast.Constant(value=stat)]
            ):
                return self._search(search, str(stat))
            case ast.Call(func=ast.Name(id="SUM"), args=[argument]):
                return _summed(self._node(argument))
            case ast.Call(func=ast.Name(id="SERVICE_QUOTA"), args=[ast.Name(id=name)]):
                series = self._known[name]
                return dict.fromkeys(series, self._quotas["ConcurrentExecutions"]) if isinstance(series, dict) else []
        raise UnknownError(f"The expression {ast.unparse(node)}.")

    def _search(self, search: str, statistic: str) -> Named:
        """Every metric with exactly these dimensions, some of them with one of the named values."""
        found = _SEARCH.fullmatch(search)
        if found is None or _TERM.sub("", found["terms"]):
            raise UnknownError(f"The search {search}.")
        dimensions = {name.strip() for name in found["dimensions"].split(",")}
        wanted = {
            term["name"]: {term["one"]} if term["several"] is None else set(re.findall(r'"([^"]*)"', term["several"]))
            for term in _TERM.finditer(found["terms"])
        }
        names = wanted.pop("MetricName")
        return [
            (dict(key[2]), self._metrics.statistic(key, statistic, self._period))
            for key in self._with(found["namespace"], dimensions)
            if key[1] in names and all(dict(key[2])[name] in values for name, values in wanted.items())
        ]

    def _select(self, query: str) -> Series:
        found = _SELECT.fullmatch(query)
        if found is None:
            raise UnknownError(f"The query {query}.")
        dimensions = {name.strip(' "') for name in found["dimensions"].split(",")}
        keys = [
            key
            for key in self._with(found["namespace"], dimensions)
            if key[1] == found["metric"] and dict(key[2])[found["name"]] == found["value"]
        ]
        return merged(map(self._metrics.points, keys), _STATISTIC[found["function"]], self._period)

    def _with(self, namespace: str, dimensions: set[str]) -> Iterator[Key]:
        for key in self._metrics.named():
            if key[0] == namespace and {name for name, _ in key[2]} == dimensions:
                yield key


def _summed(value: Value) -> Series:
    if not isinstance(value, list):
        raise UnknownError("SUM of what is no list of series.")
    total: defaultdict[int, float] = defaultdict(float)
    for _, series in value:
        for start, one in series.items():
            total[start] += one
    return dict(sorted(total.items()))


def _each(compute: Callable[[float, float], float], left: Value, right: Value) -> Value:
    """Period by period; one that a side has not, or a division by zero, has no value."""
    if isinstance(left, list) or isinstance(right, list):
        raise UnknownError("Arithmetic on the series of a search.")
    if not isinstance(left, dict) and not isinstance(right, dict):
        return compute(left, right)
    starts = [set(side) for side in (left, right) if isinstance(side, dict)]
    computed: Series = {}
    for start in sorted(set.intersection(*starts)):
        first, second = (side[start] if isinstance(side, dict) else side for side in (left, right))
        try:
            computed[start] = compute(first, second)
        except ZeroDivisionError:
            continue
    return computed


def key_of(metric: list[Any]) -> Key:
    """A metric as a widget names it: namespace, name, and dimensions with their values in turn."""
    namespace, name, *rest = metric
    return namespace, name, frozenset(zip(rest[::2], rest[1::2], strict=True))
