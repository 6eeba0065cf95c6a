"""What Lambda does with one request after the other; compiled."""

from heapq import heappop, heappush
from typing import NamedTuple

import numpy as np
from numba import types
from numba.typed import List
from numpy.typing import NDArray

from lambda_llm.simulator.compiled import compiled

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_RETRY = types.Tuple((*[types.float64] * 5, types.int64))  # type: ignore[no-untyped-call] # numba has no types here

BY_CONCURRENCY, BY_SCALING, BY_RATE, TIMED_OUT, RESTORED, PEAK, ATTEMPTS = range(7)
"""Indices of `State.counts`."""

BUSY, RESTORING = range(2)
"""Indices of `State.sums`, in seconds."""

_BOTTOM, _IDLE, _CREATED, _SECOND, _ACCEPTED = range(5)

Request = tuple[float, float, float, float, float, int]
"""When it comes again, when it came first, seconds of prefill, decode and a restore, how often it was throttled."""

LONGEST_BACKOFF_SECONDS = 20.0
"""Source: https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html"""


class Limits(NamedTuple):
    """Lambda's rules as the loop takes them; see `functions.Rules`."""

    concurrency: int
    scaling: int
    scaling_seconds: float
    requests_per_second: float
    keep_warm_seconds: float
    timeout_seconds: float
    retries: int
    backoff_seconds: float
    bin_seconds: float


class Batch(NamedTuple):
    """Some requests.

    Attributes:
        times: of their arrival in seconds, ascending.
        prefill: seconds of it, of each.
        decode: seconds of it, of each.
        restore: seconds of a restore, if the request needs one.
    """

    times: Floats
    prefill: Floats
    decode: Floats
    restore: Floats


class Answers(NamedTuple):
    """Seconds from a request's first attempt to the begin of the work, to the first token, to the end of the answer."""

    wait: Floats
    first: Floats
    whole: Floats


class State(NamedTuple):
    """What is known between two pieces of the arrivals.

    Attributes:
        busy: heap of the times at which busy environments will be done.
        retries: heap of throttled requests that come again.
        idle: ring of the times at which idle environments became so, the longest idle first.
        created: ring of the times at which the last environments were created.
        position: places in the rings, and the current second with its requests.
        counts: by the indices above.
        sums: by the indices above.
        environments: steps of the number of environments, by bin: within the bin, and from the next one on.
        at_work: the same of environments that process a request or are restored for one.
        throttled: requests by bin.
    """

    busy: "List[float]"
    retries: "List[Request]"
    idle: Floats
    created: Floats
    position: Integers
    counts: Integers
    sums: Floats
    environments: Floats
    at_work: Floats
    throttled: Integers


def new_state(limits: Limits, bins: int) -> State:
    """No environments, no requests."""
    return State(
        busy=List.empty_list(types.float64),
        retries=List.empty_list(_RETRY),
        idle=np.zeros(limits.concurrency),
        created=np.zeros(limits.scaling),
        position=np.zeros(5, np.int64),
        counts=np.zeros(7, np.int64),
        sums=np.zeros(2),
        environments=np.zeros((2, bins + 1)),
        at_work=np.zeros((2, bins + 1)),
        throttled=np.zeros(bins, np.int64),
    )


@compiled
def _step(levels: Floats, time: float, width: float, change: float) -> None:
    """Note that something changed its number at a time, so that the mean of each bin can be told."""
    place = int(time / width)
    if place < levels.shape[1] - 1:
        levels[0, place] += change * (place + 1 - time / width)
        levels[1, place + 1] += change


@compiled
def _release(now: float, limits: Limits, state: State) -> None:
    """Environments that are done become idle, and those that were idle for too long vanish."""
    capacity = state.idle.size
    while len(state.busy) > 0 and state.busy[0] <= now:
        state.idle[(state.position[_BOTTOM] + state.position[_IDLE]) % capacity] = heappop(state.busy)
        state.position[_IDLE] += 1
    while state.position[_IDLE] > 0 and state.idle[state.position[_BOTTOM]] + limits.keep_warm_seconds < now:
        gone = state.idle[state.position[_BOTTOM]] + limits.keep_warm_seconds
        _step(state.environments, gone, limits.bin_seconds, -1.0)
        state.position[_BOTTOM] = (state.position[_BOTTOM] + 1) % state.idle.size
        state.position[_IDLE] -= 1


