"""A request from its tenant's rights to the books."""

import asyncio
import json
import random
import threading
import time
from contextlib import closing
from typing import Any

import pytest

from lambda_llm.backends.contract import Operation, Usage
from lambda_llm.backends.errors import BackendError, Kind
from lambda_llm.router.budget import Amount, BudgetError, Limits, What, Window, micro_dollars
from lambda_llm.router.config import Configuration, parse
from lambda_llm.router.dispatch import Dispatcher
from lambda_llm.router.errors import NoBackendError, RequestError, UnknownError
from lambda_llm.router.guardrail import Guardrail, Source
from lambda_llm.router.ledger import Ledger, LedgerError, Reservation
from lambda_llm.router.rights import facts_for
from lambda_llm.router.service import Router
from scripts.local_aws.server import LocalAWS
from support.backend_script import Scripted, failure
from support.backends import signed
from support.budgets import Book, make_table
from support.guardrails import guarding
from support.router import written

BODY = {"model": "chat", "messages": [{"role": "user", "content": "Hello"}]}
NOW = 1_800_000_000.0


def configured(**tenants: dict[str, Any]) -> Configuration:
    return parse(json.dumps({**written(), "tenants": {"*": {"models": ["*"]}, **tenants}}).encode())


class Setting:
    """A router over scripted backends and a book."""

    def __init__(
        self,
        configuration: Configuration | None = None,
        book: Any = None,
        guardrails: dict[str, Guardrail] | None = None,
    ) -> None:
        self.configuration = configuration or configured()
        self.backends = {name: Scripted(name) for name in self.configuration.backends}
        self.book = book or Book()
        dispatcher = Dispatcher(dict(self.backends), lambda: NOW)
        self.router = Router(self.configuration, dispatcher, self.book, lambda: NOW, guardrails)

    async def ask(self, tenant: str = "acme", request_id: str = "one", most: int = 100, **changes: Any) -> list[bytes]:
        """The chunks that a client got; after `most` of them it leaves."""
        got: list[bytes] = []
        deadline = time.monotonic() + 100
        async with self.router.answer(Operation.CHAT, BODY | changes, tenant, request_id, deadline) as answer:
            async for chunk in answer.chunks:
                got.append(chunk.data)
                if len(got) == most:
                    break
        return got

    def cost(self, backend: str, usage: Usage) -> Amount:
        """What usage of a backend costs."""
        price = self.configuration.backends[backend].option(backend).price
        return Amount(usage.input + usage.output, micro_dollars(price.dollars(usage)))


async def test_what_an_answer_took_is_charged() -> None:
    """As its backend says, and no more of the reservation is held."""
    setting = Setting()
    assert await setting.ask() == [b"bedrock0", b"bedrock1", b"bedrock2"]
    assert setting.book.charged == {"one": ("acme", setting.cost("bedrock", Usage(10, 2)))}
    assert setting.book.held == {}


async def test_the_dearest_is_reserved_and_the_one_that_answered_is_charged() -> None:
    """A fallback may cost more than the first choice."""
    setting = Setting(configured(acme={"models": ["*"], "day": {"dollars": 0.001}}))
    with pytest.raises(BudgetError) as refused:
        await setting.ask()
    assert (refused.value.window, refused.value.what) == (Window.DAY, What.DOLLARS)
    assert setting.backends["bedrock"].sent == {}
    setting = Setting()
    setting.backends["bedrock"].chunks, setting.backends["bedrock"].failure = 0, failure(Kind.THROTTLED)
    assert await setting.ask() == [b"small0", b"small1", b"small2"]
    assert setting.book.charged == {"one": ("acme", setting.cost("small", Usage(10, 2)))}


async def test_a_client_that_leaves_pays_for_what_came() -> None:
    """The estimated prompt, and what the backend has said so far or a token for each chunk."""
    setting = Setting()
    setting.backends["bedrock"].chunks = 1000
    setting.backends["bedrock"].says_usage = False
    await setting.ask(most=20)
    facts = facts_for(setting.configuration, Operation.CHAT, BODY, "acme")
    assert setting.book.charged["one"][1] == setting.cost("bedrock", Usage(facts.input_tokens, 20))
    assert setting.backends["bedrock"].closed == ["one"]


