"""Signals that come at a bad moment wait for a better one."""

import signal
import threading
from collections.abc import Iterator

import pytest

from lambda_llm.loading.interrupts import uninterrupted


class InterruptedHereError(Exception):
    """What the signal's handler raises."""


@pytest.fixture(autouse=True)
def _raises() -> Iterator[None]:
    """SIGUSR1 interrupts as Ctrl-C does, and is nobody else's."""

    def handler(*_: object) -> None:
        raise InterruptedHereError

    before = signal.signal(signal.SIGUSR1, handler)
    yield
    signal.signal(signal.SIGUSR1, before)


def interrupt() -> None:
    signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)


def blocked() -> set[int]:
    """The signals that this thread does not get now."""
    return set(signal.pthread_sigmask(signal.SIG_BLOCK, ()))


def test_a_signal_is_put_off_to_the_end() -> None:
    done: list[str] = []
    with pytest.raises(InterruptedHereError), uninterrupted():  # noqa: PT012 - when it comes is the point
        interrupt()
        done.append("all")
    assert done == ["all"]


def test_what_waits_may_be_interrupted_all_the_same() -> None:
    done: list[str] = []
    with pytest.raises(InterruptedHereError), uninterrupted() as interruptible:  # noqa: PT012 - as above
        interrupt()
        done.append("work")
        with interruptible():
            done.append("waited")
    assert done == ["work"]


def test_after_a_wait_signals_are_put_off_again() -> None:
    done: list[str] = []
    with pytest.raises(InterruptedHereError), uninterrupted() as interruptible:  # noqa: PT012 - as above
        with interruptible():
            done.append("waited")
        interrupt()
        done.append("work")
    assert done == ["waited", "work"]


def test_a_thread_that_is_started_inside_gets_none() -> None:
    found: list[set[int]] = []
    with uninterrupted():
        thread = threading.Thread(target=lambda: found.append(blocked()))
        thread.start()
        thread.join()
    assert {signal.SIGINT, signal.SIGTERM, signal.SIGUSR1} <= found[0]


def test_afterwards_everything_is_as_it_was_also_after_an_error() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    own = before | {signal.SIGUSR2}
    try:
        with uninterrupted() as interruptible, interruptible():
            assert blocked() == own
        assert blocked() == own
        with pytest.raises(ZeroDivisionError), uninterrupted() as interruptible, interruptible():
            raise ZeroDivisionError
        assert blocked() == own
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
