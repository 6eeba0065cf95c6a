"""What each tenant has spent and reserved, in DynamoDB.

The table has the keys `pk` and `sk` (strings), time to live on `expires_at`, and on-demand capacity; encryption and
point-in-time recovery are its module's. A tenant's items have one partition key, which is no other tenant's:

| `sk` | is |
|---|---|
| `window#minute#2026-11-27T06:34` | a window: `used_…` is what was spent or is reserved, `reserved_…` only the latter |
| `held#REQUEST` | a reservation that is neither settled nor released |
| `done#REQUEST` | that a request was settled, for as long as somebody may try again |

A reservation is in all three windows or in none, and moves in one transaction. One whose process died lapses after
`lapse_seconds`. It is given back by the next request of the tenant that would be refused otherwise, in a transaction
that only one can make; until then it harms nobody. DynamoDB deletes it only after its last window has ended, so that
nothing leaks. What is settled later than that is charged all the same.

A tenant's requests change the same items, and DynamoDB lets one of several simultaneous transactions through; the rest
wait and try again. That bounds how many requests a second a tenant can have, at a number that a real table must show.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html
"""

import hashlib
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self, cast

from lambda_llm.aws import clients
from lambda_llm.errors import LambdaLLMError
from lambda_llm.limits import TIMEOUT_MAX_SECONDS
from lambda_llm.router.budget import Amount, Limit, Limits, What, Window, refusal

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

LAPSE_SECONDS: Final = 2 * TIMEOUT_MAX_SECONDS
"""After this time, whoever made a reservation is gone: no function runs that long."""

CONNECT_SECONDS: Final = 1
READ_SECONDS: Final = 2
ATTEMPTS: Final = 3
"""Of each request, by botocore. DynamoDB answers within milliseconds."""

CONNECTIONS: Final = 40
"""Most connections that are kept: as many as there are threads to call from."""

TURNS: Final = 10
"""How often a transaction is tried that others were in the way of."""

_PAUSE: Final = 0.02
_LONGEST_PAUSE: Final = 0.5
"""Seconds between those, at random up to twice as long each time."""

_DAY: Final = 24 * 60 * 60
_KEPT: Final = {Window.MINUTE: 2 * _DAY, Window.DAY: 40 * _DAY, Window.MONTH: 400 * _DAY}
"""How long a window can be read after its end, in seconds."""

_TRIED_AGAIN: Final = 2 * _DAY
"""How long after its lapse a reservation may be settled a second time without effect, in seconds."""

_NAME_BYTES: Final = 512
"""Longest name inside a key; DynamoDB takes 2,048 bytes of a partition key and 1,024 of a sort key.
Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html"""

_WRITING: Final = "dynamodb:PutItem, UpdateItem, DeleteItem and ConditionCheckItem"
"""Rights that a transaction takes: it has none of its own.
Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html"""

_IN_THE_WAY: Final = {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}
_BATCH: Final = 25
"""Items of one BatchWriteItem. Source: as above"""


Delta = tuple[int, int]
"""Tokens and micro-dollars that come, or with a minus go."""


class LedgerError(LambdaLLMError):
    """Budgets can't be read or written, so that nobody knows whether there is one left."""


@dataclass(frozen=True)
class Reservation:
    """An amount that is kept for a request.

    Attributes:
        tenant: whose.
        request_id: of the request.
        amount: at most, as estimated.
        at: when it was made, in seconds since 1970: it is charged in the windows of that time.
    """

    tenant: str
    request_id: str
    amount: Amount
    at: int


@dataclass(frozen=True)
class Standing:
    """A tenant's budget of one window.

    Attributes:
        spent: by requests that were settled.
        reserved: by requests that run, and by lost ones that nobody has given back.
        left: of the limits.
    """

    spent: Amount
    reserved: Amount
    left: Limit