@compiled
def _refusal(now: float, limits: Limits, state: State) -> int:
    """Index of the reason for which a request is throttled; -1: it is not."""
    second = int(now)
    if second != state.position[_SECOND]:
        state.position[_SECOND] = second
        state.position[_ACCEPTED] = 0
    if len(state.busy) >= limits.concurrency:
        return BY_CONCURRENCY
    if state.position[_ACCEPTED] >= limits.requests_per_second:
        return BY_RATE
    if state.position[_IDLE] == 0:
        created = state.position[_CREATED]
        if created >= limits.scaling and now - state.created[created % limits.scaling] < limits.scaling_seconds:
            return BY_SCALING
    return -1


@compiled
def _environment(now: float, limits: Limits, state: State) -> bool:
    """Take the environment that was used last, or create one; whether it was created."""
    if state.position[_IDLE] > 0:
        state.position[_IDLE] -= 1
        return False
    state.created[state.position[_CREATED] % limits.scaling] = now
    state.position[_CREATED] += 1
    state.counts[RESTORED] += 1
    _step(state.environments, now, limits.bin_seconds, 1.0)
    return True


@compiled
def _throttle(
    now: float, refused: int, request: Request, jitter: np.random.Generator, limits: Limits, state: State
) -> None:
    """The client comes again, or gives up."""
    attempts = request[5]
    state.counts[ATTEMPTS] += 1
    if attempts < limits.retries:
        longest = min(LONGEST_BACKOFF_SECONDS, limits.backoff_seconds * 2.0**attempts)
        again = now + jitter.random() * longest
        heappush(state.retries, (again, request[1], request[2], request[3], request[4], attempts + 1))
        return
    state.counts[refused] += 1
    place = int(now / limits.bin_seconds)
    if place < state.throttled.size:
        state.throttled[place] += 1


@compiled
def _answer(now: float, request: Request, limits: Limits, state: State, answers: Answers, done: int) -> int:
    """An environment takes the request; returns how many were answered."""
    _, arrived, prefill, decode, restore, _ = request
    state.position[_ACCEPTED] += 1
    begins = now
    if _environment(now, limits, state):
        begins += restore
        state.sums[RESTORING] += restore
    seconds = prefill + decode
    if seconds > limits.timeout_seconds:
        seconds = limits.timeout_seconds
        state.counts[TIMED_OUT] += 1
    else:
        answers.wait[done] = begins - arrived
        answers.first[done] = begins - arrived + prefill
        answers.whole[done] = answers.first[done] + decode
        done += 1
    heappush(state.busy, begins + seconds)
    state.sums[BUSY] += seconds
    _step(state.at_work, now, limits.bin_seconds, 1.0)
    _step(state.at_work, begins + seconds, limits.bin_seconds, -1.0)
    state.counts[PEAK] = max(state.counts[PEAK], len(state.busy) + state.position[_IDLE])
    return done


@compiled
def serve(
    batch: Batch,
    jitter: np.random.Generator,
    limits: Limits,
    state: State,
    answers: Answers,
    last: bool,  # noqa: FBT001 - numba has no keyword-only arguments
) -> int:
    """Let requests arrive, and those that come again between them.

    Args:
        batch: some of them.
        jitter: of the clients' backoff.
        limits: Lambda's.
        state: is changed.
        answers: get the times of each request that was answered. They need room for all that arrive and come again.
        last: no more will arrive.

    Returns:
        How many were answered.
    """
    at, done = 0, 0
    while True:
        if at < batch.times.size and (len(state.retries) == 0 or batch.times[at] <= state.retries[0][0]):
            now = batch.times[at]
            request = (now, now, batch.prefill[at], batch.decode[at], batch.restore[at], 0)
            at += 1
        elif len(state.retries) > 0 and (at < batch.times.size or last):
            request = heappop(state.retries)
            now = request[0]
        else:
            break
        _release(now, limits, state)
        refused = _refusal(now, limits, state)
        if refused >= 0:
            _throttle(now, refused, request, jitter, limits, state)
        else:
            done = _answer(now, request, limits, state, answers, done)
    if last:
        _release(np.inf, limits, state)
    return done
