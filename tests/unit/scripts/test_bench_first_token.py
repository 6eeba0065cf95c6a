"""The benchmark of first tokens says what it measured; how fast it was is no test's business."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from scripts.bench import first_token


@pytest.fixture(scope="module")
def app() -> typer.Typer:
    """The command line in this process."""
    return first_token.app


def run(app: typer.Typer, *arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def measured(
    app: typer.Typer, demo_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    few = ["--threads", 1, "--turns", 3, "--history", 400, "--new-tokens", 12, "--system-tokens", 60, "--repeats", 2]
    done = run(app, demo_model, *few, "--full-at", "200,400", "--library-at", "200", "--json")
    assert done.exit_code == 0, done.output
    saved = tmp_path_factory.mktemp("measured") / "measured.json"
    saved.write_text(done.stdout)
    return saved, json.loads(done.stdout)


def test_every_turn_but_the_first_comes_from_the_store(measured: tuple[Path, dict[str, Any]]) -> None:
    _, result = measured
    assert [round(turn["history"], -1) for turn in result["turns"]] == [200, 400]
    for turn in result["turns"]:
        assert turn["restored"] == turn["history"], "a new environment finds all that was said"
        assert turn["prompt"] - turn["restored"] < 12 + 20
        assert len(turn["first_tokens"]) == 2
        assert turn["saved_bytes"] > 0
    assert result["bytes_per_token"] == pytest.approx(2061, rel=0.01)


def test_what_has_no_reuse_is_compared_at_the_same_lengths(measured: tuple[Path, dict[str, Any]]) -> None:
    _, result = measured
    for name, ratios, count in (("full", "speedup", 2), ("library", "speedup_library", 1)):
        assert len(result[name]) == len(result[ratios]) == count
        for each in result[name]:
            turn = min(result["turns"], key=lambda turn: abs(turn["history"] - each["history"]))
            assert result[ratios][str(each["history"])] == each["first_token"] / turn["first_token"]


def test_a_saved_result_is_shown_and_drawn(
    app: typer.Typer, measured: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    saved, _ = measured
    figure = tmp_path / "figure.svg"
    shown = run(app, "--show", saved, "--markdown", "--figure", figure)
    assert shown.exit_code == 0
    assert sum(line.startswith("|") for line in shown.stdout.splitlines()) == 2 * 2 + 2 + 3
    assert "</svg>" in figure.read_text()


def test_help_teaches_with_examples(app: typer.Typer) -> None:
    assert "scripts.bench.first_token --synthesize llama-3.2-1b:Q4_0" in run(app, "--help").stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "name a model"),
        (["model.gguf", "--full-at", "1000,x"], "is not a list of numbers"),
        (["model.gguf", "--synthesize", "tiny:Q4_0"], "name a model"),
    ],
)
def test_what_can_t_be_measured_is_said_before_anything_is(
    app: typer.Typer, arguments: list[str], sentence: str
) -> None:
    refused = run(app, *arguments)
    assert refused.exit_code == 2
    assert sentence in " ".join(refused.stderr.split())
