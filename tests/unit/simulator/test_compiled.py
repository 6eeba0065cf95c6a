"""Compiled functions, where nothing can be kept, and where the compiler is missing."""

import ast
import sys
from pathlib import Path
from typing import Any

import pytest

import lambda_llm.simulator
from lambda_llm.simulator.compiled import compiled
from lambda_llm.simulator.errors import SimulatorError

LOOPS = sorted(Path(lambda_llm.simulator.__file__).parent.glob("*_loop.py"))


def twice(value: int) -> int:
    return 2 * value


def test_a_function_is_compiled() -> None:
    assert compiled(twice)(21) == 42
    assert type(compiled(twice)).__module__.startswith("numba")


def test_where_nothing_can_be_kept_it_is_compiled_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    names: dict[str, Any] = {}
    exec("def thrice(value):\n    return 3 * value\n", names)  # noqa: S102 - of no file, beside which nothing can lie
    assert compiled(names["thrice"])(14) == 42


def test_without_the_compiler_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "lambda_llm.simulator.compiled")
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(SimulatorError, match=r"The simulator needs numba, .* pip install 'lambda-llm\[cost\]'"):
        __import__("lambda_llm.simulator.compiled")


@pytest.mark.parametrize("path", LOOPS, ids=lambda path: path.name)
def test_no_compiled_function_calls_one_of_another_file(path: Path) -> None:
    """numba would go on using what it kept when the other file changes."""
    imports: list[Any] = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    ours = [node for node in imports if node.module.startswith("lambda_llm")]
    assert [node.module for node in ours] == ["lambda_llm.simulator.compiled"]


def test_there_are_loops() -> None:
    assert [path.name for path in LOOPS] == ["fleet_loop.py", "functions_loop.py"]
