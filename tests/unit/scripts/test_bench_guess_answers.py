"""The demo model's answers with guessed tokens are those without; what differs is found and counted."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lambda_llm.engine.decoder import Decoder
from scripts.bench import guess_answers
from scripts.models.demo_model.corpus import EVALUATION
from scripts.models.demo_model.examination import read


def test_a_part_of_the_demo_model_s_evaluation_is_answered_the_same() -> None:
    done = CliRunner().invoke(guess_answers.app, ["--every", "30", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["answers"] == 2 * len(read(EVALUATION)[::30])
    assert found["tokens"] > 10 * found["answers"]
    assert found["tokens"] / 5 < found["accepted"] < found["guessed"]
    assert found["largest"] <= guess_answers.ROUNDING


def test_logits_that_are_not_those_of_the_token_are_found(demo_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the figure would mean nothing."""
    confirm = Decoder.confirm

    def wrong(decoder: Decoder, tokens: list[int]) -> int:
        kept = confirm(decoder, tokens)
        decoder._row -= bool(kept)  # noqa: SLF001 - a row too few
        return kept

    monkeypatch.setattr(Decoder, "confirm", wrong)
    pair = guess_answers.Pair(demo_model)
    try:
        found = pair.compare(read(EVALUATION)[1:4])
    finally:
        pair.close()
    assert found.largest > 1
    assert not found.rounded
    assert found.differing


def test_what_is_more_than_rounding_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        guess_answers.Pair, "compare", lambda *_: guess_answers.Comparison(2, 30, 9, 6, [("Why?", 4)], largest=3.5)
    )
    done = CliRunner().invoke(guess_answers.app)
    assert done.exit_code == 1
    assert "1 answers differ. Logits differ by 3.5 at most, which is more than rounding." in done.output


def test_help_teaches_with_an_example() -> None:
    assert "scripts.bench.guess_answers" in CliRunner().invoke(guess_answers.app, ["--help"]).stdout
