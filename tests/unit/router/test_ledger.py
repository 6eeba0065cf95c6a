"""The ledger over DynamoDB's protocol: what it says is compared with what was really used."""

import itertools
import json
import random
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config
from botocore.exceptions import ConnectionClosedError
from botocore.httpsession import URLLib3Session
from botocore.retries import standard
from botocore.session import get_session

from lambda_llm.router import ledger as ledger_module
from lambda_llm.router.budget import Amount, BudgetError, Limit, Limits, What, Window
from lambda_llm.router.ledger import LAPSE_SECONDS, Ledger, LedgerError, Reservation
from scripts.local_aws.server import LocalAWS
from support.budgets import make_table

SESSION = get_session()
"""Reads the description of DynamoDB once."""

NOW = datetime(2026, 11, 27, 6, 34, 28, tzinfo=UTC).timestamp()
NOTHING = Amount()
MINUTE = Limits(minute=Limit(tokens=1000))

HOSTILE = ["", "#", "a", "ab", "a#b", "window#", "tenant#a", "a/", "ä", "a\u0308", "\u0000", "日本", "🙂", " a", "A"]
LONG = ["x" * 512, "x" * 513, "x" * 514, "é" * 300, "é" * 5000]


@pytest.fixture(scope="module")
def table(local_aws: LocalAWS) -> str:
    return make_table(local_aws, "llm-budgets")


