"""A router without a table of budgets."""

import pytest

from lambda_llm.router.budget import Amount, Limit, Limits
from lambda_llm.router.ledger import LedgerError
from lambda_llm.router.unkept import Unkept

LIMITED = Limits(day=Limit(tokens=10))


def test_nobody_is_charged() -> None:
    budgets = Unkept()
    reservation = budgets.reserve("acme", Amount(5, 7), Limits(), "an-id", 1000.5)
    assert (reservation.tenant, reservation.request_id, reservation.amount) == ("acme", "an-id", Amount(5, 7))
    budgets.settle(reservation, Amount(5, 7))
    budgets.release(reservation)
    assert {each.spent for each in budgets.left("acme", Limits(), 1000.5).values()} == {Amount()}


def test_who_has_a_budget_is_refused() -> None:
    with pytest.raises(LedgerError, match="start it with --table"):
        Unkept().reserve("acme", Amount(5), LIMITED, "an-id", 0)
    with pytest.raises(LedgerError, match="start it with --table"):
        Unkept().left("acme", LIMITED, 0)
