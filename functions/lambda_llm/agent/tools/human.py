"""Tools that suspend an execution: asking a human, and waiting. Both cost nothing while they last."""

from typing import Any, Final

from lambda_llm.agent.tools.tool import Effects, ToolDescription
from lambda_llm.limits import DURABLE_EXECUTION_SECONDS

SOURCE: Final = "human"
"""Name of the source that they count as; no other source may have it."""

DAY: Final = 24 * 60 * 60
QUESTION_CHARACTERS: Final = 2_000


def ask_human(name: str = "ask_human", description: str = "Ask a human for approval.") -> ToolDescription:
    """A tool with which the model asks a human, who approves or denies and may comment.

    Args:
        name: of the tool.
        description: for the model.
    """
    return ToolDescription(
        name,
        description,
        {
            "type": "object",
            "properties": {"question": {"type": "string", "minLength": 1, "maxLength": QUESTION_CHARACTERS}},
            "required": ["question"],
            "additionalProperties": False,
        },
        Effects.NONE,
        "ask",
    )


def wait(
    name: str = "wait", description: str = "Wait for some days.", most_days: int = DURABLE_EXECUTION_SECONDS // DAY
) -> ToolDescription:
    """A tool with which the model lets days pass.

    Args:
        name: of the tool.
        description: for the model.
        most_days: longest wait.
    """
    return ToolDescription(
        name,
        description,
        {
            "type": "object",
            "properties": {"days": {"type": "number", "exclusiveMinimum": 0, "maximum": most_days}},
            "required": ["days"],
            "additionalProperties": False,
        },
        Effects.NONE,
        "wait",
    )


def seconds_of(arguments: dict[str, Any]) -> int:
    """Whole seconds of a wait: at least one, which is the durable service's shortest."""
    return max(1, int(arguments["days"] * DAY))
