"""Sections in which a Ctrl-C would leak a resource."""

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager


@contextmanager
def uninterrupted() -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """Defer signals to this thread until the context ends; threads started inside never receive any.

    Yields a context manager for what may be interrupted all the same: waiting.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())

    @contextmanager
    def interruptible() -> Iterator[None]:
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)  # raises what was deferred
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())

    try:
        yield interruptible
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
