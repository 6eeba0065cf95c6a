"""One backend after another until one begins to answer, and nobody else after that."""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Sequence

import pytest

from lambda_llm.backends.contract import Backend, Chunk, Operation, Request, Usage
from lambda_llm.backends.errors import BackendError, Kind
from lambda_llm.backends.openai_http import OpenAIHTTP
from lambda_llm.router.dispatch import ATTEMPTS_MAX, Answer, Dispatcher
from lambda_llm.router.errors import NoBackendError
from lambda_llm.router.facts import Facts, Place
from lambda_llm.router.policy import Choice, Option, Prefer, TokenPrice
from support.backend_script import Scripted, failure
from support.event_streams import SILENCE, SSE, answering
from support.event_streams import Answer as HTTPAnswer

FACTS = Facts(Operation.CHAT, 10, 10)
NAMES = ("a", "b", "c", "d")


def request(number: int = 0, **body: object) -> Request:
    return Request(Operation.CHAT, body, time.monotonic() + 100, f"request-{number}")


def options(names: Sequence[str]) -> list[Option]:
    return [
        Option(name, frozenset({Operation.CHAT}), 1000, frozenset(), Place.ACCOUNT, None, TokenPrice(1, 1))
        for name in names
    ]


class Router:
    """A dispatcher over scripted backends, with a clock that stands still."""

    def __init__(self, *backends: Scripted) -> None:
        self.backends = {each.name: each for each in backends}
        self.now = 1000.0
        known: dict[str, Backend] = dict(self.backends)
        self.dispatcher = Dispatcher(known, lambda: self.now)

    def choose(self, asked: Request) -> Choice:
        return self.dispatcher.choose(asked, FACTS, options(list(self.backends)), Prefer.ORDER)

    async def ask(
        self, asked: Request | None = None, most: int = 100, hedge_seconds: float | None = None
    ) -> tuple[Answer, list[bytes]]:
        """The answer and its chunks; after `most` of them the client leaves."""
        asked = asked or request()
        got: list[bytes] = []
        async with self.dispatcher.answer(asked, self.choose(asked), hedge_seconds) as answer:
            async for chunk in answer.chunks:
                got.append(chunk.data)
                if len(got) == most:
                    break
        return answer, got

    @property
    def busy(self) -> list[int]:
        return [health.busy for health in self.dispatcher.health.values()]


async def test_the_first_answers() -> None:
    """Nobody else is asked, and what it took is known at the end."""
    router = Router(Scripted("a"), Scripted("b"))
    answer, got = await router.ask()
    assert got == [b"a0", b"a1", b"a2"]
    assert (answer.usage, answer.ended) == (Usage(10, 2), True)
    assert [(each.backend, each.failed) for each in answer.attempts] == [("a", None)]
    assert router.backends["b"].yielded == {}


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in (Kind.INVALID, Kind.BLOCKED)])
async def test_another_answers_instead_before_the_first_chunk(kind: Kind) -> None:
    """Whatever the backend's fault."""
    router = Router(Scripted("a", 0, failure(kind)), Scripted("b"))
    answer, got = await router.ask()
    assert got == [b"b0", b"b1", b"b2"]
    assert [(each.backend, each.failed) for each in answer.attempts] == [("a", kind), ("b", None)]


@pytest.mark.parametrize("kind", [Kind.INVALID, Kind.BLOCKED])
async def test_a_refused_request_is_not_sent_around(kind: Kind) -> None:
    """Another one would say the same, and what a guardrail stopped must not go on elsewhere."""
    router = Router(Scripted("a", 0, failure(kind)), Scripted("b"))
    with pytest.raises(BackendError) as refused:
        await router.ask()
    assert refused.value.kind is kind
    assert router.backends["b"].yielded == {}


async def test_nobody_answers_instead_after_it() -> None:
    """The client has a part of one answer: a part of another one would make nonsense of both."""
    router = Router(Scripted("a", 2, failure(Kind.BROKEN)), Scripted("b"))
    asked = request()
    async with router.dispatcher.answer(asked, router.choose(asked)) as answer:
        assert [(await anext(answer.chunks)).data for _ in range(2)] == [b"a0", b"a1"]
        with pytest.raises(BackendError) as cut:
            await anext(answer.chunks)
    assert cut.value.started
    assert answer.attempts[-1].failed is Kind.BROKEN
    assert answer.usage == Usage(10, 1)
    assert router.backends["b"].yielded == {}
    assert router.dispatcher.health["a"].failures == 1


