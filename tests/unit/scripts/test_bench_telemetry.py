"""The benchmark of lines and spans says what it measured; how much that was is no test's business."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from lambda_llm.telemetry import spans
from scripts.bench import telemetry


def run(*arguments: object) -> Result:
    return CliRunner().invoke(telemetry.app, [str(argument) for argument in arguments])


def test_costs_are_differences_and_shares_of_a_real_answer(demo_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"AWS_REGION": "us-east-1", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "10240"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    done = run(demo_model, "--threads", 1, "--repeats", 1, "--requests", 3, "--json")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    (bare,), (lines,), (both,) = (result["rounds"][name] for name in ("nothing", "lines", "lines and spans"))
    costs = result["seconds"]
    assert (costs["lines"], costs["spans_on"]) == (lines - bare, both - lines)
    assert costs["spans_off"] > 0
    assert result["shares"] == {name: cost / result["answer_seconds"] for name, cost in costs.items()}
    assert (result["tokens"], result["model"]) == (64, "lambda-llm-demo")
    assert not spans.enabled()


def test_help_teaches_with_examples() -> None:
    assert "scripts.bench.telemetry --synthesize llama-3.2-1b:Q4_0" in run("--help").stdout


@pytest.mark.parametrize("arguments", [[], ["model.gguf", "--synthesize", "tiny:Q4_0"]])
def test_one_model_must_be_named(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2
