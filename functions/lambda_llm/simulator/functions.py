"""Requests on Lambda functions: one request an environment at a time, and environments by Lambda's rules."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from lambda_llm.cost import prices
from lambda_llm.cost.compare.inputs import KEEP_WARM_SECONDS
from lambda_llm.cost.speeds import Speeds
from lambda_llm.limits import (
    CONCURRENCY,
    REQUESTS_PER_CONCURRENCY,
    SCALING_ENVIRONMENTS,
    SCALING_SECONDS,
    TIMEOUT_MAX_SECONDS,
)
from lambda_llm.simulator import functions_loop as loop
from lambda_llm.simulator.arrivals import Arrivals, checked
from lambda_llm.simulator.errors import check
from lambda_llm.simulator.histogram import Histogram, Spread
from lambda_llm.simulator.result import BINS, MONTH_SECONDS, Course, Result, mean_levels, numbers
from lambda_llm.simulator.work import Progress, Work, lognormal, serve_all

MOST_CONCURRENCY: Final = 10_000_000


@dataclass(frozen=True)
class Rules:
    """A function, and what Lambda does with it.

    A request takes the environment that was used last; if none is idle, one is restored from the snapshot for it. It is
    throttled where `concurrency` requests are processed already, where `scaling` environments were restored in the last
    `scaling_seconds`, and where more requests come in a second than 10 for each unit of concurrency. Sources: `limits`.

    Attributes:
        speeds: of an environment, with the mean time of a restore.
        concurrency: requests at once; what is reserved for the function, or what the account has left.
        keep_warm_seconds: how long an idle environment is kept after its last request.
        restore_variation: standard deviation over mean of the restore's time, which is lognormal; 0: always the mean.
        restore_billed: share of the restore's time that is billed as duration. Lambda bills loading the runtime and the
            after-restore hooks, not the snapshot's own restore (`Billed Restore Duration`,
            https://docs.aws.amazon.com/lambda/latest/dg/snapstart-monitoring.html); which part that is shows on an
            account only, and 1 is the most that it can be.
        retries: how often a client repeats a throttled request.
        backoff_seconds: before the first repetition at most; then twice as long, up to 20 seconds, each time a random
            part of it (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/, full jitter).
        scaling: environments that may be created in `scaling_seconds`.
        scaling_seconds: see there.
        live_versions: published versions with SnapStart that are charged all the time.

    Raises:
        SimulatorError: a number is out of range.
    """

    speeds: Speeds
    concurrency: int = CONCURRENCY
    keep_warm_seconds: float = KEEP_WARM_SECONDS
    restore_variation: float = 0.0
    restore_billed: float = 1.0
    retries: int = 0
    backoff_seconds: float = 1.0
    scaling: int = SCALING_ENVIRONMENTS
    scaling_seconds: float = SCALING_SECONDS
    live_versions: int = 1

    def __post_init__(self) -> None:
        check_speeds(self.speeds)
        check("The time of a restore in seconds", self.speeds.restore_seconds)
        check("The concurrency", self.concurrency, least=1, most=MOST_CONCURRENCY)
        check("The time that environments are kept warm, in seconds,", self.keep_warm_seconds)
        check("The coefficient of variation of restores", self.restore_variation, most=100)
        check("The billed share of restores", self.restore_billed, most=1)
        check("The number of retries", self.retries, most=100)
        check("The backoff in seconds", self.backoff_seconds, above=True)
        check("The number of environments that may be created", self.scaling, least=1, most=MOST_CONCURRENCY)
        check("The time in which they may, in seconds,", self.scaling_seconds, above=True)
        check("The number of live versions", self.live_versions)


def check_speeds(speeds: Speeds) -> None:
    """Refuse speeds that are none.

    Raises:
        SimulatorError: one is not above zero.
    """
    check("The prefill in tokens a second", speeds.prefill, above=True)
    check("The decode in tokens a second", speeds.decode, above=True)


def simulate_functions(
    arrivals: Arrivals, work: Work, rules: Rules, seed: int = 0, progress: Progress | None = None
) -> Result:
    """Let requests arrive at a function.

    Args:
        arrivals: when they come.
        work: what they ask for.
        rules: the function and Lambda's rules.
        seed: of the random numbers; the same one gives the same result.
        progress: see `work.Progress`.

    Raises:
        SimulatorError: more requests than can be simulated.
    """
    checked(arrivals)
    check("The seed", seed)
    width = arrivals.seconds / BINS
    limits = loop.Limits(
        int(rules.concurrency),
        int(rules.scaling),
        float(rules.scaling_seconds),
        float(rules.concurrency * REQUESTS_PER_CONCURRENCY),
        float(rules.keep_warm_seconds),
        float(TIMEOUT_MAX_SECONDS),
        int(rules.retries),
        float(rules.backoff_seconds),
        width,
    )
    state = loop.new_state(limits, BINS)
    wait, first, whole = Histogram(), Histogram(), Histogram()
    restores, jitter = (np.random.default_rng(each) for each in np.random.SeedSequence(seed).spawn(4)[2:])

    def serve(times: loop.Floats, new: loop.Floats, answer: loop.Floats, *, last: bool = False) -> None:
        restore = lognormal(restores, rules.speeds.restore_seconds, rules.restore_variation, times.size)
        room = times.size + len(state.retries)
        answers = loop.Answers(np.empty(room), np.empty(room), np.empty(room))
        batch = loop.Batch(times, new / rules.speeds.prefill, answer / rules.speeds.decode, restore)
        done = loop.serve(batch, jitter, limits, state, answers, last)
        wait.add(answers.wait[:done])
        first.add(answers.first[:done])
        whole.add(answers.whole[:done])

    arrived = serve_all(arrivals, work, seed, serve, BINS, progress)
    counts = state.counts
    served, timed_out, restored = first.count, int(counts[loop.TIMED_OUT]), int(counts[loop.RESTORED])
    refused = {
        "concurrency": int(counts[loop.BY_CONCURRENCY]),
        "scaling rate": int(counts[loop.BY_SCALING]),
        "request rate": int(counts[loop.BY_RATE]),
    }
    busy = float(state.sums[loop.BUSY])
    billed = busy + rules.restore_billed * float(state.sums[loop.RESTORING])
    days = arrivals.seconds / prices.DAY_SECONDS
    used = {
        "duration": prices.busy(billed),
        "requests": prices.REQUEST * (served + timed_out),
        "restores": prices.restore() * restored,
    }
    months = MONTH_SECONDS / arrivals.seconds
    environments = mean_levels(state.environments)
    return Result(
        name="Lambda",
        kind="functions",
        seconds=arrivals.seconds,
        seed=seed,
        arrived=int(arrived.sum()),
        served=served,
        refused=refused,
        timed_out=timed_out,
        throttles=int(counts[loop.ATTEMPTS]),
        restores=restored,
        first_token=Spread.of(first),
        whole=Spread.of(whole),
        wait=Spread.of(wait),
        busy_seconds=busy,
        billed_gb_seconds=billed * prices.GB,
        running_hours=math.fsum(environments) * width / 3600,
        most_running=int(counts[loop.PEAK]),
        cost={**used, "live versions": rules.live_versions * prices.live_version(days)},
        month={
            **{name: dollars * months for name, dollars in used.items()},
            "live versions": rules.live_versions * prices.live_version(prices.MONTH_DAYS),
        },
        course=Course(
            width,
            numbers(arrived),
            numbers(state.throttled),
            numbers(environments),
            numbers(mean_levels(state.at_work)),
            numbers(np.zeros(BINS)),
        ),
    )
