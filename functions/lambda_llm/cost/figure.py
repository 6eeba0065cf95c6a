"""The picture of what options cost over utilization, with the points at which Lambda stops being cheaper."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lambda_llm.cost.compare.analysis import Analysis
from lambda_llm.cost.compare.costs import Cost
from lambda_llm.cost.compare.crossings import Curve
from lambda_llm.cost.compare.told import share
from lambda_llm.cost.compare.verdict import LAMBDA
from lambda_llm.cost.plotting import FAINT, INK, PAPER, checked, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's palette, which people with any colour vision tell apart, on white and on black.
_COLOURS: Final = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#a6761d", "#999999")
_OURS: Final = "#d55e00"

_POINTS: Final = 320
_LOW: Final = 1e-3
_HIGH: Final = 10.0
_APART: Final = 1.35
"""Ratio of two utilizations whose names don't touch."""


def shown(analysis: Analysis) -> list[Cost]:
    """The options of the picture: Lambda, and of each kind of place the cheapest that is an equal."""
    free, committed = analysis.verdict.free, analysis.verdict.committed
    wanted = [LAMBDA, free.name, *([committed.name] if committed else []), "ec2.c7g.2xlarge.on-demand"]
    wanted += ["ec2.g6.xlarge.on-demand", "ec2.g6.xlarge.reserved-3y", "sagemaker.g6.xlarge.real-time", "onprem.gpu"]
    tokens = [each.option.name for each in analysis.costs if each.option.name.endswith("llama-3.1-8b.on-demand")]
    names = list(dict.fromkeys([*wanted, *tokens]))
    known = {each.option.name: each for each in analysis.costs}
    return [known[name] for name in names if name in known][: len(_COLOURS) + 1]


def draw(analysis: Analysis, path: Path) -> None:
    """Draw it.

    Raises:
        PictureError: the file can't be drawn or written, or matplotlib is not installed.
    """
    checked(path)
    import matplotlib.pyplot as plt  # noqa: PLC0415 - an extra, slow to import

    figure, axes = plt.subplots(figsize=(9.5, 6.6), layout="constrained")
    try:
        points = [_LOW * (_HIGH / _LOW) ** (number / (_POINTS - 1)) for number in range(_POINTS)]
        at = analysis.workload.at
        curves = [Curve(each.option, at, analysis.prices) for each in shown(analysis)]
        ours, others = curves[0], curves[1:]
        for curve, colour in zip(others, _COLOURS, strict=False):
            axes.plot(points, [curve(point) for point in points], color=colour, label=curve.option.title, linewidth=1.6)
        axes.plot(points, [ours(point) for point in points], color=_OURS, label=ours.option.title, linewidth=2.8)
        _meetings(axes, ours, others, analysis)
        now = analysis.workload.utilization
        if _LOW <= now <= _HIGH:
            axes.axvline(now, color=INK, linewidth=0.9, linestyle=":")
            axes.annotate(
                "this traffic",
                (now, 1),
                xycoords=("data", "axes fraction"),
                xytext=(4, -12),
                color=INK,
                textcoords="offset points",
                fontsize="small",
            )
        axes.set(
            xscale="log",
            yscale="log",
            xlim=(_LOW, _HIGH),
            ylim=(1, None),
            xlabel="utilization: time that one function would be busy",
            ylabel="US dollars a month",
        )
        axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:,.10g}%")
        axes.yaxis.set_major_formatter(lambda value, _: f"${value:,.10g}")
        requests = axes.secondary_xaxis("top", functions=_requests_a_day(at(1.0).inputs["requests_per_day"]))
        requests.set_xlabel("requests a day")
        requests.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
        axes.grid(visible=True, linewidth=0.4, color=FAINT)
        figure.legend(fontsize="small", loc="outside lower center", ncols=3, labelcolor=INK)
        save(figure, path)
    finally:
        plt.close(figure)


def _requests_a_day(busy: float) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """From utilizations to requests a day, and back; `busy` is the requests of a function that is always busy."""
    return (lambda utilization: utilization * busy), (lambda requests: requests / busy)


def _meetings(axes: "Axes", ours: Curve, others: Sequence[Curve], analysis: Analysis) -> None:
    """Mark where Lambda stops being cheaper; names that would touch are left out, from the right on."""
    drawn = {other.option.name for other in others}
    places = sorted(
        each.utilization
        for each in analysis.break_evens
        if each.cheap_first == LAMBDA
        and each.cheap_later in drawn
        and each.utilization is not None
        and _LOW < each.utilization < _HIGH
    )
    named = 0.0
    for place in places:
        at = (place, ours(place))
        axes.plot(*at, "o", color=_OURS, markeredgecolor=PAPER, markersize=7, zorder=5)
        if place > named * _APART:
            axes.annotate(
                share(place), at, xytext=(-7, 7), textcoords="offset points", ha="right", color=INK, fontsize="small"
            )
            named = place
