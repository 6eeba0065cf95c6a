"""The utilization above which a server is cheaper than functions."""

import pytest

from lambda_llm.cost import break_even, prices
from lambda_llm.router.policy import HOUR_SECONDS


def test_at_the_result_both_cost_the_same() -> None:
    """A server that does 8 functions' work: paid by the hour, and functions for the time that they would be busy."""
    busy = prices.busy(HOUR_SECONDS)
    threshold = break_even.utilization(0.8048, busy, 8)
    work = threshold * 8  # hours of a function, in an hour
    assert work * busy == pytest.approx(0.8048)


def test_a_machine_of_the_same_kind() -> None:
    """The rule of thumb of 15 and 40 % is two points of the formula.

    A c8g.2xlarge does 8/5.8 of a function's work: equal at about a half on demand, and at 19 % when three years are
    paid upfront (60 % less).
    """
    busy = prices.busy(HOUR_SECONDS)
    assert break_even.utilization(0.319, busy, 8 / 5.8) == pytest.approx(0.48, abs=0.01)
    assert break_even.utilization(0.319 * 0.4, busy, 8 / 5.8) == pytest.approx(0.19, abs=0.01)


@pytest.mark.parametrize("arguments", [(0, 1, 1), (1, 0, 1), (1, 1, 0), (-1, 1, 1)])
def test_nothing_can_be_free_or_still(arguments: tuple[float, float, float]) -> None:
    """There is no such server."""
    with pytest.raises(ValueError, match="above zero"):
        break_even.utilization(*arguments)
