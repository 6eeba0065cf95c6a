"""CloudWatch's embedded metric format, as JSON Schema and the rules that a schema can't say.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import json
from typing import Any, Final

import jsonschema

UNITS: Final = (
    *("Seconds", "Microseconds", "Milliseconds"),
    *("Bytes", "Kilobytes", "Megabytes", "Gigabytes", "Terabytes"),
    *("Bits", "Kilobits", "Megabits", "Gigabits", "Terabits"),
    *("Percent", "Count"),
    *("Bytes/Second", "Kilobytes/Second", "Megabytes/Second", "Gigabytes/Second", "Terabytes/Second"),
    *("Bits/Second", "Kilobits/Second", "Megabits/Second", "Gigabits/Second", "Terabits/Second"),
    *("Count/Second", "None"),
)
"""Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html"""

EVENT_BYTES: Final = 1024 * 1024
"""Of an event of CloudWatch Logs."""

SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["_aws"],
    "properties": {
        "_aws": {
            "type": "object",
            "required": ["Timestamp", "CloudWatchMetrics"],
            "properties": {
                "Timestamp": {"type": "integer", "minimum": 0},
                "CloudWatchMetrics": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["Namespace", "Dimensions", "Metrics"],
                        "properties": {
                            "Namespace": {"type": "string", "minLength": 1, "maxLength": 1024},
                            "Dimensions": {
                                "type": "array",
                                "minItems": 1,
                                "items": {
                                    "type": "array",
                                    "maxItems": 30,
                                    "items": {"type": "string", "minLength": 1, "maxLength": 250},
                                },
                            },
                            "Metrics": {
                                "type": "array",
                                "minItems": 1,
                                "maxItems": 100,
                                "items": {
                                    "type": "object",
                                    "required": ["Name"],
                                    "properties": {
                                        "Name": {"type": "string", "minLength": 1, "maxLength": 1024},
                                        "Unit": {"enum": list(UNITS)},
                                        "StorageResolution": {"enum": [1, 60]},
                                    },
                                    "additionalProperties": False,
                                },
                            },
                        },
                        "additionalProperties": False,
                    },
                },
            },
        }
    },
}


def check(text: str, *, metrics: bool = True) -> dict[str, Any]:
    """A line as an object; an assertion fails if CloudWatch would not take it, or would take no metric out of it.

    Args:
        text: the line.
        metrics: whether it has any.
    """
    assert len(text.encode()) < EVENT_BYTES
    line: dict[str, Any] = json.loads(text, parse_constant=_no_number)
    if not metrics:
        assert "_aws" not in line
        return line
    jsonschema.validate(line, SCHEMA, cls=jsonschema.Draft202012Validator)
    for directive in line["_aws"]["CloudWatchMetrics"]:
        for name in (name for names in directive["Dimensions"] for name in names):
            assert isinstance(line[name], str), f"{name} is a dimension"
            assert 0 < len(line[name]) <= 1024
            assert line[name].isascii()
        for metric in directive["Metrics"]:
            value = line[metric["Name"]]
            assert isinstance(value, int | float), f"{metric['Name']} is a metric"
            assert not isinstance(value, bool)
    return line


def _no_number(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")
