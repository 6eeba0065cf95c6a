"""Arrivals at given times, for the simulator."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lambda_llm.simulator.work import Tokens, Work


@dataclass(frozen=True)
class At:
    """Requests at these seconds, `Arrivals` as others are; in pieces of `piece`, which must not matter."""

    given: tuple[float, ...]
    seconds: float
    piece: int = 1_000_000

    @property
    def expected(self) -> float:
        return len(self.given)

    def times(self, rng: np.random.Generator) -> Iterator[NDArray[np.float64]]:
        del rng
        for start in range(0, len(self.given), self.piece):
            yield np.array(self.given[start : start + self.piece])


def work(new: float, answer: float) -> Work:
    """Requests of the same length; with a speed of one token a second, these are seconds."""
    return Work(Tokens(new), Tokens(answer))
