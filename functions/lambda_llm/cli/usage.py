"""`lambda-llm usage`."""

import datetime as dt
import re
from collections.abc import Iterable, Iterator
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from lambda_llm.cli.console import JSON, err, out
from lambda_llm.errors import LambdaLLMError

if TYPE_CHECKING:
    from lambda_llm.usage.spend import Amount, Spend

WAIT_SECONDS: Final = 30
"""Silence of CloudWatch that a person waits for: a page of a large group takes seconds."""

_AGO: Final = re.compile(r"(\d+)([hd])")


class TimeError(LambdaLLMError):
    """A point in time is none."""


class Dimension(StrEnum):
    """What is added up by."""

    DAY = "day"
    PLANE = "plane"
    MODEL = "model"
    TENANT = "tenant"


def usage(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Files of log lines, .gz too, or - for standard input.", show_default=False),
    ] = None,
    *,
    log_group: Annotated[
        list[str] | None,
        typer.Option(help="Log group in CloudWatch, as /aws/lambda/NAME; can be repeated.", show_default=False),
    ] = None,
    since: Annotated[str, typer.Option(help="Of log groups: 7d, 12h, or a date as 2026-11-27, in UTC.")] = "7d",
    until: Annotated[str | None, typer.Option(help="The same, not included; default: now.", show_default=False)] = None,
    by: Annotated[
        list[Dimension] | None,
        typer.Option(help="Add up by this; repeated: by each combination. Default: by each alone.", show_default=False),
    ] = None,
    bill: Annotated[
        Path | None,
        typer.Option(help="Cost and Usage export, .csv, .csv.gz or .parquet, to compare with.", show_default=False),
    ] = None,
    region: Annotated[
        str | None, typer.Option(help="Region of the log groups; default: AWS_DEFAULT_REGION.", show_default=False)
    ] = None,
    as_json: JSON = False,
) -> None:
    """Say what was spent, by day, plane, model and tenant, as the functions' log lines tell it.

    The planes are orchestration (router, agents), inference (models) and execution (tools). Dollars are by the price
    list, without free tiers and discounts, and without what costs money while nobody asks: snapshots, storage, logs.
    With --bill the days that both know are compared with AWS's bill, which has all of that.

    Give the log groups of every function that a request passes: the router's lines know the tenant, the model's
    function what the answer took. Needs `logs:FilterLogEvents` on them.

    Example: `lambda-llm usage --log-group /aws/lambda/lambda-llm-chat --since 30d --by tenant`
    """
    if not files and not log_group:
        raise typer.BadParameter("name files of log lines, or a --log-group.")
    from lambda_llm.usage.spend import Spend

    spend = Spend.of(_lines(files or [], log_group or [], since, until, region))
    billed = _compared(spend, bill) if bill else None
    if as_json:
        out.print_json(data=_public(spend, by, billed), ensure_ascii=True)
    else:
        _show(spend, by)
        if billed is not None:
            _show_bill(billed)


def _lines(
    files: Iterable[Path], groups: list[str], since: str, until: str | None, region: str | None
) -> Iterator[dict[str, Any]]:
    from lambda_llm.usage import read

    for path in files:
        yield from read.from_file(path)
    if not groups:
        return
    now = dt.datetime.now(dt.UTC)
    begin, end = _moment(since, now), _moment(until, now) if until else now
    if begin >= end:
        raise TimeError(f"--since {since} is not before {until or 'now'}: give an earlier one.")
    with closing(_client(region)) as logs, err.status("reading CloudWatch") as status:
        for group in groups:
            pages = 0

            def paged(group: str = group) -> None:
                nonlocal pages
                pages += 1
                status.update(f"reading {group}: page {pages}")

            yield from read.from_group(logs, group, begin.timestamp(), end.timestamp(), paged)


def _client(region: str | None) -> Any:
    from botocore.exceptions import BotoCoreError

    from lambda_llm.aws.clients import create
    from lambda_llm.usage.errors import UsageError

    try:
        return create("logs", region, read_seconds=WAIT_SECONDS)
    except (BotoCoreError, ValueError) as error:
        raise UsageError(f"CloudWatch can't be asked ({error}): give --region, or set AWS_DEFAULT_REGION.") from error


