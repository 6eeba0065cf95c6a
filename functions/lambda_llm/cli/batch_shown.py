"""Batches on a terminal: what each way would cost, and how far one has come."""

import time
from typing import TYPE_CHECKING, Any, Final

from lambda_llm.cli.console import err, out
from lambda_llm.units import dollars, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lambda_llm.batch.survey import Survey
    from lambda_llm.batch_store.records import Option
    from lambda_llm.openai_types.batches import Batch

LOOK_SECONDS: Final = 5.0
"""Between two looks at a batch."""

_STYLES: Final = {"completed": "green", "failed": "red", "expired": "yellow", "cancelled": "yellow"}


def show_estimate(survey: "Survey", options: "Iterable[Option]") -> None:
    """Print what a file asks for, and every way to answer it."""
    from rich.table import Table

    totals = survey.totals
    err.print(
        f"{totals.records:,} requests to {survey.model} at {survey.endpoint}: up to {totals.input_tokens:,} tokens of "
        f"prompts and {totals.output_tokens:,} of answers.",
        markup=False,
    )
    table = Table("Backend", "Kind", "Dollars, up to", "Hours, up to", "")
    best = True
    for option in options:
        note = option.why_not or ("chosen" if best else "")
        best = best and option.why_not is not None
        style = "dim" if option.why_not else ""
        table.add_row(option.backend, option.kind, dollars(option.dollars), f"{option.hours:,.2f}", note, style=style)
    err.print(table)


def show_batch(batch: "Batch", spent: float | None = None) -> None:
    """Print what is known of a batch."""
    counts = batch.request_counts
    style = _STYLES.get(batch.status, "cyan")
    out.print(f"{batch.id}  [{style}]{batch.status}[/]  {batch.endpoint}  {batch.model or ''}")
    line = f"{counts.completed:,} answered and {counts.failed:,} failed of {counts.total:,}"
    if spent:
        line += f", {dollars(spent)} so far"
    out.print(line, markup=False)
    if batch.output_file_id:
        out.print(f"output: {batch.output_file_id}", markup=False)
    if batch.error_file_id:
        out.print(f"errors: {batch.error_file_id}", markup=False)
    for error in batch.errors.data if batch.errors else ():
        where = f"line {error.line}: " if error.line is not None else ""
        out.print(printable(f"{where}{error.message} ({error.code})"), markup=False)


def show_list(batches: "Iterable[Batch]") -> None:
    """Print a table of batches."""
    from datetime import UTC, datetime

    from rich.table import Table

    table = Table("Batch", "Status", "Model", "Answered", "Failed", "Of", "Created (UTC)")
    for batch in batches:
        counts = batch.request_counts
        created = datetime.fromtimestamp(batch.created_at, UTC).strftime("%Y-%m-%d %H:%M")
        style = _STYLES.get(batch.status, "cyan")
        numbers = (f"{each:,}" for each in (counts.completed, counts.failed, counts.total))
        table.add_row(batch.id, f"[{style}]{batch.status}[/]", batch.model or "", *numbers, created)
    out.print(table)


def watch(read: "Callable[[], tuple[Batch, float]]") -> "Batch":
    """Follow a batch to its end, with a progress bar on a terminal: rate, time left and dollars so far.

    Args:
        read: the batch now, and what it has cost so far.
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from lambda_llm.openai_types.batches import ENDED

    columns: tuple[Any, ...] = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[spent]}"),
    )
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("validating", total=None, rate="", spent="")
        while True:
            batch, spent = read()
            counts = batch.request_counts
            speed = bar.tasks[0].speed
            bar.update(
                task,
                description=batch.status,
                total=counts.total or None,
                completed=counts.completed + counts.failed,
                rate=f"{speed:,.1f}/s" if speed else "",
                spent=dollars(spent) if spent else "",
            )
            if batch.status in ENDED:
                return batch
            time.sleep(LOOK_SECONDS)
