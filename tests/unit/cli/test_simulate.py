"""`lambda-llm simulate`: what to take, from what a person types."""

import json
import re
import sys
from pathlib import Path

import pytest

from lambda_llm.simulator.result import SCHEMA
from support.command_line import Run
from support.measured import measured, prefill

DAY = ("--requests-per-day", 2000, "--arrivals", "diurnal")
BOXES = ("--server", "boxes:3@0.3", "--server", "gpu:0-2@0.8,batch=8,prefill=4000,decode=60")


def test_a_person_is_told_what_to_take_and_why(run: Run) -> None:
    told = run("simulate", *DAY, *BOXES)
    assert (told.status, told.err) == (0, "")
    first, *lines = told.out.splitlines()
    assert first.startswith("Take ")
    assert "a month; 99 % see the first token within" in first
    cells = {name: row for name, *row in (re.split(" {2,}", line.strip()) for line in lines)}
    assert lines[0].split() == ["Lambda", "boxes", "gpu"]
    assert len(set(cells["Requests"])) == 1, "all have the same requests"
    assert cells["Unanswered"] == ["0", "0", "0"]
    assert cells["Waited for a restore"][1:] == ["-", "-"]
    assert float(cells["Waited for a restore"][0].rstrip("%")) > 0
    assert cells["A month's live versions"] == ["$39.54", "-", "-"]
    assert cells["A month in all"][1] == "$657.00"
    assert cells["Server hours"][:2] == ["-", "72.0"]


def test_a_script_gets_everything(run: Run) -> None:
    said = json.loads(run("simulate", *DAY, *BOXES, "--json").out)
    assert said["schema"] == SCHEMA
    assert said["verdict"].startswith("Take ")
    functions, boxes, gpu = said["results"]
    assert (functions["kind"], boxes["kind"], gpu["name"]) == ("functions", "fleet", "gpu")
    assert functions["arrived"] == pytest.approx(2000, rel=0.1)
    assert functions["served"] == boxes["served"] == gpu["served"] == functions["arrived"]
    assert functions["first_token"]["p50"] > gpu["first_token"]["p50"]
    assert len(functions["course"]["running"]) == 288
    assert functions["month_dollars"] == pytest.approx(sum(functions["month"].values()))


def test_the_seed_decides(run: Run) -> None:
    one, other, another = (run("simulate", *DAY, "--seed", seed).out for seed in (1, 1, 2))
    assert one == other != another


@pytest.mark.parametrize(
    ("options", "longer"),
    [
        (("--prompt-tokens", 2000), True),
        (("--cached", 0.9), False),
        (("--prefill", 1000), False),
        (("--restore-seconds", 30), True),
        (("--variation", 3), True),
    ],
)
def test_what_is_asked_for_shows_in_the_first_token(run: Run, options: tuple[object, ...], longer: bool) -> None:  # noqa: FBT001
    def p99(*given: object) -> float:
        said = json.loads(run("simulate", "--requests-per-day", 500, *given, "--json").out)
        return float(said["results"][0]["first_token"]["p99"])

    assert (p99(*options) > 1.2 * p99()) is longer


def test_bursts_are_throttled_where_poisson_is_not_and_retries_help(run: Run) -> None:
    def unanswered(*given: object) -> int:
        told = run("simulate", "--requests-per-second", 0.5, "--hours", 12, "--concurrency", 20, "--json", *given)
        functions = json.loads(told.out)["results"][0]
        return int(functions["arrived"] - functions["served"])

    even = unanswered()
    bursts = unanswered("--arrivals", "bursts", "--burst-factor", 12)
    again = unanswered("--arrivals", "bursts", "--burst-factor", 12, "--retries", 3)
    assert even < 10 < again < bursts


def test_environments_that_are_kept_longer_are_restored_less_often(run: Run) -> None:
    restores = [
        json.loads(run("simulate", "--requests-per-day", 300, "--keep-warm", keep, "--json").out)["results"][0][
            "restores"
        ]
        for keep in (0, 300, 3600)
    ]
    assert restores[0] > 290 * 0.8
    assert restores[0] > restores[1] > restores[2]


