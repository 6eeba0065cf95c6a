"""The benchmark of threads says what it measured; how fast it was is no test's business."""

import json
import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import llama_cpp
import pytest
import typer
from typer.testing import CliRunner, Result

from lambda_llm.gguf.options import Weights
from scripts import ROOT
from scripts.bench import measurement, threads

LIBRARIES = Path(llama_cpp.__file__).with_name("lib")
FEW = ["--prompt-tokens", "8", "--answer-tokens", "2", "--repeats", "1", "--threads", "1"]


@pytest.fixture(scope="module")
def app() -> typer.Typer:
    """The command line in this process."""
    return threads.app


def run(app: typer.Typer, *arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def checked(row: dict[str, Any], *, baseline: bool) -> None:
    assert row["baseline"] is baseline
    assert row["model"] == "lambda-llm demo"
    assert row["quantization"] == "Q8_0"
    assert row["threads"] == 1
    assert row["backend"]
    assert row["on_cpu"] > 0
    for part in ("prefill", "decode"):
        for clock in ("wall", "cpu"):
            speed = row[part][clock]
            assert speed["tokens_per_second"] > 0
            assert speed["ratio"] > 0
            assert speed["spread"] == 0
            if baseline:
                assert speed["ratio"] == 1


@pytest.fixture(scope="module")
def measured(demo_model: Path) -> dict[str, Any]:
    """What the real command line prints; the same libraries twice, once as the default and once by name."""
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "scripts.bench.threads",
        demo_model,
        *FEW,
        "--libraries",
        LIBRARIES,
        "--busy",
        "1",
        "--after",
        "64,8",
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_each_combination_is_a_row_beside_its_baseline(measured: dict[str, Any]) -> None:
    rows = measured["rows"]
    libraries = ("default", str(LIBRARIES))
    expected = [(placement, each) for placement in ("copied", "mapped") for each in libraries]
    assert [(row["placement"], row["libraries"]) for row in rows] == expected
    for index, row in enumerate(rows):
        checked(row, baseline=index == 0)


def test_short_prompts_are_measured_behind_each_length(measured: dict[str, Any]) -> None:
    names = {f"{new} after {after}" for after in (8, 64) for new in (16, 32, 48, 64, 74, 128)}
    names |= {"8 after 0", "64 after 0"}
    assert (measured["after"], measured["new"]) == ([8, 64], [16, 32, 48, 64, 74, 128])
    for index, row in enumerate(measured["rows"]):
        assert row["turns"].keys() == names
        for speeds in row["turns"].values():
            assert speeds["wall"]["tokens_per_second"] > 0
            assert (speeds["wall"]["ratio"] == 1) is (index == 0)


def test_it_says_on_what_machine_and_what_was_computed(measured: dict[str, Any]) -> None:
    assert measured["machine"]["cpu"]
    assert measured["machine"]["cpus"] >= 1
    assert measured["machine"]["load_before"] >= 0
    expected = {"prompt_tokens": 8, "answer_tokens": 2, "repeats": 1, "busy": 1}
    assert expected.items() <= measured.items()


def test_a_saved_result_is_shown_as_a_table_for_the_docs(
    app: typer.Typer, measured: dict[str, Any], tmp_path: Path
) -> None:
    saved = tmp_path / "measured.json"
    rows = [row | {"libraries": f"/{'builds/' * 40}lib"} for row in measured["rows"]]
    saved.write_text(json.dumps(measured | {"rows": rows}))
    shown = run(app, "--show", saved, "--markdown", "--clock", "cpu")
    assert shown.exit_code == 0
    lines = [line for line in shown.stdout.splitlines() if line.startswith("|")]
    assert "Decode tok/CPU s" in lines[0]
    assert [line.count("|") for line in lines[:6]] == [11] * 6
    assert "| baseline |" in lines[2]
    assert "ms each after 64" in lines[6]
    assert [line.count("|") for line in lines[6:]] == [9] * (2 + 7 * 4)


def test_a_row_that_was_disturbed_is_marked(app: typer.Typer, measured: dict[str, Any], tmp_path: Path) -> None:
    saved = tmp_path / "measured.json"
    rows = [row | {"on_cpu": share} for row, share in zip(measured["rows"], (1, 0.5, 1, 1), strict=True)]
    saved.write_text(json.dumps(measured | {"rows": rows}))
    assert run(app, "--show", saved).stdout.count("(!)") == 1


def test_the_handler_for_lambda_answers_the_same_within_its_time(demo_model: Path) -> None:
    event = {"model": str(demo_model), "threads": [1], "placements": ["mapped"], "prompt_tokens": 8, "repeats": 1000}
    context = SimpleNamespace(get_remaining_time_in_millis=lambda: 5000)
    answer = json.loads(json.dumps(measurement.handle(event | {"answer_tokens": 2}, context)))
    (row,) = answer["rows"]
    checked(row, baseline=True)


def test_help_teaches_with_examples(app: typer.Typer) -> None:
    shown = run(app, "--help").stdout
    assert "scripts.bench.threads models/demo/lambda-llm-demo.gguf" in shown
    assert "--libraries" in shown


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "name a model"),
        (["model.gguf", "--threads", "0"], "1,2,4"),
        (["model.gguf", "--threads", "1,x"], "1,2,4"),
        (["model.gguf", "--after", "64,"], "1,2,4"),
        (["model.gguf", "--placement", "auto"], "copied or mapped"),
        (["model.gguf", "--libraries", "/nowhere"], "libllama"),
        (["--synthesize", "huge:Q4_0"], "tiny"),
    ],
)
def test_what_can_t_be_measured_is_said_before_anything_is(
    app: typer.Typer, arguments: list[str], sentence: str
) -> None:
    refused = run(app, *arguments)
    assert refused.exit_code == 2
    assert sentence in " ".join(refused.stderr.split())


