"""The report's file: page, style and program in one, with an analysis, the formulas and the prices as data."""

import html
import json
import math
from pathlib import Path
from typing import Any

from lambda_llm.cost.compare.analysis import Analysis
from lambda_llm.cost.compare.inputs import INPUTS
from lambda_llm.cost.compare.options import Derived, Server, load
from lambda_llm.cost.compare.told import assumptions, notes
from lambda_llm.cost.figure import shown
from lambda_llm.cost.prices import GROUPS, Price
from lambda_llm.errors import LambdaLLMError

_FOLDER = Path(__file__).parent


class ReportError(LambdaLLMError):
    """A report can't be written."""


def page(analysis: Analysis) -> str:
    """The whole page; it loads nothing from anywhere."""
    region = GROUPS[analysis.prices.group][0]
    parts = {
        "VERDICT": html.escape(analysis.verdict.sentence),
        "NOTES": "".join(f"<li>{html.escape(note)}</li>" for note in notes(analysis)),
        "ASSUMPTIONS": html.escape(assumptions(analysis, region)),
        "PRICES": "".join(_price_row(price) for price in analysis.used.values()),
        "STYLE": (_FOLDER / "page.css").read_text(encoding="utf-8"),
        "PROGRAM": (_FOLDER / "page.js").read_text(encoding="utf-8"),
        # A text in it can't end the element.
        "DATA": json.dumps(_data(analysis), allow_nan=False).replace("<", "\\u003c"),
    }
    made = (_FOLDER / "page.html").read_text(encoding="utf-8")
    for name, text in parts.items():
        made = made.replace(f"<!--{name}-->", text, 1)
    return made


def write(analysis: Analysis, path: Path) -> None:
    """Write the page.

    Raises:
        ReportError: the file can't be written.
    """
    try:
        path.write_text(page(analysis), encoding="utf-8")
    except OSError as error:
        raise ReportError(f"{path} can't be written ({error.strerror}): name a file elsewhere.") from error


def _data(analysis: Analysis) -> dict[str, Any]:
    options = load()
    return {
        "inputs": {
            name: {
                "label": each.label,
                "unit": each.unit,
                "value": analysis.workload.inputs[name],
                "low": min(each.low, analysis.workload.inputs[name]),
                "high": max(each.high, analysis.workload.inputs[name]),
                "least": each.least,
                "most": each.most,
            }
            for name, each in INPUTS.items()
        },
        "constants": {name: each.value for name, each in options.constants.items()},
        "derived": [_derived(name, each) for name, each in options.derived.items()],
        "server": [_derived(name, each) for name, each in options.server.items()],
        "options": [
            {
                "name": each.option.name,
                "title": each.option.title,
                "kind": each.option.kind,
                "own": each.option.own,
                "note": each.option.note,
                "server": _server(analysis.workload.servers.get(each.option.server or "")),
                "lines": [
                    {"what": line.what, "formula": line.formula.text, "names": sorted(line.formula.names)}
                    for line in each.option.lines
                ],
            }
            for each in analysis.costs
        ],
        "chart": [each.option.name for each in shown(analysis)],
        "prices": {
            name: [[tier.start, None if math.isinf(tier.end) else tier.end, tier.price] for tier in price.tiers]
            for name, price in analysis.used.items()
        },
    }


def _derived(name: str, each: Derived) -> dict[str, Any]:
    return {"name": name, "formula": each.formula.text, "names": sorted(each.formula.names)}


def _server(server: Server | None) -> dict[str, Any] | None:
    return None if server is None else {"speeds": server.speeds, "capacity": server.capacity}


def _price_row(price: Price) -> str:
    source = html.escape(price.source)
    linked = f'<a href="{source}">source</a>' if price.source.startswith("https://") else source
    return (
        f"<tr><td>{html.escape(price.name)}</td><td class=number>{price.first:.10g}</td>"
        f"<td>{html.escape(price.unit)}</td><td>{html.escape(price.read_on)}</td><td>{linked}</td></tr>"
    )
