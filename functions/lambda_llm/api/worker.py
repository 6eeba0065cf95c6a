"""The one thread that generates, and its bridge to the event loop, which it never blocks."""

import asyncio
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from lambda_llm.api.schema import Requests
from lambda_llm.engine.generate import FinishReason, Generation
from lambda_llm.errors import LambdaLLMError

if TYPE_CHECKING:
    from lambda_llm.engine.model import Cancellation

logger = logging.getLogger(__name__)


class StoppingError(LambdaLLMError):
    """The server ends, and the answer with it."""


class Worker:
    """Runs generations one after another; a request that is left is ended within one token.

    Attributes:
        counts: what was run so far.
    """

    def __init__(self) -> None:
        self.counts = Requests()
        self._thread = ThreadPoolExecutor(1, "lambda-llm-decode")
        self._active: set[Cancellation] = set()

    @asynccontextmanager
    async def run(self, generation: Generation) -> AsyncIterator[AsyncIterator[str]]:
        """Start a generation; the context gives its pieces. Leaving the context early ends the generation.

        Raises:
            EngineError: from the pieces, where the engine failed.
            StoppingError: from the pieces, after `stop`.
        """
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[str | None] = asyncio.Queue()

        def generate() -> None:
            try:
                if generation.cancellation.cancelled:  # left while it waited for its turn
                    generation.finish_reason = FinishReason.CANCELLED
                    return
                for piece in generation:
                    loop.call_soon_threadsafe(pieces.put_nowait, piece)
            finally:
                loop.call_soon_threadsafe(pieces.put_nowait, None)

        async def until_done() -> AsyncIterator[str]:
            while (piece := await pieces.get()) is not None:
                yield piece
            await asyncio.shield(running)
            await asyncio.to_thread(generation.settle)
            if generation.finish_reason is FinishReason.CANCELLED:
                raise StoppingError("The server is stopping, so the answer ends here: ask again.")

        self.counts.active += 1
        self._active.add(generation.cancellation)
        job = self._thread.submit(generate)
        running = asyncio.wrap_future(job)
        try:
            yield until_done()
        finally:
            generation.cancellation.cancel()
            try:
                if job.cancel():  # it was still waiting for its turn, which may be minutes away
                    generation.finish_reason = FinishReason.CANCELLED
                else:
                    await _settled(running)
            finally:
                self._active.discard(generation.cancellation)
                self._count(generation)

    def stop(self) -> None:
        """End every generation, the running one within one token, and tell whoever waits for its pieces."""
        for cancellation in self._active:
            cancellation.cancel()

    def close(self) -> None:
        """End every generation, and the thread."""
        self.stop()
        self._thread.shutdown(cancel_futures=True)

    def _count(self, generation: Generation) -> None:
        self.counts.active -= 1
        self.counts.generated_tokens += generation.completion_tokens
        if generation.finish_reason is FinishReason.CANCELLED:
            self.counts.cancelled += 1
        elif generation.finish_reason is None:
            self.counts.failed += 1
        else:
            self.counts.completed += 1
        logger.info(
            "generation ended: %s; prompt %d tokens, %d of them cached, answer %d; first token %.3f s, decode %.3f s",
            generation.finish_reason or "failed",
            len(generation.prompt),
            generation.cached_tokens,
            generation.completion_tokens,
            generation.seconds_to_first_token,
            generation.decode_seconds,
        )


async def _settled(running: "asyncio.Future[None]") -> None:
    """Wait until the thread is out of the model, also while this task is being cancelled."""
    cancelled = False
    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError:
            cancelled = True
    if not running.cancelled():
        running.exception()  # raised to whoever read the pieces
    if cancelled:
        raise asyncio.CancelledError
