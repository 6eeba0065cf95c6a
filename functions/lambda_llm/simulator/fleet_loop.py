"""What a fleet of servers does with one request after the other; compiled.

Requests that find no free place wait in one queue, first come, first served; the least loaded server takes the next.
One file, since numba would not see that what it has compiled was changed in another one (`compiled`).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lambda_llm.simulator.compiled import compiled

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

REFUSED, STARTED, PAID, MOST_PAID = range(4)
"""Indices of `State.counts`."""

_HEAD, _QUEUED, _WORKING = range(3)
_TICK, _AREA, _SINCE, _BELOW, _NEEDED = range(5)

_OFF, _STARTING, _ON, _DRAINING = range(4)


class Limits(NamedTuple):
    """A fleet as the loop takes it; see `fleet.Fleet` and `fleet.Scaling`."""

    slots: int
    queue: int
    shared: bool
    slowdown: float
    least: int
    most: int
    target: float
    period_seconds: float
    start_seconds: float
    cooldown_seconds: float
    horizon_seconds: float
    bin_seconds: float


class Batch(NamedTuple):
    """Some requests.

    Attributes:
        times: of their arrival in seconds, ascending.
        prefill: seconds of it, of each.
        decode: seconds of it, of each, alone on a server.
    """

    times: Floats
    prefill: Floats
    decode: Floats


class Answers(NamedTuple):
    """Seconds from the arrival to the begin of the work and to the first token, and, in another order, to the end."""

    wait: Floats
    first: Floats
    whole: Floats


class State(NamedTuple):
    """What is known between two pieces of the arrivals.

    Decode is counted in virtual seconds: those that it would take a sequence alone. All sequences of a server advance
    alike, so a sequence ends when the server's virtual time has reached what it was given.

    Attributes:
        status: of each server.
        batch: how many requests each server works on.
        virtual: virtual seconds of each server.
        updated: when `virtual` was computed.
        prefilled: until when the server is busy with prefill, and decodes nothing.
        ends: virtual seconds at which each request ends, by server and place.
        arrived: when each came, the same way.
        next_event: tournament tree of when each server's next request ends, or it has started.
        load: tournament tree of how many requests each server has; infinite where it takes none.
        queue: ring of waiting requests: arrival, prefill and decode.
        position: places in the ring, and requests in service.
        clock: of scaling: the next decision, request-seconds since the last one, up to when; since when fewer
            servers would do, and how many at most.
        counts: by the indices above.
        servers: steps of the number of servers that are paid, by bin: within the bin, and from the next one on.
        at_work: the same of requests in service.
        waiting: the same of waiting requests.
        refused: requests by bin.
    """

    status: Integers
    batch: Integers
    virtual: Floats
    updated: Floats
    prefilled: Floats
    ends: Floats
    arrived: Floats
    next_event: Floats
    load: Floats
    queue: Floats
    position: Integers
    clock: Floats
    counts: Integers
    servers: Floats
    at_work: Floats
    waiting: Floats
    refused: Integers


def new_state(limits: Limits, bins: int) -> State:
    """The smallest number of servers, which work already, and no requests."""
    size = 1 << max(limits.most - 1, 1).bit_length()
    state = State(
        status=np.zeros(limits.most, np.int64),
        batch=np.zeros(limits.most, np.int64),
        virtual=np.zeros(limits.most),
        updated=np.zeros(limits.most),
        prefilled=np.zeros(limits.most),
        ends=np.zeros((limits.most, limits.slots)),
        arrived=np.zeros((limits.most, limits.slots)),
        next_event=np.full(2 * size, np.inf),
        load=np.full(2 * size, np.inf),
        queue=np.zeros((3, max(limits.queue, 1))),
        position=np.zeros(3, np.int64),
        clock=np.array([limits.period_seconds, 0.0, 0.0, 0.0, 0.0]),
        counts=np.zeros(4, np.int64),
        servers=np.zeros((2, bins + 1)),
        at_work=np.zeros((2, bins + 1)),
        waiting=np.zeros((2, bins + 1)),
        refused=np.zeros(bins, np.int64),
    )
    for server in range(limits.least):
        state.status[server] = _ON
        _put(state.load, server, 0.0)
    state.servers[0, 0] = limits.least
    state.servers[1, 1] = limits.least
    state.counts[PAID] = limits.least
    state.counts[MOST_PAID] = limits.least
    return state


@compiled
def _step(levels: Floats, time: float, width: float, change: float) -> None:
    """Note that something changed its number at a time, so that the mean of each bin can be told."""
    place = int(time / width)
    if place < levels.shape[1] - 1:
        levels[0, place] += change * (place + 1 - time / width)
        levels[1, place + 1] += change


@compiled
def _put(tree: Floats, leaf: int, value: float) -> None:
    """Set a leaf of a tournament tree, whose nodes have the smallest value below them; the root is at 1."""
    node = leaf + tree.size // 2
    tree[node] = value
    while node > 1:
        node //= 2
        smallest = min(tree[2 * node], tree[2 * node + 1])
        if tree[node] == smallest:
            break
        tree[node] = smallest


@compiled
def _winner(tree: Floats) -> int:
    """The leaf with the smallest value, the first of several."""
    node, half = 1, tree.size // 2
    while node < half:
        node = 2 * node if tree[2 * node] <= tree[2 * node + 1] else 2 * node + 1
    return node - half


@compiled
def _next(server: int, state: State) -> int:
    """Place of the request of a server that ends next."""
    first = 0
    for place in range(1, state.batch[server]):
        if state.ends[server, place] < state.ends[server, first]:
            first = place
    return first


@compiled
def _schedule(server: int, limits: Limits, state: State) -> None:
    """When a server's next request will end, and how loaded it is."""
    batch = state.batch[server]
    if batch == 0:
        _put(state.next_event, server, np.inf)
    else:
        remaining = state.ends[server, _next(server, state)] - state.virtual[server]
        begins = max(state.updated[server], state.prefilled[server])
        _put(state.next_event, server, begins + max(remaining, 0.0) * (1.0 + (batch - 1) * limits.slowdown))
    takes_more = state.status[server] == _ON and batch < limits.slots
    _put(state.load, server, float(batch) if takes_more else np.inf)


