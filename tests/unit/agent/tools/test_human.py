"""Tools that suspend."""

import pytest

from lambda_llm.agent.errors import ToolError
from lambda_llm.agent.tools.arguments import check
from lambda_llm.agent.tools.human import ask_human, check_suspending, seconds_of, wait
from lambda_llm.agent.tools.tool import ToolDescription


def judged(tool: ToolDescription, arguments: dict[str, object]) -> None:
    check(tool.parameters, arguments)
    check_suspending(tool.kind, arguments)


@pytest.mark.parametrize("days", [0, -1, 367, "3", None, 0.5])
def test_a_wait_that_lambda_can_t_make(days: object) -> None:
    with pytest.raises(ToolError):
        judged(wait(), {"days": days})


@pytest.mark.parametrize(("days", "seconds"), [(3, 259_200), (3.0, 259_200), (366, 31_622_400)])
def test_days_are_seconds(days: float, seconds: int) -> None:
    judged(wait(), {"days": days})
    assert seconds_of({"days": days}) == seconds


@pytest.mark.parametrize(
    "arguments", [{}, {"question": ""}, {"question": " "}, {"question": "x" * 2001}, {"question": 1}]
)
def test_a_question_that_nobody_can_answer(arguments: dict[str, object]) -> None:
    with pytest.raises(ToolError):
        judged(ask_human(), arguments)
