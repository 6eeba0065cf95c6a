"""The one home of prices: dated, sourced, and the arithmetic that docs/operations.md shows."""

import ast
import datetime as dt
import inspect
import itertools

import pytest

from lambda_llm.cost import prices

DERIVED = {"GB", "DAY_SECONDS", "REGION", "READ_ON"}
BODY = ast.parse(inspect.getsource(prices)).body
DOCUMENTED = {
    statement.target.id: ast.literal_eval(following.value)
    for statement, following in itertools.pairwise(BODY)
    if isinstance(statement, ast.AnnAssign)
    and isinstance(statement.target, ast.Name)
    and isinstance(following, ast.Expr)
}


@pytest.mark.parametrize("name", sorted({name for name in vars(prices) if name.isupper()} - DERIVED - {"MEMORY_MB"}))
def test_a_price_has_a_source(name: str) -> None:
    assert getattr(prices, name) > 0
    assert "Source: https://aws.amazon.com/" in DOCUMENTED[name] or "as above" in DOCUMENTED[name]


def test_the_day_on_which_they_were_read_is_one() -> None:
    assert dt.date.fromisoformat(prices.READ_ON) <= dt.datetime.now(dt.UTC).date()


def test_ten_gigabytes_for_thirty_days_are_what_facts_say() -> None:
    assert prices.live_version(30) == pytest.approx(0.0000015046 * 10 * 30 * 86_400)
    assert prices.live_version(30) == pytest.approx(39, abs=0.01)
    assert prices.restore() == pytest.approx(0.0014, abs=0.00001)
    assert prices.busy(1) == pytest.approx(0.000133334)
