"""Percentiles of any number of values in a few kilobytes."""

import math
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

ERROR: Final = 0.01
"""Largest relative error of a percentile."""

LEAST: Final = 1e-4
"""Seconds; percentiles below are told as zero."""

_MOST: Final = 1e9
_GAMMA: Final = (1 + ERROR) / (1 - ERROR)
_BINS: Final = math.ceil(math.log(_MOST / LEAST) / math.log(_GAMMA)) + 2

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Spread:
    """How some times are spread, in seconds.

    Attributes:
        mean: exact.
        p50: half of them are not longer; 1 % off at most, as those that follow.
        p90: 90 %.
        p95: 95 %.
        p99: 99 %.
        p999: 99.9 %.
        longest: exact.
    """

    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    p999: float
    longest: float

    @classmethod
    def of(cls, histogram: "Histogram") -> Self | None:
        """The percentiles of what was counted; None: nothing was."""
        if not histogram.count:
            return None
        p50, p90, p95, p99, p999 = (histogram.quantile(share) for share in (0.5, 0.9, 0.95, 0.99, 0.999))
        return cls(histogram.total / histogram.count, p50, p90, p95, p99, p999, histogram.longest)


class Histogram:
    """Counts in bins whose edges grow by a constant factor, so that a value is known but for `ERROR`.

    The bins are those of DDSketch (Masson et al., PVLDB 12(12), 2019, https://arxiv.org/abs/1908.10693, section 2.1),
    with a range that is fixed, so that NumPy counts a million values at once.

    Attributes:
        count: of values.
        total: their sum.
        longest: of them.
    """

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self.longest = 0.0
        self._counts = np.zeros(_BINS, np.int64)

    def add(self, values: Floats) -> None:
        """Count some values, in seconds; none of them negative."""
        if not values.size:
            return
        places = np.ceil(np.log(np.maximum(values, LEAST) / LEAST) / math.log(_GAMMA)).astype(np.int64)
        self._counts += np.bincount(np.minimum(places, _BINS - 1), minlength=_BINS)
        self.count += values.size
        self.total += float(values.sum())
        self.longest = max(self.longest, float(values.max()))

    def quantile(self, share: float) -> float:
        """The value that a share of the values does not exceed.

        Args:
            share: above 0, at most 1.
        """
        place = int(np.searchsorted(np.cumsum(self._counts), math.ceil(share * self.count)))
        if place == 0:
            return 0.0
        # Between the edges of the bin, where both are equally far in relation to them.
        return min(LEAST * _GAMMA**place * 2 / (1 + _GAMMA), self.longest)
