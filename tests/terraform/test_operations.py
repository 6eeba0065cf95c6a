"""docs/operations.md and the examples' READMEs: what they name exists, and what a local AWS can run is run."""

import ast
import itertools
import os
import re
import shlex
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import typer
from botocore.exceptions import ClientError

from lambda_llm.cli.app import app
from lambda_llm.cost import prices
from scripts.local_aws import terraform
from support.applied import Applied
from support.modules import ROOT, TERRAFORM_FROM

OPERATIONS = ROOT / "docs/operations.md"
DOCUMENTS = [OPERATIONS, *sorted((ROOT / "examples").glob("*/README.md"))]
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PRICE = re.compile(r"<!-- price:(.+?) -->(.+?)<!-- -->")

INSIDE = re.compile(r"\$\((.+?)\)")
"""A command whose output is part of another one's arguments."""

NOT_RUN = ("make package", "aws logs tail")
"""Has tests of its own; is no call of an API."""


def blocks(document: Path) -> list[tuple[str, str]]:
    return BLOCK.findall(document.read_text(encoding="utf-8"))


def commands(document: Path) -> list[str]:
    return [line for kind, text in blocks(document) if kind == "sh" for line in text.strip().splitlines()]


EVERY_COMMAND = [
    pytest.param(command, id=f"{document.parent.name}: {command[:60]}")
    for document in DOCUMENTS
    for command in commands(document)
]


def declared(example: Path, kind: str) -> set[str]:
    """Names of an example's variables or outputs."""
    return set(re.findall(rf'^{kind} "(\w+)"', (example / f"{kind}s.tf").read_text(), re.MULTILINE))


def check_lambda_llm(words: list[str]) -> None:
    command: Any = typer.main.get_command(app)
    for word in words[1:]:
        if not hasattr(command, "commands"):
            break
        command = command.commands[word]
    options = {option for parameter in command.params for option in [*parameter.opts, *parameter.secondary_opts]}
    assert {word for word in words[2:] if word.startswith("--")} <= options


def check_terraform(words: list[str]) -> None:
    example = ROOT / words[1].removeprefix("-chdir=")
    given = [value for option, value in itertools.pairwise(words) if option == "-var"]
    assert {each.partition("=")[0] for each in given} <= declared(example, "variable")
    if words[2] == "output":
        assert words[-1] in declared(example, "output")


@pytest.mark.parametrize("command", EVERY_COMMAND)
def test_a_command_names_what_exists(command: str) -> None:
    check_command(INSIDE.sub("inside", command))
    for inside in INSIDE.findall(command):
        check_command(inside)


def check_command(command: str) -> None:
    words = shlex.split(command.partition(" > ")[0])
    if words[0] == "lambda-llm":
        check_lambda_llm(words)
    elif words[0] == "terraform":
        check_terraform(words)
    elif words[0] == "make":
        assert f"{words[1]}:" in (ROOT / "Makefile").read_text()
    elif words[0] == "python":
        assert words[1] == "-c"
        ast.parse(words[2])
    else:
        assert words[0] in {"aws", "curl", "export"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.parent.name)
def test_its_links_lead_to_what_exists(document: Path) -> None:
    for target in re.findall(r"\]\((?!http|#)([^)#]+)", document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), target


@pytest.mark.parametrize(
    "name", ["force_destroy", "previous_models", "timeout", "reserved_concurrency", "allowed_principals"]
)
def test_an_input_that_it_names_is_one_of_the_module_s(name: str) -> None:
    assert f"`{name}`" in OPERATIONS.read_text(encoding="utf-8")
    inputs = [path.read_text() for path in (ROOT / "modules").glob("*/variables.tf")]
    assert any(f'variable "{name}"' in text for text in inputs)


@pytest.mark.parametrize(("formula", "shown"), PRICE.findall(OPERATIONS.read_text(encoding="utf-8")))
def test_a_price_is_the_one_of_the_code(formula: str, shown: str) -> None:
    value = eval(formula, vars(prices).copy())  # noqa: S307 - our own document
    decimals = len(shown.partition(".")[2])
    assert shown == (value if isinstance(value, str) else f"${value:.{decimals}f}")


def sentences() -> str:
    """Every text of the package; what is filled in is left out."""
    found = []
    for path in (ROOT / "functions/lambda_llm").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                found.append("".join(str(part.value) for part in node.values if isinstance(part, ast.Constant)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(found)


def test_the_sentences_to_look_up_are_those_that_are_said() -> None:
    table = OPERATIONS.read_text(encoding="utf-8").partition("| It says |")[2]
    looked_up = re.findall(r"^\| `(.+?)` \|", table, re.MULTILINE)
    assert len(looked_up) >= 8
    said = sentences()
    assert [each for each in looked_up if each not in said] == []


class Shell:
    """Runs what the document has, in a copy of the repository and on the local AWS."""

    def __init__(self, applied: Applied) -> None:
        self._applied = applied
        environment = applied.environment
        self._environment = {
            **{name: value for name, value in os.environ.items() if name.startswith(("TF_", "NO_PROXY"))},
            **{name: value for name, value in environment.items() if not name.startswith(("TF_", "NO_PROXY"))},
        }

    def run(self, kind: str, text: str) -> str:
        if kind == "python":
            return self._ended([sys.executable, "-c", text])
        return "".join(self._command(line) for line in text.strip().splitlines())

    def _command(self, line: str) -> str:
        if line.startswith(NOT_RUN):
            return ""
        if line.startswith("aws "):
            return self._aws(shlex.split(line))
        said = self._ended(["/bin/sh", "-c", re.sub("^terraform ", f"{terraform.program()} ", line)])
        if " apply " in line:
            url = self._ended([terraform.program(), "-chdir=examples/existing-bucket", "output", "-raw", "url"])
            self._environment["URL"] = url.rstrip("/")
        return said

    def _ended(self, command: list[str]) -> str:
        done = subprocess.run(
            command, cwd=self._applied.folder, env=self._environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def _aws(self, words: list[str]) -> str:
        """The same call by AWS's own model of its API: the command line may not be installed."""
        options = dict(zip(words[3::2], words[4::2], strict=False))
        if words[2] == "wait":
            options = dict(zip(words[4::2], words[5::2], strict=True))
        options.pop("--query", None)
        given = {
            "".join(part.title() for part in option.strip("-").split("-")): value for option, value in options.items()
        }
        with closing(self._applied.aws.client(words[1])) as client:
            if words[2] == "wait":
                client.get_waiter(words[3].replace("-", "_")).wait(**given)
                return ""
            call = getattr(client, words[2].replace("-", "_"))
            if words[2] != "delete-function":
                return str(call(**given))
            # Here it is the only one, so it serves and can't be deleted.
            with pytest.raises(ClientError, match="ResourceConflictException"):
                call(**given)
            return ""


@pytest.mark.needs("terraform", get=TERRAFORM_FROM)
@pytest.mark.needs("curl", get="install curl")
def test_what_a_local_aws_can_run_works(applied: Applied) -> None:
    applied.aws.make_bucket("my-models")
    shell = Shell(applied)
    said = [shell.run(kind, text) for kind, text in blocks(OPERATIONS)]
    answers = [each for each in said if "The function gets 10,240 MB" in each]
    assert len(answers) == 2, "the command line's and the client's"
    assert '"status":"ok"' in "".join(said).replace(" ", "")
    left: dict[str, Any] = applied.leftovers()
    assert [bucket["Name"] for bucket in left.pop("buckets")] == ["my-models"]
    assert left == {}
