"""A worker: asks for the records of one part and keeps their answers, in order.

It may end at any moment, and another one goes on behind the last piece: work since then is done again, at most a
minute of it. It saves pieces as it goes, hands on before its time is over, and stops within seconds once the batch is
cancelled or its window has ended.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Literal

from lambda_llm.batch.ask import Asker, Course
from lambda_llm.batch.errors import BatchFailedError
from lambda_llm.batch.lines import Raw, custom_id_of, not_answered, parse, split
from lambda_llm.batch.notes import KILLS, Notes
from lambda_llm.batch.pieces import Answer, Chain, Done, Tally
from lambda_llm.batch.plan import Part
from lambda_llm.batch.storage import Storage
from lambda_llm.batch_store import layout
from lambda_llm.batch_store.errors import StoreError
from lambda_llm.batch_store.records import Record

Step = Literal["done", "again"]

MARGIN_SECONDS: Final = 20.0
"""Before the end of an invocation, in which the last piece is written."""

SAVE_RECORDS: Final = 256
SAVE_BYTES: Final = 8 * 1024 * 1024
SAVE_SECONDS: Final = 60.0
"""Answers that are kept in memory, at most."""

STOP_SECONDS: Final = 10.0
"""Between two looks at whether the batch goes on."""

AHEAD: Final = 4
"""Records for each one that is asked for at once: one that takes long does not hold up the others."""

AHEAD_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True)
class Worker:
    """See the module.

    Attributes:
        storage: the store.
        record: of the batch.
        asker: of whoever answers.
        parallel: requests at once.
        clock: seconds since 1970.
        ended: told what has become of the records that an invocation has ended, at its end.
    """

    storage: Storage
    record: Record
    asker: Asker
    parallel: int
    clock: Callable[[], float] = time.time
    ended: Callable[[Tally], None] = lambda _: None

    async def work(self, part: Part, attempt: int, remaining: Callable[[], float]) -> Step:
        """Answer the records of a part that have no answer, as far as time allows.

        Args:
            part: of the batch.
            attempt: how many workers were lost just before this one.
            remaining: seconds that this invocation has left.

        Returns:
            `done`: the part has ended, or the batch has; `again`: there is more to do.

        Raises:
            BatchFailedError: nothing of the batch can be answered.
            StoreError: the store does not answer.
        """
        chain = Chain(self.storage, self.record.batch.id, part)
        run = _Run(self, part, chain, time.monotonic() + max(0.0, remaining() - MARGIN_SECONDS))
        try:
            while True:
                await asyncio.to_thread(chain.follow)
                if chain.whole:
                    break
                await run.require_going_on()
                with suppress(_BehindError):
                    await (run.carefully() if attempt else run.quickly())
                    if not chain.whole:
                        return "again"
            await asyncio.to_thread(chain.mark)
        except _StoppedError:
            pass
        finally:
            self.ended(chain.mine)
        return "done"

    @staticmethod
    def over(storage: Storage, record: Record, part: Part, clock: Callable[[], float] = time.time) -> bool:
        """Whether there is nothing to ask for: the part is whole, which is marked, or the batch does not go on.

        Args:
            storage: the store.
            record: of the batch.
            part: of it.
            clock: seconds since 1970.

        Raises:
            StoreError: the store does not answer.
        """
        chain = Chain(storage, record.batch.id, part)
        chain.follow()
        if chain.whole:
            chain.mark()
            return True
        return clock() >= record.batch.expires_at or storage.exists(layout.stop(record.batch.id))


class _StoppedError(Exception):
    """The batch does not go on."""


class _BehindError(Exception):
    """Another worker has answered what this one was at."""


@dataclass
class _Flight:
    """A record that is asked for."""

    raw: Raw
    began: float | None = None
    course: Course = field(default_factory=Course)
    task: "asyncio.Task[Answer] | None" = None


class _Run:
    """One invocation's work on a part."""

    def __init__(self, worker: Worker, part: Part, chain: Chain, cutoff: float) -> None:
        self._worker = worker
        self._part = part
        self._chain = chain
        self._cutoff = cutoff
        self._began = self._saved = self._looked = time.monotonic()
        self._done: list[Done] = []
        self._progress = False
        self._dollars = 0.0

    async def require_going_on(self) -> None:
        """Raise _StoppedError if the batch was cancelled, or its window has ended."""
        record = self._worker.record
        if self._worker.clock() >= record.batch.expires_at:
            raise _StoppedError
        if await asyncio.to_thread(self._worker.storage.exists, layout.stop(record.batch.id)):
            raise _StoppedError
        self._looked = time.monotonic()

    async def quickly(self) -> None:
        """Several records at once, until the part or the time ends."""
        flights: deque[_Flight] = deque()
        lines, self._dollars = self._lines(), self._chain.so_far.dollars
        number, ended = self._chain.next, False
        gate = asyncio.Semaphore(self._worker.parallel)
        self._done = []
        try:
            while True:
                while not ended and self._room(flights):
                    raw = await asyncio.to_thread(next, lines, None)
                    if raw is None:
                        ended = True
                    else:
                        flights.append(self._launched(raw, number, gate))
                        number += 1
                if not flights:
                    break
                if not await self._landed(flights[0]):
                    self._done += self._stuck(flights[0])
                    break
                self._done.append(_done(flights.popleft()))
                if len(self._done) >= SAVE_RECORDS or sum(len(each.line) for each in self._done) >= SAVE_BYTES:
                    await self._save()
            await self._save()
        except BatchFailedError:
            await self._save()
            raise
        finally:
            await _abandon(flights)

    async def carefully(self) -> None:
        """One record after the other, each noted before and saved after, as far as a lost worker may have come."""
        notes = Notes(self._worker.storage, self._worker.record.batch.id, self._part.part)
        lines, self._dollars = self._lines(), self._chain.so_far.dollars
        self._done = []
        for _ in range(SAVE_RECORDS + AHEAD * self._worker.parallel):
            raw = await asyncio.to_thread(next, lines, None)
            if raw is None or not await self._noted(notes, raw):
                break
        await asyncio.to_thread(notes.leave)

    async def _noted(self, notes: Notes, raw: Raw) -> bool:
        """Answer a record with a note; returns False when the time is over."""
        number = self._chain.next
        kills = await asyncio.to_thread(notes.kills, number)
        if kills >= KILLS:
            sentence = f"{kills} workers were lost while they had this request in hand: it was given up."
            self._done = [_given_up(raw, "worker_lost", sentence)]
            await self._save()
            return True
        await asyncio.to_thread(notes.take, number, kills)
        flight = self._launched(raw, number, asyncio.Semaphore(1))
        try:
            landed = await self._landed(flight)
            self._done = [_done(flight)] if landed else self._stuck(flight)
            await self._save()
        except (BatchFailedError, StoreError):
            # This worker is not lost: what ends it here is no fault of the record.
            with suppress(StoreError):
                await asyncio.to_thread(notes.take, number, kills - 1)
            raise
        finally:
            await _abandon([flight])
        return landed

    def _lines(self) -> Iterator[Raw]:
        """The records behind the end of the chain."""
        first = self._chain.next_byte
        blocks = self._worker.storage.blocks(self._worker.record.source, first, self._part.last)
        return (raw for raw in split(blocks, first) if not raw.blank)

    def _room(self, flights: deque[_Flight]) -> bool:
        held = sum(len(flight.raw.content) for flight in flights)
        return len(flights) < AHEAD * self._worker.parallel and (held < AHEAD_BYTES or not flights)

    def _launched(self, raw: Raw, number: int, gate: asyncio.Semaphore) -> _Flight:
        """Ask for a record, once there is a place."""
        flight = _Flight(raw)

        async def asked() -> Answer:
            async with gate:
                flight.began = time.monotonic()
                if self._spent():
                    sentence = "The part of max_dollars that this request could have had was spent before."
                    return Answer(not_answered(custom_id_of(raw.content), "max_dollars", sentence), answered=False)
                answer = await self._worker.asker.ask(
                    parse(raw.content), self._part.record + number, self._cutoff + MARGIN_SECONDS / 2, flight.course
                )
                self._dollars += answer.dollars
                return answer

        flight.task = asyncio.ensure_future(asked())
        return flight

    def _spent(self) -> bool:
        """Whether the part has cost what it may: what is asked for at that moment comes on top."""
        return self._part.dollars is not None and self._dollars >= self._part.dollars

    async def _landed(self, flight: _Flight) -> bool:
        """Wait for a record; returns False when the time is over."""
        task = flight.task
        while task is not None:
            now = time.monotonic()
            if now - self._looked >= STOP_SECONDS:
                try:
                    await self.require_going_on()
                except _StoppedError:
                    await self._save()
                    raise
            if task.done():
                return True
            if now >= self._cutoff:
                return False
            if self._done and now - self._saved >= SAVE_SECONDS:
                await self._save()
            await asyncio.wait([task], timeout=max(0.0, min(1.0, self._cutoff - now)))
        return False

    def _stuck(self, flight: _Flight) -> list[Done]:
        """The end of a record for which a whole invocation was not enough: the next one would not be either."""
        waited = flight.began is not None and not flight.course.patient
        if self._progress or self._done or not waited:
            return []
        seconds = time.monotonic() - self._began
        return [_given_up(flight.raw, "timeout", f"There was no answer within {seconds:.0f} s: ask for less.")]

    async def _save(self) -> None:
        """Add what was answered to the chain; raises _BehindError if another worker has done so."""
        self._saved = time.monotonic()
        done, self._done = self._done, []
        if not done:
            return
        mine = await asyncio.to_thread(self._chain.add, done)
        self._progress = True
        if not mine:
            raise _BehindError


def _done(flight: _Flight) -> Done:
    if flight.task is None:
        raise AssertionError(flight)
    return Done(**vars(flight.task.result()), next_byte=flight.raw.after)


def _given_up(raw: Raw, code: str, sentence: str) -> Done:
    return Done(not_answered(custom_id_of(raw.content), code, sentence), answered=False, next_byte=raw.after)


async def _abandon(flights: Iterable[_Flight]) -> None:
    """End what nobody waits for any more."""
    tasks = [flight.task for flight in flights if flight.task is not None and not flight.task.done()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