def test_a_trace_needs_no_rate(run: Run, tmp_path: Path) -> None:
    trace = tmp_path / "invocations.csv"
    trace.write_text("time,sum\n2026-11-20T10:00:00Z,100\n2026-11-20T10:05:00Z,300\n2026-11-20T10:10:00Z,50\n")
    said = json.loads(run("simulate", "--arrivals", trace, "--json").out)["results"][0]
    assert (said["arrived"], said["seconds"]) == (450, 900)
    cut = json.loads(run("simulate", "--arrivals", trace, "--hours", 5 / 60, "--json").out)["results"][0]
    assert cut["arrived"] == 100
    trace.write_text("time,sum\n2026-11-20T10:00:00Z,100\nlater,300\n")
    told = run("simulate", "--arrivals", trace)
    assert (told.status, told.out) == (1, "")
    assert told.err.startswith(f"Error: Line 3 of {trace} begins with 'later', which is no time")
    told = run("simulate", "--arrivals", trace, "--requests-per-day", 5)
    assert told.status == 2
    assert "A file of arrivals has its own rate" in told.err


def test_speeds_are_those_that_were_measured(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    path.write_text(json.dumps(measured(prefill(500, 50), decode=10).as_json()))
    same = ("simulate", "--requests-per-day", 300, "--json")
    assert run(*same, "--measured", path).out == run(*same, "--prefill", 50, "--decode", 10).out
    assert "--measured has the speeds" in run(*same, "--measured", path, "--decode", 10).err
    for text, what in (("{", "is not JSON"), ("[]", "is no measurement"), ("{}", "has the schema None")):
        path.write_text(text)
        told = run(*same, "--measured", path)
        assert (told.status, told.out) == (1, "")
        assert what in told.err
        assert told.err.count("\n") == 1


def test_a_day_is_drawn(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "day.svg"
    assert run("simulate", *DAY, "--figure", target).status == 0
    assert "<svg" in target.read_text()


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (("--requests-per-day", -5), "The rate of requests is"),
        (("--requests-per-day", 0), "The rate of requests is 0: give a number above 0."),
        (("--requests-per-second", "nan"), "The rate of requests is nan"),
        (("--requests-per-second", "inf"), "The rate of requests is inf"),
        (("--requests-per-second", 1e9, "--hours", 10_000), "would take days: simulate fewer hours"),
        ((*DAY, "--hours", 0), "The number of hours is 0: give a number above 0."),
        ((*DAY, "--hours", "nan"), "The number of hours is nan"),
        ((*DAY, "--concurrency", 0), "The concurrency is 0: give a number of at least 1"),
        ((*DAY, "--prompt-tokens", -1), "The mean number of tokens is -1"),
        ((*DAY, "--cached", 2), "The cached share of the prompt is 2"),
        ((*DAY, "--decode", 0), "The decode in tokens a second is 0"),
        ((*DAY, "--keep-warm", -1), "kept warm, in seconds, is -1"),
        ((*DAY, "--restore-seconds", "nan"), "The time of a restore in seconds is nan"),
        ((*DAY, "--peak-to-mean", 0), "The peak over the mean is 0"),
        ((*DAY, "--seed", -1), "The seed is -1"),
        ((*DAY, "--server", "c8g"), "'c8g' is no fleet: write NAME:COUNT@HOURLY"),
        ((*DAY, "--figure", "day.gif"), "day.gif can't be drawn"),
        (("--arrivals", "missing.csv"), "missing.csv can't be read (No such file or directory)"),
    ],
)
def test_what_is_impossible_is_one_sentence(run: Run, options: tuple[object, ...], what: str) -> None:
    told = run("simulate", *options)
    assert (told.status, told.out) == (1, "")
    assert told.err.startswith("Error: ")
    assert what in told.err
    assert told.err.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (("--hours", 1), "Give one of --requests-per-day and --requests-per-second"),
        (("--requests-per-day", 1, "--requests-per-second", 1), "Give one of"),
        (("--requests-per-day", 1, "--arrivals", "sometimes"), "'sometimes' is unknown: poisson, bursts, diurnal"),
    ],
)
def test_options_that_do_not_go_together_are_refused(run: Run, options: tuple[object, ...], what: str) -> None:
    told = run("simulate", *options)
    assert told.status == 2
    assert what in " ".join(told.err.replace("│", " ").split())


@pytest.mark.parametrize(
    ("missing", "what"), [("numba", "The simulator needs numba"), ("matplotlib", "A picture needs")]
)
def test_without_the_extra_it_says_what_to_install(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, missing: str, what: str
) -> None:
    for name in [name for name in sys.modules if name.startswith("lambda_llm.simulator")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    told = run("simulate", *DAY, "--figure", tmp_path / "day.svg")
    assert told.status == 1
    assert what in told.err
    assert "pip install 'lambda-llm[cost]'" in told.err
