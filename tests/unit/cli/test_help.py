"""The command line teaches itself."""

import re
import shlex
import subprocess
import sys

import pytest
import typer
from typer.core import TyperGroup

from lambda_llm.cli import main
from lambda_llm.cli.app import app
from support.command_line import Run

GROUP = typer.main.get_command(app)
assert isinstance(GROUP, TyperGroup)
NAMES = list(GROUP.commands)
ALONE = {name: one for name, one in GROUP.commands.items() if not isinstance(one, TyperGroup)}
GROUPED = {
    f"{name} {each}": command
    for name, one in GROUP.commands.items()
    if isinstance(one, TyperGroup)
    for each, command in one.commands.items()
}
COMMANDS = dict(sorted((ALONE | GROUPED).items()))
"""By name, those of a group with its name before theirs."""


def parameters(name: str) -> list[str]:
    """What a command can be told: its arguments, and its options by their longest name."""
    command = COMMANDS[name]
    return [max(each.opts, key=len) for each in command.params if each.name != "help"]


def test_the_commands_are_those_of_the_readme() -> None:
    assert {"chat", "inspect", "push", "serve"} <= set(COMMANDS)


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_whoever_gives_no_command_is_told_which_there_are_and_how_to_begin(run: Run, arguments: list[str]) -> None:
    told = run(*arguments)
    text = told.out + told.err
    for name in NAMES:
        assert name in text
    assert "lambda-llm push model.gguf s3://bucket/models/model.gguf" in text


def test_without_its_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "lambda_llm.cli.app", raising=False)
    monkeypatch.setitem(sys.modules, "typer", None)
    with pytest.raises(SystemExit, match=r"needs typer, which comes with the extra `cli`"):
        main()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_with_an_example(run: Run, name: str) -> None:
    told = run(*name.split(), "--help")
    assert told.status == 0
    assert "Example:" in told.out
    for parameter in parameters(name):
        assert parameter in told.out
    # A line for a parameter that says nothing about it would end behind its type.
    silent = [line for line in told.out.splitlines() if re.fullmatch(r"│ [* ] *(--)?[\w-]+ +<\w+> *│", line)]
    assert silent == []


@pytest.mark.parametrize("name", COMMANDS)
def test_the_example_of_a_command_is_a_command(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    examples = re.findall(r"`(lambda-llm [^`]+)`", command.help.partition("Example:")[2])
    assert examples
    for example in " && ".join(examples).split(" && "):
        program, *words = shlex.split(example)
        called = len(name.split())
        assert (program, words[:called]) == ("lambda-llm", name.split())
        command.make_context(name, words[called:])


@pytest.mark.parametrize("name", ["inspect", "push", "serve"])
def test_a_command_without_its_arguments_shows_its_help(run: Run, name: str) -> None:
    told = run(name)
    assert told.status == 2
    assert "Example:" in told.out + told.err


def test_a_group_of_commands_without_one_shows_them(run: Run) -> None:
    told = run("keys")
    assert told.status == 2
    for word in ("create", "list", "revoke", "Example:"):
        assert word in told.out + told.err


def test_a_command_that_is_none_is_refused(run: Run) -> None:
    told = run("sing")
    assert told.status == 2
    assert "No such command 'sing'" in told.err


def test_the_package_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "lambda_llm.cli", "--help"]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "inspect" in told.stdout
