"""The one thread that generates, and its bridge to the event loop, which it never blocks."""

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

from lambda_llm.engine.cancellation import Cancellation, CancelledError
from lambda_llm.engine.generate import FinishReason, Generation
from lambda_llm.engine.sampling import Scored
from lambda_llm.errors import LambdaLLMError

Result = TypeVar("Result")

logger = logging.getLogger(__name__)

_RETRY_MAX: Final = 60
"""Seconds; OpenAI's client obeys no longer `Retry-After`."""


class StoppingError(LambdaLLMError):
    """The server ends, and the answer with it."""


class QueueFullError(LambdaLLMError):
    """As many requests wait as may.

    Attributes:
        retry_after: in so many seconds there is likely to be room.
    """

    def __init__(self, waiting: int, retry_after: int) -> None:
        super().__init__(f"The queue is full (requests waiting: {waiting}): try again in {retry_after} s.")
        self.retry_after = retry_after


class Piece(NamedTuple):
    """Some text of an answer.

    Attributes:
        choice: the number of the answer, from 0.
        text: may be empty at the end.
        scored: the tokens of the text with their probabilities, where they were asked for.
        ended: whether the answer is whole.
    """

    choice: int
    text: str
    scored: Sequence[Scored] = ()
    ended: bool = False


@dataclass
class RequestCounts:
    """Answers since the start; `active` are the requests that wait or are being answered."""

    active: int = 0
    completed: int = 0
    cancelled: int = 0
    failed: int = 0
    generated_tokens: int = 0


class Worker:
    """Runs generations one after another; a request that is left is ended within one token.

    Attributes:
        counts: what was run so far.
        listeners: called with each generation that has ended.
    """

    def __init__(self, queue: int) -> None:
        """Make the thread.

        Args:
            queue: requests that may wait while another is answered.
        """
        self.counts = RequestCounts()
        self.listeners: list[Callable[[Generation], None]] = []
        self._queue = queue
        self._seconds = 1.0
        self._thread = ThreadPoolExecutor(1, "lambda-llm-decode")
        self._active: set[Cancellation] = set()

    @asynccontextmanager
    async def run(
        self, generations: Sequence[Generation], keep_alive_seconds: float | None = None
    ) -> AsyncIterator[AsyncIterator[Piece | None]]:
        """Start the answers to one request, one after the other; the context gives their pieces.

        Leaving the context early ends them.

        Args:
            generations: of one prompt or several, which share a `Cancellation`.
            keep_alive_seconds: give None whenever there is nothing else for so long.

        Raises:
            QueueFullError: at once; nothing was started.
            EngineError: from the pieces, where the engine failed.
            StoppingError: from the pieces, after `stop`.
        """
        self._check_room()
        running = _Run(generations)
        self.counts.active += 1
        self._active.add(running.cancellation)
        job = self._thread.submit(running.generate)
        running.done = asyncio.wrap_future(job)
        try:
            yield running.pieces(keep_alive_seconds)
        finally:
            running.cancellation.cancel()
            try:
                if job.cancel():  # it was still waiting for its turn, which may be minutes away
                    running.never_ran()
                else:
                    await running.settled()
                    self._seconds += (running.seconds - self._seconds) / 4  # of late
            finally:
                self._active.discard(running.cancellation)
                self.counts.active -= 1
                for generation in generations:
                    self._count(generation)

    async def compute(self, job: Callable[[Cancellation], Result]) -> Result:
        """Run something else than a generation in its turn; cancelling this ends it.

        Args:
            job: runs in the thread; its `Cancellation` tells it to end.

        Raises:
            QueueFullError: at once; nothing was started.
            StoppingError: after `stop`.
            Exception: whatever `job` raises.
        """
        self._check_room()
        cancellation = Cancellation()
        self.counts.active += 1
        self._active.add(cancellation)
        future = self._thread.submit(job, cancellation)
        done = asyncio.wrap_future(future)
        done.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # nobody may be left to hear it
        try:
            result = await asyncio.shield(done)
        except (asyncio.CancelledError, CancelledError) as error:
            cancellation.cancel()
            future.cancel()
            self.counts.cancelled += 1
            if isinstance(error, CancelledError):
                raise StoppingError("The server is stopping: ask again.") from error
            raise
        except Exception:
            self.counts.failed += 1
            raise
        finally:
            self._active.discard(cancellation)
            self.counts.active -= 1
        self.counts.completed += 1
        return result

    def _check_room(self) -> None:
        if self.counts.active > self._queue:
            retry = math.ceil(self._seconds * self.counts.active)
            raise QueueFullError(self._queue, min(max(retry, 1), _RETRY_MAX))

    def stop(self) -> None:
        """End every generation, the running one within one token, and tell whoever waits for its pieces."""
        for cancellation in self._active:
            cancellation.cancel()

    def close(self) -> None:
        """End every generation, and the thread."""
        self.stop()
        self._thread.shutdown(cancel_futures=True)

    def _count(self, generation: Generation) -> None:
        stats = generation.stats
        self.counts.generated_tokens += stats.completion_tokens
        if stats.finish_reason is FinishReason.CANCELLED:
            self.counts.cancelled += 1
        elif stats.finish_reason is None:
            self.counts.failed += 1
        else:
            self.counts.completed += 1
        for listener in self.listeners:
            listener(generation)
        logger.info(
            "generation ended: %s; prompt %d tokens, %d of them cached, answer %d; first token %.3f s, decode %.3f s",
            stats.finish_reason or "failed",
            stats.prompt_tokens,
            stats.cached_tokens,
            stats.completion_tokens,
            stats.seconds_to_first_token,
            stats.decode_seconds,
        )