@compiled
def _assign(server: int, now: float, request: tuple[float, float, float], limits: Limits, state: State) -> float:
    """A server begins to work on a request; returns when the first token comes."""
    arrived, prefill, decode = request
    batch = state.batch[server]
    if batch == 0:
        state.virtual[server] = 0.0
    else:
        begins = max(state.updated[server], state.prefilled[server])
        if now > begins:
            state.virtual[server] += (now - begins) / (1.0 + (batch - 1) * limits.slowdown)
    state.updated[server] = now
    if limits.shared:
        state.prefilled[server] = max(now, state.prefilled[server]) + prefill
        token = state.prefilled[server]
        state.ends[server, batch] = state.virtual[server] + decode
    else:
        token = now + prefill
        state.ends[server, batch] = state.virtual[server] + prefill + decode
    state.arrived[server, batch] = arrived
    state.batch[server] = batch + 1
    state.position[_WORKING] += 1
    _step(state.at_work, now, limits.bin_seconds, 1.0)
    _schedule(server, limits, state)
    return float(token)


@compiled
def _finish(server: int, now: float, limits: Limits, state: State) -> float:
    """The request of a server that is next ends; returns when it came."""
    batch = state.batch[server]
    place = _next(server, state)
    arrived = state.arrived[server, place]
    state.virtual[server] = state.ends[server, place]
    state.updated[server] = now
    state.ends[server, place] = state.ends[server, batch - 1]
    state.arrived[server, place] = state.arrived[server, batch - 1]
    state.batch[server] = batch - 1
    state.position[_WORKING] -= 1
    _step(state.at_work, now, limits.bin_seconds, -1.0)
    if state.status[server] == _DRAINING and batch == 1:
        _stop(server, now, limits, state)
    _schedule(server, limits, state)
    return float(arrived)


@compiled
def _stop(server: int, now: float, limits: Limits, state: State) -> None:
    state.status[server] = _OFF
    state.counts[PAID] -= 1
    _step(state.servers, now, limits.bin_seconds, -1.0)


@compiled
def _running(state: State) -> int:
    count = 0
    for status in state.status:
        count += status in (_ON, _STARTING)
    return count


@compiled
def _scale(now: float, limits: Limits, state: State) -> None:
    """Compare the requests in service and waiting since the last decision with the target."""
    mean = state.clock[_AREA] / limits.period_seconds
    state.clock[_AREA] = 0.0
    wanted = min(max(int(np.ceil(mean / (limits.slots * limits.target))), limits.least), limits.most)
    running = _running(state)
    if wanted >= running:
        state.clock[_BELOW], state.clock[_NEEDED] = now, 0.0
        _grow(now, wanted - running, limits, state)
        return
    state.clock[_NEEDED] = max(state.clock[_NEEDED], wanted)
    if now - state.clock[_BELOW] >= limits.cooldown_seconds:
        _shrink(now, running - int(state.clock[_NEEDED]), limits, state)
        state.clock[_BELOW], state.clock[_NEEDED] = now, 0.0


