"""What requests ask for has the mean and the variation that were given."""

import math

import numpy as np
import pytest

from lambda_llm.simulator.arrivals import Poisson
from lambda_llm.simulator.errors import SimulatorError
from lambda_llm.simulator.work import Tokens, Work, requests


@pytest.mark.parametrize(
    ("tokens", "variation"),
    [(Tokens(300), 0), (Tokens(300, 0.5), 0.5), (Tokens(300, 1.5), 1.5), (Tokens(300, kind="exponential"), 1)],
)
def test_tokens_have_their_mean_and_their_variation(tokens: Tokens, variation: float) -> None:
    drawn = tokens.draw(np.random.default_rng(0), 1_000_000)
    assert drawn.mean() == pytest.approx(300, rel=0.005)
    assert drawn.std() / drawn.mean() == pytest.approx(variation, rel=0.03)
    assert (drawn >= 0).all()


def test_no_tokens_are_none() -> None:
    assert not Tokens(0, 1.0).draw(np.random.default_rng(0), 5).any()


def test_what_a_cache_knows_is_not_evaluated() -> None:
    new, answer = Work(Tokens(400), Tokens(50), cached=0.75).draw(np.random.default_rng(0), 3)
    assert new.tolist() == [100] * 3
    assert answer.tolist() == [50] * 3


def test_the_same_requests_come_whatever_they_ask_for() -> None:
    arrivals = Poisson(1.0, 500.0)
    short, long = (next(requests(arrivals, Work(Tokens(n, 1.0), Tokens(n)), seed=4)) for n in (10, 1000))
    assert (short.times == long.times).all()
    assert long.new_tokens == pytest.approx(100 * short.new_tokens)


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_what_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(SimulatorError, match="The mean number of tokens"):
        Tokens(value)
    with pytest.raises(SimulatorError, match="The coefficient of variation"):
        Tokens(1, value)
    with pytest.raises(SimulatorError, match="The cached share"):
        Work(Tokens(1), Tokens(1), value)
