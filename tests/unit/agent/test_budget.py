"""Limits and what was spent."""

from typing import Any

import pytest

from lambda_llm import limits
from lambda_llm.agent.budget import STOP, Limits, Spent, reached, warnings
from lambda_llm.agent.errors import AgentDefinitionError
from lambda_llm.cost import prices


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("turns", 0, "above 0"),
        ("dollars", -1.0, "above 0"),
        ("tokens", True, "above 0"),
        ("seconds", "7", "above 0"),
        ("seconds", float("nan"), "above 0"),
        ("operations", 2_401, "at most 2,400"),
        ("bytes", 84_000_000, "at most 83,886,080"),
        ("seconds", limits.DURABLE_EXECUTION_SECONDS + 1, "at most 31,622,400"),
    ],
)
def test_a_limit_that_can_t_be_kept(name: str, value: Any, why: str) -> None:
    with pytest.raises(AgentDefinitionError, match=why):
        Limits(**{name: value})


def test_it_stops_before_the_service_does() -> None:
    default = Limits()
    assert default.operations == STOP * limits.DURABLE_OPERATIONS
    assert default.bytes < limits.DURABLE_BYTES - 2 * limits.DURABLE_INVOKE_BYTES - 20 * limits.DURABLE_PAYLOAD_BYTES


def test_half_warns_and_all_ends() -> None:
    limit = Limits(turns=10, tokens=100)
    assert warnings(Spent(turns=4, tokens=49), limit) == ()
    assert warnings(Spent(turns=5, tokens=49), limit) == ("turns",)
    assert reached(Spent(turns=9, tokens=99), limit) == ""
    assert reached(Spent(turns=10, tokens=100), limit) == "turns"


def test_dollars_are_of_the_one_list_of_prices() -> None:
    spent = Spent(turns=3, operations=100, bytes=1_000_000_000, inference_seconds=10, tool_seconds=5)
    expected = (
        100 * prices.DURABLE_OPERATION
        + prices.DURABLE_WRITTEN_GB
        + 10 * prices.ARM64_GB_SECOND * 10
        + 5 * prices.ARM64_GB_SECOND * 1769 / 1024
        + 3 * prices.REQUEST
    )
    assert spent.dollars == pytest.approx(expected)


def test_clocks_that_disagree_don_t_turn_time_back() -> None:
    spent = Spent(began=100.0, now=100.0).at(200.0).at(150.0)
    assert spent.seconds == 100.0
