"""Arrows point downwards only, and the function on Lambda needs nothing that is not in its package."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import lambda_llm

PACKAGE = Path(lambda_llm.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

MAY_IMPORT = {
    "loading": {"settings", "limits", "units", "errors"},
    "engine": {"loading", "settings", "limits", "units", "errors"},
    "api": {"engine", "settings", "limits", "units", "errors"},
    "policies": {"limits"},
    "cost": {"limits"},
    "lifecycle": {"api", "engine", "loading", "settings", "limits", "units", "errors"},
}
"""What each folder of the package may know of the others, besides itself."""

KEPT_OUT = {
    "loading": {"llama_cpp", "fastapi", "starlette", "mangum", "uvicorn"},
    "engine": {"fastapi", "starlette", "mangum", "uvicorn", "boto3"},
    "api": {"mangum", "uvicorn", "snapshot_restore_py", "boto3", "llama_cpp"},
}
"""`loading` knows nothing of llama.cpp, `engine` nothing of HTTP, `api` nothing of Lambda."""

ONLY_FOR_CHECKOV = "lambda_llm/policies/register.py"
"""The one file that knows checkov, which lives in an environment of its own."""

ONLY_ON_THE_COMMAND_LINE = {"httpx2", "openai", "prometheus_client", "rich", "typer"}


def imported(path: Path) -> set[str]:
    """Names of the modules that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_a_folder_knows_only_what_lies_below_it(folder: str) -> None:
    for path in (PACKAGE / folder).glob("*.py"):
        names = imported(path)
        ours = {name.split(".")[1] for name in names if name.startswith("lambda_llm.")} - {"__version__"}
        assert ours <= MAY_IMPORT[folder] | {folder}, path
        assert {name.partition(".")[0] for name in names}.isdisjoint(KEPT_OUT.get(folder, set())), path


def test_checkov_is_known_in_one_place_and_needs_nothing_of_ours_but_numbers() -> None:
    knowing = [path for path in MODULES if any(name.startswith("checkov.") for name in imported(path))]
    assert [path.relative_to(PACKAGE.parent).as_posix() for path in knowing] == [ONLY_FOR_CHECKOV]
    third_party = modules_after("import lambda_llm.policies.every") - set(sys.stdlib_module_names)
    assert third_party - modules_after("pass") == {"lambda_llm"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def modules_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_the_function_does_without_what_only_the_command_line_brings() -> None:
    code = "import lambda_llm.inference.serve, lambda_llm.inference.snapshot.hooks, mangum, snapshot_restore_py"
    assert modules_after(code).isdisjoint(ONLY_ON_THE_COMMAND_LINE)


def test_only_chat_pays_for_openai_s_client() -> None:
    assert "openai" not in modules_after("import lambda_llm.cli")


def test_the_package_tells_that_it_is_typed() -> None:
    assert (PACKAGE / "py.typed").exists()
