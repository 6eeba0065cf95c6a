"""What import-linter and deptry (`make lint`) can't see: what is loaded when something is imported."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import lambda_llm
from lambda_llm.packaging.closure import closure, distributions_of, third_party, with_requirements
from lambda_llm.packaging.functions import FUNCTIONS, Function
from scripts import ROOT
from scripts.build.lock import EXTRAS

PACKAGE = Path(lambda_llm.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

HEAVY = {"numpy", "llama_cpp", "fastapi", "botocore", "boto3", "httpx2", "openai", "uvicorn"}


def declared(*extras: str) -> set[str]:
    """Distributions that the base and some extras name."""
    lists = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][extra] for extra in extras)]
    return {canonicalize_name(Requirement(text).name) for requirements in lists for text in requirements}


def modules_after(*arguments: str) -> set[str]:
    """Top-level names of what is loaded when Python ran with these arguments."""
    program = "import atexit, sys\natexit.register(lambda: print('\\n', *sys.modules, file=sys.stderr))\n"
    done = subprocess.run(
        [sys.executable, "-c", program + "\n".join(arguments)], capture_output=True, text=True, check=True
    )
    return {name.partition(".")[0] for name in done.stderr.split()}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def test_policies_need_nothing_but_python() -> None:
    third_parties = modules_after("import lambda_llm.policies.every") - set(sys.stdlib_module_names)
    assert third_parties - modules_after("pass") == {"lambda_llm"}


@pytest.mark.parametrize("arguments", ["--help", "--version", "serve --help"])
def test_help_loads_nothing_that_a_command_works_with(arguments: str) -> None:
    argv = f"import sys; sys.argv[1:] = {arguments.split()!r}"
    loaded = modules_after(argv, "from lambda_llm.cli import main", "main()")
    assert "typer" in loaded
    assert loaded & HEAVY == set()


def test_a_client_needs_what_the_base_declares_and_nothing_else() -> None:
    assert distributions_of(third_party(closure(["lambda_llm.client"]).values())) <= declared()


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_a_function_needs_what_the_base_and_its_extra_declare(function: Function) -> None:
    needed = distributions_of(third_party(closure(function.entries).values()) - function.left_out)
    known = declared(*([function.extra] if function.extra else []))
    # One top-level name of several distributions, which come with those that are imported.
    assert needed <= known | {name for name in with_requirements(known, {}) if name.startswith("opentelemetry-")}


def test_every_extra_of_a_function_is_locked_for_its_package() -> None:
    assert {function.extra for function in FUNCTIONS.values() if function.extra} == set(EXTRAS)


def test_the_package_tells_that_it_is_typed() -> None:
    assert (PACKAGE / "py.typed").exists()
