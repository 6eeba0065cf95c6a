"""Pictures of what was simulated."""

from pathlib import Path

import matplotlib.image
import pytest

from lambda_llm.cost.plotting import PictureError
from lambda_llm.cost.speeds import Speeds
from lambda_llm.simulator.arrivals import DAY, Diurnal
from lambda_llm.simulator.figure import draw
from lambda_llm.simulator.fleet import Fleet, simulate_fleet
from lambda_llm.simulator.functions import Rules, simulate_functions
from lambda_llm.simulator.result import Result
from support.simulated import At, work


@pytest.fixture(scope="module")
def results() -> list[Result]:
    arrivals = Diurnal(0.05, DAY)
    return [
        simulate_functions(arrivals, work(100, 100), Rules(Speeds(100.0, 20.0), concurrency=2)),
        simulate_fleet(arrivals, work(100, 100), Fleet("boxes", 1.0, Speeds(100.0, 20.0), servers=3)),
    ]


def test_a_png_has_a_white_background(results: list[Result], tmp_path: Path) -> None:
    draw(results, tmp_path / "day.png")
    pixels = matplotlib.image.imread(tmp_path / "day.png")
    assert pixels.shape[0] > 500
    assert (pixels[0, 0] == 1).all(), "white, and opaque"
    assert (pixels[..., 3] == 1).all()


def test_an_svg_is_the_same_each_time_and_names_what_it_shows(results: list[Result], tmp_path: Path) -> None:
    for name in ("one.svg", "other.svg"):
        draw(results, tmp_path / name)
    text = (tmp_path / "one.svg").read_text()
    assert text == (tmp_path / "other.svg").read_text()
    for what in ("Lambda: environments", "boxes: servers", "refused by Lambda", "seconds to the first token"):
        assert what in text
    assert "fill: #ffffff" in text


def test_a_day_without_requests_can_be_drawn(tmp_path: Path) -> None:
    draw([simulate_functions(At((), DAY), work(1, 1), Rules(Speeds(1.0, 1.0)))], tmp_path / "empty.svg")
    assert (tmp_path / "empty.svg").stat().st_size > 1000


def test_a_file_that_can_t_be_written_is_one_sentence(results: list[Result], tmp_path: Path) -> None:
    (tmp_path / "day.svg").mkdir()
    with pytest.raises(PictureError, match=r"day.svg can't be written \(Is a directory\)"):
        draw(results, tmp_path / "day.svg")
