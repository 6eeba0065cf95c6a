"""Backends that do what they are told, by the contract of real ones."""

import asyncio
from collections.abc import AsyncGenerator, Callable

from lambda_llm.backends.contract import Chunk, Request, Usage
from lambda_llm.backends.errors import BackendError, Kind


class Scripted:
    """A backend that does what it is told.

    Attributes:
        chunks: that it answers with.
        failure: after them.
        says_usage: whether the chunks have it.
        said: data of the chunk of a number.
        refuses: field that it can't honour.
        yielded: chunks that were taken from it, by the request's id.
        sent: bodies that it got, likewise.
        closed: ids of requests whose answer was closed, however it ended.
        begun: whether it was asked at all.
        deadlines: of the requests that it got, in order.
        may_answer: what it waits for before its first chunk or failure.
        turns: of the event loop that it takes until then.
    """

    def __init__(self, name: str, chunks: int = 3, failure: BackendError | None = None) -> None:
        self.name = name
        self.chunks = chunks
        self.failure = failure
        self.says_usage = True
        self.said: Callable[[int], str] = lambda number: f"{name}{number}"
        self.refuses: str | None = None
        self.yielded: dict[str, list[bytes]] = {}
        self.sent: dict[str, dict[str, object]] = {}
        self.closed: list[str] = []
        self.begun = asyncio.Event()
        self.deadlines: list[float] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.turns = 0

    def unsupported(self, request: Request) -> str | None:
        return self.refuses if self.refuses in request.body else None

    async def open(self, request: Request) -> AsyncGenerator[Chunk]:
        taken = self.yielded.setdefault(request.id, [])
        self.sent[request.id] = dict(request.body)
        self.begun.set()
        self.deadlines.append(request.deadline)
        try:
            await self.may_answer.wait()
            for _ in range(self.turns):
                await asyncio.sleep(0)
            for number in range(self.chunks):
                await asyncio.sleep(0)
                taken.append(self.said(number).encode())
                yield Chunk(taken[-1], usage=Usage(10, number) if self.says_usage else None)
            if self.failure is not None:
                raise self.failure
        finally:
            self.closed.append(request.id)

    async def close(self) -> None:
        self.closed.append("all")


def failure(kind: Kind, retry_after: float | None = None) -> BackendError:
    return BackendError(kind, f"It is {kind}.", retry_after=retry_after)
