"""Whoever waits goes on in time, with what the work gave or raised."""

import threading

import pytest

from lambda_llm.agent.tools.within import within


def test_what_the_work_gives_or_raises() -> None:
    """Even what ends a process elsewhere."""
    assert within(60, lambda: 3) == 3
    for error in (ValueError("no"), SystemExit(3)):

        def fail(error: BaseException = error) -> None:
            raise error

        with pytest.raises(type(error)) as raised:
            within(60, fail)
        assert raised.value is error


def test_work_that_takes_too_long_goes_on_alone() -> None:
    """On a thread that keeps no process from ending."""
    go, ended = threading.Event(), threading.Event()
    threads: list[threading.Thread] = []

    def work() -> int:
        threads.append(threading.current_thread())
        assert go.wait(60)
        ended.set()
        return 3

    assert within(0.01, work) is None
    go.set()
    assert ended.wait(60)
    assert threads[0].daemon
