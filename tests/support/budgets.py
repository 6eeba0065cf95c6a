"""Budgets: a table, as modules/router makes it, and a book in memory."""

from contextlib import closing

from lambda_llm.router.budget import Amount, Limits, Window, refusal
from lambda_llm.router.ledger import LedgerError, Reservation, Standing
from scripts.local_aws.server import LocalAWS


def make_table(aws: LocalAWS, name: str) -> str:
    """Create it; returns its name."""
    with closing(aws.client("dynamodb")) as dynamodb:
        dynamodb.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            AttributeDefinitions=[{"AttributeName": each, "AttributeType": "S"} for each in ("pk", "sk")],
            BillingMode="PAY_PER_REQUEST",
        )
        dynamodb.update_time_to_live(
            TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires_at"}
        )
    return name


class Book:
    """Budgets in memory, as strict as the ledger's: a reservation ends once, and nothing is charged without one."""

    def __init__(self) -> None:
        self.held: dict[str, Reservation] = {}
        self.charged: dict[str, tuple[str, Amount]] = {}
        self.released: list[str] = []
        self.gone = False

    def used(self, tenant: str) -> Amount:
        """Spent and reserved by a tenant; other threads may write meanwhile."""
        held = [each.amount for each in list(self.held.values()) if each.tenant == tenant]
        spent = [amount for whose, amount in list(self.charged.values()) if whose == tenant]
        return sum([*held, *spent], Amount())

    def reserve(self, tenant: str, estimate: Amount, limits: Limits, request_id: str, now: float) -> Reservation:
        if self.gone:
            raise LedgerError("It is gone.")
        refused = refusal(estimate, dict.fromkeys(Window, self.used(tenant)), limits, now)
        if refused is not None:
            raise refused
        assert request_id not in self.held
        self.held[request_id] = Reservation(tenant, request_id, estimate, int(now))
        return self.held[request_id]

    def settle(self, reservation: Reservation, actual: Amount) -> None:
        if self.gone:
            raise LedgerError("It is gone.")
        assert reservation.request_id in self.held
        self.charged[reservation.request_id] = (reservation.tenant, actual)
        del self.held[reservation.request_id]  # last: whoever waits for it reads the rest

    def release(self, reservation: Reservation) -> None:
        if self.gone:
            raise LedgerError("It is gone.")
        assert reservation.request_id in self.held
        self.released.append(reservation.request_id)
        del self.held[reservation.request_id]

    def left(self, tenant: str, limits: Limits, now: float) -> dict[Window, Standing]:  # noqa: ARG002 - the ledger's
        if self.gone:
            raise LedgerError("It is gone.")
        used = self.used(tenant)
        return {each: Standing(used, Amount(), limits.of(each).left(used)) for each in Window}
