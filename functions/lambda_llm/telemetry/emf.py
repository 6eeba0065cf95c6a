"""Figures as log lines: CloudWatch's embedded metric format, one JSON object each.

Lambda sends what a process writes to CloudWatch Logs, which takes the metrics out of it: no agent, and no request.
Prompts and answers are never in a line: `write` takes only what `lines` names.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import json
import math
import os
import secrets
import sys
import time
from typing import Final

from lambda_llm.telemetry.context import correlation
from lambda_llm.telemetry.lines import COMMON, METRICS, NAMESPACE, Line
from lambda_llm.telemetry.logs import stamp

LOCAL: Final = "local"
"""Function's name and version outside Lambda."""

_DIMENSION_MAX: Final = 1024
"""Length of a dimension's value. Source: as of `_dimension`."""

Value = str | int | float | bool | None
"""Of a field or a metric; None, and a number that is not finite: it is not known, and left out."""

_environment = secrets.token_hex(8)


def renew() -> None:
    """Become another environment, as after a restore: each has an id of its own."""
    global _environment  # noqa: PLW0603 - of the process, as its memory is
    _environment = secrets.token_hex(8)


def environment() -> str:
    """The random id of this environment."""
    return _environment


def line(kind: Line, now: float, **values: Value) -> dict[str, object]:
    """A line as an object.

    Args:
        kind: of line.
        now: seconds since 1970.
        values: metrics and fields by name.

    Raises:
        KeyError: a value that this kind of line does not have.
    """
    metrics = {name for directive in kind.directives for name in directive.metrics}
    if unknown := values.keys() - metrics - kind.fields:
        raise KeyError(f"A line of {kind.service}'s {kind.event} has no {min(unknown)}.")
    known = {name: value for name, value in values.items() if value is not None and _is_json(value)}
    told: dict[str, object] = {
        "timestamp": stamp(now),
        "level": "ERROR" if known.get("Errors") else "INFO",
        "event": kind.event,
        "service": kind.service,
        "plane": kind.plane.value,
        "function": os.environ.get("AWS_LAMBDA_FUNCTION_NAME", LOCAL),
        "function_version": os.environ.get("AWS_LAMBDA_FUNCTION_VERSION", LOCAL),
        "environment": _environment,
        **{name: value for name, value in correlation().items() if name in COMMON},
        **known,
    }
    directives = [
        {
            "Namespace": NAMESPACE,
            "Dimensions": [list(directive.dimensions)],
            "Metrics": [
                {"Name": name, "Unit": METRICS[name].unit.value} for name in directive.metrics if name in known
            ],
        }
        for directive in kind.directives
        if all(name in told for name in directive.dimensions) and any(name in known for name in directive.metrics)
    ]
    for name in {name for directive in kind.directives for name in directive.dimensions} & known.keys():
        told[name] = _dimension(known[name])
    if directives:
        told["_aws"] = {"Timestamp": int(now * 1000), "CloudWatchMetrics": directives}
    return told


def _dimension(value: Value) -> str:
    """As CloudWatch keeps it: in ASCII. The metrics of a line with another value would be lost.

    Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_Dimension.html
    """
    return str(value).encode("ascii", "replace").decode()[:_DIMENSION_MAX]


def _is_json(value: Value) -> bool:
    """Whether JSON has the value: a line with infinity in it would be no line."""
    return not isinstance(value, float) or math.isfinite(value)


def write(kind: Line, **values: Value) -> None:
    """Write a line to standard output; see `line`.

    Raises:
        KeyError: a value that this kind of line does not have.
    """
    text = json.dumps(line(kind, time.time(), **values), ensure_ascii=False)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
