"""The picture of cost over utilization: what is in it is what the analysis says."""

import struct
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import matplotlib.pyplot as plt
import pytest

from lambda_llm.cost import figure as module
from lambda_llm.cost.compare.analysis import Analysis, analyse
from lambda_llm.cost.compare.told import share
from lambda_llm.cost.compare.verdict import LAMBDA
from lambda_llm.cost.compare.workload import Workload
from lambda_llm.cost.figure import draw, shown
from lambda_llm.cost.plotting import PictureError
from lambda_llm.cost.prices import Prices
from lambda_llm.cost.prices import load as price_list


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    return analyse(Workload.of({}), price_list())


def axes_of(analysis: Analysis, path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What was drawn, as matplotlib has it before it becomes a file."""
    kept: list[Any] = []
    monkeypatch.setattr(module, "save", lambda figure, _: kept.append(figure.axes[0]))
    draw(analysis, path)
    return kept[0]


def texts(path: Path) -> list[str]:
    root = ET.fromstring(path.read_text())  # noqa: S314 - written by the test
    return [
        text for each in root.iter("{http://www.w3.org/2000/svg}text") if (text := "".join(each.itertext()).strip())
    ]


def test_it_names_every_option_and_its_break_evens(analysis: Analysis, tmp_path: Path) -> None:
    draw(analysis, tmp_path / "cost.svg")
    words = texts(tmp_path / "cost.svg")
    assert {each.option.title for each in shown(analysis)} <= set(words)
    assert {"this traffic", "requests a day", "US dollars a month", "10%", "1,000%", "$100"} <= set(words)
    assert analysis.verdict.free.until
    assert share(analysis.verdict.free.until) in words


def test_break_evens_are_where_the_analysis_has_them(
    analysis: Analysis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    axes = axes_of(analysis, tmp_path / "cost.svg", monkeypatch)
    points = sorted(line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o")
    names = {each.option.name for each in shown(analysis)}
    expected = sorted(
        each.utilization
        for each in analysis.break_evens
        if each.cheap_first == LAMBDA
        and each.cheap_later in names
        and each.utilization
        and 1e-3 < each.utilization < 10
    )
    assert points == pytest.approx(expected)
    assert len(points) >= 4


def test_a_line_is_what_the_option_costs(analysis: Analysis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    axes = axes_of(analysis, tmp_path / "cost.svg", monkeypatch)
    lines = {line.get_label(): line for line in axes.lines}
    for each in shown(analysis):
        line = lines[each.option.title]
        nearest = min(
            range(len(line.get_xdata())), key=lambda n: abs(line.get_xdata()[n] - analysis.workload.utilization)
        )
        assert line.get_ydata()[nearest] == pytest.approx(each.monthly, rel=0.05)


def test_lambda_is_always_shown_and_no_line_twice(analysis: Analysis) -> None:
    names = [each.option.name for each in shown(analysis)]
    assert names[0] == LAMBDA
    assert analysis.verdict.free.name in names
    assert len(set(names)) == len(names) >= 6


def test_the_same_numbers_give_the_same_bytes(analysis: Analysis, tmp_path: Path) -> None:
    for name in ("one.svg", "other.svg"):
        draw(analysis, tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "other.svg").read_bytes()
    assert b"prefers-color-scheme: dark" in (tmp_path / "one.svg").read_bytes()


def test_a_png_has_its_size_and_lines(analysis: Analysis, tmp_path: Path) -> None:
    draw(analysis, tmp_path / "cost.png")
    content = (tmp_path / "cost.png").read_bytes()
    assert struct.unpack(">II", content[16:24]) == (1140, 792)
    assert plt.imread(tmp_path / "cost.png").std() > 0.05


@pytest.mark.parametrize("requests_per_day", [0, 1e9])
def test_traffic_outside_of_the_picture_has_no_line(
    requests_per_day: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = analyse(Workload.of({"requests_per_day": requests_per_day}), price_list())
    axes = axes_of(outside, tmp_path / "cost.svg", monkeypatch)
    assert "this traffic" not in [text.get_text() for text in axes.texts]


def test_few_prices_give_few_lines(tmp_path: Path) -> None:
    kept = {n: p for n, p in price_list().items() if not n.startswith(("bedrock", "onprem", "sagemaker"))}
    few = analyse(Workload.of({}), Prices("us", {n: p for n, p in kept.items() if "reserved" not in n}))
    draw(few, tmp_path / "cost.svg")
    assert "Lambda, this project" in texts(tmp_path / "cost.svg")


def test_it_refuses_before_it_computes(analysis: Analysis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Curve", None)
    with pytest.raises(PictureError, match="name a file that ends in"):
        draw(analysis, tmp_path / "cost.gif")
    assert plt.get_fignums() == []
