"""Write the tables and the picture of docs/observability.md.

The tables are those of `telemetry/lines.py`; a test fails until they are written. The picture is the dashboard of
modules/observability, as Terraform plans it, over a simulated day; it needs Terraform and takes some seconds:

    python -m scripts.docs.observability

or over lines that functions wrote, in a file with one a line, whose quiet widgets then stay empty:

    python -m scripts.docs.observability --lines FILE
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lambda_llm.cost.plotting import FAINT, INK, checked, save
from lambda_llm.cost.prices import load
from lambda_llm.telemetry import lines
from lambda_llm.units import dollars
from scripts import ROOT
from scripts.dashboard import evaluate, recorded
from scripts.dashboard.day import MIDNIGHT, Day
from scripts.dashboard.evaluate import Shown
from scripts.dashboard.module import everything, planned
from scripts.docs.readme import with_part

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DOCUMENT: Final = ROOT / "docs/observability.md"
PICTURE: Final = ROOT / "docs/images/dashboard.png"

_COLUMNS: Final = 3
_ROWS: Final = 6
_CURVES: Final = 6
"""What a table and a legend show at most."""

_WIDTH: Final = 22
"""Letters of a cell."""


def of_lines() -> str:
    """The table of lines."""
    rows = [
        "| Function | Event | Plane | Metrics, by dimensions | Fields, as far as they are known |",
        "|---|---|---|---|---|",
    ]
    for kind in lines.LINES:
        metrics = "; ".join(
            f"{_names(directive.metrics)} by {_names(directive.dimensions)}" for directive in kind.directives
        )
        fields = _names(sorted(kind.fields - lines.COMMON))
        rows.append(f"| {kind.service} | `{kind.event}` | {kind.plane} | {metrics} | {fields} |")
    return "\n".join(rows) + "\n"


def of_metrics() -> str:
    """The table of metrics."""
    rows = ["| Metric | Unit | Meaning | Written by |", "|---|---|---|---|"]
    for name, metric in lines.METRICS.items():
        writers = [
            f"{kind.service} `{kind.event}`"
            for kind in lines.LINES
            if any(name in directive.metrics for directive in kind.directives)
        ]
        rows.append(f"| `{name}` | {metric.unit} | {metric.text} | {', '.join(writers)} |")
    return "\n".join(rows) + "\n"


def of_fields() -> str:
    """The table of fields."""
    rows = ["| Field | Meaning | In |", "|---|---|---|"]
    for name, text in lines.FIELDS.items():
        within = [f"{kind.service} `{kind.event}`" for kind in lines.LINES if name in kind.fields]
        rows.append(f"| `{name}` | {text} | {'every line' if name in lines.COMMON else ', '.join(within)} |")
    return "\n".join(rows) + "\n"


def of_costs() -> str:
    """The table of what it costs a month, for the stack of the picture."""
    prices, day = load(), Day()
    metrics = {key for key in day.account().metrics.named() if key[0] == lines.NAMESPACE}
    rows = ["| What | How much | US dollars a month |", "|---|---|---|"]
    rows.append(
        f"| Metrics: combinations of dimensions that were written | {len(metrics)} | "
        f"{dollars(prices['cloudwatch.metric'].cost(len(metrics)))} |"
    )
    rows.append(f"| The dashboard | 1 | {dollars(prices['cloudwatch.dashboard'].cost(1))} |")
    rows.append(f"| An alarm | 1 | {dollars(prices['cloudwatch.alarm'].cost(1))} |")
    for title, kind in (("requests of a router", lines.ROUTER_REQUEST), ("of own models", lines.INFERENCE_REQUEST)):
        of_kind = [
            len(json.dumps(line).encode()) + 1
            for each in day.lines.values()
            for line in each
            if (line["service"], line["event"]) == (kind.service, kind.event)
        ]
        size = sum(of_kind) / len(of_kind)
        rows.append(
            f"| Lines of a million {title} | {size:,.0f} bytes each | "
            f"{dollars(prices['logs.ingested'].cost(size * 1e6 / 1e9))} to write |"
        )
    return "\n".join(rows) + "\n"


PARTS: Final[Mapping[str, Callable[[], str]]] = {
    "lines": of_lines,
    "metrics": of_metrics,
    "fields": of_fields,
    "costs": of_costs,
}
"""What is written, by the name of its place."""


def with_tables(text: str) -> str:
    """The document with up-to-date tables."""
    for name, part in PARTS.items():
        text = with_part(text, f"<!-- {name} -->\n", part(), f"<!-- end of {name} -->\n")
    return text


def picture(path: Path, written: Sequence[dict[str, Any]] = ()) -> None:
    """Draw the dashboard.

    Args:
        path: of the picture.
        written: lines; without any those of the simulated day.

    Raises:
        TerraformError: Terraform is missing.
    """
    checked(path)
    import matplotlib.pyplot as plt  # noqa: PLC0415 - an extra, slow to import

    account = recorded.account(written) if written else Day().account()
    with tempfile.TemporaryDirectory() as folder:
        arguments = recorded.arguments(written) if written else everything()
        widgets = planned(Path(folder), arguments).widgets
    begin = min((line["_aws"]["Timestamp"] / 1000 for line in written if "_aws" in line), default=float(MIDNIGHT))
    figure, places = plt.subplots(-(-len(widgets) // _COLUMNS), _COLUMNS, figsize=(13, 22), layout="constrained")
    try:
        for axes, widget in zip(places.flat, widgets, strict=False):
            shown = evaluate.widget(widget, account)
            axes.set_title(shown.title, fontsize="small", loc="left")
            if shown.rows:
                _table(axes, shown)
            else:
                _curves(axes, shown, widget["properties"], begin)
        for axes in places.flat[len(widgets) :]:
            axes.set_axis_off()
        save(figure, path)
    finally:
        plt.close(figure)


def _curves(axes: "Axes", shown: Shown, properties: Mapping[str, Any], begin: float) -> None:
    for label, series in list(shown.curves.items())[:_CURVES]:
        hours = [(start - begin) / 3600 for start in series]
        marker = "o" if len(series) == 1 else ""
        axes.plot(
            hours, list(series.values()), marker=marker, markersize=4, linewidth=1, label=label, clip_on=len(series) > 1
        )
    for line in properties.get("annotations", {}).get("horizontal", []):
        axes.axhline(line["value"], color=INK, linewidth=0.9, linestyle=":")
    axes.set_ylim(0, 1.4 * axes.get_ylim()[1])
    if begin == MIDNIGHT:
        axes.set_xlim(0, 24)
        axes.set_xticks(range(0, 25, 4))
    axes.tick_params(labelsize="x-small")
    axes.grid(color=FAINT, linewidth=0.4)
    axes.legend(fontsize="xx-small", loc="upper left")


def _table(axes: "Axes", shown: Shown) -> None:
    axes.set_axis_off()
    columns = list(shown.rows[0])
    cells = [[_cell(name, row[name]) for name in columns] for row in shown.rows[:_ROWS]]
    drawn = axes.table(cells, colLabels=columns, loc="upper left", cellLoc="left")
    drawn.auto_set_font_size(value=False)
    drawn.set_fontsize(5.5)
    drawn.scale(1, 1.25)
    for cell in drawn.get_celld().values():
        cell.set_edgecolor(FAINT)


def _cell(name: str, value: object) -> str:
    if name == "last" and isinstance(value, int | float):
        return datetime.fromtimestamp(value / 1000, UTC).strftime("%H:%M:%S")
    if isinstance(value, float):
        return f"{value:,.4g}" if value < 1000 else f"{value:,.0f}"  # noqa: PLR2004 - digits
    return "" if value is None else str(value)[:_WIDTH]


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def main() -> int:
    """Rewrite the document's tables and its picture."""
    parser = argparse.ArgumentParser(description="Writes docs/observability.md's tables and picture.")
    parser.add_argument("--lines", type=Path, help="file with lines to draw, in place of the simulated day")
    given: Path | None = parser.parse_args().lines
    DOCUMENT.write_text(with_tables(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
    picture(PICTURE, recorded.read(given.read_text(encoding="utf-8").splitlines()) if given else ())
    return 0


if __name__ == "__main__":
    sys.exit(main())