@pytest.fixture
def client(local_aws: LocalAWS, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name, value in local_aws.environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    config = Config(retries={"mode": "standard", "total_max_attempts": 3}, max_pool_connections=20)
    with closing(SESSION.create_client("dynamodb", config=config)) as made:
        yield made


@pytest.fixture
def ledger(client: Any, table: str) -> Ledger:
    return Ledger(table, client)


@pytest.fixture
def tenant(request: pytest.FixtureRequest) -> str:
    """One of each test."""
    return str(request.node.name)


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The faults here don't go away by waiting."""
    monkeypatch.setattr(ledger_module, "_LONGEST_PAUSE", 0.001)
    monkeypatch.setattr(standard.ExponentialBackoff, "delay_amount", lambda *_: 0.001)


def standing(ledger: Ledger, tenant: str, now: float = NOW, window: Window = Window.MINUTE) -> tuple[Amount, Amount]:
    """What was spent and what is reserved."""
    there = ledger.left(tenant, Limits(), now)[window]
    return there.spent, there.reserved


def test_a_request_is_reserved_in_every_window_and_settled_with_what_it_took(ledger: Ledger, tenant: str) -> None:
    limits = Limits(Limit(1000, 2000), Limit(5000, None), Limit(None, 90_000))
    reservation = ledger.reserve(tenant, Amount(600, 1500), limits, "one", NOW)
    assert reservation == Reservation(tenant, "one", Amount(600, 1500), int(NOW))
    left = ledger.left(tenant, limits, NOW)
    assert {each.reserved for each in left.values()} == {Amount(600, 1500)}
    assert [left[window].left for window in Window] == [Limit(400, 500), Limit(4400, None), Limit(None, 88_500)]
    ledger.settle(reservation, Amount(250, 700))
    left = ledger.left(tenant, limits, NOW)
    assert {(each.spent, each.reserved) for each in left.values()} == {(Amount(250, 700), NOTHING)}
    assert [left[window].left for window in Window] == [Limit(750, 1300), Limit(4750, None), Limit(None, 89_300)]
    later = ledger.left(tenant, limits, NOW + 60)
    assert [later[window].spent for window in Window] == [NOTHING, Amount(250, 700), Amount(250, 700)]


@pytest.mark.parametrize("window", Window)
@pytest.mark.parametrize("what", What)
def test_a_budget_ends_at_its_limit_and_begins_anew(ledger: Ledger, tenant: str, window: Window, what: What) -> None:
    limit = Limit(tokens=10) if what is What.TOKENS else Limit(micro_dollars=10)
    limits = Limits(**{window.value: limit})
    amount = Amount(4, 4)
    for request in ("one", "two"):
        ledger.settle(ledger.reserve(tenant, amount, limits, request, NOW), amount)
    with pytest.raises(BudgetError, match=f"a {window} has .*2.* left") as refused:
        ledger.reserve(tenant, amount, limits, "three", NOW)
    assert (refused.value.window, refused.value.what) == (window, what)
    assert refused.value.retry_after == window.seconds_left(NOW)
    assert standing(ledger, tenant, window=window) == (Amount(8, 8), NOTHING), "in no window, if not in all"
    ledger.reserve(tenant, Amount(2, 2), limits, "four", NOW)
    ledger.reserve(tenant, amount, limits, "three", NOW + refused.value.retry_after)


def test_a_request_larger_than_a_whole_budget_never_fits(ledger: Ledger, tenant: str) -> None:
    with pytest.raises(BudgetError, match=r"more than the tenant's whole budget of 1,000 tokens a minute") as refused:
        ledger.reserve(tenant, Amount(1001), MINUTE, "one", NOW)
    assert refused.value.retry_after is None
    assert ledger.count(tenant) == 0


def test_a_request_is_reserved_once_however_often_it_is_tried(ledger: Ledger, tenant: str) -> None:
    first = ledger.reserve(tenant, Amount(600), MINUTE, "one", NOW)
    assert ledger.reserve(tenant, Amount(600), MINUTE, "one", NOW + 1) == first
    assert ledger.reserve(tenant, Amount(5000), MINUTE, "one", NOW) == first
    assert standing(ledger, tenant) == (NOTHING, Amount(600))
    ledger.settle(first, Amount(500))
    again = ledger.reserve(tenant, Amount(600), MINUTE, "one", NOW + 90)
    assert again == first
    ledger.settle(again, Amount(500))
    ledger.release(again)
    assert standing(ledger, tenant) == (Amount(500), NOTHING)


def test_a_request_without_an_id_is_a_mistake(ledger: Ledger, tenant: str) -> None:
    with pytest.raises(ValueError, match="without an id"):
        ledger.reserve(tenant, Amount(1), MINUTE, "", NOW)


def test_settling_and_releasing_again_does_nothing(ledger: Ledger, tenant: str) -> None:
    settled, released = (ledger.reserve(tenant, Amount(100), MINUTE, request, NOW) for request in ("one", "two"))
    for _ in range(3):
        ledger.settle(settled, Amount(70))
        ledger.release(settled)
        ledger.release(released)
    assert standing(ledger, tenant) == (Amount(70), NOTHING)


def test_a_released_request_can_be_tried_again_and_is_charged_then(ledger: Ledger, tenant: str) -> None:
    ledger.release(ledger.reserve(tenant, Amount(100), MINUTE, "one", NOW))
    ledger.settle(ledger.reserve(tenant, Amount(100), MINUTE, "one", NOW + 1), Amount(40))
    assert standing(ledger, tenant) == (Amount(40), NOTHING)


def test_what_a_request_took_is_charged_in_full_even_beyond_the_limit(ledger: Ledger, tenant: str) -> None:
    ledger.settle(ledger.reserve(tenant, Amount(100), MINUTE, "one", NOW), Amount(5000, 9))
    there = ledger.left(tenant, MINUTE, NOW)[Window.MINUTE]
    assert (there.spent, there.left) == (Amount(5000, 9), Limit(0, None))
    with pytest.raises(BudgetError, match="has 0 tokens left"):
        ledger.reserve(tenant, Amount(0), MINUTE, "two", NOW)


def test_a_request_that_outlasts_its_windows_is_charged_where_it_began(ledger: Ledger, tenant: str) -> None:
    last = datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()
    ledger.settle(ledger.reserve(tenant, Amount(100), MINUTE, "one", last), Amount(80))
    for window in Window:
        assert standing(ledger, tenant, last, window) == (Amount(80), NOTHING)
        assert standing(ledger, tenant, last + 1, window) == (NOTHING, NOTHING)


# -- lost reservations ------------------------------------------------------------------------------


def test_a_lost_reservation_is_given_back_once_it_has_lapsed_and_its_budget_is_needed(
    ledger: Ledger, tenant: str
) -> None:
    limits = Limits(day=Limit(tokens=1000))
    lost = [ledger.reserve(tenant, Amount(400), limits, request, NOW) for request in ("one", "two")]
    with pytest.raises(BudgetError):
        ledger.reserve(tenant, Amount(400), limits, "three", NOW + LAPSE_SECONDS - 1)
    third = ledger.reserve(tenant, Amount(400), limits, "three", NOW + LAPSE_SECONDS)
    assert standing(ledger, tenant, NOW, Window.DAY) == (NOTHING, Amount(400)), "both, once"
    assert standing(ledger, tenant, NOW, Window.MONTH) == (NOTHING, Amount(400))
    ledger.release(lost[0])
    assert standing(ledger, tenant, NOW, Window.DAY) == (NOTHING, Amount(400))
    for _ in range(2):  # one was not lost, but slow
        ledger.settle(lost[1], Amount(300))
    assert standing(ledger, tenant, NOW, Window.DAY) == (Amount(300), Amount(400))
    ledger.settle(third, Amount(50))
    assert standing(ledger, tenant, NOW, Window.DAY) == (Amount(350), NOTHING)


def test_a_lapsed_request_that_is_tried_again_is_charged_once(ledger: Ledger, tenant: str) -> None:
    limits = Limits(day=Limit(tokens=1000))
    slow = ledger.reserve(tenant, Amount(900), limits, "one", NOW)
    ledger.release(ledger.reserve(tenant, Amount(900), limits, "other", NOW + LAPSE_SECONDS))
    again = ledger.reserve(tenant, Amount(900), limits, "one", NOW + LAPSE_SECONDS + 1)
    assert again.at > slow.at
    ledger.settle(slow, Amount(10))
    ledger.settle(again, Amount(20))
    assert standing(ledger, tenant, NOW, Window.DAY) == (Amount(10), NOTHING)


def test_nothing_is_given_back_where_nothing_is_counted_any_more(ledger: Ledger, client: Any, tenant: str) -> None:
    """The minute's item may be deleted long before the reservation: it must not return with less than nothing."""
    limits = Limits(month=Limit(tokens=1000))
    lost = ledger.reserve(tenant, Amount(900), limits, "one", NOW - 20 * 86_400)
    key = {"pk": {"S": f"tenant#{tenant}"}, "sk": {"S": f"window#minute#{Window.MINUTE.key(lost.at)}"}}
    client.delete_item(TableName=ledger.table, Key=key)
    ledger.reserve(tenant, Amount(900), limits, "two", NOW)
    assert "Item" not in client.get_item(TableName=ledger.table, Key=key)
    assert standing(ledger, tenant, NOW, Window.MONTH) == (NOTHING, Amount(900))


def test_dynamodb_deletes_nothing_that_still_counts(ledger: Ledger, client: Any, tenant: str) -> None:
    """A reservation that was deleted would be lost for the rest of its month."""
    held = ledger.reserve(tenant, Amount(1), MINUTE, "held", NOW)
    ledger.settle(ledger.reserve(tenant, Amount(1), MINUTE, "done", NOW), Amount(1))
    values = {":pk": {"S": f"tenant#{tenant}"}}
    items = client.query(TableName=ledger.table, KeyConditionExpression="pk = :pk", ExpressionAttributeValues=values)[
        "Items"
    ]
    until = {item["sk"]["S"].partition("#2026")[0]: int(item["expires_at"]["N"]) for item in items}
    assert until["held#held"] > Window.MONTH.end(held.at)
    assert until["done#done"] > NOW + LAPSE_SECONDS
    for window in Window:
        assert until[f"window#{window}"] >= window.end(NOW) + LAPSE_SECONDS
    assert len(until) == 5


# -- tenants ----------------------------------------------------------------------------------------


def test_no_name_of_a_tenant_or_a_request_is_another_one_s(local_aws: LocalAWS, client: Any) -> None:
    ledger = Ledger(make_table(local_aws, "llm-budgets-hostile"), client)
    names = [*HOSTILE, *LONG]
    amounts = {name: Amount(index + 1, 2 * index) for index, name in enumerate(names)}
    for name, amount in amounts.items():
        ledger.settle(ledger.reserve(name, amount, Limits(), "same", NOW), amount)
    for name, amount in amounts.items():
        assert standing(ledger, name) == (amount, NOTHING), name[:20]
    assert ledger.tenants() == sorted(names)
    for request in filter(None, names):
        ledger.reserve("requests", Amount(1), Limits(), request, NOW)
    assert standing(ledger, "requests") == (NOTHING, Amount(len(names) - 1))
    for name in ("a", "", "x" * 513):
        assert list(ledger.erase(name)) == [4]
        assert ledger.count(name) == 0
    assert ledger.tenants() == sorted({*names, "requests"} - {"a", "", "x" * 513})
    for name in {*names} - {"a", "", "x" * 513}:
        assert standing(ledger, name) == (amounts[name], NOTHING), name[:20]


def test_a_name_that_is_no_text_is_refused(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="no Unicode text"):
        ledger.reserve("\ud800", Amount(1), Limits(), "one", NOW)


def test_another_tenant_s_reservation_is_out_of_reach(ledger: Ledger, tenant: str) -> None:
    ledger.reserve(tenant, Amount(100), MINUTE, "one", NOW)
    ledger.release(Reservation(f"{tenant}2", "one", Amount(100), int(NOW)))
    assert standing(ledger, tenant) == (NOTHING, Amount(100))
    assert ledger.count(f"{tenant}2") == 0


# -- many at once -----------------------------------------------------------------------------------


def answered(status: int, content: bytes) -> Callable[..., AWSResponse]:
    """A DynamoDB that gives this answer."""

    class Raw:
        def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
            yield content

    return lambda request, **_: AWSResponse(request.url, status, HTTPHeaders(), Raw())


def canceled(*codes: str) -> Callable[..., AWSResponse]:
    reasons = ",".join(f'{{"Code": "{code}"}}' for code in codes)
    name = "com.amazonaws.dynamodb.v20120810#TransactionCanceledException"
    return answered(400, f'{{"__type": "{name}", "CancellationReasons": [{reasons}]}}'.encode())


CONFLICT = canceled("None", "None", "TransactionConflict", "None", "None")
THROTTLED = answered(400, b'{"__type": "com.amazonaws.dynamodb.v20120810#ThrottlingException", "message": "slow down"}')


def faulty(client: Any, faults: Iterator[str], *, retries: bool = True) -> None:
    """Make transactions conflict, be throttled, or lose the answer to what was done; `retries` meet faults as well."""
    lock, behind, seen = threading.Lock(), URLLib3Session(), set[str]()

    def send(request: Any, **_: Any) -> AWSResponse | None:
        token = json.loads(request.body)["ClientRequestToken"]
        with lock:
            fault = next(faults) if retries or token not in seen else ""
            seen.add(token)
        if fault == "conflict":
            return CONFLICT(request)
        if fault == "throttled":
            return THROTTLED(request)
        if fault == "lost":
            assert behind.send(request).status_code in {200, 400}
            raise ConnectionClosedError(endpoint_url=request.url)
        return None

    client.meta.events.register("before-send.dynamodb.TransactWriteItems", send)


class Books:
    """What was really used, and what killed requests left behind, by tenant. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sums: dict[tuple[str, str], Amount] = {}
        self.refused = 0

    def add(self, tenant: str, kind: str, amount: Amount) -> None:
        with self._lock:
            self._sums[tenant, kind] = self.sum(tenant, kind) + amount

    def refuse(self) -> None:
        with self._lock:
            self.refused += 1

    def sum(self, tenant: str, kind: str) -> Amount:
        return self._sums.get((tenant, kind), NOTHING)


CROWDED = Limits(minute=Limit(tokens=900), day=Limit(micro_dollars=4000))


def use(ledger: Ledger, tenant: str, request: str, mine: random.Random, books: Books) -> None:
    """One request, which ends in one of the ways that requests do."""
    estimate = Amount(mine.randrange(1, 120), mine.randrange(1, 500))
    try:
        reservation = ledger.reserve(tenant, estimate, CROWDED, request, NOW)
    except BudgetError:
        books.refuse()
        return
    there = ledger.left(tenant, CROWDED, NOW)
    assert all((each.spent + each.reserved).tokens <= 900 for each in there.values())
    assert all((each.spent + each.reserved).micro_dollars <= 4000 for each in there.values())
    actual = Amount(mine.randint(0, estimate.tokens), mine.randint(0, estimate.micro_dollars))
    match mine.choices(["settled", "twice", "released", "killed"], [4, 2, 1, 1])[0]:
        case "released":
            ledger.release(reservation)
        case "killed":
            books.add(tenant, "reserved", estimate)
        case times:
            for _ in range(1 + (times == "twice")):
                ledger.settle(reservation, actual)
            books.add(tenant, "spent", actual)


@pytest.mark.parametrize("seed", range(3))
def test_what_many_threads_reserve_and_settle_is_what_the_ledger_has(
    ledger: Ledger, client: Any, tenant: str, seed: int
) -> None:
    faults = random.Random(seed).choices(["", "conflict", "throttled", "lost"], [8, 1, 0.3, 1], k=997)  # noqa: S311
    faulty(client, itertools.cycle(faults), retries=False)
    tenants, books = (tenant, f"{tenant}#"), Books()

    def work(number: int) -> None:
        mine = random.Random(seed * 100 + number)  # noqa: S311 - a schedule
        for turn in range(9):
            use(ledger, mine.choice(tenants), f"{number}-{turn}", mine, books)

    with ThreadPoolExecutor(6) as pool:
        for each in [pool.submit(work, number) for number in range(6)]:
            each.result()
    assert books.refused > 0
    for name in tenants:
        spent, reserved = books.sum(name, "spent"), books.sum(name, "reserved")
        assert spent.tokens > 0
        assert standing(ledger, name) == standing(ledger, name, window=Window.MONTH) == (spent, reserved)
    # What the killed ones held comes back, to whoever needs it first.
    rest = Limits(day=Limit(tokens=books.sum(tenant, "spent").tokens + 10))
    later = NOW + LAPSE_SECONDS
    with ThreadPoolExecutor(4) as pool:
        racing = [pool.submit(ledger.reserve, tenant, Amount(10), rest, f"last-{n}", later) for n in range(4)]
        won = [each.result() for each in racing if not isinstance(each.exception(), BudgetError)]
    assert len(won) == 1
    assert standing(ledger, tenant, later, Window.DAY) == (books.sum(tenant, "spent"), Amount(10))


def test_threads_that_try_one_request_at_once_have_one_reservation(ledger: Ledger, tenant: str) -> None:
    with ThreadPoolExecutor(6) as pool:
        tries = [pool.submit(ledger.reserve, tenant, Amount(300), MINUTE, "one", NOW + turn) for turn in range(6)]
        (reservation,) = {each.result() for each in tries}
        for each in [pool.submit(ledger.settle, reservation, Amount(200)) for _ in range(6)]:
            each.result()
    assert standing(ledger, tenant) == (Amount(200), NOTHING)


# -- faults -----------------------------------------------------------------------------------------


def test_an_answer_that_was_lost_is_asked_for_again_and_charges_once(ledger: Ledger, client: Any, tenant: str) -> None:
    faulty(client, itertools.cycle(["lost", ""]))
    reservation = ledger.reserve(tenant, Amount(100), MINUTE, "one", NOW)
    ledger.settle(reservation, Amount(60))
    assert standing(ledger, tenant) == (Amount(60), NOTHING)


def test_a_reservation_whose_answers_were_all_lost_is_found_by_its_request(
    ledger: Ledger, client: Any, tenant: str
) -> None:
    faulty(client, itertools.chain(["lost"] * 3, itertools.repeat("")))
    with pytest.raises(LedgerError, match="Connection was closed"):
        ledger.reserve(tenant, Amount(100), MINUTE, "one", NOW)
    assert ledger.reserve(tenant, Amount(100), MINUTE, "one", NOW + 5).at == int(NOW)
    assert standing(ledger, tenant) == (NOTHING, Amount(100))


@pytest.mark.parametrize("fault", ["throttled", "conflict"])
def test_a_table_without_room_is_no_budget(ledger: Ledger, client: Any, tenant: str, fault: str) -> None:
    reservation = ledger.reserve(tenant, Amount(100), MINUTE, "one", NOW)
    faulty(client, itertools.repeat(fault))
    says = {"throttled": "slow down", "conflict": "DynamoDB refused 10 transactions"}[fault]
    for call in (
        lambda: ledger.reserve(tenant, Amount(1), MINUTE, "two", NOW),
        lambda: ledger.settle(reservation, Amount(1)),
        lambda: ledger.release(reservation),
    ):
        with pytest.raises(LedgerError, match=says):
            call()
    assert standing(ledger, tenant) == (NOTHING, Amount(100))


@pytest.mark.parametrize("status", [400, 500])
def test_an_answer_that_is_none_is_no_budget(ledger: Ledger, client: Any, tenant: str, status: int) -> None:
    client.meta.events.register("before-send.dynamodb", answered(status, b"<html>"))
    with pytest.raises(LedgerError, match=r"The budgets in llm-budgets are not known"):
        ledger.reserve(tenant, Amount(1), MINUTE, "one", NOW)
    with pytest.raises(LedgerError, match=r"The budgets in llm-budgets are not known"):
        ledger.left(tenant, MINUTE, NOW)


def test_a_missing_table_and_a_dynamodb_that_is_gone_are_no_budgets(
    client: Any, table: str, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = Ledger("llm-other", client)
    with pytest.raises(LedgerError, match=r"llm-other are not known .*check the table's name"):
        missing.reserve(tenant, Amount(1), MINUTE, "one", NOW)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.setattr(ledger_module, "ATTEMPTS", 1)
        silent = Ledger.connect(table, read_seconds=0.1)
        with pytest.raises(LedgerError, match="Read timeout"):
            silent.reserve(tenant, Amount(1), MINUTE, "one", NOW)
    gone = Ledger.connect(table)
    for call in (
        lambda: gone.reserve(tenant, Amount(1), MINUTE, "one", NOW),
        lambda: gone.settle(Reservation(tenant, "one", Amount(1), int(NOW)), Amount(1)),
        gone.tenants,
    ):
        with pytest.raises(LedgerError, match="Could not connect"):
            call()


def test_without_a_region_it_says_what_to_set(table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    with pytest.raises(LedgerError, match="set AWS_DEFAULT_REGION"):
        Ledger.connect(table)
