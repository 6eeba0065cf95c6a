"""The time budget of a load, and the one signal that stops all of its threads."""

import math
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from lambda_llm.errors import LoadError
from lambda_llm.loading.errors import OutOfTimeError
from lambda_llm.loading.interrupts import uninterrupted


class StoppedError(LoadError):
    """Another thread of the same load failed first; its error is the one to report."""


class Budget:
    """A context manager that expires after some seconds, and that any thread of the load may stop for all.

    Threads sleep on `stopped`, so that none sleeps past the deadline.
    """

    def __init__(self, seconds: float, address: str) -> None:
        """The clock starts at `with`.

        Args:
            seconds: how long the load may take.
            address: of the object, for the error.
        """
        self.seconds = seconds
        self.stopped = threading.Event()
        self._address = address
        self._expired = False
        self._end = math.inf
        self._at_stop: list[Callable[[], None]] = []
        self._timer = threading.Timer(min(seconds, threading.TIMEOUT_MAX), self._expire)
        self._timer.daemon = True

    @property
    def left(self) -> float:
        """Seconds until the deadline; negative once it is past."""
        return self._end - time.monotonic()

    def check(self) -> None:
        """Return while there is time left.

        Raises:
            OutOfTimeError: the budget has expired.
            StoppedError: another thread has stopped the load.
        """
        if not self.stopped.is_set():
            return
        if self._expired:
            raise OutOfTimeError(
                f"{self._address} was not loaded within {self.seconds:g} s, its time budget: raise "
                "LAMBDA_LLM_LOAD_SECONDS, use a smaller model, or a bucket in the region of the function."
            )
        raise StoppedError("The load was stopped.")

    def at_stop(self, call: Callable[[], None]) -> None:
        """Register `call` for when the load stops or expires; it may run on any thread, and twice."""
        self._at_stop.append(call)
        if self.stopped.is_set():
            call()

    def stop(self) -> None:
        """Stop every thread of the load."""
        self.stopped.set()
        for call in self._at_stop:
            call()

    def _expire(self) -> None:
        self._expired = not self.stopped.is_set()
        self.stop()

    def __enter__(self) -> Self:
        self._end = time.monotonic() + self.seconds
        try:
            with uninterrupted():
                self._timer.start()
        except BaseException:
            self._timer.cancel()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with uninterrupted():
            self._timer.cancel()
            self._timer.join()