@compiled
def _grow(now: float, more: int, limits: Limits, state: State) -> None:
    """Keep servers that are draining, then start others."""
    for kind in (_DRAINING, _OFF):
        for server in range(limits.most):
            if more == 0 or state.status[server] != kind:
                continue
            more -= 1
            if kind == _DRAINING:
                state.status[server] = _ON
                _schedule(server, limits, state)
            else:
                state.status[server] = _STARTING
                state.counts[STARTED] += 1
                state.counts[PAID] += 1
                _step(state.servers, now, limits.bin_seconds, 1.0)
                _put(state.next_event, server, now + limits.start_seconds)
    state.counts[MOST_PAID] = max(state.counts[MOST_PAID], state.counts[PAID])


@compiled
def _shrink(now: float, fewer: int, limits: Limits, state: State) -> None:
    """Stop idle servers, then let others finish what they have."""
    for idle in (True, False):
        for server in range(limits.most - 1, -1, -1):
            if fewer == 0 or state.status[server] != _ON or (state.batch[server] == 0) != idle:
                continue
            fewer -= 1
            state.status[server] = _DRAINING
            if idle:
                _stop(server, now, limits, state)
            _schedule(server, limits, state)


@compiled
def _event(now: float, limits: Limits, state: State) -> float:
    """The next request of a server ends, or it has started; returns when the request came, or infinity."""
    server = _winner(state.next_event)
    if state.status[server] == _STARTING:
        state.status[server] = _ON
        _schedule(server, limits, state)
        return np.inf
    return _finish(server, now, limits, state)


@compiled
def _unqueue(now: float, limits: Limits, state: State, answers: Answers, begun: int) -> int:
    """Servers take from the queue what they have places for; returns how many requests have begun."""
    while state.position[_QUEUED] > 0 and state.load[1] < np.inf:
        head = state.position[_HEAD]
        waiting = (state.queue[0, head], state.queue[1, head], state.queue[2, head])
        state.position[_HEAD] = (head + 1) % state.queue.shape[1]
        state.position[_QUEUED] -= 1
        _step(state.waiting, now, limits.bin_seconds, -1.0)
        answers.wait[begun] = now - waiting[0]
        answers.first[begun] = _assign(_winner(state.load), now, waiting, limits, state) - waiting[0]
        begun += 1
    return begun


@compiled
def _enqueue(now: float, prefill: float, decode: float, limits: Limits, state: State) -> None:
    """A request waits, or is refused."""
    capacity = state.queue.shape[1]
    if state.position[_QUEUED] < limits.queue:
        tail = (state.position[_HEAD] + state.position[_QUEUED]) % capacity
        state.queue[0, tail] = now
        state.queue[1, tail] = prefill
        state.queue[2, tail] = decode
        state.position[_QUEUED] += 1
        _step(state.waiting, now, limits.bin_seconds, 1.0)
        return
    state.counts[REFUSED] += 1
    place = int(now / limits.bin_seconds)
    if place < state.refused.size:
        state.refused[place] += 1


@compiled
def serve(batch: Batch, limits: Limits, state: State, answers: Answers, last: bool) -> tuple[int, int]:  # noqa: FBT001
    """Let requests arrive.

    Args:
        batch: some of them.
        limits: of the fleet.
        state: is changed.
        answers: get the times of requests that were begun, and of those that ended. They need room for all that arrive,
            wait and are worked on.
        last: no more will arrive.

    Returns:
        How many requests were begun, and how many ended.
    """
    at, begun, done = 0, 0, 0
    scales = limits.most > limits.least
    while at < batch.times.size or last:
        arrival = batch.times[at] if at < batch.times.size else np.inf
        inside = state.position[_WORKING] + state.position[_QUEUED]
        if arrival == np.inf and inside == 0 and not (scales and state.clock[_TICK] <= limits.horizon_seconds):
            break
        tick = state.clock[_TICK] if scales else np.inf
        now = min(arrival, state.next_event[1], tick)
        state.clock[_AREA] += inside * (now - state.clock[_SINCE])
        state.clock[_SINCE] = now
        if now == tick:
            state.clock[_TICK] += limits.period_seconds
            _scale(now, limits, state)
            begun = _unqueue(now, limits, state, answers, begun)
        elif now == state.next_event[1]:
            arrived = _event(now, limits, state)
            if arrived < np.inf:
                answers.whole[done] = now - arrived
                done += 1
            begun = _unqueue(now, limits, state, answers, begun)
        else:
            if state.load[1] < np.inf:
                request = (now, batch.prefill[at], batch.decode[at])
                answers.wait[begun] = 0.0
                answers.first[begun] = _assign(_winner(state.load), now, request, limits, state) - now
                begun += 1
            else:
                _enqueue(now, batch.prefill[at], batch.decode[at], limits, state)
            at += 1
    return begun, done
