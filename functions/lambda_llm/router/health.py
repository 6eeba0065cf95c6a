"""What one environment has seen of a backend: a circuit breaker, and how long its answers took.

Pure: a state and what happened give the next state. Each environment has its own, as asking a table for each request
would take longer than what it prevents.
"""

from dataclasses import dataclass, replace
from typing import Final

from lambda_llm.backends.errors import Kind

FAILURES_MAX: Final = 5
"""Failures in a row after which a backend is left alone."""

PAUSE_SECONDS: Final = 10.0
"""How long at first; twice as long each time that it then fails again."""

PAUSE_SECONDS_MAX: Final = 300.0
"""Longest pause, whatever a `Retry-After` says: a backend is then asked once."""

_NO_FAILURES: Final = frozenset({Kind.INVALID, Kind.UNSUPPORTED, Kind.TOO_LONG, Kind.BLOCKED})
"""What a request is to blame for, not the backend."""

_WEIGHT: Final = 0.2
"""Of the latest in a moving average."""


@dataclass(frozen=True)
class Health:
    """A backend as this environment knows it.

    Attributes:
        failures: in a row.
        closed_until: no request until then, by the clock that `now` is of.
        pause: length of the last pause, in seconds.
        probing: one request is out that decides whether the pause goes on.
        first_chunk: moving average of seconds until the first chunk; None: there was none.
        busy: requests that are being answered.
        utilization: of the backend, as the last measurement of all environments says; None: there is none.
    """

    failures: int = 0
    closed_until: float = 0.0
    pause: float = 0.0
    probing: bool = False
    first_chunk: float | None = None
    busy: int = 0
    utilization: float | None = None

    def available(self, now: float) -> bool:
        """Whether a request may be sent."""
        return now >= self.closed_until and not (self.pause and self.probing)

    def wait(self, now: float) -> float:
        """Seconds until a request may be sent; zero: now."""
        return max(0.0, self.closed_until - now)

    def sent(self) -> "Health":
        """After a request was sent: during a pause that has run out, the one that decides."""
        return replace(self, busy=self.busy + 1, probing=self.probing or self.pause > 0)

    def answered(self, first_chunk: float) -> "Health":
        """After a whole answer.

        Args:
            first_chunk: seconds until its first chunk.
        """
        average = first_chunk if self.first_chunk is None else self.first_chunk
        average += _WEIGHT * (first_chunk - average)
        return Health(first_chunk=average, busy=max(0, self.busy - 1), utilization=self.utilization)

    def left(self) -> "Health":
        """After a client left: nothing is known of the backend."""
        return replace(self, busy=max(0, self.busy - 1), probing=False)

    def failed(self, kind: Kind, retry_after: float | None, now: float) -> "Health":
        """After a failure.

        Args:
            kind: of it.
            retry_after: seconds that the backend asked for.
            now: time.
        """
        rest = replace(self, busy=max(0, self.busy - 1), probing=False)
        if kind in _NO_FAILURES:
            return rest
        failures = self.failures + 1
        if retry_after is not None:
            pause = retry_after
        elif kind is Kind.WAKING or self.probing or failures >= FAILURES_MAX:
            pause = 2 * self.pause if self.pause else PAUSE_SECONDS
        else:
            return replace(rest, failures=failures)
        pause = min(pause, PAUSE_SECONDS_MAX)
        return replace(rest, failures=failures, pause=pause, closed_until=max(self.closed_until, now + pause))
