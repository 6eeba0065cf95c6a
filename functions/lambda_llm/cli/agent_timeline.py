"""An execution of an agent in the terminal."""

from datetime import datetime

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from lambda_llm.agent.show import Entry, Timeline
from lambda_llm.units import printable

_COLORS = {
    "ok": "green",
    "approved": "green",
    "answered": "green",
    "running": "cyan",
    "RUNNING": "cyan",
    "unknown": "yellow",
    "timed out": "yellow",
}


def rows(shown: Timeline) -> Table:
    """One row for each thing that the agent did."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("at", "what", "for", "status", "tokens", "bytes", ""):
        table.add_column(title, no_wrap=title != "", justify="right" if title in {"for", "tokens", "bytes"} else "left")
    for one in shown.entries:
        table.add_row(*row(one, shown.began))
    return table


def row(one: Entry, began: datetime) -> tuple[RenderableType, ...]:
    """The cells of an entry; texts come from models and tools, and are printed as text."""
    by = f" by {one.by}" if one.by else ""
    return (
        Text(duration((one.began - began).total_seconds())),
        Text(one.name),
        Text(duration(one.seconds) if one.ended else "…"),
        Text(one.status + printable(by), style=_COLORS.get(one.status, "red")),
        Text(f"{one.tokens:,}" if one.tokens else ""),
        Text(f"{one.bytes:,}" if one.bytes else ""),
        Text(printable(one.text)),
    )


def summary(shown: Timeline) -> Table:
    """What the execution cost."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(style="dim")
    table.add_column()
    table.add_row("status", Text(shown.status, style=_COLORS.get(shown.status, "red")))
    if shown.answer:
        table.add_row("answer" if shown.status == "answered" else "why", Text(printable(shown.answer)))
    table.add_row("operations", f"{shown.operations:,}")
    table.add_row("bytes written", f"{shown.bytes:,}")
    table.add_row("tokens", f"{shown.tokens:,}")
    table.add_row("invocations", f"{shown.invocations:,}, {duration(shown.billed_seconds)} billed")
    table.add_row("suspended, for free", duration(shown.suspended_seconds))
    table.add_row("estimate", f"${shown.dollars:.6f}")
    return table


def duration(seconds: float) -> str:
    """Time for people: 0.12 s, 3.4 min, 3.0 d."""
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.2f} s"
