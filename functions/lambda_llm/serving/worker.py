"""The decode thread, and its bridge to the event loop, which it never blocks."""

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
"""Seconds; OpenAI's client ignores a longer `Retry-After`."""


class StoppingError(LambdaLLMError):
    """The server stopped before the response was complete."""


class QueueFullError(LambdaLLMError):
    """The maximum number of requests is waiting.

    Attributes:
        retry_after: estimated seconds until there is room.
    """

    def __init__(self, waiting: int, retry_after: int) -> None:
        super().__init__(f"The queue is full (requests waiting: {waiting}): try again in {retry_after} s.")
        self.retry_after = retry_after


class Piece(NamedTuple):
    """A piece of a generation's text.

    Attributes:
        choice: index of the generation.
        text: may be empty in the last piece.
        scored: its tokens with log probabilities, if they were requested.
        ended: whether this is the generation's last piece.
    """

    choice: int
    text: str
    scored: Sequence[Scored] = ()
    ended: bool = False


@dataclass
class RequestCounts:
    """Generations since the start, by outcome; `active` counts requests that wait or run."""

    active: int = 0
    completed: int = 0
    cancelled: int = 0
    failed: int = 0
    generated_tokens: int = 0


class Worker:
    """Runs generations one after another; one whose client disconnects ends within one token.

    Attributes:
        counts: what was run so far.
        listeners: called with each generation that has ended.
    """

    def __init__(self, queue: int) -> None:
        """Create the thread.

        Args:
            queue: requests that may wait while another runs.
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
        """Queue the generations of one request, which run one after the other; the context yields their pieces.

        Leaving the context early cancels them.

        Args:
            generations: at least one; all share one `Cancellation`.
            keep_alive_seconds: yield None whenever there was no piece for this long.

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
                if job.cancel():  # it was still in the queue, perhaps for minutes to come
                    running.never_ran()
                else:
                    await running.settled()
                    self._seconds += (running.seconds - self._seconds) / 4  # moving average
            finally:
                self._active.discard(running.cancellation)
                self.counts.active -= 1
                for generation in generations:
                    self._count(generation)

    async def compute(self, job: Callable[[Cancellation], Result]) -> Result:
        """Queue another job than a generation and return its result; cancelling this coroutine cancels the job.

        Args:
            job: runs on the thread; must end when its `Cancellation` is called.

        Raises:
            QueueFullError: at once; nothing was started.
            StoppingError: after `stop`.
            Exception: any that `job` raises.
        """
        self._check_room()
        cancellation = Cancellation()
        self.counts.active += 1
        self._active.add(cancellation)
        future = self._thread.submit(job, cancellation)
        done = asyncio.wrap_future(future)
        done.add_done_callback(
            lambda ended: ended.cancelled() or ended.exception()
        )  # retrieved, even if nobody awaits it
        try:
            result = await asyncio.shield(done)
        except (asyncio.CancelledError, CancelledError) as error:
            cancellation.cancel()
            future.cancel()
            self.counts.cancelled += 1
            if isinstance(error, CancelledError):
                raise StoppingError("The server is stopping: send the request again.") from error
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
        """Cancel every request, the running one within one token; their pieces raise `StoppingError`."""
        for cancellation in self._active:
            cancellation.cancel()

    def close(self) -> None:
        """Cancel every request and end the thread."""
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
            "generation ended: %s; prompt %d tokens (%d cached), completion %d; first token %.3f s, decode %.3f s",
            stats.finish_reason or "failed",
            stats.prompt_tokens,
            stats.cached_tokens,
            stats.completion_tokens,
            stats.seconds_to_first_token,
            stats.decode_seconds,
        )


class _Run:
    """The generations of one request, between the thread and the event loop.

    Attributes:
        cancellation: ends them.
        done: completes when the thread has finished them.
        seconds: that the thread spent on them.
    """

    done: "asyncio.Future[None]"

    def __init__(self, generations: Sequence[Generation]) -> None:
        self.cancellation = generations[0].cancellation
        self.seconds = 0.0
        self._generations = generations
        self._loop = asyncio.get_running_loop()
        self._pieces: asyncio.Queue[Piece | None] = asyncio.Queue()

    def generate(self) -> None:
        """Run them; the part on the thread."""
        began = time.monotonic()
        try:
            for number, generation in enumerate(self._generations):
                if self.cancellation.cancelled:  # while it was in the queue
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
        """Their pieces; the part on the event loop."""
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
            raise StoppingError("The server is stopping, so the response is incomplete: send the request again.")

    def never_ran(self) -> None:
        """Record that they were cancelled in the queue."""
        for generation in self._generations:
            generation.cancelled_while_waiting()

    async def settled(self) -> None:
        """Wait until the thread has left the engine, even while this task is being cancelled."""
        cancelled = False
        while not self.done.done():
            try:
                await asyncio.wait([self.done])
            except asyncio.CancelledError:
                cancelled = True
        if not self.done.cancelled():
            self.done.exception()  # retrieved; `pieces` raises it
        if cancelled:
            raise asyncio.CancelledError
