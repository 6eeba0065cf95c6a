"""Tools that suspend."""

import pytest

from lambda_llm.agent.errors import ToolError
from lambda_llm.agent.tools.arguments import check
from lambda_llm.agent.tools.human import ask_human, seconds_of, wait


@pytest.mark.parametrize("days", [0, -1, 367, "3", None])
def test_a_wait_that_lambda_can_t_make(days: object) -> None:
    with pytest.raises(ToolError):
        check(wait().parameters, {"days": days})


@pytest.mark.parametrize(("days", "seconds"), [(3, 259_200), (0.5, 43_200), (1e-9, 1), (366, 31_622_400)])
def test_days_are_seconds(days: float, seconds: int) -> None:
    check(wait().parameters, {"days": days})
    assert seconds_of({"days": days}) == seconds


@pytest.mark.parametrize("arguments", [{}, {"question": ""}, {"question": "x" * 2001}, {"question": "?", "more": 1}])
def test_a_question_that_nobody_can_answer(arguments: dict[str, object]) -> None:
    with pytest.raises(ToolError):
        check(ask_human().parameters, arguments)
