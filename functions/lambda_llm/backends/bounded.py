"""A backend that is given only so long for an answer, whatever the deadline of its request."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from lambda_llm.backends.contract import Backend, Chunk, Request


class Bounded:
    """See the module."""

    def __init__(self, backend: Backend, seconds: float) -> None:
        """Take the backend; nothing is sent.

        Args:
            backend: that answers.
            seconds: longest time for an answer, from when it is asked.
        """
        self._backend = backend
        self._seconds = seconds

    def unsupported(self, request: Request) -> str | None:
        """See `contract.Backend`."""
        return self._backend.unsupported(request)

    async def open(self, request: Request) -> AsyncGenerator[Chunk]:
        """See `contract.Backend`."""
        deadline = min(request.deadline, time.monotonic() + self._seconds)
        async with aclosing(self._backend.open(replace(request, deadline=deadline))) as chunks:
            async for chunk in chunks:
                yield chunk

    async def close(self) -> None:
        """See `contract.Backend`."""
        await self._backend.close()