class _Run:
    """The answers to one request on their way from the thread to the event loop.

    Attributes:
        cancellation: ends them.
        done: when the thread is through with them.
        seconds: that the thread took.
    """

    done: "asyncio.Future[None]"

    def __init__(self, generations: Sequence[Generation]) -> None:
        self.cancellation = generations[0].cancellation
        self.seconds = 0.0
        self._generations = generations
        self._loop = asyncio.get_running_loop()
        self._pieces: asyncio.Queue[Piece | None] = asyncio.Queue()

    def generate(self) -> None:
        """The thread's part."""
        began = time.monotonic()
        try:
            for number, generation in enumerate(self._generations):
                if self.cancellation.cancelled:  # left while it waited for its turn
                    generation.cancelled_while_waiting()
                    continue
                for text in generation:
                    self._put(Piece(number, text, generation.take_scored()))
                self._put(Piece(number, "", generation.take_scored(), ended=True))
        finally:
            self.seconds = time.monotonic() - began
            self._put(None)

    def _put(self, piece: Piece | None) -> None:
        self._loop.call_soon_threadsafe(self._pieces.put_nowait, piece)

    async def pieces(self, keep_alive_seconds: float | None) -> AsyncIterator[Piece | None]:
        """The event loop's part."""
        while True:
            try:
                async with asyncio.timeout(keep_alive_seconds):
                    piece = await self._pieces.get()
            except TimeoutError:
                yield None
                continue
            if piece is None:
                break
            yield piece
        await asyncio.shield(self.done)
        for generation in self._generations:
            if generation.remembered:
                await asyncio.to_thread(generation.settle)
        if any(generation.stats.finish_reason is FinishReason.CANCELLED for generation in self._generations):
            raise StoppingError("The server is stopping, so the answer ends here: ask again.")

    def never_ran(self) -> None:
        """They were left before their turn."""
        for generation in self._generations:
            generation.cancelled_while_waiting()

    async def settled(self) -> None:
        """Wait until the thread is out of the model, also while this task is being cancelled."""
        cancelled = False
        while not self.done.done():
            try:
                await asyncio.wait([self.done])
            except asyncio.CancelledError:
                cancelled = True
        if not self.done.cancelled():
            self.done.exception()  # raised to whoever read the pieces
        if cancelled:
            raise asyncio.CancelledError
