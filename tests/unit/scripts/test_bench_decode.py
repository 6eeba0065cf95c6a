"""The benchmark of decoding says what it measured; how fast it was is no test's business."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from scripts.bench import decode


@pytest.fixture(scope="module")
def app() -> typer.Typer:
    """The command line in this process."""
    return decode.app


def run(app: typer.Typer, *arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def measured(app: typer.Typer, demo_model: Path) -> dict[str, Any]:
    done = run(app, demo_model, "--threads", 1, "--context", 256, "--tokens", 6, "--repeats", 2, "--json")
    assert done.exit_code == 0, done.output
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_both_are_measured_by_turns_and_compared_within_each(measured: dict[str, Any]) -> None:
    for clock, name in (("wall", "ratio"), ("cpu", "cpu_ratio")):
        ratios = [each["streamed"][clock] / each["bare"][clock] for each in measured["rounds"]]
        assert len(ratios) == 2
        assert measured["ratios"][clock] == ratios
        assert min(ratios) <= measured[name] <= max(ratios)
    assert (measured["threads"], measured["context"], measured["tokens"]) == (1, 256, 6)


def test_the_bound_is_the_memory_s_speed_over_the_weights(measured: dict[str, Any], demo_model: Path) -> None:
    size = demo_model.stat().st_size
    assert size / 2 < measured["bytes_per_token"] < size
    assert measured["bound"] == measured["memory_bytes_per_second"] / measured["bytes_per_token"]


def test_an_answer_that_ends_too_soon_is_one_sentence(app: typer.Typer, demo_model: Path) -> None:
    refused = run(app, demo_model, "--threads", 1, "--context", 256, "--tokens", 200, "--repeats", 1)
    assert refused.exit_code == 1
    assert "ask for fewer with --tokens" in refused.output


def test_help_teaches_with_examples(app: typer.Typer) -> None:
    assert "scripts.bench.decode --synthesize llama-3.2-1b:Q4_0" in run(app, "--help").stdout


@pytest.mark.parametrize("arguments", [[], ["model.gguf", "--synthesize", "tiny:Q4_0"]])
def test_one_model_must_be_named(app: typer.Typer, arguments: list[str]) -> None:
    refused = run(app, *arguments)
    assert refused.exit_code == 2
    assert "name a model" in " ".join(refused.stderr.split())
