"""The command line in this process."""

import sys

import pytest

from lambda_llm.cli import console, main
from support.command_line import Result, Run


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command as the terminal would."""
    # Nothing here may depend on where the tests run: a terminal wide enough, and no colours.
    for name, value in {"COLUMNS": "120", "TERM": "dumb", "NO_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)
    # A console reads them when it is made, which another test may have caused before.
    for made in (console.out, console.err):
        monkeypatch.setattr(made, "width", 120)

    def run_it(*arguments: object) -> Result:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["lambda-llm", *map(str, arguments)])
        try:
            main()
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else 1
        else:
            status = 0
        captured = capsys.readouterr()
        return Result(status, captured.out, captured.err)

    return run_it