def test_a_missing_model_is_one_sentence(app: typer.Typer, tmp_path: Path) -> None:
    refused = run(app, tmp_path / "none.gguf", *FEW)
    assert refused.exit_code == 1
    assert isinstance(refused.exception, SystemExit)
    assert "none.gguf" in refused.output


def test_rates_become_medians_and_ratios_of_the_same_round() -> None:
    def sample(seconds: float) -> measurement.Sample:
        timing = measurement.Timing(10, seconds, seconds)
        return measurement.Sample("built in", timing, timing)

    # The machine slows down to a third from the first to the last round; the second row is twice as fast throughout.
    rounds = [[sample(seconds), sample(seconds / 2)] for seconds in (1.0, 2.0, 3.0)]
    two = [
        measurement.Combination(1, Weights.COPIED),
        measurement.Combination(2, Weights.COPIED),
    ]
    first, second = (measurement.summary("m", "Q4_0", index, each, rounds) for index, each in enumerate(two))
    assert first.decode["wall"].ratio == 1
    assert first.decode["wall"].tokens_per_second == 5
    assert math.isclose(second.decode["wall"].ratio, 2)
    assert math.isclose(first.decode["wall"].spread, (10 - 10 / 3) / 2 / 5)
    assert first.on_cpu == 1
    assert second.on_cpu == 0.5


@pytest.mark.parametrize(
    ("cpuinfo", "name"),
    [
        ("processor\t: 0\nmodel name\t: A CPU @ 2 GHz\n", "A CPU @ 2 GHz"),
        ("processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd40\n", "Neoverse V1 (Graviton3)"),
        ("processor\t: 0\nCPU part\t: 0xfff\n", "CPU part 0xfff"),
        ("", "unknown"),
    ],
)
def test_the_cpu_is_named_on_both_architectures(tmp_path: Path, cpuinfo: str, name: str) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(cpuinfo)
    assert measurement.cpu_name(file) == name