async def test_an_answer_that_was_cut_is_paid_as_far_as_it_came() -> None:
    """Even where the usage that was said before is of its beginning."""
    setting = Setting()
    setting.backends["bedrock"].failure = failure(Kind.BROKEN)
    with pytest.raises(BackendError):
        await setting.ask()
    facts = facts_for(setting.configuration, Operation.CHAT, BODY, "acme")
    assert setting.book.charged["one"][1] == setting.cost("bedrock", Usage(facts.input_tokens, 3))


async def test_an_answer_that_never_began_is_free() -> None:
    """The reservation is given back."""
    setting = Setting()
    for backend in setting.backends.values():
        backend.chunks, backend.failure = 0, failure(Kind.UNAVAILABLE)
    with pytest.raises(BackendError):
        await setting.ask()
    assert (setting.book.charged, setting.book.held, setting.book.released) == ({}, {}, ["one"])


async def test_where_nobody_can_answer_nothing_is_reserved() -> None:
    """Nor where the tenant may not ask."""
    setting = Setting(configured(acme={"models": ["chat"]}))
    with pytest.raises(NoBackendError):
        await setting.ask(tools=[{"type": "function"}], logprobs=True)
    for wrong in ({"model": "large"}, {"model": "none"}, {"model": ["chat"]}):
        with pytest.raises(UnknownError, match="use one of chat"):
            await setting.ask(**wrong)
    assert (setting.book.charged, setting.book.held, setting.book.released) == ({}, {}, [])


async def test_without_books_nobody_is_asked() -> None:
    """It fails closed."""
    setting = Setting()
    setting.book.gone = True
    with pytest.raises(LedgerError):
        await setting.ask()
    assert setting.backends["bedrock"].sent == {}


async def test_books_that_close_while_an_answer_comes_cost_no_client_its_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The log has what was not charged, and nothing of prompt or answer."""
    setting = Setting()
    async with setting.router.answer(Operation.CHAT, BODY, "acme", "one", time.monotonic() + 100) as answer:
        setting.book.gone = True
        assert len([chunk async for chunk in answer.chunks]) == 3
    assert "request one of tenant 'acme' was not charged with Amount(tokens=12" in caplog.text
    assert "Hello" not in caplog.text
    assert "bedrock0" not in caplog.text


async def test_a_client_that_leaves_at_once_leaves_no_reservation() -> None:
    """Its task is cancelled while the backend thinks, and the books are closed before it ends."""
    setting = Setting()
    backend = setting.backends["bedrock"]
    backend.chunks = 10**9
    task = asyncio.create_task(setting.ask(most=10**9))
    await backend.begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert setting.book.held == {}


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({}, {"max_tokens": 1000}),
        ({"max_tokens": 10}, {"max_tokens": 10}),
        ({"max_tokens": 10**6}, {"max_tokens": 1000}),
        ({"max_completion_tokens": 10**6}, {"max_completion_tokens": 1000}),
        ({"max_tokens": 5, "max_completion_tokens": 10**6}, {"max_tokens": 5, "max_completion_tokens": 1000}),
        ({"max_tokens": 10**6, "n": 2}, {"max_tokens": 1000, "n": 2}),
        ({"max_tokens": 10**6, "best_of": 2}, {"max_tokens": 1000, "best_of": 2}),
        ({"max_tokens": 0, "n": None}, {"max_tokens": 0, "n": None}),
        ({"n_predict": 10**6}, {"n_predict": 1000, "max_tokens": 1000}),
        ({"n_predict": 10**6, "max_tokens": 900}, {"n_predict": 900, "max_tokens": 900}),
    ],
)
async def test_no_answer_is_longer_than_what_was_reserved(given: dict[str, Any], sent: dict[str, Any]) -> None:
    setting = Setting()
    await setting.ask(**given)
    assert setting.backends["bedrock"].sent["one"] == BODY | sent


@pytest.mark.parametrize("said", [-1, 1000.0, "1000", True, [1000], {}])
@pytest.mark.parametrize(
    "name", ["max_tokens", "max_completion_tokens", "max_output_tokens", "n_predict", "n", "best_of"]
)
async def test_what_can_t_be_counted_is_not_sent(name: str, said: Any) -> None:
    """To some servers it would be a number, or no limit at all."""
    setting = Setting()
    with pytest.raises(RequestError, match=f"{name} must be a whole number") as refused:
        await setting.ask(**{name: said})
    assert refused.value.param == name
    with pytest.raises(RequestError):
        await setting.router.check(Operation.CHAT, BODY | {name: said}, "acme")
    assert setting.backends["bedrock"].sent == setting.book.charged == setting.book.held == {}


@pytest.mark.parametrize("said", [1, 0, "true", []])
async def test_whether_an_answer_is_streamed_is_not_guessed(said: object) -> None:
    with pytest.raises(RequestError, match="stream must be true or false"):
        await Setting().ask(stream=said)


class SlowBook(Book):
    """Takes its time to reserve."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Event()
        self.may = threading.Event()

    def reserve(self, *given: Any) -> Reservation:
        self.asked.set()
        assert self.may.wait(60)
        return super().reserve(*given)


