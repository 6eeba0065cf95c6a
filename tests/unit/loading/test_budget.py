"""The one clock of a load, and the one signal that ends it."""

import threading
from collections.abc import Callable

import pytest

from lambda_llm.loading.budget import Budget, StoppedError
from lambda_llm.loading.errors import OutOfTimeError
from support.leftovers import leftovers

WHAT = "s3://models/tiny.gguf"


def test_while_there_is_time_nothing_happens() -> None:
    with Budget(60, WHAT) as budget:
        budget.check()
        assert not budget.stopped.is_set()
    assert leftovers() == []


def test_whoever_waits_is_woken_when_the_time_is_over() -> None:
    with Budget(0.05, WHAT) as budget:
        assert budget.stopped.wait(10)
        with pytest.raises(OutOfTimeError, match=rf"{WHAT} was not loaded within 0\.05 s.*LAMBDA_LLM_LOAD_SECONDS"):
            budget.check()


def test_who_is_stopped_is_not_out_of_time_even_later() -> None:
    with Budget(0.5, WHAT) as budget:
        budget.stop()
        for thread in threading.enumerate():
            if isinstance(thread, threading.Timer):
                thread.join()
        with pytest.raises(StoppedError):
            budget.check()


@pytest.mark.parametrize("end", [Budget.stop, lambda budget: budget.stopped.wait(10)], ids=["stopped", "out of time"])
def test_the_end_is_told_to_who_asked_for_it(end: Callable[[Budget], object]) -> None:
    told = threading.Event()
    with Budget(0.05, WHAT) as budget:
        budget.at_stop(told.set)
        end(budget)
        assert told.wait(10)


def test_who_asks_after_the_end_is_told_at_once() -> None:
    told = threading.Event()
    with Budget(60, WHAT) as budget:
        budget.stop()
        budget.at_stop(told.set)
        assert told.is_set()


def test_the_end_is_not_told_when_all_went_well() -> None:
    told = threading.Event()
    with Budget(60, WHAT) as budget:
        budget.at_stop(told.set)
    assert not told.is_set()


@pytest.mark.parametrize("seconds", [1e18, float("inf")])
def test_any_time_will_do(seconds: float) -> None:
    with Budget(seconds, WHAT) as budget:
        budget.check()
    assert leftovers() == []
