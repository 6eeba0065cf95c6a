"""Percentiles are right but for a percent, however many values there are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_llm.simulator.histogram import ERROR, LEAST, Histogram, Spread

SHARES = (0.001, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0)


@given(st.lists(st.floats(LEAST * 2, 1e8), min_size=1, max_size=200))
def test_every_percentile_is_off_by_a_percent_at_most(values: list[float]) -> None:
    histogram = Histogram()
    histogram.add(np.array(values))
    for share in SHARES:
        exact = np.percentile(values, 100 * share, method="inverted_cdf")
        assert histogram.quantile(share) == pytest.approx(exact, rel=ERROR * 1.0001)


def test_pieces_are_the_same_as_all_at_once() -> None:
    values = np.random.default_rng(0).lognormal(0, 2, 10_000)
    pieces, whole = Histogram(), Histogram()
    for piece in np.split(values, 10):
        pieces.add(piece)
    whole.add(values)
    one, other = Spread.of(pieces), Spread.of(whole)
    assert one
    assert other
    assert one.mean == pytest.approx(values.mean())
    assert (one.p50, one.p999, one.longest) == (other.p50, other.p999, values.max())


def test_what_is_too_small_is_nothing_and_what_is_too_large_is_kept() -> None:
    histogram = Histogram()
    histogram.add(np.array([0.0, 0.0, 1e12]))
    assert histogram.quantile(0.5) == 0
    assert histogram.longest == 1e12
    assert histogram.quantile(1) >= 1e9 * 0.99


def test_nothing_has_no_percentiles() -> None:
    histogram = Histogram()
    histogram.add(np.empty(0))
    assert Spread.of(histogram) is None