@pytest.mark.parametrize("later", [False, True])
async def test_a_client_that_leaves_while_its_budget_is_asked_for_has_reserved_nothing(*, later: bool) -> None:
    """Nor has one whose request would be answered later, and needs room that lost requests may hold."""
    book = SlowBook()
    limits = {"day": {"tokens": 1100}}
    setting = Setting(configured(acme={"models": ["*"], **limits}), book)
    if later:
        book.charged["before"] = ("acme", Amount(1000))
    asking = setting.router.check(Operation.CHAT, BODY, "acme") if later else setting.ask()
    task = asyncio.create_task(asking)
    await asyncio.to_thread(book.asked.wait, 60)
    task.cancel()
    book.charged.pop("before", None)
    book.may.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert book.held == {}
    assert len(book.released) == 1
    assert setting.backends["bedrock"].sent == {}


def hedging(**tenants: dict[str, Any]) -> Configuration:
    """Two backends in order, the second of which is asked at once too."""
    given = written() | {"tenants": {"*": {"models": ["*"]}, **tenants}}
    given["models"]["chat"] |= {"prefer": "order", "hedge_seconds": 0.0001}
    return parse(json.dumps(given).encode())


async def test_a_hedge_is_reserved_and_who_was_left_is_paid_for_the_prompt() -> None:
    """Once each; an answer in one piece has none, as it begins when it ends."""
    setting = Setting(hedging())
    setting.backends["small"].turns = 10**6
    await setting.ask(stream=True)
    facts = facts_for(setting.configuration, Operation.CHAT, BODY | {"stream": True}, "acme")
    left = setting.cost("small", Usage(facts.input_tokens))
    assert setting.book.charged == {"one": ("acme", setting.cost("bedrock", Usage(10, 2)) + left)}
    assert setting.backends["small"].closed == ["one"]
    setting = Setting(hedging())
    setting.backends["small"].turns = 50
    await setting.ask(stream=False)
    assert (list(setting.book.charged), setting.backends["bedrock"].sent) == (["one"], {})
    most = facts.input_tokens * 2 + 1000
    for tokens, enough in ((most, True), (most - 1, False)):
        setting = Setting(hedging(acme={"models": ["*"], "day": {"tokens": tokens}}))
        if enough:
            await setting.ask(stream=True)
        else:
            with pytest.raises(BudgetError):
                await setting.ask(stream=True)


class Guarded:
    """A router whose tenant and model have a guardrail each, and backends that answer in OpenAI's format."""

    def __init__(self, url: str, answer: str = "bedrock") -> None:
        given = written() | {
            "guardrails": {
                name: {"id": "abc123", "version": "1", "region": "eu-central-1"} for name in ("mine", "all")
            },
            "tenants": {"acme": {"models": ["*"], "guardrail": "mine"}, "*": {"models": ["*"]}},
        }
        given["models"]["chat"]["guardrail"] = "all"
        both: frozenset[Source] = frozenset({"INPUT", "OUTPUT"})
        self.guardrails = {
            name: Guardrail(name, url, name, "1", auth=signed("bedrock"), checks=both) for name in ("mine", "all")
        }
        self.setting = Setting(parse(json.dumps(given).encode()), guardrails=self.guardrails)
        for backend in self.setting.backends.values():
            backend.said = lambda number: json.dumps(
                {"choices": [{"index": 0, "delta": {"content": answer}}], "n": number}
            )

    async def ask(self, content: str = "Hello", **more: Any) -> list[bytes]:
        try:
            return await self.setting.ask(messages=[{"role": "user", "content": content}], **more)
        finally:
            await self.setting.router.close()


