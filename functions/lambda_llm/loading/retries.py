"""The only place that retries."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import tenacity

from lambda_llm.errors import LoadError
from lambda_llm.loading.budget import Budget

ATTEMPTS: Final = 6
"""Attempts per request without progress; each piece that arrives resets the count."""

T = TypeVar("T")


class RetryError(Exception):
    """A retryable failure; carries the error to raise after the last attempt."""

    def __init__(self, explained: LoadError) -> None:
        super().__init__(str(explained))
        self.explained = explained


class Retries:
    """Calls a function until it succeeds, with jitter, at most `ATTEMPTS` times without progress.

    Attributes:
        total: failed attempts so far.
    """

    def __init__(self, budget: Budget) -> None:
        self.total = 0
        self._in_a_row = 0
        self._budget = budget

    def progressed(self) -> None:
        """Reset the count of attempts: the current one has delivered data."""
        self._in_a_row = 0

    def __call__(self, function: Callable[[], T]) -> T:
        """Call `function`, and again after a `RetryError`; everything else propagates.

        Raises:
            LoadError: the error that the last `RetryError` carried.
            OutOfTimeError, StoppedError: the budget expired or was stopped first.
        """

        def attempt() -> T:
            self._budget.check()
            try:
                return function()
            except LoadError:
                self._budget.check()  # the error of a connection that was cut is not the cause
                raise

        return tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(RetryError),
            stop=lambda _: self._in_a_row >= ATTEMPTS - 1 or self._budget.stopped.is_set(),
            wait=tenacity.wait_random_exponential(multiplier=0.1, max=5),
            sleep=tenacity.sleep_using_event(self._budget.stopped),
            before_sleep=self._count,
            retry_error_callback=self._give_up,
        )(attempt)

    def _count(self, _: tenacity.RetryCallState) -> None:
        self._in_a_row += 1
        self.total += 1

    def _give_up(self, state: tenacity.RetryCallState) -> Any:
        self._budget.check()
        error = state.outcome.exception() if state.outcome else None
        raise error.explained if isinstance(error, RetryError) else AssertionError from error
