"""Tools that suspend an execution: asking a human, and waiting. Both cost nothing while they last."""

from collections.abc import Mapping
from typing import Any, Final, Literal

from lambda_llm.agent.errors import ToolError
from lambda_llm.agent.tools.tool import Effects, ToolDescription
from lambda_llm.limits import DURABLE_EXECUTION_SECONDS

SOURCE: Final = "human"
"""Name of the source that they count as; no other source may have it."""

DAY: Final = 24 * 60 * 60
MOST_DAYS: Final = DURABLE_EXECUTION_SECONDS // DAY
QUESTION_CHARACTERS: Final = 2_000


def ask_human(name: str = "ask_human", description: str = "Ask a human and get the answer.") -> ToolDescription:
    """A tool with which the model asks a human, who approves or denies and may comment.

    Args:
        name: of the tool.
        description: for the model.
    """
    return _described(name, description, "ask", "question", "string")


def wait(name: str = "wait", description: str = "Wait for a number of days.") -> ToolDescription:
    """A tool with which the model lets days pass; the limit of seconds ends an execution before a longer wait.

    Args:
        name: of the tool.
        description: for the model.
    """
    return _described(name, description, "wait", "days", "integer")


def check_suspending(kind: str, arguments: Mapping[str, Any]) -> None:
    """What the schemas of these tools leave out, which a small model reads the better.

    Args:
        kind: of the tool, `ask` or `wait`.
        arguments: by its schema.

    Raises:
        ToolError: nobody can answer such a question, or Lambda can't wait so long.
    """
    if kind == "ask" and not 0 < len(arguments["question"].strip()) <= QUESTION_CHARACTERS:
        raise ToolError(f"question must have 1 to {QUESTION_CHARACTERS:,} characters.")
    if kind == "wait" and not 1 <= arguments["days"] <= MOST_DAYS:
        raise ToolError(f"days must be 1 to {MOST_DAYS}.")


def seconds_of(arguments: Mapping[str, Any]) -> int:
    """Seconds of a wait."""
    return int(arguments["days"]) * DAY


def _described(
    name: str, description: str, kind: Literal["ask", "wait"], parameter: str, json_type: str
) -> ToolDescription:
    schema = {"type": "object", "properties": {parameter: {"type": json_type}}, "required": [parameter]}
    return ToolDescription(name, description, schema, Effects.NONE, kind)
