"""Moments in which a Ctrl-C would leave something behind that nobody knows of any more."""

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager


@contextmanager
def uninterrupted() -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """Put signals to this thread off to the end of the context; threads that are started inside never get any.

    Gives a context manager for what may be interrupted all the same, which is whatever waits.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())

    @contextmanager
    def interruptible() -> Iterator[None]:
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)  # raises what has been put off
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())

    try:
        yield interruptible
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