async def test_an_empty_answer_is_none() -> None:
    """Another backend answers."""
    _, got = await Router(Scripted("a", 0), Scripted("b")).ask()
    assert got == [b"b0", b"b1", b"b2"]


async def test_of_several_failures_the_client_learns_what_helps() -> None:
    """That it may try again, rather than that some key is wrong."""
    router = Router(Scripted("a", 0, failure(Kind.FORBIDDEN)), Scripted("b", 0, failure(Kind.THROTTLED, 7)))
    with pytest.raises(BackendError) as refused:
        await router.ask()
    assert (refused.value.kind, refused.value.retry_after) == (Kind.THROTTLED, 7)


async def test_not_everybody_is_asked() -> None:
    """An outage of all backends must not become several of each request."""
    router = Router(*(Scripted(name, 0, failure(Kind.UNAVAILABLE)) for name in NAMES))
    with pytest.raises(BackendError):
        await router.ask()
    assert sum(bool(each.yielded) for each in router.backends.values()) == ATTEMPTS_MAX


async def test_one_that_asks_for_a_pause_gets_it() -> None:
    """Until it is over; when all are paused, the client is told for how long."""
    router = Router(Scripted("a", 0, failure(Kind.THROTTLED, 30)))
    with pytest.raises(BackendError):
        await router.ask()
    with pytest.raises(NoBackendError, match=r"a left alone for 30 s after failures\): try again in 30 s\."):
        await router.ask()
    router.now += 30
    router.backends["a"].failure = None
    router.backends["a"].chunks = 1
    _, got = await router.ask()
    assert got == [b"a0"]


async def test_a_field_that_a_backend_can_not_honour_sends_the_request_elsewhere() -> None:
    """It is not dropped; where nobody can honour it, it is named."""
    router = Router(Scripted("a"), Scripted("b"))
    router.backends["a"].refuses = "seed"
    assert (await router.ask(request(seed=1)))[1][0] == b"b0"
    router.backends["b"].refuses = "seed"
    with pytest.raises(NoBackendError, match="a does not support seed; b does not support seed"):
        await router.ask(request(seed=1))
    assert (await router.ask())[1][0] == b"a0"


async def test_a_client_that_leaves_ends_the_work() -> None:
    """At once, and that is no fault of the backend."""
    router = Router(Scripted("a", 1000))
    await router.ask(most=2)
    assert router.backends["a"].yielded["request-0"] == [b"a0", b"a1"]
    assert router.backends["a"].closed == ["request-0"]
    assert (router.dispatcher.health["a"].busy, router.dispatcher.health["a"].failures) == (0, 0)


async def test_a_client_that_leaves_before_the_first_chunk_ends_the_work() -> None:
    """Its task is cancelled."""
    router = Router(Scripted("a", 1))
    started = asyncio.Event()
    forever = asyncio.Event()

    async def opening(asked: Request) -> AsyncGenerator[Chunk]:
        try:
            started.set()
            await forever.wait()
            yield Chunk(b"")
        finally:
            router.backends["a"].closed.append(asked.id)

    router.backends["a"].open = opening  # type: ignore[assignment,method-assign]
    task = asyncio.create_task(router.ask())
    await started.wait()
    assert router.dispatcher.health["a"].busy == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert router.backends["a"].closed == ["request-0"]
    assert router.dispatcher.health["a"].busy == 0


async def test_utilization_is_told_and_kept() -> None:
    """An answer does not forget what all environments together measured."""
    router = Router(Scripted("a"))
    router.dispatcher.measured({"a": 0.3})
    await router.ask()
    assert router.dispatcher.health["a"].utilization == 0.3


async def test_closing_closes_all() -> None:
    """A snapshot must not contain an open connection."""
    router = Router(Scripted("a"), Scripted("b"))
    await router.dispatcher.close()
    assert [each.closed for each in router.backends.values()] == [["all"], ["all"]]


