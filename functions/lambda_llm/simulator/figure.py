"""A picture of what was simulated: requests, environments and servers over time, and how long the first token took."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from lambda_llm.cost.plotting import INK, checked, save
from lambda_llm.simulator.result import Result

_COLOURS: Final = ("tab:blue", "tab:orange", "tab:green", "tab:purple", "tab:brown", "tab:olive", "tab:cyan")
_REFUSED: Final = "tab:red"

_APART: Final = 1.5
"""Ratio of two times whose names don't touch."""


def draw(results: Sequence[Result], path: Path) -> None:
    """Draw results of the same requests.

    Args:
        results: at least one.
        path: of the file to write; what it is goes by its suffix.

    Raises:
        PictureError: it can't be drawn, or the file can't be written.
    """
    checked(path)
    import matplotlib.pyplot as plt  # noqa: PLC0415 - as above

    figure, (requests, running, tokens) = plt.subplots(
        3,
        1,
        figsize=(10, 9),
        layout="constrained",
        height_ratios=(1, 1.4, 0.45 + 0.2 * len(results)),
    )
    running.sharex(requests)
    course = results[0].course
    hours = (np.arange(len(course.arrived) + 1)) * course.bin_seconds / 3600
    _requests(requests, results, hours)
    _running(running, results, hours)
    _tokens(tokens, results)
    days = results[0].seconds / 86_400
    figure.suptitle(
        f"{results[0].arrived:,} requests in {days:,.3g} {'day' if days == 1 else 'days'}, simulated", fontsize="large"
    )
    try:
        save(figure, path)
    finally:
        plt.close(figure)


def _requests(axes: Any, results: Sequence[Result], hours: Any) -> None:
    course = results[0].course
    axes.stairs(np.array(course.arrived) / course.bin_seconds, hours, baseline=None, color=INK, label="arrive")
    for number, each in enumerate(results):
        if sum(each.course.refused):
            refused = np.array(each.course.refused) / course.bin_seconds
            style = "-" if number == 0 else ":"
            axes.stairs(refused, hours, baseline=None, color=_REFUSED, linestyle=style, label=f"refused by {each.name}")
    _dressed(axes, "requests a second")


def _running(axes: Any, results: Sequence[Result], hours: Any) -> None:
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415 - an extra

    for each, colour in zip(results, _COLOURS * len(results), strict=False):
        what = "environments" if each.kind == "functions" else "servers"
        axes.stairs(each.course.running, hours, baseline=None, color=colour, label=f"{each.name}: {what}")
        if each.kind == "functions":
            axes.stairs(each.course.at_work, hours, color=colour, fill=True, alpha=0.25, label=f"{each.name}: at work")
    axes.set_yscale("symlog", linthresh=1)
    axes.yaxis.set_major_formatter("{x:,g}")
    axes.set_xlabel("hours")
    axes.set_xlim(0, hours[-1])
    axes.xaxis.set_major_locator(MaxNLocator(steps=[1, 2, 3, 6, 10]))
    _dressed(axes, "environments, servers")


def _tokens(axes: Any, results: Sequence[Result]) -> None:
    for number, (each, colour) in enumerate(zip(results, _COLOURS * len(results), strict=False)):
        if each.first_token is None:
            continue
        spread = each.first_token
        points = [max(value, 1e-3) for value in (spread.p50, spread.p90, spread.p99, spread.p999)]
        axes.plot(points, [number] * len(points), color=colour, marker="o")
        for value, name, offset in zip(points, ("50 %", "90 %", "99 %", "99.9 %"), (6, -15, 6, -15), strict=True):
            if name == "90 %" and points[-1] < _APART * value:
                continue  # it would stand under the last one
            axes.annotate(
                name, (value, number), textcoords="offset points", xytext=(0, offset), ha="center", fontsize="small"
            )
    axes.set_yticks(range(len(results)), [f"{each.name}\n${each.month_dollars:,.0f} a month" for each in results])
    axes.set_ylim(len(results) - 0.4, -0.6)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("seconds to the first token, log scale")
    axes.grid(visible=True, axis="x", linewidth=0.4)


def _dressed(axes: Any, label: str) -> None:
    axes.set_ylabel(label)
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, linewidth=0.4)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, frameon=False, fontsize="small")
