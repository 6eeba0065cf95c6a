"""How an evaluation is told to end: by a flag that C reads as a text."""

import ctypes
import threading

from lambda_llm.engine.cancellation import Cancellation


def length_in_c(cancellation: Cancellation) -> int:
    """What llama.cpp's abort callback gets, which is C's `strlen`."""
    return int(ctypes.CDLL(None).strlen(cancellation.flag))


def test_nothing_is_cancelled_before_somebody_asks() -> None:
    cancellation = Cancellation()
    assert not cancellation.cancelled
    assert length_in_c(cancellation) == 0


def test_it_stays_cancelled_for_python_and_for_c_whoever_asked() -> None:
    cancellation = Cancellation()
    asking = threading.Thread(target=cancellation.cancel)
    asking.start()
    asking.join()
    assert cancellation.cancelled
    assert length_in_c(cancellation) == 1
    cancellation.cancel()
    assert cancellation.cancelled
    assert length_in_c(cancellation) == 1


def test_each_is_cancelled_by_itself() -> None:
    first, second = Cancellation(), Cancellation()
    first.cancel()
    assert not second.cancelled
