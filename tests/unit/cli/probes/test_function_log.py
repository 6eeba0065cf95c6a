"""Lambda's report of an invocation, as text and as JSON."""

import json
from typing import Any

import pytest

from lambda_llm.cli.probes.function_log import Report, lines, parse
from support.fake_deployment import Deploy, configuration

TEXT = (
    "REPORT RequestId: 1\tDuration: 1250.50 ms\tBilled Duration: 1251 ms\tMemory Size: 10240 MB\tMax Memory Used: 1 MB"
)


def as_json(**metrics: float) -> str:
    return json.dumps(
        {"type": "platform.report", "record": {"requestId": "1", "metrics": metrics, "status": "success"}}
    )


@pytest.mark.parametrize(
    ("line", "report"),
    [
        (TEXT, Report(1.2505, None, timed_out=False)),
        (
            f"{TEXT}\tRestore Duration: 812.25 ms\tBilled Restore Duration: 1 ms",
            Report(1.2505, 0.81225, timed_out=False),
        ),
        (f"{TEXT}\tStatus: timeout", Report(1.2505, None, timed_out=True)),
        (as_json(durationMs=1250.5), Report(1.2505, None, timed_out=False)),
        (as_json(durationMs=1250.5, restoreDurationMs=812.25), Report(1.2505, 0.81225, timed_out=False)),
        ("START RequestId: 1 Version: 7", None),
        ("REPORT RequestId: 1", None),
        ('{"type": "platform.start", "record": {}}', None),
        ('"REPORT"', None),
        ("{", None),
    ],
)
def test_a_line_is_a_report_or_none(line: str, report: Report | None) -> None:
    assert parse(line) == report


@pytest.mark.parametrize(
    ("logging", "group"), [({"LogGroup": "/own"}, "/own"), ({}, "/aws/lambda/llm"), (None, "/aws/lambda/llm")]
)
def test_the_function_s_log_group_is_read(deploy: Deploy, logging: dict[str, str] | None, group: str) -> None:
    with deploy() as stage:
        right = configuration(LoggingConfig=logging)
        stage.aws.answers["GetFunctionConfiguration"] = {
            name: value for name, value in right.items() if value is not None
        }
        stage.aws.answers["FilterLogEvents"] = {"events": [{"message": "with the id"}, {"message": "without"}]}
        assert lines(stage.deployment, "id", 0.0) == ["with the id"]
    (asked,) = [params for name, params in stage.aws.calls if name == "FilterLogEvents"]
    assert (asked["logGroupName"], asked["filterPattern"]) == (group, '"id"')


def test_every_page_is_read_also_behind_an_empty_one(deploy: Deploy) -> None:
    pages: dict[str, dict[str, Any]] = {"": {"events": [], "nextToken": "1"}, "1": {"events": [{"message": "id"}]}}
    with deploy() as stage:
        stage.aws.answers["FilterLogEvents"] = lambda params: pages[params.get("nextToken", "")]
        assert lines(stage.deployment, "id", 0.0) == ["id"]
