"""`lambda-llm usage`, over files and over CloudWatch's protocol."""

import gzip
import json
import time
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from scripts.local_aws.server import LocalAWS
from support.command_line import Run
from support.usage_lines import of_agent, of_function, of_router

LINES = [
    of_router("r1", "lambda", 0.5),
    of_function("r1", 1.25),
    of_router("r2", "bedrock", 2.0, tenant="o[red]ther"),
    of_agent("acme", 0.25, day=1),
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(map(json.dumps, LINES)))
    return path


@pytest.fixture
def group(local_aws: LocalAWS, monkeypatch: pytest.MonkeyPatch) -> str:
    """A log group with the lines of two functions, and others."""
    for name, value in local_aws.environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    name, now = f"/aws/lambda/{uuid4().hex}", int(time.time() * 1000)
    texts = ["START RequestId: 1", *map(json.dumps, LINES), '{"level": "INFO", "message": "restored"}']
    with closing(local_aws.client("logs")) as logs:
        logs.create_log_group(logGroupName=name)
        logs.create_log_stream(logGroupName=name, logStreamName="1")
        events = [{"timestamp": now - 5_400_000 + at, "message": text} for at, text in enumerate(texts)]
        logs.put_log_events(logGroupName=name, logStreamName="1", logEvents=events)
    return name


def told(run: Run, *arguments: object) -> Any:
    done = run("usage", *arguments, "--json")
    assert done.status == 0, done.err
    return json.loads(done.out)


def test_spend_is_shown_by_each_of_day_plane_model_and_tenant(run: Run, file: Path) -> None:
    done = run("usage", file)
    assert done.status == 0, done.err
    rows = [line.split() for line in done.out.splitlines() if line.strip()]
    assert ["2026-11-26", "$3.25", "2", "190", "19"] in rows
    assert ["inference", "$3.25", "2", "190", "19"] in rows
    assert ["orchestration", "$0.250000", "0", "0", "0"] in rows
    assert ["llama", "$1.25", "1", "90", "9"] in rows
    assert ["o[red]ther", "$2.00", "1", "100", "10"] in rows
    assert ["acme", "$1.50", "1", "90", "9"] in rows
    assert "Total: $3.50, 2 requests." in done.out


def test_lines_come_from_cloudwatch_too(run: Run, file: Path, group: str) -> None:
    from_file = told(run, file, "--by", "tenant", "--by", "plane")
    assert told(run, "--log-group", group, "--since", "2h", "--by", "tenant", "--by", "plane") == from_file
    assert [(each["tenant"], each["plane"], each["dollars"]) for each in from_file["spend"]] == [
        ("o[red]ther", "inference", 2.0),
        ("acme", "inference", 1.25),
        ("acme", "orchestration", 0.25),
    ]
    assert told(run, "--log-group", group, "--since", "1h")["lines"] == 0


def test_a_bill_of_the_same_days_is_compared(run: Run, file: Path, tmp_path: Path) -> None:
    bill = tmp_path / "bill.csv.gz"
    rows = ["line_item_usage_start_date,line_item_unblended_cost,resource_tags"]
    for day, cost, plane in (("26", 4.0, "inference"), ("26", 0.5, "execution"), ("30", 9.0, "inference")):
        tags = '"{""user_lambda_llm_plane"": ""' + plane + '""}"'
        rows.append(f"2026-11-{day}T05:00:00Z,{cost},{tags}")
    bill.write_bytes(gzip.compress("\n".join(rows).encode()))
    assert told(run, file, "--bill", bill)["bill"] == {
        "execution": {"lines": 0.0, "bill": 0.5},
        "inference": {"lines": 3.25, "bill": 4.0},
    }
    done = run("usage", file, "--bill", bill)
    assert ["inference", "$3.25", "$4.00", "$0.750000"] in [line.split() for line in done.out.splitlines()]
    bill.write_bytes(gzip.compress("\n".join([rows[0], rows[-1]]).encode()))
    done = run("usage", file, "--bill", bill)
    assert done.status == 1
    assert "has none of the days of the lines: it is from 2026-11-30 to 2026-11-30" in done.err


def test_what_other_functions_answered_is_told(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "router.jsonl"
    path.write_text(json.dumps(LINES[0]))
    done = run("usage", path)
    assert "Nothing was spent by 1 lines." in done.out
    assert "1 requests more, $0.500000 by the price list" in " ".join(done.err.split())


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (["--json"], 2, "name files of log lines, or a --log-group"),
        (["--log-group", "/none"], 1, "There is no log group '/none' in this region"),
        (["--log-group", "/none", "--since", "yesterday"], 1, "'yesterday' is no time: expected 7d, 12h, or a date"),
        (["--log-group", "/none", "--since", "99999999999d"], 1, "is no time"),
        (["--log-group", "/none", "--since", "1h", "--until", "2h"], 1, "--since 1h is not before 2h"),
    ],
)
@pytest.mark.usefixtures("group")
def test_what_is_wrong_is_one_sentence(run: Run, arguments: list[str], status: int, sentence: str) -> None:
    done = run("usage", *arguments)
    assert done.status == status
    assert sentence in " ".join(done.err.replace("│", " ").split())