async def test_what_a_guardrail_blocks_no_backend_gets_and_nobody_pays() -> None:
    """Those of tenant and model are asked in turn; of a request that passes, both see question and answer."""
    with guarding("bomb") as guard:
        guarded = Guarded(guard.url)
        with pytest.raises(BackendError, match=r"^The guardrail 'mine' blocked the request") as refused:
            await guarded.ask("a bomb")
        assert refused.value.kind is Kind.BLOCKED
        assert all(backend.sent == {} for backend in guarded.setting.backends.values())
        assert (guarded.setting.book.charged, guarded.setting.book.released) == ({}, ["one"])
        guard.paths.clear()
        assert len(await guarded.ask(request_id="two", stream=True)) == 3
        assert guard.paths == [f"/guardrail/{name}/version/1/apply" for name in ("mine", "all", "mine", "all")]
        assert guard.sources[-4:] == ["INPUT", "INPUT", "OUTPUT", "OUTPUT"]
        guard.paths.clear()
        await guarded.ask(tenant="other", request_id="three")
        assert guard.paths == ["/guardrail/all/version/1/apply"] * 2


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_that_is_blocked_is_paid_and_has_not_begun(*, stream: bool) -> None:
    """The backend has done its work; no other one is asked for the same."""
    with guarding("bomb") as guard:
        guarded = Guarded(guard.url, "bomb")
        with pytest.raises(BackendError, match=r"^The guardrail 'mine' blocked the answer") as refused:
            await guarded.ask(stream=stream)
    assert (refused.value.kind, refused.value.started) == (Kind.BLOCKED, False)
    assert guarded.setting.book.charged == {"one": ("acme", guarded.setting.cost("bedrock", Usage(10, 2)))}
    assert guarded.setting.backends["small"].sent == {}


async def test_a_client_that_leaves_a_guarded_stream_ends_the_work_and_pays() -> None:
    """And the one that leaves at the first chunk."""
    for most in (1, 30):
        with guarding("bomb") as guard:
            guarded = Guarded(guard.url)
            guarded.setting.backends["bedrock"].chunks = 10**6
            assert len(await guarded.ask(stream=True, most=most)) == most
            assert guarded.setting.backends["bedrock"].closed == ["one", "all"]
        assert guarded.setting.book.held == {}
        assert guarded.setting.book.charged["one"][1].tokens > most


def test_a_router_without_a_guardrail_of_its_configuration_does_not_start() -> None:
    with guarding() as guard, pytest.raises(KeyError):
        Setting(Guarded(guard.url).setting.configuration)


async def test_over_dynamodb(local_aws: LocalAWS) -> None:
    """With the real ledger: two requests, then a budget that ends."""
    with closing(local_aws.client("dynamodb")) as client:
        ledger = Ledger(make_table(local_aws, "llm-budgets-of-a-router"), client)
        limits = {"models": ["*"], "day": {"tokens": 1040}}
        setting = Setting(configured(acme=limits), ledger)
        await setting.ask(request_id="one")
        await setting.ask(request_id="two")
        with pytest.raises(BudgetError, match="budget of 1,040 tokens a day has 1,016 tokens left"):
            await setting.ask(request_id="three")
        assert len(await setting.ask(request_id="four", max_tokens=500)) == 3
        assert len(await setting.ask(tenant="other", request_id="five")) == 3
        left = ledger.left("acme", Limits(), NOW)[Window.DAY]
        assert (left.spent.tokens, left.reserved.tokens) == (36, 0)


