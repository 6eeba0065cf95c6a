"""A backend's circuit breaker."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_llm.backends.errors import Kind
from lambda_llm.router.health import FAILURES_MAX, PAUSE_SECONDS, PAUSE_SECONDS_MAX, Health

NOW = 1000.0


def failing(times: int, health: Health | None = None, now: float = NOW, kind: Kind = Kind.UNAVAILABLE) -> Health:
    health = health or Health()
    for _ in range(times):
        health = health.sent().failed(kind, None, now)
    return health


def test_a_few_failures_change_nothing() -> None:
    """The next request is sent as ever."""
    assert failing(FAILURES_MAX - 1).available(NOW)


def test_after_many_the_backend_is_left_alone_and_then_asked_once() -> None:
    """One request decides; meanwhile there is no other."""
    health = failing(FAILURES_MAX)
    assert not health.available(NOW + PAUSE_SECONDS - 1)
    assert health.wait(NOW) == PAUSE_SECONDS
    assert health.available(NOW + PAUSE_SECONDS)
    probing = health.sent()
    assert not probing.available(NOW + PAUSE_SECONDS)
    assert probing.answered(0.5).available(NOW + PAUSE_SECONDS)
    again = probing.failed(Kind.TIMEOUT, None, NOW + PAUSE_SECONDS)
    assert again.wait(NOW + PAUSE_SECONDS) == 2 * PAUSE_SECONDS


def test_the_request_that_decides_may_be_given_up() -> None:
    """Its client left: another one decides."""
    health = failing(FAILURES_MAX).sent().left()
    assert health.available(NOW + PAUSE_SECONDS)


def test_what_the_backend_asks_for_holds_at_once() -> None:
    """`Retry-After` of the first refusal, as far as it is bearable."""
    throttled = Health().sent().failed(Kind.THROTTLED, 7, NOW)
    assert throttled.wait(NOW) == 7
    assert Health().sent().failed(Kind.THROTTLED, 1e9, NOW).wait(NOW) == PAUSE_SECONDS_MAX


def test_one_that_wakes_is_left_alone_at_once() -> None:
    """It takes minutes, and another backend can answer meanwhile."""
    assert not Health().sent().failed(Kind.WAKING, None, NOW).available(NOW)


@pytest.mark.parametrize("kind", [Kind.INVALID, Kind.UNSUPPORTED, Kind.TOO_LONG, Kind.BLOCKED])
def test_a_request_that_is_to_blame_says_nothing_of_the_backend(kind: Kind) -> None:
    """Nobody can close a backend to others by what they send."""
    assert failing(10 * FAILURES_MAX, kind=kind) == Health()


def test_an_answer_forgets_failures_and_remembers_its_time() -> None:
    """A moving average, with which the latency policy ranks."""
    health = failing(FAILURES_MAX - 1).sent().answered(1.0)
    assert (health.failures, health.first_chunk, health.busy) == (0, 1.0, 0)
    assert 1.0 < (health.sent().answered(2.0).first_chunk or 0) < 2.0


STEPS = st.lists(
    st.tuples(st.sampled_from(["sent", "answered", "left", *Kind]), st.floats(0, 100), st.none() | st.floats(0, 1e6))
)


@given(STEPS)
def test_whatever_happens_no_backend_is_closed_for_ever(steps: list[tuple[str, float, float | None]]) -> None:
    """After all that were sent have ended, the longest pause is enough."""
    health, now, out = Health(utilization=0.5), NOW, 0
    for what, seconds, retry_after in steps:
        now += seconds
        if what == "sent" and health.available(now):
            health, out = health.sent(), out + 1
        elif out and what != "sent":
            out -= 1
            if what == "answered":
                health = health.answered(seconds)
            elif what == "left":
                health = health.left()
            else:
                health = health.failed(Kind(what), retry_after, now)
        assert health.busy == out
        assert health.wait(now) <= PAUSE_SECONDS_MAX
    for _ in range(out):
        health = health.left()
    assert health.available(now + PAUSE_SECONDS_MAX)
    assert replace(health, utilization=0.5) == health
