"""The benchmark of constrained answers says what it measured; how fast it was is no test's business."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scripts.bench import constrained


def test_both_are_measured_by_turns_and_compared_within_each(demo_model: Path) -> None:
    done = CliRunner().invoke(constrained.app, [str(demo_model), "--threads", "1", "--repeats", "1", "--json"])
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert [*result["answers"]] == ["strict JSON", "tool call"]
    for each in result["answers"].values():
        assert each["together"]["evaluations"] < each["one_by_one"]["evaluations"] / 2
        assert each["one_by_one"]["evaluations"] >= each["one_by_one"]["tokens"] - 1
        assert len(each["ratios"]) == 1
        assert each["ratio"] == each["ratios"][0] > 0


def test_the_table_has_a_row_for_each_answer(demo_model: Path) -> None:
    arguments = [str(demo_model), "--threads", "1", "--repeats", "1", "--markdown"]
    done = CliRunner().invoke(constrained.app, arguments)
    assert done.exit_code == 0, done.output
    assert [line.split("|")[1].strip() for line in done.stdout.splitlines() if line.startswith("|")][2:] == [
        "strict JSON",
        "tool call",
    ]


@pytest.mark.parametrize("arguments", [[], ["model.gguf", "--synthesize", "tiny:Q4_0"]])
def test_one_model_must_be_named(arguments: list[str]) -> None:
    assert CliRunner().invoke(constrained.app, arguments).exit_code == 2


def test_help_teaches_with_an_example() -> None:
    shown = CliRunner().invoke(constrained.app, ["--help"]).stdout
    assert "scripts.bench.constrained --synthesize llama-3.2-1b:Q4_0" in shown
