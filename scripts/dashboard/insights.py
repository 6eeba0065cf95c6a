"""Queries of CloudWatch Logs Insights over lines, as far as the module uses the language.

Conditions and functions have the form of Python's expressions, so Python's own parser reads them.
Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html
"""

import ast
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from scripts.dashboard.metrics import UnknownError, aggregate

Row = dict[str, Any]

_SOURCE: Final = re.compile(r"SOURCE '([^']+)'")
_TIMESTAMP: Final = "timestamp_"
"""`@timestamp` as a name that Python's parser takes."""

_BINS: Final = {"m": 60, "h": 3600, "d": 86400}
_COMPARE: Final[Mapping[type[ast.cmpop], Callable[[Any, Any], bool]]] = {
    ast.Eq: lambda left, right: bool(left == right),
    ast.NotEq: lambda left, right: bool(left != right),
    ast.Gt: lambda left, right: bool(left > right),
    ast.GtE: lambda left, right: bool(left >= right),
    ast.Lt: lambda left, right: bool(left < right),
}


def run(query: str, groups: Mapping[str, Iterable[Mapping[str, Any]]], names: Sequence[str] = ()) -> list[Row]:
    """The rows that a query finds.

    Args:
        query: with its log groups as `SOURCE`, as in a dashboard, or without.
        groups: lines by log group.
        names: log groups of a query without `SOURCE`.

    Raises:
        UnknownError: it has something that is not evaluated here.
        KeyError: a log group that is not there.
    """
    commands = [command.strip() for command in query.split("|")]
    chosen = [found[1] for command in commands if (found := _SOURCE.fullmatch(command))]
    rows: list[Row] = [
        {**line, "@timestamp": line["_aws"]["Timestamp"] if "_aws" in line else line["timestamp"]}
        for name in chosen or names
        for line in groups[name]
    ]
    for command in commands[len(chosen) :]:
        name, _, rest = command.partition(" ")
        rows = _COMMANDS[name](rows, rest.strip()) if name in _COMMANDS else _unknown(command)
    return rows


def _unknown(what: str) -> list[Row]:
    raise UnknownError(f"The command {what}.")


def _filter(rows: list[Row], condition: str) -> list[Row]:
    node = _parsed(condition)
    return [row for row in rows if _holds(node, row)]


def _fields(rows: list[Row], names: str) -> list[Row]:
    wanted = [name.strip() for name in names.split(",")]
    return [{name: row.get(name) for name in wanted} for row in rows]


def _sort(rows: list[Row], by: str) -> list[Row]:
    name, _, order = by.partition(" ")
    there = [row for row in rows if row.get(name) is not None]
    return sorted(there, key=lambda row: row[name], reverse=order == "desc")


def _limit(rows: list[Row], number: str) -> list[Row]:
    return rows[: int(number)]


def _stats(rows: list[Row], text: str) -> list[Row]:
    """Rows without a value to group by are a group of their own, as in CloudWatch; here they count as missing."""
    computed, _, grouped = text.partition(" by ")
    keys = [key.strip() for key in grouped.split(",")] if grouped else []
    groups: defaultdict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[tuple(_group(key, row) for key in keys)].append(row)
    wanted = list(_aggregates(computed))
    return [
        {**dict(zip(keys, values, strict=True)), **{name: _aggregated(call, members) for name, call in wanted}}
        for values, members in groups.items()
    ]


_COMMANDS: Final[Mapping[str, Callable[[list[Row], str], list[Row]]]] = {
    "filter": _filter,
    "fields": _fields,
    "stats": _stats,
    "sort": _sort,
    "limit": _limit,
}


def _group(key: str, row: Row) -> Any:
    if found := re.fullmatch(r"bin\((\d+)([mhd])\)", key):
        seconds = int(found[1]) * _BINS[found[2]]
        return int(row["@timestamp"] / 1000 // seconds * seconds)
    return row.get(key)


def _aggregates(text: str) -> Iterator[tuple[str, ast.Call]]:
    for part in re.split(r",\s*(?![^(]*\))", text):
        call, _, name = part.partition(" as ")
        node = _parsed(call)
        if not isinstance(node, ast.Call):
            raise UnknownError(f"The aggregate {part}.")
        yield name.strip() or call.strip(), node


def _aggregated(call: ast.Call, rows: Sequence[Row]) -> Any:
    function = ast.unparse(call.func)
    if function == "count":
        return len(rows)
    field = ast.unparse(call.args[0]).replace(_TIMESTAMP, "@timestamp")
    there = [row for row in rows if row.get(field) is not None]
    if not there:
        return None
    values = [row[field] for row in there]
    if function == "latest":
        return max(there, key=lambda row: row["@timestamp"])[field]
    if function == "pct":
        return aggregate(values, f"p{ast.unparse(call.args[1])}")
    statistics = {"sum": "Sum", "avg": "Average", "max": "Maximum", "min": "Minimum"}
    if function not in statistics:
        raise UnknownError(f"The function {function}.")
    return aggregate(values, statistics[function])


def _parsed(text: str) -> ast.expr:
    """An expression, with `=` as Python writes it and without what Python does not have."""
    python = re.sub(r"(?<![<>!=])=(?!=)", "==", text).replace("(*)", "()").replace("@timestamp", _TIMESTAMP)
    return ast.parse(python.strip(), mode="eval").body


def _holds(node: ast.expr, row: Row) -> bool:
    match node:
        case ast.BoolOp(op=ast.And(), values=parts):
            return all(_holds(part, row) for part in parts)
        case ast.BoolOp(op=ast.Or(), values=parts):
            return any(_holds(part, row) for part in parts)
        case ast.Call(func=ast.Name(id="ispresent"), args=[ast.Name(id=field)]):
            return row.get(field) is not None
        case ast.Compare(left=ast.Name(id=field), ops=[op], comparators=[ast.Constant(value=value)]) if (
            type(op) in _COMPARE
        ):
            return row.get(field) is not None and _COMPARE[type(op)](row[field], value)
    raise UnknownError(f"The condition {ast.unparse(node)}.")
