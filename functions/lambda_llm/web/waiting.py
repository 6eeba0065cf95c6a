"""Waiting for what a thread does, which no cancellation ends."""

import asyncio
from typing import Any


async def settled(work: "asyncio.Future[Any]") -> None:
    """Wait until work is done, even while this coroutine is being cancelled; what comes of it is the caller's to read.

    Raises:
        CancelledError: afterwards, if this was cancelled meanwhile.
    """
    cancelled = False
    while not work.done():
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError
