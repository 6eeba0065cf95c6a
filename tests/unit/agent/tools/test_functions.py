"""Python functions as tools."""

import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from lambda_llm.agent.errors import AgentDefinitionError, ToolError
from lambda_llm.agent.store import FolderStore
from lambda_llm.agent.tools.arguments import check
from lambda_llm.agent.tools.functions import FunctionSource, FunctionTool, tool
from lambda_llm.agent.tools.tool import CallContext, Outcome


def called(one: FunctionTool, folder: Path, seconds: float = 5, **arguments: Any) -> Outcome:
    context = CallContext("k" * 64, "e" * 32, seconds, FolderStore(folder, "t"))
    check(one.description.parameters, arguments)
    return FunctionSource((one,)).call(one.description.name, arguments, context)


def test_its_signature_is_its_schema(tmp_path: Path) -> None:
    @tool("none")
    def find(topic: str, context: CallContext, most: int = 3) -> list[str]:
        """Find documents."""
        return [topic, context.key[:3], str(most)]

    described = find.description
    assert (described.name, described.description) == ("find", "Find documents.")
    assert set(described.parameters["properties"]) == {"topic", "most"}
    assert described.parameters["required"] == ["topic"]
    assert described.parameters["additionalProperties"] is False
    assert called(find, tmp_path, topic="x") == Outcome("ok", ["x", "kkk", "3"])
    with pytest.raises(ToolError, match="topic"):
        called(find, tmp_path)


@pytest.mark.parametrize(("effects", "status"), [("none", "error"), ("idempotent", "error"), ("once", "unknown")])
def test_a_bug_in_it_quotes_nothing(tmp_path: Path, effects: str, status: str) -> None:
    @tool(effects)
    def fail() -> None:
        """Fail."""
        raise ValueError("secret")

    assert called(fail, tmp_path) == Outcome(status, "The tool failed with ValueError.")  # type: ignore[arg-type]


def test_one_that_ends_its_process_ends_itself_alone(tmp_path: Path) -> None:
    @tool("none")
    def leave() -> None:
        """Leave."""
        sys.exit(3)

    assert called(leave, tmp_path) == Outcome("error", "The tool failed with SystemExit.")


def test_what_it_says_itself_is_passed_on(tmp_path: Path) -> None:
    @tool("none")
    def fail() -> None:
        """Fail."""
        raise ToolError("There is no such city.")

    with pytest.raises(ToolError, match="no such city"):
        called(fail, tmp_path)


def test_one_that_goes_on_is_left_behind(tmp_path: Path) -> None:
    ended = threading.Event()

    @tool("none", seconds=0.05)
    def sleep() -> None:
        """Sleep."""
        ended.wait(30)

    with pytest.raises(ToolError, match=r"within 0.05 seconds") as raised:
        called(sleep, tmp_path, seconds=0.05)
    ended.set()
    assert raised.value.unknown


def test_one_that_can_t_be_a_tool() -> None:
    def star(*args: str) -> None:
        """Star."""

    def bare(city: str) -> None:
        pass

    def untyped(city) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
        """Untyped."""

    def odd(lock: threading.Thread) -> None:
        """Odd."""

    for function, why in (
        (star, "args"),
        (bare, "no docstring"),
        (untyped, "annotate every parameter"),
        (odd, "annotate every parameter"),
    ):
        with pytest.raises(AgentDefinitionError, match=why):
            tool("none")(function)
