"""The one place that tries again."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import tenacity

from lambda_llm.errors import LoadError
from lambda_llm.loading.budget import Budget

ATTEMPTS: Final = 6
"""How often one request is tried without getting on; each piece that arrives starts the count anew."""

T = TypeVar("T")


class RetryError(Exception):
    """Worth another try; carries what to say when there is none left."""

    def __init__(self, explained: LoadError) -> None:
        super().__init__(str(explained))
        self.explained = explained


class Retries:
    """Calls a function until it succeeds, with jitter, at most `ATTEMPTS` times without progress.

    Attributes:
        total: tries that failed so far.
    """

    def __init__(self, budget: Budget) -> None:
        self.total = 0
        self._in_a_row = 0
        self._budget = budget

    def got_on(self) -> None:
        """Tell that the present try has brought something."""
        self._in_a_row = 0

    def __call__(self, function: Callable[[], T]) -> T:
        """Call `function`; its `RetryError` is tried again, everything else passes through.

        Raises:
            LoadError: what the last `RetryError` carried.
            OutOfTimeError, StoppedError: the budget ended first.
        """

        def one_try() -> T:
            self._budget.check()
            try:
                return function()
            except LoadError:
                self._budget.check()  # what a connection says that was cut is no cause
                raise

        return tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(RetryError),
            stop=lambda _: self._in_a_row >= ATTEMPTS - 1 or self._budget.stopped.is_set(),
            wait=tenacity.wait_random_exponential(multiplier=0.1, max=5),
            sleep=tenacity.sleep_using_event(self._budget.stopped),
            before_sleep=self._count,
            retry_error_callback=self._give_up,
        )(one_try)

    def _count(self, _: tenacity.RetryCallState) -> None:
        self._in_a_row += 1
        self.total += 1

    def _give_up(self, state: tenacity.RetryCallState) -> Any:
        self._budget.check()
        error = state.outcome.exception() if state.outcome else None
        raise error.explained if isinstance(error, RetryError) else AssertionError from error
