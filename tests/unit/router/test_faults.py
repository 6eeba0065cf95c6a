"""A thousand requests while backends fail in every way: books, backends and clients agree on each."""

import asyncio
import json
import random
from collections import Counter
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx2
import pytest

from lambda_llm.router.health import Health
from lambda_llm.web.streaming import EVENTS
from support.budgets import Book
from support.faulty_backends import FaultyBackends, faulty_backends, plan
from support.routing import GUARD_SECONDS, MESSAGES, Routing, backend, role, routing, signed_by

SCHEDULES = 1000
AT_ONCE = 16
NAMES = ("a", "b", "c")
TENANTS = ("alice", "bob")
CHAT = "/v1/chat/completions"


def configuration(url: str) -> dict[str, Any]:
    return {
        "version": 1,
        "backends": {name: backend(f"{url}/{name}") for name in NAMES},
        "models": {"chat": {"backends": list(NAMES), "max_tokens": 100}},
        "tenants": {name: {"models": ["chat"], "principals": [role(name)]} for name in TENANTS},
    }


@pytest.fixture(autouse=True)
def _nobody_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each schedule stands for itself; breakers have tests of their own."""
    monkeypatch.setattr(Health, "available", lambda *_: True)


def expected(seed: int) -> str | None:
    """The backend that answers: the first that begins; None: nobody does."""
    for name in NAMES:
        planned = plan(name, seed)
        if planned.status == 200 and not planned.garbage and begins(name, seed):
            return name
    return None


def begins(name: str, seed: int) -> bool:
    """Whether the first event comes whole."""
    planned = plan(name, seed)
    first = len(f"data: {json.dumps({'choices': [{'index': 0, 'delta': {'content': planned.tokens[0]}}]})}\n\n")
    return planned.cut is None or planned.cut >= first


class Schedule:
    """One request: who asks, how far it is read, and what came of it."""

    def __init__(self, seed: int) -> None:
        mine = random.Random(seed)  # noqa: S311 - no secret
        self.seed = seed
        self.tenant = mine.choice(TENANTS)
        self.leaves_after = mine.choice([None, None, None, 0, 1, 3])
        self.status = 0
        self.id = ""
        self.tokens: list[str] = []
        self.done = self.failed = self.left = False

    async def ask(self, client: httpx2.AsyncClient) -> None:
        body = {"model": "chat", "messages": MESSAGES, "stream": True, "seed": self.seed}
        async with client.stream("POST", CHAT, json=body, headers=signed_by(self.tenant)) as answer:
            self.status, self.id = answer.status_code, answer.headers["x-request-id"]
            if self.status != 200:
                return
            assert answer.headers["content-type"].startswith(EVENTS)
            events: Any = aiter(httpx2.EventSource(answer))
            async with aclosing(events):
                async for event in events:
                    if self.leaves_after is not None and len(self.tokens) >= self.leaves_after:
                        self.left = True
                        return
                    assert not self.done, "an event after the end"
                    assert not self.failed, "an event after the error"
                    self.read(event.data)

    def read(self, data: str) -> None:
        if data == "[DONE]":
            self.done = True
            return
        parsed = json.loads(data)
        self.failed = "error" in parsed
        self.tokens += [choice["delta"]["content"] for choice in parsed.get("choices", ())]

    def check(self, servers: FaultyBackends, book: Book) -> str:
        """Compare all three; returns what became of it."""
        winner = expected(self.seed)
        asked = servers.asked[self.seed]
        assert asked == list(NAMES[: len(asked)]), "in order, each once"
        if winner is None:
            assert self.status >= 400
            assert self.id not in book.charged
            assert asked == list(NAMES)
            return "nobody"
        assert (self.status, asked[-1]) == (200, winner)
        planned, sent = plan(winner, self.seed), servers.sent[winner, self.seed]
        tenant, amount = book.charged[self.id]
        assert tenant == self.tenant
        assert self.tokens == planned.tokens[: len(self.tokens)], "none lost, none doubled, nobody else's"
        if self.left:
            assert not self.done
            return "left"
        assert self.done is planned.whole
        assert self.failed is not planned.whole
        if planned.whole:
            assert self.tokens == sent == planned.tokens
            assert amount.tokens == 10 + len(planned.tokens), "as the backend says"
            return "whole"
        assert set(sent) <= set(self.tokens), "what was sent has come, and no more"
        assert amount.tokens > len(self.tokens)
        return "cut"


async def schedules(router: Routing) -> list[Schedule]:
    made = [Schedule(seed) for seed in range(SCHEDULES)]
    free = asyncio.Semaphore(AT_ONCE)

    async with httpx2.AsyncClient(base_url=router.url, timeout=GUARD_SECONDS) as client:

        async def one(schedule: Schedule) -> None:
            async with free:
                await schedule.ask(client)

        await asyncio.gather(*(one(each) for each in made))
    return made


async def test_books_backends_and_clients_agree_whatever_fails(tmp_path: Path) -> None:
    book = Book()
    async with faulty_backends() as servers:
        with routing(tmp_path, configuration(servers.url), book) as router:
            made = await schedules(router)
            async with asyncio.timeout(GUARD_SECONDS):
                while book.held:  # noqa: ASYNC110 - the router's threads close the books
                    await asyncio.sleep(0.01)
    found = Counter(each.check(servers, book) for each in made)
    assert len(book.charged) == SCHEDULES - found["nobody"]
    assert min(found.values()) > 50, found
    assert set(found) == {"nobody", "left", "whole", "cut"}
