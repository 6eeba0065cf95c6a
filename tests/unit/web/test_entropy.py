"""No generator goes on from where the snapshot left it."""

import random
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from lambda_llm.web.entropy import reseed


def test_two_restores_of_one_state_draw_different_numbers() -> None:
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - the one that modules share

    def restored() -> list[float]:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002 - as above
        reseed()
        return [random.random(), float(np.random.random())]  # noqa: NPY002, S311 - as above

    first, second = restored(), restored()
    assert first[0] != second[0]
    assert first[1] != second[1]


def test_what_was_never_imported_needs_no_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "numpy.random", raising=False)
    reseed()
    assert "numpy.random" not in sys.modules


def test_openssl_is_given_fresh_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[bytes] = []
    monkeypatch.setattr("lambda_llm.web.entropy.ssl", SimpleNamespace(RAND_add=lambda data, _: given.append(data)))
    reseed()
    reseed()
    first, second = given
    assert len(first) == len(second) == 32
    assert first != second
