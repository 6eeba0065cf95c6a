"""What requests ask for, drawn at random, and each with the time at which it arrives."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from lambda_llm.simulator.arrivals import Arrivals
from lambda_llm.simulator.errors import check

Floats = NDArray[np.float64]


def lognormal(rng: np.random.Generator, mean: float, variation: float, count: int) -> Floats:
    """Draw from the lognormal distribution with a mean and a coefficient of variation; without one, the mean."""
    if variation == 0 or mean == 0:
        return np.full(count, mean)
    variance = math.log1p(variation**2)
    return rng.lognormal(math.log(mean) - variance / 2, math.sqrt(variance), count)


@dataclass(frozen=True)
class Tokens:
    """How many tokens a request has of one kind.

    They are drawn as real numbers, since rounding them would change their mean.

    Attributes:
        mean: of them.
        variation: standard deviation over mean. 0: all are equal.
        kind: of distribution; the exponential one has a variation of 1 whatever is given.

    Raises:
        SimulatorError: a number is negative or no number.
    """

    mean: float
    variation: float = 0.0
    kind: Literal["lognormal", "exponential"] = "lognormal"

    def __post_init__(self) -> None:
        check("The mean number of tokens", self.mean)
        check("The coefficient of variation of tokens", self.variation, most=100)

    def draw(self, rng: np.random.Generator, count: int) -> Floats:
        """Draw the tokens of some requests."""
        if self.kind == "exponential":
            return rng.exponential(self.mean, count)
        return lognormal(rng, self.mean, self.variation, count)


@dataclass(frozen=True)
class Work:
    """What a request asks for.

    Attributes:
        prompt: tokens of the prompt.
        answer: tokens of the answer.
        cached: share of each prompt that a cache knows, 0 to 1.

    Raises:
        SimulatorError: the share is none.
    """

    prompt: Tokens
    answer: Tokens
    cached: float = 0.0

    def __post_init__(self) -> None:
        check("The cached share of the prompt", self.cached, most=1)

    def draw(self, rng: np.random.Generator, count: int) -> tuple[Floats, Floats]:
        """Draw some requests: tokens of the prompt that no cache knows, and tokens of the answer."""
        return self.prompt.draw(rng, count) * (1 - self.cached), self.answer.draw(rng, count)


class Requests(NamedTuple):
    """Some requests in the order of their arrival.

    Attributes:
        times: of arrival, in seconds since the beginning.
        new_tokens: of each prompt, those that no cache knows.
        answer_tokens: of each answer.
    """

    times: Floats
    new_tokens: Floats
    answer_tokens: Floats


def requests(arrivals: Arrivals, work: Work, seed: int) -> Iterator[Requests]:
    """Draw all requests, a piece at a time; the same ones for the same seed, whoever answers them.

    Args:
        arrivals: when they come.
        work: what they ask for.
        seed: not negative.
    """
    when, what = np.random.SeedSequence(seed).spawn(2)
    rng = np.random.default_rng(what)
    for times in arrivals.times(np.random.default_rng(when)):
        yield Requests(times, *work.draw(rng, times.size))


Progress = Callable[[float], None]
"""Is called now and then with the share of the simulated time that is done, 0 to 1."""


class Serve(Protocol):
    """Lets some requests be answered."""

    def __call__(self, times: Floats, new: Floats, answer: Floats, *, last: bool = False) -> None:
        """Take the fields of `Requests`; `last`: no more will arrive."""


def serve_all(
    arrivals: Arrivals, work: Work, seed: int, serve: Serve, parts: int, progress: Progress | None
) -> NDArray[np.int64]:
    """Let all requests be answered, a piece at a time.

    Args:
        arrivals: when they come.
        work: what they ask for.
        seed: see `requests`.
        serve: answers them.
        parts: of the simulated time, each as long as the others.
        progress: see `Progress`.

    Returns:
        How many arrived in each part.
    """
    width = arrivals.seconds / parts
    arrived = np.zeros(parts, np.int64)
    for piece in requests(arrivals, work, seed):
        arrived += np.bincount((piece.times / width).astype(np.int64), minlength=parts)[:parts]
        serve(*piece)
        if progress:
            progress(float(piece.times[-1]) / arrivals.seconds)
    none = np.empty(0)
    serve(none, none, none, last=True)
    if progress:
        progress(1.0)
    return arrived
