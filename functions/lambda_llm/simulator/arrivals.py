"""When requests arrive: evenly at random, in bursts, or by the time of day.

All are Poisson processes whose rate changes in steps. Arrivals of rate 1 are drawn, and the time at which the expected
number of requests reaches them is when they arrive. Source: E. Çinlar, Introduction to Stochastic Processes (1975),
section 4.7; https://en.wikipedia.org/wiki/Poisson_point_process#Inhomogeneous_Poisson_point_process
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from lambda_llm.simulator.errors import SimulatorError, check

Floats = NDArray[np.float64]

CHUNK: Final = 1 << 17
"""Arrivals that are drawn at once: memory does not depend on how many there are."""

MOST_REQUESTS: Final = 10_000_000_000
"""More would be simulated for hours."""

HOUR: Final = 3600.0
DAY: Final = 24 * HOUR

_SEGMENTS: Final = 4096

_MOST_SECONDS: Final = 10 * 365 * DAY
_MOST_BURSTS: Final = 5_000_000


class Arrivals(Protocol):
    """When requests arrive."""

    @property
    def seconds(self) -> float:
        """How long the time is in which they arrive."""

    @property
    def expected(self) -> float:
        """How many are expected."""

    def times(self, rng: np.random.Generator) -> Iterator[Floats]:
        """The times of arrival in seconds, ascending, in pieces; none of them is `seconds` or later."""


def checked(arrivals: Arrivals) -> None:
    """Refuse what could never be simulated.

    Raises:
        SimulatorError: too many requests.
    """
    if arrivals.expected > MOST_REQUESTS:
        raise SimulatorError(
            f"{arrivals.expected:,.3g} requests would take days: simulate fewer hours, so that there are at most "
            f"{MOST_REQUESTS:,}."
        )


def _arriving(segments: Iterator[tuple[Floats, Floats]], seconds: float, rng: np.random.Generator) -> Iterator[Floats]:
    """Arrivals by a rate that is constant in each segment.

    Args:
        segments: blocks of durations in seconds and of rates in requests a second, without end.
        seconds: until when.
        rng: of the arrivals.
    """
    ends, levels = [np.zeros(1)], [np.zeros(1)]
    reached = 0.0
    while True:
        wanted = reached + np.cumsum(rng.standard_exponential(CHUNK))
        reached = float(wanted[-1])
        while levels[-1][-1] < reached and ends[-1][-1] < seconds:
            durations, rates = next(segments)
            ends.append(ends[-1][-1] + np.cumsum(durations))
            levels.append(levels[-1][-1] + np.cumsum(durations * rates))
        time, level = np.concatenate(ends), np.concatenate(levels)
        times = np.interp(wanted, level, time, right=np.inf)
        times = times[times < seconds]
        if times.size:
            yield times
        if times.size < CHUNK:
            return
        past = int(np.searchsorted(level, reached, side="right")) - 1
        ends, levels = [time[past:]], [level[past:]]


@dataclass(frozen=True)
class Poisson:
    """Requests that know nothing of each other, at a constant rate.

    Attributes:
        rate: requests a second.
        seconds: for how long.

    Raises:
        SimulatorError: a number is not above zero.
    """

    rate: float
    seconds: float

    def __post_init__(self) -> None:
        check("The rate of requests", self.rate, above=True)
        check("The simulated time in seconds", self.seconds, above=True, most=_MOST_SECONDS)

    @property
    def expected(self) -> float:
        """How many requests are expected."""
        return self.rate * self.seconds

    def times(self, rng: np.random.Generator) -> Iterator[Floats]:
        """See `Arrivals`."""
        return _arriving(iter([(np.array([self.seconds]), np.array([self.rate]))]), self.seconds, rng)


@dataclass(frozen=True)
class Bursts:
    """Times with many requests between times with few: a Markov-modulated Poisson process of two states.

    Source: W. Fischer, K. Meier-Hellstern, The Markov-modulated Poisson process cookbook, Performance Evaluation 18
    (1993), https://doi.org/10.1016/0166-5316(93)90035-S

    Attributes:
        rate: requests a second, in the long run.
        seconds: for how long.
        factor: rate during a burst, over `rate`.
        burst_seconds: mean length of a burst; lengths are exponential.
        share: of the requests, those that come in bursts.

    Raises:
        SimulatorError: a number is out of range.
    """

    rate: float
    seconds: float
    factor: float = 10.0
    burst_seconds: float = 60.0
    share: float = 0.5

    def __post_init__(self) -> None:
        Poisson(self.rate, self.seconds)
        check("The factor of bursts", self.factor, least=1, above=True, most=1e6)
        check("The length of a burst in seconds", self.burst_seconds, above=True)
        check("The share of requests in bursts", self.share, above=True, most=1)
        bursts = self.seconds * self.share / self.factor / self.burst_seconds
        check("The expected number of bursts", bursts, most=_MOST_BURSTS)

    @property
    def expected(self) -> float:
        """How many requests are expected."""
        return self.rate * self.seconds

    def times(self, rng: np.random.Generator) -> Iterator[Floats]:
        """See `Arrivals`."""
        return _arriving(self._segments(rng.spawn(1)[0]), self.seconds, rng)

    def _segments(self, rng: np.random.Generator) -> Iterator[tuple[Floats, Floats]]:
        bursting = self.share / self.factor  # of the time
        calm_rate = self.rate * (1 - self.share) / (1 - bursting)
        lengths = np.array([self.burst_seconds, self.burst_seconds * (1 - bursting) / bursting])
        rates = np.array([self.rate * self.factor, calm_rate])
        if rng.random() >= bursting:
            lengths, rates = lengths[::-1], rates[::-1]
        while True:
            yield rng.exponential(np.tile(lengths, _SEGMENTS // 2)), np.tile(rates, _SEGMENTS // 2)


@dataclass(frozen=True)
class Diurnal:
    """Requests by the time of day, from a Monday's midnight on; the rate changes each minute.

    A day has the shape of the von Mises distribution, `exp(k * cos(angle from the peak))`: the cosine's for small k,
    a narrow peak for large ones. Source: https://en.wikipedia.org/wiki/Von_Mises_distribution

    Attributes:
        rate: requests a second, in the mean of a week.
        seconds: for how long.
        peak_to_mean: of a day.
        weekend: requests of a Saturday or Sunday, over those of another day.
        peak_hour: of a day.

    Raises:
        SimulatorError: a number is out of range.
    """

    rate: float
    seconds: float
    peak_to_mean: float = 2.0
    weekend: float = 1.0
    peak_hour: float = 14.0

    def __post_init__(self) -> None:
        Poisson(self.rate, self.seconds)
        check("The peak over the mean", self.peak_to_mean, least=1, most=24)
        check("The weekend's factor", self.weekend, most=100)
        check("The hour of the peak", self.peak_hour, most=24)

    @property
    def expected(self) -> float:
        """How many requests are expected in a time of whole weeks; in others it is about so many."""
        return self.rate * self.seconds

    def times(self, rng: np.random.Generator) -> Iterator[Floats]:
        """See `Arrivals`."""
        return _arriving(self._segments(), self.seconds, rng)

    def _segments(self) -> Iterator[tuple[Floats, Floats]]:
        minutes = np.full(24 * 60, 60.0)
        angles = 2 * math.pi * ((np.cumsum(minutes) - 30) / HOUR - self.peak_hour) / 24
        shape = np.exp(self._concentration() * (np.cos(angles) - 1))
        weekday = self.rate * shape / shape.mean() * 7 / (5 + 2 * self.weekend)
        while True:
            for day in range(7):
                yield minutes, weekday * (self.weekend if day in {5, 6} else 1.0)

    def _concentration(self) -> float:
        """The k whose peak is so many times the mean, `exp(k) / I0(k)`, by bisection."""
        low, high = 0.0, 500.0
        while high - low > 1e-9:  # noqa: PLR2004 - far below what a minute's rate shows
            middle = (low + high) / 2
            if math.exp(middle) / float(np.i0(middle)) < self.peak_to_mean:
                low = middle
            else:
                high = middle
        return low
