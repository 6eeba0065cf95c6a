"""`lambda-llm cost`: the verdict first, every option beside it, and one sentence for what is impossible."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from lambda_llm.cost.compare.analysis import analyse
from lambda_llm.cost.compare.inputs import INPUTS
from lambda_llm.cost.compare.options import Server, load
from lambda_llm.cost.compare.workload import Workload
from lambda_llm.cost.prices import load as price_list
from support.command_line import Result, Run
from support.measured import measured, prefill

MEASURED = measured(prefill(512, 200), prefill(4096, 90), decode=50)


@pytest.fixture(autouse=True)
def _wide(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001 - after `run`, which has 120 columns
    monkeypatch.setenv("COLUMNS", "1000")


def as_json(run: Run, *arguments: object) -> Any:
    told = run("cost", "--json", *arguments)
    assert (told.status, told.err) == (0, "")
    return json.loads(told.out, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))


def refused(told: Result) -> str:
    """The one sentence of a command that did nothing."""
    assert told.status in {1, 2}
    assert "Traceback" not in told.err
    assert told.out == ""
    return " ".join(re.sub("[│╭╮╰╯─]", " ", told.err).split())


def test_the_verdict_comes_first_and_lambda_is_in_the_table(run: Run) -> None:
    told = run("cost")
    assert told.status == 0
    lines = told.out.splitlines()
    assert lines[0] == analyse(Workload.of({}), price_list()).verdict.sentence
    assert any(line.startswith("Lambda, this project") for line in lines)
    header = next(line for line in lines if line.startswith("Option"))
    assert re.split(r"\s{2,}", header.strip()) == ["Option", "$ a month", "$ a million tokens", "Lambda is cheaper"]
    assert "Prices of us-east-1, read 20" in told.err


def test_all_options_are_shown_when_asked_for(run: Run) -> None:
    few, every = run("cost").out, run("cost", "--all").out
    titles = [option.title for option in load().options]
    assert [title for title in titles if title not in every] == []
    assert len([title for title in titles if title in few]) < len(titles) / 2


def test_json_is_the_analysis(run: Run) -> None:
    said = as_json(run, "--requests-per-day", 2000, "--turns", 3)
    expected = analyse(Workload.of({"requests_per_day": 2000, "turns": 3}), price_list()).as_json()
    assert said == json.loads(json.dumps(expected))


def test_every_input_is_an_option(run: Run) -> None:
    values = {name: each.low + (each.high - each.low) / 4 for name, each in INPUTS.items()}
    options = [word for name, value in values.items() for word in (f"--{name.replace('_', '-')}", value)]
    told = run("cost", *options)
    assert told.status == 0
    for name, value in values.items():
        assert f"{INPUTS[name].label}: {value:g}" in told.err


def test_the_help_has_the_defaults_of_the_inputs(run: Run) -> None:
    told = run("cost", "--help")
    assert told.status == 0
    text = re.sub(r"[│\s]+", " ", told.out)
    for name, each in INPUTS.items():
        assert f"--{name.replace('_', '-')} <float> {each.label}. [default: ({each.value:g})]" in text
    assert "Example:" in told.out


# -- prices and speeds ------------------------------------------------------------------------------


def test_a_given_price_replaces_the_lists(run: Run) -> None:
    said = as_json(run, "--price", "lambda.requests=1 USD/(thousand request)", "--price", "onprem.watts=1000")
    ours = next(each for each in said["options"] if each["name"] == "lambda")
    asked = next(line for line in ours["lines"] if line["what"] == "requests")
    assert asked["monthly"] == pytest.approx(1000 * 365 / 12 * 0.001)
    assert said["prices"]["lambda.requests"]["source"] == "--price"
    assert said["prices"]["onprem.watts"]["first"] == 1000


@pytest.mark.parametrize(
    ("price", "said"),
    [
        ("lambda.request=1", "No list has a price 'lambda.request'.*did you mean 'lambda.requests'"),
        ("lambda.requests=1 USD/hour", "can't be converted for lambda.requests: expected a unit as in USD/request"),
        ("lambda.requests=much", "'much' is no value for lambda.requests"),
        ("lambda.requests=-1", "a price is positive and finite"),
        ("lambda.requests=inf", "a price is positive and finite"),
        ("lambda.requests", "gives no price: expected NAME=DOLLARS"),
    ],
)
def test_a_wrong_price_is_said(run: Run, price: str, said: str) -> None:
    assert re.search(said, refused(run("cost", "--price", price)))


def test_a_measured_server_is_as_fast_as_it_was_measured(run: Run) -> None:
    said = as_json(run, "--server", "g6.xlarge=3000,1000", "--model-gb", 2, "--requests-per-day", 1e6)
    server = Server("g6.xlarge with L4", prefill=3000, decode=1000, measured=True)
    workload = Workload.of({"model_gb": 2, "requests_per_day": 1e6}, {"g6.xlarge": server})
    # 300 / 3,000 + 150 / 1,000 = 0.25 s a request, whatever the model's size: 250,000 s of 86,400 x 0.7 a day.
    name = "ec2.g6.xlarge.on-demand"
    found = next(each for each in said["options"] if each["name"] == name)
    instances = next(line["monthly"] for line in found["lines"] if line["what"] == "instances")
    assert instances == pytest.approx(250_000 / 86_400 / 0.7 * 730 * price_list()[name].first, rel=1e-4)
    assert found["monthly"] == pytest.approx(
        next(each.monthly for each in analyse(workload, price_list()).costs if each.option.name == name)
    )


@pytest.mark.parametrize(
    ("server", "said"),
    [
        ("p5.huge=1,1", "'p5.huge' is no server: expected one of c7g.large"),
        ("g6.xlarge", "'g6.xlarge' has no speeds: expected NAME=PREFILL,DECODE in tokens a second"),
        ("g6.xlarge=fast", "has no speeds: expected"),
        ("g6.xlarge=1", "has no speeds: expected"),
        ("g6.xlarge=1,2,3", "has no speeds: expected"),
        ("g6.xlarge=0,1", "has no speeds: expected"),
        ("g6.xlarge=1,-2", "has no speeds: expected"),
        ("g6.xlarge=inf,1", "has no speeds: expected"),
        ("g6.xlarge=nan,1", "has no speeds: expected"),
    ],
)
def test_a_wrong_server_is_said(run: Run, server: str, said: str) -> None:
    assert said in refused(run("cost", "--server", server))


@pytest.mark.parametrize(("prompt_tokens", "prefill"), [(300, 200), (3000, 90)])
def test_measured_speeds_are_those_of_the_nearest_prompts(
    run: Run, tmp_path: Path, prompt_tokens: int, prefill: float
) -> None:
    (tmp_path / "bench.json").write_text(json.dumps(MEASURED.as_json()))
    said = as_json(run, "--measured", tmp_path / "bench.json", "--prompt-tokens", prompt_tokens)
    assert (said["inputs"]["prefill"], said["inputs"]["decode"]) == (prefill, 50)


def test_a_speed_that_is_given_goes_before_a_measured_one(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bench.json").write_text(json.dumps(MEASURED.as_json()))
    said = as_json(run, "--measured", tmp_path / "bench.json", "--decode", 7)
    assert (said["inputs"]["prefill"], said["inputs"]["decode"]) == (200, 7)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "can't be read (No such file or directory): give a file of `lambda-llm bench URL --json`."),
        ("{", "can't be read (it is not JSON)"),
        ("[]", "is no measurement"),
        ('{"schema": "lambda-llm-bench/9"}', "'lambda-llm-bench/9' instead of 'lambda-llm-bench/1'"),
        ('{"schema": "lambda-llm-bench/1"}', "is not complete"),
    ],
)
def test_a_file_that_is_no_measurement_is_said(run: Run, tmp_path: Path, content: str | None, said: str) -> None:
    path = tmp_path / "bench.json"
    if content is not None:
        path.write_text(content)
    assert said in refused(run("cost", "--measured", path))


# -- what is impossible -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--requests-per-day", "-1"], "Requests a day: -1 is impossible, expected 0 to 1e+15."),
        (["--requests-per-day", "nan"], "Requests a day: nan is impossible"),
        (["--requests-per-day", "inf"], "Requests a day: inf is impossible"),
        (["--requests-per-day", "1e15"], "functions would be busy at once: expected at most 1e+09."),
        (["--turns", "0"], "Turns of a conversation: 0 is impossible, expected 1 to 1e+12."),
        (["--hours-per-day", "25"], "Hours a day with requests: 25 is impossible, expected 1 to 24."),
        (["--hours-per-day", "0"], "Hours a day with requests: 0 is impossible, expected 1 to 24."),
        (["--prefill", "0"], "Prefill of a function, tokens/s: 0 is impossible, expected 0.001 to 1e+06."),
        (["--session-store", "1.1"], "is impossible, expected 0 to 1."),
        (["--target", "0"], "is impossible, expected 0.01 to 1."),
        (["--prompt-tokens", "0", "--answer-tokens", "0"], "A request has neither a prompt nor an answer"),
        (["--region", "mars-north-1"], "There are no prices of 'mars-north-1'"),
        (["--figure", "cost.gif"], "cost.gif can't be drawn: name a file that ends in .svg or .png."),
        (["--figure", "none/cost.svg"], "none is no folder: create it, or name a file elsewhere."),
        (["--report", "none/cost.html"], "none/cost.html can't be written (No such file or directory)"),
        (["--requests-per-day", "many"], "Invalid value for '--requests-per-day'"),
    ],
)
def test_the_impossible_is_refused_in_one_sentence(run: Run, arguments: list[str], said: str) -> None:
    assert said in refused(run("cost", *arguments))


@pytest.mark.parametrize("region", ["eu-central-1", "ap-northeast-1"])
def test_a_region_with_fewer_prices_says_what_is_not_compared_and_not_counted(run: Run, region: str) -> None:
    told = run("cost", "--region", region)
    assert told.status == 0
    assert "against $" in told.out.splitlines()[0], "a server is compared with"
    assert "EC2 c7g.2xlarge" in told.out
    assert re.search(r"Not compared, for want of prices in this region: .*microvm", told.out)
    assert "Not counted, for want of prices in this region: alb.hour, ebs.gp3." in told.out
    assert f"Prices of {region}, read" in told.err


# -- files ------------------------------------------------------------------------------------------


def test_a_figure_and_a_report_are_written(run: Run, tmp_path: Path) -> None:
    told = run("cost", "--figure", tmp_path / "cost.svg", "--report", tmp_path / "cost.html")
    assert told.status == 0
    assert f"Wrote {tmp_path / 'cost.svg'}." in told.err
    assert f"Wrote {tmp_path / 'cost.html'}." in told.err
    assert "<svg" in (tmp_path / "cost.svg").read_text()
    assert (tmp_path / "cost.html").read_text().startswith("<!doctype html>")


def test_json_is_alone_beside_files(run: Run, tmp_path: Path) -> None:
    assert as_json(run, "--report", tmp_path / "cost.html")["schema"]
    assert (tmp_path / "cost.html").exists()


def test_a_restore_takes_what_verify_measured(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "verify.json"
    figures = {"first_token_seconds": 3.0, "warm_first_token_seconds": 0.5}
    path.write_text(json.dumps({"probes": [{"name": "fresh_environment", "figures": figures}]}))
    found = json.loads(run("cost", "--json", "--verified", path).out)
    assert found["inputs"]["restore_seconds"] == 2.5
    same = ("simulate", "--requests-per-day", 300, "--json")
    assert run(*same, "--verified", path).out == run(*same, "--restore-seconds", 2.5).out
    assert "--verified has the time of a restore" in run(*same, "--verified", path, "--restore-seconds", 1).err
    path.write_text("{}")
    assert "has no time of a restored environment" in refused(run("cost", "--verified", path))
