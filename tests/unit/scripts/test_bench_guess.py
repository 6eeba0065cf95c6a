"""The benchmark of guessed tokens says what it measured; how fast it was is no test's business."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from lambda_llm.engine.loaded_model import LoadedModel
from lambda_llm.gguf.options import Guess, ModelOptions, Weights
from scripts.bench import guess
from scripts.bench.guess_texts import Workload, workloads
from scripts.models.opening import open_engine
from support.architectures import write_architecture
from support.constrained import accepts

NAMES = [each.name for each in workloads()]
ARGUMENTS = ["--threads", "1", "--repeats", "1"]


@pytest.fixture(scope="module")
def measured(demo_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What --json prints, in a file."""
    done = CliRunner().invoke(guess.app, [str(demo_model), *ARGUMENTS, "--json"])
    assert done.exit_code == 0, done.output
    path = tmp_path_factory.mktemp("measured") / "measured.json"
    path.write_text(done.stdout)
    return path


def test_the_same_answers_are_given_in_every_way_and_compared(measured: Path) -> None:
    result = json.loads(measured.read_text())
    assert [*result["answers"]] == NAMES
    assert result["token_seconds"] > 0
    assert result["cost"] > 0
    for name, each in result["answers"].items():
        guessed, plain = each["guessed"], each["not guessed"]
        assert guessed["tokens"] == plain["tokens"]
        saved = plain["evaluations"] - guessed["evaluations"]
        if "one by one" in each:
            assert 0 < saved <= guessed["accepted"], (
                "forced tokens are guessed, too, and cost no evaluation in any case"
            )
        else:
            assert saved == guessed["accepted"]
        assert (plain["guessed"], plain["accepted"]) == (0, 0)
        slowest = each.get("one by one", plain)
        assert slowest["evaluations"] == slowest["tokens"] - 1
        assert each["ratio"] == each["ratios"][0] == slowest["seconds"] / guessed["seconds"]
        assert each["guesses_alone"] == plain["seconds"] / guessed["seconds"]
        assert ("one by one" in each) is (name in {"strict JSON", "tool calls"})


def test_the_table_of_an_earlier_measurement_has_a_row_for_each_answer(measured: Path) -> None:
    done = CliRunner().invoke(guess.app, ["--show", str(measured), "--markdown"])
    assert done.exit_code == 0, done.output
    rows = [line.split("|") for line in done.stdout.splitlines() if line.startswith("|")][2:]
    assert [row[1].strip() for row in rows] == NAMES
    for row, each in zip(rows, json.loads(measured.read_text())["answers"].values(), strict=True):
        assert row[6].strip().startswith(f"{each['ratio']:.2f} (")
        assert ("missed" in row[7]) is (each["ratio"] < each["target"])


@pytest.mark.parametrize("workload", workloads(), ids=NAMES)
def test_constraints_allow_their_answers(demo_model: Path, workload: Workload) -> None:
    if workload.constraint is None:
        assert workload.answer
        return
    with open_engine(demo_model) as engine:
        assert accepts(engine.decoder, workload.constraint, workload.answer)


def test_logits_are_computed_before_the_answer_is_made_the_likeliest(demo_model: Path) -> None:
    options = ModelOptions(context_length=256, threads=1, placement=Weights.COPIED, guess=Guess.ON)
    with LoadedModel(str(demo_model), options.placement) as model, guess.Replay(model, options) as decoder:
        prompt = model.tokenize("The function gets", add_special=True)
        answer = model.tokenize(" ten boats", add_special=False)
        decoder.evaluate(prompt)
        decoder.replay(len(prompt), " ten boats")
        for token in answer:
            logits = decoder.logits()
            assert logits.argmax() == token
            assert np.partition(logits, -2)[-2] < 100
            decoder.append(token)
        assert model.ends_turn(int(decoder.logits().argmax()))


def test_a_model_that_nothing_can_be_guessed_with_is_refused(tmp_path: Path) -> None:
    model = write_architecture(tmp_path / "m.gguf", "mamba")
    done = CliRunner().invoke(guess.app, [str(model), *ARGUMENTS])
    assert done.exit_code == 1
    assert "Traceback" not in done.output


@pytest.mark.parametrize("arguments", [[], ["model.gguf", "--synthesize", "tiny:Q4_0"]])
def test_one_model_must_be_named(arguments: list[str]) -> None:
    assert CliRunner().invoke(guess.app, arguments).exit_code == 2


def test_help_teaches_with_an_example() -> None:
    shown = CliRunner().invoke(guess.app, ["--help"]).stdout
    assert "scripts.bench.guess --synthesize llama-3.2-1b:Q4_0" in shown