class Ledger:
    """Reserves, settles and shows what tenants spend. Thread-safe; each call waits for DynamoDB.

    The router's role needs `dynamodb:GetItem`, `PutItem`, `UpdateItem`, `DeleteItem`, `ConditionCheckItem` and `Query`
    on the table; whoever lists tenants also `Scan`, and whoever erases one `BatchWriteItem`.
    """

    def __init__(self, table: str, client: "DynamoDBClient", *, lapse_seconds: int = LAPSE_SECONDS) -> None:
        """Name the table; no request is sent.

        Args:
            table: its name, or its ARN.
            client: of DynamoDB; it bounds its own time-outs and retries.
            lapse_seconds: after which a reservation is lost that was neither settled nor released.
        """
        self.table = table
        self._client = client
        self._lapse = lapse_seconds

    @classmethod
    def connect(cls, table: str, *, read_seconds: float = READ_SECONDS) -> Self:
        """A ledger with a client of its own.

        Args:
            table: its name, or its ARN.
            read_seconds: silence after which DynamoDB counts as unavailable.

        Raises:
            LedgerError: the region is not known.
        """
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - importing the router does without AWS's SDK

        try:
            client = clients.create(
                "dynamodb",
                connect_seconds=CONNECT_SECONDS,
                read_seconds=read_seconds,
                attempts=ATTEMPTS,
                connections=CONNECTIONS,
            )
            return cls(table, cast("DynamoDBClient", client))
        except BotoCoreError as error:
            raise LedgerError(
                f"DynamoDB can't be reached ({error}): set AWS_DEFAULT_REGION and credentials, as for the AWS CLI."
            ) from error

    def close(self) -> None:
        """Close the connections to DynamoDB; the next call opens new ones."""
        self._client.close()

    def reserve(self, tenant: str, estimate: Amount, limits: Limits, request_id: str, now: float) -> Reservation:
        """Reserve an amount, if every window has that much left.

        Args:
            tenant: as the authorizer names it: never what a client says.
            estimate: the most that the request takes.
            limits: of the tenant.
            request_id: one for each request, made by the router: a second call with the same one reserves nothing.
            now: seconds since 1970.

        Returns:
            The reservation, or the first one of this request.

        Raises:
            BudgetError: a window has less left; nothing is reserved.
            LedgerError: DynamoDB does not answer, refuses, or stays contended.
            ValueError: `request_id` is empty.
        """
        if not request_id:
            raise ValueError("a request without an id can't be told from others")
        wanted = Reservation(tenant, request_id, estimate, int(now))
        nothing = dict.fromkeys(Window, Amount())
        for _ in self._turns():
            # The condition can't say of a window that does not exist yet what its limit is.
            if refusal(estimate, nothing, limits, now) is None and self._write(
                self._check(wanted, "done"),
                self._put(wanted, "held"),
                *(self._change(wanted, window, _delta(estimate), _delta(estimate), limits) for window in Window),
            ):
                return wanted
            earlier = self._stored(wanted, "held") or self._stored(wanted, "done")
            if earlier is not None:
                return earlier
            self._give_back_lapsed(tenant, now)
            used = {each: spent + reserved for each, (spent, reserved) in self._windows(tenant, now).items()}
            refused = refusal(estimate, used, limits, now)
            if refused is not None:
                raise refused
        raise self._contended()

    def settle(self, reservation: Reservation, actual: Amount) -> None:
        """Charge what a request really took, and give back the rest; called again, it does nothing.

        An amount above the reservation is charged in full, whatever the limits.

        Raises:
            LedgerError: it was not charged, or it is not known; call it again.
        """
        for _ in self._turns():
            used, reserved = _delta(actual, reservation.amount), _delta(Amount(), reservation.amount)
            if self._write(
                self._delete(reservation),
                self._put(reservation, "done"),
                *(self._change(reservation, window, used, reserved) for window in Window),
            ):
                return
            held = self._stored(reservation, "held")
            # Read after the other: whoever settles moves the first to the second.
            if self._stored(reservation, "done") is not None:
                return
            if held is not None:
                reservation = held  # it lapsed, and its request was tried again
            elif self._write(
                self._check(reservation, "held"),
                self._put(reservation, "done"),
                *(self._change(reservation, window, _delta(actual), _delta(Amount())) for window in Window),
            ):
                return  # it lapsed: what was reserved has been given back
        raise self._contended()

    def release(self, reservation: Reservation) -> None:
        """Give back a reservation of which nothing was used; does nothing where it is settled, released or lapsed.

        Raises:
            LedgerError: it was not given back, or it is not known; call it again, or it lapses.
        """
        self._give_back(reservation, tuple(Window))

    def left(self, tenant: str, limits: Limits, now: float) -> dict[Window, Standing]:
        """Where a tenant stands in the windows of a time (seconds since 1970).

        Raises:
            LedgerError: the table can't be read.
        """
        return {
            window: Standing(spent, reserved, limits.of(window).left(spent + reserved))
            for window, (spent, reserved) in self._windows(tenant, now).items()
        }

    def tenants(self) -> list[str]:
        """Tenants who had a request within a year, sorted. Reads the whole table.

        Raises:
            LedgerError: the table can't be read.
        """
        found = self._pages(
            "scan",
            FilterExpression="begins_with(sk, :month)",
            ProjectionExpression="#tenant",
            ExpressionAttributeNames={"#tenant": "tenant"},
            ExpressionAttributeValues={":month": {"S": f"window#{Window.MONTH}#"}},
        )
        return sorted({item["tenant"]["S"] for item in found})

    def count(self, tenant: str) -> int:
        """How many items there are of a tenant.

        Raises:
            LedgerError: the table can't be read.
        """
        return sum(1 for _ in self._items(tenant))

    def erase(self, tenant: str) -> Iterator[int]:
        """Delete a tenant's items; what it spent is forgotten. Yields how many, after each request.

        Raises:
            LedgerError: some are left; call it again.
        """
        batch: list[Any] = []
        for item in list(self._items(tenant)):
            batch.append({"DeleteRequest": {"Key": {"pk": item["pk"], "sk": item["sk"]}}})
            if len(batch) == _BATCH:
                yield self._delete_all(batch)
                batch = []
        if batch:
            yield self._delete_all(batch)

    # -- parts of transactions --------------------------------------------------------------------------

    def _key(self, tenant: str, sort: str) -> dict[str, Any]:
        return {"pk": {"S": _named("tenant", tenant)}, "sk": {"S": sort}}

    def _check(self, reservation: Reservation, kind: str) -> dict[str, Any]:
        key = self._key(reservation.tenant, _named(kind, reservation.request_id))
        return {
            "ConditionCheck": {
                "TableName": self.table, "Key": key, "ConditionExpression": "attribute_not_exists(pk)",
            }
        }  # fmt: skip

    def _put(self, reservation: Reservation, kind: str) -> dict[str, Any]:
        lapses_at = reservation.at + self._lapse
        # A reservation in none of whose windows anything counts any more leaks nothing when DynamoDB deletes it.
        ends = Window.MONTH.end(reservation.at) if kind == "held" else 0
        item = self._key(reservation.tenant, _named(kind, reservation.request_id)) | {
            "request_id": {"S": reservation.request_id},
            "tokens_at_most": _number(reservation.amount.tokens),
            "micro_dollars_at_most": _number(reservation.amount.micro_dollars),
            "reserved_at": _number(reservation.at),
            "lapses_at": _number(lapses_at),
            "expires_at": _number(max(ends, lapses_at) + _TRIED_AGAIN),
        }
        return {"Put": {"TableName": self.table, "Item": item, "ConditionExpression": "attribute_not_exists(pk)"}}

    def _delete(self, reservation: Reservation) -> dict[str, Any]:
        """Delete a reservation that is held, and not a later one of the same request."""
        return {
            "Delete": {
                "TableName": self.table,
                "Key": self._key(reservation.tenant, _named("held", reservation.request_id)),
                "ConditionExpression": "reserved_at = :at",
                "ExpressionAttributeValues": {":at": _number(reservation.at)},
            }
        }

    def _change(
        self, reservation: Reservation, window: Window, used: Delta, reserved: Delta, limits: Limits | None = None
    ) -> dict[str, Any]:
        """Add to a window; with limits, only if the reservation fits into them."""
        values = {
            ":used_tokens": _number(used[0]),
            ":used_micro_dollars": _number(used[1]),
            ":reserved_tokens": _number(reserved[0]),
            ":reserved_micro_dollars": _number(reserved[1]),
        }
        added = ", ".join(f"{name[1:]} {name}" for name in values)
        conditions = []
        for what, name in ((What.TOKENS, "used_tokens"), (What.DOLLARS, "used_micro_dollars")):
            most = limits.of(window).of(what) if limits is not None else None
            if most is not None:
                values[f":most_{name}"] = _number(most - reservation.amount.of(what))
                conditions.append(f"(attribute_not_exists({name}) OR {name} <= :most_{name})")
        update: dict[str, Any] = {
            "TableName": self.table,
            "Key": self._key(reservation.tenant, _window(window, reservation.at)),
            "UpdateExpression": f"SET #tenant = :tenant, expires_at = :expires_at ADD {added}",
            "ExpressionAttributeNames": {"#tenant": "tenant"},
            "ExpressionAttributeValues": values
            | {":tenant": {"S": reservation.tenant}, ":expires_at": _number(_kept_until(window, reservation.at))},
        }
        if conditions:
            update["ConditionExpression"] = " AND ".join(conditions)
        return {"Update": update}

    def _give_back(self, reservation: Reservation, windows: tuple[Window, ...]) -> None:
        """Give back a reservation in these windows, unless somebody else did."""
        back = _delta(Amount(), reservation.amount)
        self._write(self._delete(reservation), *(self._change(reservation, window, back, back) for window in windows))

    def _give_back_lapsed(self, tenant: str, now: float) -> None:
        """Give back what a tenant's lost requests have reserved."""
        held = self._pages(
            "query",
            KeyConditionExpression="pk = :pk AND begins_with(sk, :held)",
            FilterExpression="lapses_at <= :now",
            ExpressionAttributeValues={
                ":pk": self._key(tenant, "")["pk"], ":held": {"S": "held"}, ":now": _number(int(now)),
            },
        )  # fmt: skip
        for item in held:
            lost = _reservation(tenant, item)
            # A window that was deleted would come into being again, with less than nothing.
            windows = tuple(each for each in Window if _kept_until(each, lost.at) > now)
            self._give_back(lost, windows)

    # -- requests ---------------------------------------------------------------------------------------

    def _windows(self, tenant: str, now: float) -> dict[Window, tuple[Amount, Amount]]:
        """What was spent and what is reserved, of each window."""
        found = {}
        for window in Window:
            item = self._get(self._key(tenant, _window(window, now)))
            reserved = _amount(item, "reserved_tokens", "reserved_micro_dollars")
            used = _amount(item, "used_tokens", "used_micro_dollars")
            spent = Amount(used.tokens - reserved.tokens, used.micro_dollars - reserved.micro_dollars)
            found[window] = (spent, reserved)
        return found

    def _stored(self, reservation: Reservation, kind: str) -> Reservation | None:
        item = self._get(self._key(reservation.tenant, _named(kind, reservation.request_id)))
        return _reservation(reservation.tenant, item) if item else None

    def _items(self, tenant: str) -> Iterator[dict[str, Any]]:
        return self._pages(
            "query",
            KeyConditionExpression="pk = :pk",
            ProjectionExpression="pk, sk",
            ExpressionAttributeValues={":pk": self._key(tenant, "")["pk"]},
        )

    def _get(self, key: dict[str, Any]) -> dict[str, Any]:
        return dict(self._call("get_item", Key=key, ConsistentRead=True).get("Item", {}))

    def _pages(self, method: str, **arguments: Any) -> Iterator[dict[str, Any]]:
        while True:
            page = self._call(method, ConsistentRead=True, **arguments)
            yield from page["Items"]
            if "LastEvaluatedKey" not in page:
                return
            arguments["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def _delete_all(self, requests: list[Any]) -> int:
        pending: Any = {self.table: requests}
        for _ in self._turns():
            pending = self._call("batch_write_item", table=False, RequestItems=pending).get("UnprocessedItems")
            if not pending:
                return len(requests)
        raise self._contended()

    def _write(self, *actions: dict[str, Any]) -> bool:
        """Perform all actions, or none; False: a condition does not hold."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - the client has imported it

        for _ in self._turns():
            try:
                self._client.transact_write_items(TransactItems=cast("Any", actions))
            except ClientError as error:
                codes = {each.get("Code") for each in error.response.get("CancellationReasons", ())}
                if "ConditionalCheckFailed" in codes:
                    return False
                if not codes & _IN_THE_WAY:
                    raise self._error(_WRITING, error) from error
            except BotoCoreError as error:
                raise self._error(_WRITING, error) from error
            else:
                return True
        raise self._contended()

    def _call(self, method: str, *, table: bool = True, **arguments: Any) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - the client has imported it

        if table:
            arguments["TableName"] = self.table
        try:
            return getattr(self._client, method)(**arguments)
        except (ClientError, BotoCoreError) as error:
            raise self._error("dynamodb:" + method.title().replace("_", ""), error) from error

    def _turns(self) -> Iterator[None]:
        """Some turns with a pause between them."""
        for turn in range(TURNS):
            if turn:
                most = min(_LONGEST_PAUSE, _PAUSE * 2**turn)
                time.sleep(most * secrets.randbelow(1000) / 1000)
            yield

    def _error(self, rights: str, error: Exception) -> LedgerError:
        return LedgerError(
            f"The budgets in {self.table} are not known ({error}): check the table's name, the region, that the role "
            f"may use {rights} on it, and DynamoDB's health."
        )

    def _contended(self) -> LedgerError:
        return LedgerError(
            f"The budgets in {self.table} are not known, as DynamoDB refused {TURNS} transactions for others of the "
            "same tenant, or for want of capacity: send the request again, or fewer at a time."
        )


def _named(kind: str, name: str) -> str:
    """A key that no other name of the kind has, whatever characters it consists of."""
    try:
        text = name.encode()
    except UnicodeEncodeError:
        raise LedgerError(f"A name of {len(name):,} characters is no Unicode text: it has half a character.") from None
    if len(text) <= _NAME_BYTES:
        return f"{kind}#{name}"
    return f"{kind}-sha256#{hashlib.sha256(text).hexdigest()}"


def _window(window: Window, now: float) -> str:
    return f"window#{window}#{window.key(now)}"


def _kept_until(window: Window, at: float) -> int:
    return window.end(at) + _KEPT[window]


def _delta(more: Amount, less: Amount = Amount()) -> Delta:  # noqa: B008 - it is frozen
    return more.tokens - less.tokens, more.micro_dollars - less.micro_dollars


def _number(value: int) -> dict[str, str]:
    return {"N": str(value)}


def _amount(item: Mapping[str, Any], tokens: str, money: str) -> Amount:
    return Amount(*(int(item[name]["N"]) if name in item else 0 for name in (tokens, money)))


def _reservation(tenant: str, item: Mapping[str, Any]) -> Reservation:
    amount = _amount(item, "tokens_at_most", "micro_dollars_at_most")
    return Reservation(tenant, item["request_id"]["S"], amount, int(item["reserved_at"]["N"]))