def attempts(answer: Answer) -> list[tuple[str, Kind | None, bool]]:
    return [(each.backend, each.failed, each.left) for each in answer.attempts]


async def test_a_slow_start_gets_company_and_the_first_of_both_answers() -> None:
    """The other one's work ends at once, before the answer does, and its health is what it was."""
    for winner, loser in (("b", "a"), ("a", "b")):
        router = Router(Scripted("a"), Scripted("b", 10**6), Scripted("c"))
        router.backends["a"].chunks = 10**6
        for each in router.backends.values():
            each.may_answer.clear()

        async def begin(router: Router = router, winner: str = winner) -> None:
            await router.backends["b"].begun.wait()
            router.backends[winner].may_answer.set()

        helping = asyncio.create_task(begin())
        asked = request()
        async with router.dispatcher.answer(asked, router.choose(asked), 0.0) as answer:
            got = [(await anext(answer.chunks)).data for _ in range(50)]
            assert router.backends[loser].closed == ["request-0"]
            assert {name: health.busy for name, health in router.dispatcher.health.items()} == {winner: 1, loser: 0}
        await helping
        assert got == [f"{winner}{number}".encode() for number in range(50)]
        assert attempts(answer) == [(loser, None, True), (winner, None, False)]
        assert router.backends["c"].sent == {}
        assert router.busy == [0, 0]
        assert router.dispatcher.health[loser].failures == 0


async def test_who_begins_in_time_has_no_company() -> None:
    router = Router(Scripted("a"), Scripted("b"))
    router.backends["a"].turns = 20
    answer, got = await router.ask(hedge_seconds=1000)
    assert (len(got), attempts(answer), router.backends["b"].sent) == (3, [("a", None, False)], {})


async def test_there_is_one_hedge_and_then_one_after_another() -> None:
    """Failures of both go on to a third, which may take its time."""
    router = Router(*(Scripted(name) for name in NAMES))
    for name in ("a", "b"):
        router.backends[name].chunks, router.backends[name].failure = 0, failure(Kind.UNAVAILABLE)
        router.backends[name].turns = 10
    router.backends["c"].turns = 50
    answer, got = await router.ask(hedge_seconds=0.0)
    assert got == [b"c0", b"c1", b"c2"]
    assert attempts(answer) == [("a", Kind.UNAVAILABLE, False), ("b", Kind.UNAVAILABLE, False), ("c", None, False)]
    assert router.backends["d"].sent == {}


async def test_a_hedge_that_fails_leaves_the_first_alone_again() -> None:
    """And a refusal by either ends both."""
    router = Router(Scripted("a"), Scripted("b", 0, failure(Kind.THROTTLED, 9)), Scripted("c"))
    router.backends["a"].turns = 50
    answer, got = await router.ask(hedge_seconds=0.0)
    assert (got, attempts(answer)) == (
        [b"a0", b"a1", b"a2"],
        [("b", Kind.THROTTLED, False), ("a", None, False)],
    )
    assert router.backends["c"].sent == {}
    router = Router(Scripted("a"), Scripted("b", 0, failure(Kind.INVALID)), Scripted("c"))
    router.backends["a"].may_answer.clear()
    with pytest.raises(BackendError, match="It is invalid"):
        await router.ask(hedge_seconds=0.0)
    assert (router.backends["a"].closed, router.busy) == (["request-0"], [0, 0])


async def test_nobody_is_asked_who_is_left_alone() -> None:
    """A hedge is no reason to end a pause."""
    router = Router(Scripted("a"), Scripted("b", 0, failure(Kind.THROTTLED, 60)))
    asked = request()
    choice = router.choose(asked)
    router.dispatcher._failed("b", failure(Kind.THROTTLED, 60))  # noqa: SLF001 - for somebody else, meanwhile
    router.backends["a"].turns = 20
    async with router.dispatcher.answer(asked, choice, 0.0) as answer:
        assert len([chunk async for chunk in answer.chunks]) == 3
    assert (attempts(answer), router.backends["b"].sent) == ([("a", None, False)], {})