@pytest.mark.parametrize("block", range(5))
async def test_the_books_agree_with_backends_and_clients(block: int) -> None:
    """1,000 seeded schedules of failures, cuts, hedges, clients that leave and tenants with small budgets.

    Each compares the books with what the backends sent and the clients got: nobody pays for another, no answer is free,
    none is paid twice, and no tenant's reservations exceed its budget.
    """
    tenants: dict[str, dict[str, Any]] = {"rich": {"models": ["*"]}, "poor": {"models": ["*"], "day": {"tokens": 2500}}}
    configurations = [configured(**tenants), hedging(**tenants)]
    for seed in range(200 * block, 200 * (block + 1)):
        chance = random.Random(seed)  # noqa: S311 - reproducible
        setting = Setting(configurations[seed % 2])
        for backend in setting.backends.values():
            backend.chunks = chance.choice([0, 1, 3, 3])
            backend.says_usage = chance.random() < 0.7
            backend.failure = failure(chance.choice(list(Kind))) if chance.random() < 0.4 else None
            backend.turns = chance.choice([0, 0, 5, 200])
        hedged = bool(seed % 2)

        async def one(
            number: int, tenant: str, most: int, setting: Setting = setting, *, hedged: bool = hedged
        ) -> tuple[str, str, Any]:
            try:
                got: Any = await setting.ask(tenant, f"request-{number}", most, max_tokens=1000, stream=hedged)
            except (BackendError, BudgetError, NoBackendError) as error:
                got = error
            return f"request-{number}", tenant, got

        asked = [
            one(number, chance.choice(list(tenants)), chance.choice([1, 100])) for number in range(chance.randint(1, 5))
        ]
        for name, tenant, got in await asyncio.gather(*asked):
            sources = [each for each in setting.backends.values() if each.yielded.get(name)]
            assert len(sources) <= 1 + hedged
            if not sources:
                assert name not in setting.book.charged
                continue
            if name not in setting.book.charged:
                # One has begun just as another said what ends the request: no answer has come of it.
                assert hedged
                assert isinstance(got, BackendError)
                assert got.kind in {Kind.INVALID, Kind.BLOCKED}
                continue
            whose, amount = setting.book.charged[name]
            assert whose == tenant
            assert amount.tokens >= 10
            assert amount.micro_dollars > 0
            if isinstance(got, Exception):
                continue
            [source] = [each for each in sources if got[0].startswith(each.name.encode())]
            assert got == source.yielded[name]
            if len(got) == source.chunks > 1 and source.failure is None and source.says_usage:
                facts = facts_for(
                    setting.configuration, Operation.CHAT, BODY | {"max_tokens": 1000, "stream": hedged}, tenant
                )
                others = [each for each in setting.backends.values() if each is not source and name in each.sent]
                assert all(each.closed.count(name) == 1 for each in others)
                prompts = [setting.cost(each.name, Usage(facts.input_tokens)) for each in others]
                # One that failed is free.
                took = setting.cost(source.name, Usage(10, source.chunks - 1))
                assert amount in [took, *(took + prompt for prompt in prompts if hedged)]
        assert setting.book.held == {}
        assert setting.book.used("poor").tokens <= 2500


async def test_a_request_for_later_is_checked_and_nothing_is_sent_or_reserved() -> None:
    setting = Setting(configured(acme={"models": ["chat"], "day": {"tokens": 2000}}))
    await setting.router.check(Operation.CHAT, BODY, "acme")
    with pytest.raises(UnknownError):
        await setting.router.check(Operation.CHAT, BODY | {"model": "large"}, "acme")
    with pytest.raises(NoBackendError):
        await setting.router.check(Operation.RESPONSES, BODY, "acme")
    setting.book.reserve("acme", Amount(1500), Limits(), "another", NOW)
    with pytest.raises(BudgetError, match="has 500 tokens left"):
        await setting.router.check(Operation.CHAT, BODY, "acme")
    setting.book.gone = True
    with pytest.raises(LedgerError):
        await setting.router.check(Operation.CHAT, BODY, "acme")
    assert set(setting.book.held) == {"another"}
    assert all(backend.sent == {} for backend in setting.backends.values())


async def test_a_request_for_later_may_wait_for_backends_that_are_left_alone() -> None:
    setting = Setting()
    for backend in setting.backends.values():
        backend.chunks, backend.failure = 0, failure(Kind.THROTTLED, 60)
    with pytest.raises(BackendError):
        await setting.ask()
    with pytest.raises(NoBackendError):
        await setting.ask()
    await setting.router.check(Operation.CHAT, BODY, "acme")
