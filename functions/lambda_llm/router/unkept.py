"""No budgets: for a router on a machine of one's own, without a table that keeps them."""

from lambda_llm.router.budget import Amount, Limits, Window
from lambda_llm.router.ledger import LedgerError, Reservation, Standing


class Unkept:
    """Budgets of nobody. A tenant that has limits is refused: nobody would hold it to them."""

    def reserve(self, tenant: str, estimate: Amount, limits: Limits, request_id: str, now: float) -> Reservation:
        """See `service.Budgets`."""
        _require_none(limits)
        return Reservation(tenant, request_id, estimate, int(now))

    def settle(self, reservation: Reservation, actual: Amount) -> None:
        """See `service.Budgets`."""

    def release(self, reservation: Reservation) -> None:
        """See `service.Budgets`."""

    def left(self, tenant: str, limits: Limits, now: float) -> dict[Window, Standing]:  # noqa: ARG002 - the protocol's
        """See `service.Budgets`."""
        _require_none(limits)
        return {each: Standing(Amount(), Amount(), limits.of(each)) for each in Window}


def _require_none(limits: Limits) -> None:
    if limits != Limits():
        raise LedgerError("This router keeps no budgets, and the tenant has one: start it with --table.")
