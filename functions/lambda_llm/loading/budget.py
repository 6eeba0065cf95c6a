"""How long a load may take, and the one signal that ends all of its parts."""

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
    """Another part of the same load failed; that part's error is the one to show."""


class Budget:
    """A context manager that runs out after some seconds, and that any part may stop for all.

    Waiting happens on `stopped`, so that nobody sleeps past the end.
    """

    def __init__(self, seconds: float, address: str) -> None:
        """Nothing runs before `with`.

        Args:
            seconds: how long the load may take.
            address: of what is loaded, for the error.
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
        """Seconds until the end, which may be over."""
        return self._end - time.monotonic()

    def check(self) -> None:
        """Return at once while there is time.

        Raises:
            OutOfTimeError: the seconds are over.
            StoppedError: another part has stopped the load.
        """
        if not self.stopped.is_set():
            return
        if self._expired:
            raise OutOfTimeError(
                f"{self._address} was not in memory after {self.seconds:g} s, the time budget: raise "
                "LAMBDA_LLM_LOAD_SECONDS, use a smaller model, or bring the bucket nearer."
            )
        raise StoppedError("The load was stopped.")

    def at_stop(self, call: Callable[[], None]) -> None:
        """Have `call` called, from whatever thread and maybe twice, when the load is stopped or its time is over."""
        self._at_stop.append(call)
        if self.stopped.is_set():
            call()

    def stop(self) -> None:
        """End every part of the load."""
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
