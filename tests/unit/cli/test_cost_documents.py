"""docs/cost.md and docs/simulator.md: their commands run, and what they show is what the code says today."""

import re
import shlex
from pathlib import Path

import pytest

from scripts import ROOT
from scripts.docs import cost
from support.command_line import Run

COST = ROOT / "docs/cost.md"
SIMULATOR = ROOT / "docs/simulator.md"
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
QUOTED = re.compile(r"^> (.+(?:\n> .+)*)", re.MULTILINE)


def commands(document: Path) -> list[list[str]]:
    text = "".join(text for kind, text in BLOCK.findall(document.read_text()) if kind == "sh")
    return [shlex.split(line) for line in text.replace("\\\n", " ").splitlines()]


def test_the_tables_of_the_cost_page_are_todays() -> None:
    text = COST.read_text()
    assert cost.with_tables(text) == text, "run `python -m scripts.docs.cost`"


def test_its_picture_is_todays(tmp_path: Path) -> None:
    cost.picture(tmp_path / "cost.svg")
    assert (tmp_path / "cost.svg").read_text() == cost.FIGURE.read_text(), "run `python -m scripts.docs.cost`"


@pytest.mark.parametrize("words", commands(COST), ids=" ".join)
def test_its_commands_run(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    told = run(*words[1:])
    assert told.status == 0
    for name in ("cost.html", "cost.svg"):
        assert (tmp_path / name).exists() == (name in words)


def test_the_simulators_command_says_what_its_page_quotes(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (words,) = commands(SIMULATOR)
    quoted = QUOTED.search(SIMULATOR.read_text())
    assert quoted is not None
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    told = run(*words[1:])
    assert told.out.splitlines()[0] == quoted[1].replace("\n> ", " ")
    assert (tmp_path / words[-1]).stat().st_size > 10_000


def test_its_program_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = (text for kind, text in BLOCK.findall(SIMULATOR.read_text()) if kind == "python")
    exec(compile(program, SIMULATOR.name, "exec"), {})  # noqa: S102 - our own page
    assert len(capsys.readouterr().out.split()) > 3
