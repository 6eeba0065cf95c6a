"""The decode thread and the planning threads, and their bridge to the event loop, which they never block."""

import asyncio
import contextvars
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, NamedTuple, TypeVar

from lambda_llm.engine.cancellation import Cancellation, CancelledError
from lambda_llm.engine.generate import FinishReason, Generation
from lambda_llm.engine.sampling import Scored
from lambda_llm.errors import LambdaLLMError
from lambda_llm.web.waiting import settled

Result = TypeVar("Result")

logger = logging.getLogger(__name__)

_RETRY_MAX: Final = 60
"""Seconds; OpenAI's client ignores a longer `Retry-After`."""


STUCK_SECONDS: Final = 10.0
"""How long the decode thread may take to leave a request that was cancelled: it does so between two operations of
llama.cpp, which take milliseconds."""

PLANNERS: Final = 2
"""Threads that render, tokenize and compile schemas, besides the decode thread."""


class StoppingError(LambdaLLMError):
    """The server stopped before the response was complete."""

    def __init__(self) -> None:
        super().__init__("The server is stopping, so the response is incomplete: send the request again.")


class DeadlineError(LambdaLLMError):
    """The time for a request was over before there was anything of an answer."""

    def __init__(self) -> None:
        super().__init__(
            "There was not enough time for the first token of an answer: send a shorter prompt, or try again, as what "
            "was evaluated is kept for a while; a longer time-out of the function gives more time."
        )


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
        tokens: how many the generation had when this was yielded.
        seconds: from its first token until then.
        guessed: tokens that were guessed until then.
        accepted: those of them that were chosen.
    """

    choice: int
    text: str
    scored: Sequence[Scored] = ()
    ended: bool = False
    tokens: int = 0
    seconds: float = 0.0
    guessed: int = 0
    accepted: int = 0

    @property
    def counts(self) -> tuple[int, float, int, int]:
        """Tokens, seconds, and how many were guessed and accepted."""
        return self.tokens, self.seconds, self.guessed, self.accepted


@dataclass
class RequestCounts:
    """Generations since the start, by outcome.

    Attributes:
        active: requests that wait or run now.
        planning: those of them that are not in the queue yet.
    """

    active: int = 0
    planning: int = 0
    completed: int = 0
    cancelled: int = 0
    failed: int = 0
    generated_tokens: int = 0


class Worker:
    """Runs generations one after another; one whose client disconnects ends within one token.

    Attributes:
        counts: what was run so far.
        listeners: called with each generation that has ended.
        token_listeners: called with the number of tokens that an encoder was given, once it has its result.
    """

    def __init__(self, queue: int) -> None:
        """Create the threads.

        Args:
            queue: requests that may wait while another runs.
        """
        self.counts = RequestCounts()
        self.listeners: list[Callable[[Generation], None]] = []
        self.token_listeners: list[Callable[[int], None]] = []
        self._queue = queue
        self._seconds = 1.0
        self._thread = ThreadPoolExecutor(1, "lambda-llm-decode")
        self._planners = ThreadPoolExecutor(PLANNERS, "lambda-llm-plan")
        self._active: set[Cancellation] = set()
        self._running: Cancellation | None = None
        self._closed = False

    @property
    def state(self) -> Literal["idle", "busy", "stuck"]:
        """What the decode thread does; stuck: it has not left a cancelled request for `STUCK_SECONDS`."""
        running = self._running
        if running is None:
            return "idle"
        ended = running.ended_at
        return "busy" if ended is None or time.monotonic() - ended < STUCK_SECONDS else "stuck"

    async def plan(self, job: Callable[[], Result], cancellation: Cancellation | None = None) -> Result:
        """Prepare a request on a planning thread: it counts as a request that waits until the thread has ended.

        Args:
            job: bounded by itself, or ended by `cancellation`.
            cancellation: of the request; cancelling this coroutine calls it.

        Raises:
            QueueFullError: at once; nothing was started.
            StoppingError: after `stop`.
            DeadlineError: the deadline came first.
            Exception: any that `job` raises.
        """
        self._check_room()
        cancellation = cancellation or Cancellation()
        done = self._submit(self._planners, job, cancellation).done
        self.counts.planning += 1
        done.add_done_callback(lambda _: self._planned())
        try:
            return await asyncio.shield(done)
        except (asyncio.CancelledError, CancelledError) as error:
            if cancellation.expired:
                raise DeadlineError from error
            if isinstance(error, CancelledError):
                raise StoppingError from error
            cancellation.cancel()
            raise

    @asynccontextmanager
    async def run(
        self, generations: Sequence[Generation], keep_alive_seconds: float | None = None
    ) -> AsyncIterator[AsyncIterator[Piece | None]]:
        """Queue the generations of one request, which run one after the other; the context yields their pieces.

        Leaving the context early cancels them. The place in the queue is free as soon as the last one has ended,
        however long a client takes to read.

        Args:
            generations: at least one; all share one `Cancellation`.
            keep_alive_seconds: yield None whenever there was no piece for this long.

        Raises:
            QueueFullError: at once; nothing was started.
            EngineError: from the pieces, where the engine failed.
            StoppingError: from the pieces, after `stop`.
            DeadlineError: from the pieces, where the deadline came before the first token.
        """
        self._check_room()
        running = _Run(generations)
        cancellation = running.cancellation
        job = running.job = self._submit(self._thread, self._computing(running.generate, cancellation), cancellation)
        job.done.add_done_callback(lambda _: self._ended(running))
        try:
            yield running.pieces(keep_alive_seconds)
        finally:
            cancellation.cancel()
            job.future.cancel()  # if it is still in the queue, perhaps for minutes to come
            await settled(job.done)

    async def compute(self, task: Callable[[Cancellation], Result], deadline: float | None = None) -> Result:
        """Queue another task than a generation and return its result; cancelling this coroutine cancels the task.

        Args:
            task: runs on the thread; must end when its `Cancellation` is called.
            deadline: when it is called, as `time.monotonic` tells it; None: never.

        Raises:
            QueueFullError: at once; nothing was started.
            StoppingError: after `stop`.
            DeadlineError: the deadline came first.
            Exception: any that `task` raises.
        """
        self._check_room()
        cancellation = Cancellation(deadline)
        job = self._submit(self._thread, self._computing(lambda: task(cancellation), cancellation), cancellation)
        try:
            result = await asyncio.shield(job.done)
        except (asyncio.CancelledError, CancelledError) as error:
            self.counts.cancelled += 1
            if cancellation.expired:
                raise DeadlineError from error
            if isinstance(error, CancelledError):
                raise StoppingError from error
            cancellation.cancel()
            job.future.cancel()
            raise
        except Exception:
            self.counts.failed += 1
            raise
        self.counts.completed += 1
        return result

    def _check_room(self) -> None:
        if self._closed:
            raise StoppingError
        if self.counts.active > self._queue:
            retry = math.ceil(self._seconds * self.counts.active)
            raise QueueFullError(self._queue, min(max(retry, 1), _RETRY_MAX))

    def _submit(
        self, pool: ThreadPoolExecutor, task: Callable[[], Result], cancellation: Cancellation
    ) -> "_Job[Result]":
        """Give a task to a thread; its request is active until the thread has ended with it."""
        # What is logged on the thread is of the same request.
        future = pool.submit(contextvars.copy_context().run, task)
        job = _Job(future, asyncio.wrap_future(future))
        self.counts.active += 1
        self._active.add(cancellation)
        timer: asyncio.TimerHandle | None = None
        if cancellation.deadline is not None:
            left = cancellation.deadline - time.monotonic()
            timer = asyncio.get_running_loop().call_later(max(0, left), _expire, cancellation, future)

        def ended(done: "asyncio.Future[Result]") -> None:
            self.counts.active -= 1
            self._active.discard(cancellation)
            if timer:
                timer.cancel()
            if not done.cancelled():
                done.exception()  # retrieved, even if nobody awaits it

        job.done.add_done_callback(ended)
        return job

    def _computing(self, task: Callable[[], Result], cancellation: Cancellation) -> Callable[[], Result]:
        """A task that the decode thread is seen to be busy with."""

        def run() -> Result:
            self._running = cancellation
            try:
                return task()
            finally:
                self._running = None

        return run

    def _planned(self) -> None:
        self.counts.planning -= 1

    def _ended(self, running: "_Run") -> None:
        """Count the generations of a request, of which the thread has left the last one."""
        running.end()
        if running.seconds:
            self._seconds += (running.seconds - self._seconds) / 4  # moving average
        for generation in running.generations:
            self._count(generation)

    def stop(self) -> None:
        """Cancel every request, the running one within one token; their pieces raise `StoppingError`."""
        for cancellation in self._active:
            cancellation.cancel()

    def close(self) -> None:
        """Cancel every request and end the threads."""
        self._closed = True
        self.stop()
        for pool in (self._thread, self._planners):
            pool.shutdown(cancel_futures=True)

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
            "generation ended: %s; prompt %d tokens (%d cached), completion %d (guessed %d, %d of them right); "
            "first token %.3f s, decode %.3f s",
            stats.finish_reason or "failed",
            stats.prompt_tokens,
            stats.cached_tokens,
            stats.completion_tokens,
            stats.guessed_tokens,
            stats.accepted_tokens,
            stats.seconds_to_first_token,
            stats.decode_seconds,
        )


@dataclass(frozen=True)
class _Job(Generic[Result]):
    """A task on a thread.

    Attributes:
        future: cancelling it has an effect as long as the task waits.
        done: completes when the thread has ended with it. Never cancelled itself: that would only end the wait.
    """

    future: "Future[Result]"
    done: "asyncio.Future[Result]"


def _expire(cancellation: Cancellation, future: "Future[Any]") -> None:
    cancellation.expire()
    future.cancel()


class _Run:
    """The generations of one request, between the thread and the event loop.

    Attributes:
        generations: at least one.
        cancellation: ends them.
        job: the thread's.
        seconds: that the thread spent on them.
    """

    job: _Job[None]

    def __init__(self, generations: Sequence[Generation]) -> None:
        self.generations = generations
        self.cancellation = generations[0].cancellation
        self.seconds = 0.0
        self._queued = time.monotonic()
        self._loop = asyncio.get_running_loop()
        self._pieces: asyncio.Queue[Piece | None] = asyncio.Queue()

    def generate(self) -> None:
        """Run them; the part on the thread."""
        began = time.monotonic()
        self.generations[0].stats.queued_seconds = began - self._queued
        try:
            for number, generation in enumerate(self.generations):
                if self.cancellation.cancelled:
                    # At the deadline, choices that were not reached are empty ones, as long as there is another.
                    generation.skip(
                        FinishReason.LENGTH if number and self.cancellation.expired else FinishReason.CANCELLED
                    )
                else:
                    for text in generation:
                        self._put(self._piece(number, text, generation))
                self._put(self._piece(number, "", generation, ended=True))
        finally:
            self.seconds = time.monotonic() - began

    @staticmethod
    def _piece(number: int, text: str, generation: Generation, *, ended: bool = False) -> Piece:
        stats = generation.stats
        counts = stats.completion_tokens, stats.decode_seconds, stats.guessed_tokens, stats.accepted_tokens
        return Piece(number, text, generation.take_scored(), ended, *counts)

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
        if not self.job.done.cancelled():
            self.job.done.result()
        for generation in self.generations:
            if generation.remembered:
                await asyncio.to_thread(generation.settle)
        if any(generation.stats.finish_reason is FinishReason.CANCELLED for generation in self.generations):
            raise DeadlineError if self.cancellation.expired else StoppingError

    def end(self) -> None:
        """End the pieces; called once the thread has ended, or if the generations never left the queue."""
        if self.job.done.cancelled():
            for generation in self.generations:
                generation.skip()
        self._pieces.put_nowait(None)
