"""Exports of the Cost and Usage Report, in each of their forms."""

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lambda_llm.usage.bill import by_day_and_plane
from lambda_llm.usage.errors import UsageError

ROWS = [
    ("2026-11-26T00:00:00Z", "1.5", "inference"),
    ("2026-11-26T23:00:00Z", "0.5", "inference"),
    ("2026-11-27T00:00:00Z", "0.25", "orchestration"),
    ("2026-11-27T00:00:00Z", "99", None),
]
SUMS = {("2026-11-26", "inference"): 2.0, ("2026-11-27", "orchestration"): 0.25}


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    with (gzip.open if path.suffix == ".gz" else open)(path, "wt", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return path


def second(tag: str = "user_lambda_llm_plane") -> list[dict[str, Any]]:
    """Version 2.0: all tags in one column."""
    return [
        {
            "line_item_usage_start_date": start,
            "line_item_unblended_cost": cost,
            "resource_tags": json.dumps({"user_team": "x", **({tag: plane} if plane else {})}),
        }
        for start, cost, plane in ROWS
    ]


@pytest.mark.parametrize("name", ["bill.csv", "bill.csv.gz"])
@pytest.mark.parametrize("tag", ["user_lambda_llm_plane", "user_lambda-llm:plane", "resourceTags/lambda-llm:plane"])
def test_an_export_of_the_present_version(tmp_path: Path, name: str, tag: str) -> None:
    assert by_day_and_plane(written(tmp_path / name, second(tag))) == SUMS


def test_an_export_of_the_older_version(tmp_path: Path) -> None:
    rows = [
        {"lineItem/UsageStartDate": start, "lineItem/UnblendedCost": cost, "resourceTags/user:lambda-llm:plane": plane}
        for start, cost, plane in ROWS
    ]
    assert by_day_and_plane(written(tmp_path / "bill.csv", rows)) == SUMS


def test_an_export_in_parquet(tmp_path: Path) -> None:
    table = pa.table(
        {
            "line_item_usage_start_date": [start for start, _, _ in ROWS],
            "line_item_unblended_cost": [float(cost) for _, cost, _ in ROWS],
            "resource_tags": pa.array(
                [[("user_lambda_llm_plane", plane)] if plane else [] for _, _, plane in ROWS],
                pa.map_(pa.string(), pa.string()),
            ),
        }
    )
    pq.write_table(table, tmp_path / "bill.snappy.parquet")
    assert by_day_and_plane(tmp_path / "bill.snappy.parquet") == SUMS


def test_what_can_t_be_read_is_one_sentence(tmp_path: Path) -> None:
    untagged = written(tmp_path / "untagged.csv", second("user_other"))
    with pytest.raises(
        UsageError, match=r"None of 4 rows of .* has the tag lambda-llm:plane: activate it under Billing"
    ):
        by_day_and_plane(untagged)
    short = written(tmp_path / "short.csv", [{"resource_tags": '{"user_lambda_llm_plane": "inference"}'}])
    with pytest.raises(UsageError, match="has no column line_item_usage_start_date"):
        by_day_and_plane(short)
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    (tmp_path / "broken.csv.gz").write_bytes(b"no gzip")
    for name in ("broken.parquet", "broken.csv.gz", "missing.csv"):
        with pytest.raises(UsageError, match="can't be read as a Cost and Usage export"):
            by_day_and_plane(tmp_path / name)
    with pytest.raises(UsageError, match=r"expected \.csv, \.csv\.gz or \.parquet"):
        by_day_and_plane(tmp_path / "bill.xlsx")
