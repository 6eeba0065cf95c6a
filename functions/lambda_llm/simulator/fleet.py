"""Requests on servers that are paid by the hour: a fixed number or an autoscaled one, with batching or without."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from lambda_llm.cost.speeds import Speeds
from lambda_llm.simulator import fleet_loop as loop
from lambda_llm.simulator.arrivals import Arrivals, checked
from lambda_llm.simulator.errors import SimulatorError, check
from lambda_llm.simulator.functions import check_speeds
from lambda_llm.simulator.histogram import Histogram, Spread
from lambda_llm.simulator.result import BINS, MONTH_SECONDS, Course, Result, mean_levels, numbers
from lambda_llm.simulator.work import Progress, Work, serve_all

MOST_SERVERS: Final = 100_000
MOST_SLOTS: Final = 4096
MOST_PLACES: Final = 20_000_000
"""Requests that all servers together may have at once: so much memory is taken."""


@dataclass(frozen=True)
class Scaling:
    """How a fleet follows its traffic: target tracking on the requests in service and waiting.

    Each period has a number of servers with which its mean would have been on target,
    `ceil(mean requests / (slots * target))`. The fleet grows to it at once. It shrinks when fewer servers would have
    done for the whole cooldown, to the largest number within it; a server that is taken away finishes what it has.
    Sources: https://docs.aws.amazon.com/autoscaling/application/userguide/target-tracking-scaling-policy-overview.html
    and, for the shrinking, whose details AWS does not tell, the stabilization window (300 seconds) of
    https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/

    Attributes:
        least: servers that are always there; may be 0.
        most: servers.
        target: share of the slots that should be in use.
        period_seconds: of the metric; CloudWatch's is a minute.
        start_seconds: from the decision to the first request; it is paid.
        cooldown_seconds: see above.

    Raises:
        SimulatorError: a number is out of range.
    """

    least: int
    most: int
    target: float = 0.7
    period_seconds: float = 60.0
    start_seconds: float = 180.0
    cooldown_seconds: float = 300.0

    def __post_init__(self) -> None:
        check("The largest number of servers", self.most, least=1, most=MOST_SERVERS)
        check("The smallest number of servers", self.least, most=self.most)
        check("The target utilization", self.target, above=True, most=1)
        check("The metric's period in seconds", self.period_seconds, least=1)
        check("The start of a server in seconds", self.start_seconds)
        check("The cooldown in seconds", self.cooldown_seconds)


@dataclass(frozen=True)
class Fleet:
    """Servers of one kind with one queue in front of them.

    A server without batching has slots that do not disturb each other: processes with CPUs of their own, each as fast
    as `speeds`. One with batching (GPUs) decodes all its sequences together: a step for b of them takes
    `(1 + (b - 1) * slowdown) / decode` seconds, so that they get `b * decode / (1 + (b - 1) * slowdown)` tokens a
    second together. That a step's time grows linearly with the batch, `alpha + beta * b`, was measured with vLLM on L4
    to H100 (https://github.com/vishakha-ramani/inferno-autoscaler/blob/main/docs/modeling-optimization.md, which names
    five papers that found the same); slowdown is `beta / (alpha + beta)`. The GPU evaluates one prompt after the other
    and decodes nothing meanwhile, as servers do that put prefill first (Agrawal et al., Sarathi-Serve, OSDI 2024,
    https://arxiv.org/abs/2403.02310, section 3).

    Attributes:
        name: for people.
        hourly: US dollars an hour and server.
        speeds: of a request alone on a server; the time of a restore is not used.
        servers: how many; with `scaling`, at the beginning it is the smallest number.
        slots: requests that a server works on at once; with batching, its largest batch.
        slowdown: see above, 0 to 1; None: no batching.
        scaling: None: the number is fixed.
        queue: requests that may wait; the next is refused.

    Raises:
        SimulatorError: a number is out of range.
    """

    name: str
    hourly: float
    speeds: Speeds
    servers: int = 1
    slots: int = 1
    slowdown: float | None = None
    scaling: Scaling | None = None
    queue: int = 100_000

    def __post_init__(self) -> None:
        check(f"The price of {self.name} in dollars an hour", self.hourly)
        check_speeds(self.speeds)
        check(f"The number of servers of {self.name}", self.servers, least=1, most=MOST_SERVERS)
        check(f"The number of slots of {self.name}", self.slots, least=1, most=MOST_SLOTS)
        check(f"The slowdown of {self.name}", self.slowdown or 0.0, most=1)
        check(f"The queue of {self.name}", self.queue, most=MOST_PLACES)
        if self.most * self.slots > MOST_PLACES:
            raise SimulatorError(
                f"{self.name} has {self.most * self.slots:,} places for requests: simulate {MOST_PLACES:,} at most."
            )

    @property
    def least(self) -> int:
        """Smallest number of servers."""
        return self.scaling.least if self.scaling else self.servers

    @property
    def most(self) -> int:
        """Largest number of servers."""
        return self.scaling.most if self.scaling else self.servers


def simulate_fleet(
    arrivals: Arrivals, work: Work, fleet: Fleet, seed: int = 0, progress: Progress | None = None
) -> Result:
    """Let requests arrive at a fleet; the same ones as at functions with the same arrivals, work and seed.

    Args:
        arrivals: when they come.
        work: what they ask for.
        fleet: the servers.
        seed: of the random numbers; the same one gives the same result.
        progress: see `work.Progress`.

    Raises:
        SimulatorError: more requests than can be simulated.
    """
    checked(arrivals)
    check("The seed", seed)
    width = arrivals.seconds / BINS
    scaling = fleet.scaling or Scaling(fleet.servers, fleet.servers)
    limits = loop.Limits(
        int(fleet.slots),
        int(fleet.queue),
        fleet.slowdown is not None,
        float(fleet.slowdown or 0.0),
        int(fleet.least),
        int(fleet.most),
        float(scaling.target),
        float(scaling.period_seconds),
        float(scaling.start_seconds),
        float(scaling.cooldown_seconds),
        float(arrivals.seconds),
        width,
    )
    state = loop.new_state(limits, BINS)
    wait, first, whole = Histogram(), Histogram(), Histogram()

    def serve(times: loop.Floats, new: loop.Floats, answer: loop.Floats, *, last: bool = False) -> None:
        room = times.size + fleet.queue + fleet.most * fleet.slots
        answers = loop.Answers(np.empty(room), np.empty(room), np.empty(room))
        batch = loop.Batch(times, new / fleet.speeds.prefill, answer / fleet.speeds.decode)
        begun, done = loop.serve(batch, limits, state, answers, last)
        wait.add(answers.wait[:begun])
        first.add(answers.first[:begun])
        whole.add(answers.whole[:done])

    arrived = serve_all(arrivals, work, seed, serve, BINS, progress)
    servers = mean_levels(state.servers)
    hours = math.fsum(servers) * width / 3600
    cost = {"servers": hours * fleet.hourly}
    return Result(
        name=fleet.name,
        kind="fleet",
        seconds=arrivals.seconds,
        seed=seed,
        arrived=int(arrived.sum()),
        served=whole.count,
        refused={"queue full": int(state.counts[loop.REFUSED])},
        timed_out=0,
        throttles=0,
        restores=int(state.counts[loop.STARTED]),
        first_token=Spread.of(first),
        whole=Spread.of(whole),
        wait=Spread.of(wait),
        busy_seconds=whole.total - wait.total,
        billed_gb_seconds=0.0,
        running_hours=hours,
        most_running=int(state.counts[loop.MOST_PAID]),
        cost=cost,
        month={name: dollars * MONTH_SECONDS / arrivals.seconds for name, dollars in cost.items()},
        course=Course(
            width,
            numbers(arrived),
            numbers(state.refused),
            numbers(servers),
            numbers(mean_levels(state.at_work)),
            numbers(mean_levels(state.waiting)),
        ),
    )