async def test_a_client_that_leaves_while_two_think_ends_both() -> None:
    router = Router(Scripted("a"), Scripted("b"))
    for each in router.backends.values():
        each.may_answer.clear()
    task = asyncio.create_task(router.ask(hedge_seconds=0.0))
    await router.backends["b"].begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [each.closed for each in router.backends.values()] == [["request-0"]] * 2
    assert router.busy == [0, 0]


async def test_over_http_the_one_that_is_left_is_told() -> None:
    """Its connection ends; so it is with every backend over HTTP."""
    event = b'data: {"choices": [{"delta": {"content": "Hi"}}]}\n\n'
    slow, fast = HTTPAnswer([SILENCE], headers=SSE), HTTPAnswer([event, b"data: [DONE]\n\n"], headers=SSE)
    with answering(slow) as first, answering(fast) as second:
        backends: dict[str, Backend] = {"a": OpenAIHTTP("a", first.url, "m"), "b": OpenAIHTTP("b", second.url, "m")}
        dispatcher = Dispatcher(backends)
        asked = request(stream=True)
        choice = dispatcher.choose(asked, FACTS, options(["a", "b"]), Prefer.ORDER)
        async with dispatcher.answer(asked, choice, 0.01) as answer:
            assert len([chunk async for chunk in answer.chunks]) == 1
            assert await asyncio.to_thread(first.left.wait, 60)
        await dispatcher.close()
    assert attempts(answer) == [("a", None, True), ("b", None, False)]


async def one(
    router: Router, number: int, most: int, hedge_seconds: float | None
) -> tuple[list[bytes], Answer | None, bool]:
    """What a client got, from whom, and whether it was told that this is not all."""
    asked = request(number)
    got: list[bytes] = []
    try:
        async with router.dispatcher.answer(asked, router.choose(asked), hedge_seconds) as answer:
            async for chunk in answer.chunks:
                got.append(chunk.data)
                if len(got) == most:
                    break
            return got, answer, False
    except (BackendError, NoBackendError):
        return got, None, True


@pytest.mark.parametrize("block", range(10))
async def test_no_schedule_mixes_or_loses_a_chunk(block: int) -> None:
    """1,000 seeded schedules of failures, cuts, hedges and clients that leave.

    Each compares the clients with the backends.
    """
    for seed in range(100 * block, 100 * (block + 1)):
        chance = random.Random(seed)  # noqa: S311 - no secret
        router = Router(*(Scripted(name) for name in NAMES[: chance.randint(1, 4)]))
        for round_ in range(3):
            for backend in router.backends.values():
                backend.chunks = chance.choice([0, 0, 1, 3])
                failed = chance.random() < 0.5
                backend.failure = failure(chance.choice(list(Kind)), chance.choice([None, 5.0])) if failed else None
                backend.turns = chance.choice([0, 0, 3, 10])
            hedge_seconds = chance.choice([None, 0.0])
            numbers = [10 * round_ + each for each in range(chance.randint(1, 4))]
            all_got = await asyncio.gather(
                *(one(router, each, chance.choice([1, 2, 100]), hedge_seconds) for each in numbers)
            )
            for number, (got, answer, told) in zip(numbers, all_got, strict=True):
                name = f"request-{number}"
                sources = [each for each in router.backends.values() if each.yielded.get(name)]
                # One whose first chunk came at the same time was left with it.
                left = [each for each in sources if not got or not got[0].startswith(each.name.encode())]
                assert all(len(each.yielded[name]) == 1 for each in left)
                assert len(left) <= (hedge_seconds is not None)
                if got:
                    assert [each.yielded[name] for each in sources if each not in left] == [got]
                if answer is not None:
                    assert sum(each.left for each in answer.attempts) <= (hedge_seconds is not None)
                if answer is not None and answer.ended:
                    assert len(got) == router.backends[answer.backend].chunks
                assert told or (answer is not None and answer.attempts[-1].failed is None)
                opened = [each for each in router.backends.values() if name in each.yielded]
                assert len(opened) <= ATTEMPTS_MAX
                assert all(each.closed.count(name) == 1 for each in opened)
            assert all(health.busy == 0 for health in router.dispatcher.health.values())
            router.now += chance.choice([0.0, 6.0, 400.0])
