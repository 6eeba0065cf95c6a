"""AWS's bill by plane: an export of the Cost and Usage Report, in CSV or Parquet.

Both versions of the report are read. 2.0 has one column with all tags, as a map; the older one has a column for each.
Either has a tag only once it was activated as a cost allocation tag, and only from then on.

Sources: https://docs.aws.amazon.com/cur/latest/userguide/table-dictionary-cur2.html,
https://docs.aws.amazon.com/cur/latest/userguide/data-dictionary.html
"""

import csv
import gzip
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from lambda_llm.usage.errors import UsageError

TAG: Final = "lambda-llm:plane"
"""The cost allocation tag that every module sets."""

_START: Final = ("line_item_usage_start_date", "lineItem/UsageStartDate")
_COST: Final = ("line_item_unblended_cost", "lineItem/UnblendedCost")
_TAGS: Final = ("resource_tags", "tags")
_CSV: Final = (".csv", ".csv.gz")
_PARQUET: Final = ".parquet"


def by_day_and_plane(path: Path) -> dict[tuple[str, str], float]:
    """Unblended US dollars by day in UTC and plane, of everything that has the tag.

    Args:
        path: of a file of an export: `.csv`, `.csv.gz` or `.parquet`.

    Raises:
        UsageError: the file can't be read, is no such export, or nothing in it has the tag.
    """
    sums: dict[tuple[str, str], float] = {}
    rows = 0
    try:
        for row in _rows(path):
            rows += 1
            plane = _plane(row)
            if plane is None:
                continue
            key = (_given(row, _START, path)[:10], plane)
            sums[key] = sums.get(key, 0.0) + float(_given(row, _COST, path) or 0)
    except (OSError, ValueError, csv.Error) as error:
        raise UsageError(f"{path} can't be read as a Cost and Usage export: {error}") from error
    if not sums:
        raise UsageError(
            f"None of {rows:,} rows of {path} has the tag {TAG}: activate it under Billing, cost allocation tags; the "
            "bill has it from the next day on."
        )
    return sums


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    name = path.name.lower()
    if name.endswith(_PARQUET):
        import pyarrow.parquet  # noqa: PLC0415 - takes half a second

        for batch in pyarrow.parquet.ParquetFile(path).iter_batches():
            yield from batch.to_pylist()
    elif name.endswith(_CSV):
        with (gzip.open if name.endswith(".gz") else open)(path, "rt", newline="", encoding="utf-8") as file:
            yield from csv.DictReader(file)
    else:
        raise UsageError(f"{path} is no Cost and Usage export that can be read: expected .csv, .csv.gz or .parquet.")


def _plane(row: Mapping[str, Any]) -> str | None:
    """The tag's value in a row, however the export spells its key: `user_lambda_llm_plane`, `resourceTags/user:…`."""
    for name in _TAGS:
        if given := row.get(name):
            tags = dict(json.loads(given)) if isinstance(given, str) else dict(given)
            if found := _find(tags):
                return found
    return _find(row)


def _find(tags: Mapping[Any, Any]) -> str | None:
    wanted = _plain(TAG)
    return next((str(value) for key, value in tags.items() if value and _plain(str(key)).endswith(wanted)), None)


def _plain(key: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", key.lower())


def _given(row: Mapping[str, Any], names: tuple[str, ...], path: Path) -> str:
    for name in names:
        if name in row:
            return str(row[name])
    raise UsageError(f"{path} has no column {names[0]}: export the Cost and Usage Report with it.")