def _moment(text: str, now: dt.datetime) -> dt.datetime:
    if match := _AGO.fullmatch(text):
        try:
            return now - dt.timedelta(**{{"h": "hours", "d": "days"}[match[2]]: int(match[1])})
        except OverflowError:
            pass
    else:
        try:
            return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)
        except ValueError:
            pass
    raise TimeError(f"{text!r} is no time: expected 7d, 12h, or a date as 2026-11-27.")


def _compared(spend: "Spend", path: Path) -> dict[str, tuple[float, float]]:
    """Dollars by lines and by bill of each plane, of the days that both know."""
    from lambda_llm.usage.bill import by_day_and_plane
    from lambda_llm.usage.errors import UsageError

    told = {key: amount.dollars for key, amount in spend.by("day", "plane").items()}
    billed = by_day_and_plane(path)
    days = {day for day, _ in told} & {day for day, _ in billed}
    if not days:
        raise UsageError(
            f"{path} has none of the days of the lines: it is from {min(billed)[0]} to {max(billed)[0]}. Give an "
            "export and lines of the same days."
        )
    sums: dict[str, tuple[float, float]] = {}
    for day, plane in sorted({*told, *billed}):
        if day in days:
            line, bill = sums.get(plane, (0.0, 0.0))
            key = day, plane
            sums[plane] = (line + told.get(key, 0.0), bill + billed.get(key, 0.0))
    return sums


def _public(
    spend: "Spend", by: list[Dimension] | None, billed: dict[str, tuple[float, float]] | None
) -> dict[str, Any]:
    from dataclasses import asdict

    names = [each.value for each in by or Dimension]
    told: dict[str, Any] = {
        "lines": spend.lines,
        "total": asdict(spend.total),
        "unseen": asdict(spend.unseen),
        "spend": [{**dict(zip(names, key, strict=True)), **asdict(amount)} for key, amount in spend.by(*names).items()],
    }
    if billed is not None:
        told["bill"] = {plane: {"lines": lines, "bill": bill} for plane, (lines, bill) in billed.items()}
    return told


def _show(spend: "Spend", by: list[Dimension] | None) -> None:
    from rich.markup import escape
    from rich.table import Table

    from lambda_llm.units import printable

    if not spend.by_key:
        out.print(f"Nothing was spent by {spend.lines:,} lines.")
    for names in [by] if by else [[each] for each in Dimension]:
        rows = Table(box=None, padding=(0, 2, 0, 0))
        for dimension in names:
            rows.add_column(dimension)
        for name in ("dollars", "requests", "tokens in", "tokens out"):
            rows.add_column(name, justify="right")
        for key, amount in spend.by(*names).items():
            rows.add_row(*(escape(printable(each)) for each in key), *_cells(amount))
        if rows.row_count:
            out.print(rows)
            out.print()
    total = spend.total
    out.print(f"Total: {_dollars(total.dollars)}, {total.requests:,} requests.")
    if spend.unseen.requests:
        err.print(
            f"{spend.unseen.requests:,} requests more, {_dollars(spend.unseen.dollars)} by the price list, were "
            "answered by functions whose lines were not read: give their log groups too."
        )


def _show_bill(billed: dict[str, tuple[float, float]]) -> None:
    from rich.table import Table

    rows = Table(box=None, padding=(0, 2, 0, 0))
    rows.add_column("plane")
    for name in ("by lines", "by the bill", "not in lines"):
        rows.add_column(name, justify="right")
    for plane, (lines, bill) in billed.items():
        rows.add_row(plane, _dollars(lines), _dollars(bill), _dollars(bill - lines))
    out.print()
    out.print(rows)


def _cells(amount: "Amount") -> tuple[str, ...]:
    return _dollars(amount.dollars), f"{amount.requests:,}", f"{amount.input:,}", f"{amount.output:,}"


def _dollars(value: float) -> str:
    sign = "-" if value < 0 else ""
    return f"{sign}${abs(value):,.2f}" if abs(value) >= 1 or value == 0 else f"{sign}${abs(value):.6f}"
