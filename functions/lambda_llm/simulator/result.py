"""What a simulation found."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from lambda_llm.cost.prices import MONTH_HOURS
from lambda_llm.simulator.histogram import Spread

SCHEMA: Final = "lambda-llm-simulation/1"
"""Name and version of the format; another number means other fields."""

BINS: Final = 288
"""Parts of the simulated time of which the course is told: of a day, five minutes each."""

MONTH_SECONDS: Final = MONTH_HOURS * 60 * 60
"""A month's, as AWS calculates it."""


@dataclass(frozen=True)
class Course:
    """How things went over time: means, and numbers, of equal parts of it.

    Attributes:
        bin_seconds: length of a part.
        arrived: requests that arrived.
        refused: requests that were throttled or found the queue full.
        running: environments, or servers that are paid, on average.
        at_work: requests that an environment or a server had, on average.
        waiting: requests that waited for a server, on average.
    """

    bin_seconds: float
    arrived: tuple[int, ...]
    refused: tuple[int, ...]
    running: tuple[float, ...]
    at_work: tuple[float, ...]
    waiting: tuple[float, ...]


@dataclass(frozen=True)
class Result:
    """What became of the requests, and what it cost.

    Attributes:
        name: of what answered.
        kind: functions or a fleet.
        seconds: simulated; requests that arrived within them were answered to the end.
        seed: of the random numbers.
        arrived: requests; each was served, refused or cut off.
        served: requests that were answered.
        refused: those that were not, by reason.
        timed_out: those whose answer was cut off by the function's time-out.
        throttles: attempts that were throttled, those that were repeated included.
        restores: environments that were restored from the snapshot; or servers that were started.
        wait: from a request's first attempt to the begin of the work: restores, repetitions, the queue; of served
            requests. None: there were none.
        first_token: the same to the first token.
        whole: the same to the end of the answer.
        busy_seconds: of environments, without restores; of fleets, request-seconds.
        billed_gb_seconds: of functions: duration that is billed, the billed part of restores included.
        running_hours: environment-hours or server-hours within the simulated time.
        most_running: environments or servers at the same time.
        cost: in US dollars, by what it is for.
        month: the same of a month like this time.
        course: over time.
    """

    name: str
    kind: Literal["functions", "fleet"]
    seconds: float
    seed: int
    arrived: int
    served: int
    refused: Mapping[str, int]
    timed_out: int
    throttles: int
    restores: int
    wait: Spread | None
    first_token: Spread | None
    whole: Spread | None
    busy_seconds: float
    billed_gb_seconds: float
    running_hours: float
    most_running: int
    cost: Mapping[str, float]
    month: Mapping[str, float]
    course: Course

    @property
    def refused_share(self) -> float:
        """Share of the requests that were refused."""
        return sum(self.refused.values()) / self.arrived if self.arrived else 0.0

    @property
    def mean_wait(self) -> float:
        """Mean of `wait` in seconds; 0: nothing was served."""
        return self.wait.mean if self.wait else 0.0

    @property
    def cold_share(self) -> float:
        """Share of the answered requests that waited for a restore; of functions only."""
        answered = self.served + self.timed_out
        return self.restores / answered if answered and self.kind == "functions" else 0.0

    @property
    def month_dollars(self) -> float:
        """What a month like this time costs."""
        return sum(self.month.values())

    def as_json(self) -> dict[str, Any]:
        """The result, with the name of its format and with what its properties tell."""
        told = {
            "refused_share": self.refused_share,
            "cold_share": self.cold_share,
            "month_dollars": self.month_dollars,
        }
        return {"schema": SCHEMA, **asdict(self), **told}


def mean_levels(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of each bin of a number that changed in steps: those within the bin, and those from the next one on."""
    means: NDArray[np.float64] = np.maximum((steps[0] + np.cumsum(steps[1]))[:-1], 0.0)
    return means


def numbers(values: NDArray[Any]) -> tuple[Any, ...]:
    """An array as a tuple of Python's numbers."""
    return tuple(values.tolist())
