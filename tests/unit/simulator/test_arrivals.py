"""Requests come at the rates that were asked for, and in order."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from lambda_llm.simulator.arrivals import CHUNK, DAY, HOUR, Arrivals, Bursts, Diurnal, Poisson, checked
from lambda_llm.simulator.errors import SimulatorError


def drawn(arrivals: Arrivals, seed: int = 0) -> NDArray[np.float64]:
    pieces = list(arrivals.times(np.random.default_rng(seed)))
    assert all(0 < piece.size <= CHUNK for piece in pieces)
    return np.concatenate(pieces) if pieces else np.empty(0)


def per_bin(times: NDArray[np.float64], seconds: float, width: float) -> NDArray[np.int64]:
    return np.bincount((times / width).astype(int), minlength=round(seconds / width))


@pytest.mark.parametrize(
    "arrivals",
    [
        Poisson(3.0, 2e5),
        Poisson(100_000.0, 20.0),
        Poisson(1 / HOUR, 20_000 * HOUR),
        Bursts(5.0, 2e6, factor=4, burst_seconds=20),
        Bursts(5.0, 1e6, factor=20, burst_seconds=5, share=1.0),
        Diurnal(2.0, 14 * DAY, peak_to_mean=3, weekend=0.4),
    ],
    ids=repr,
)
def test_the_rate_is_what_was_asked_for_and_times_ascend(arrivals: Arrivals) -> None:
    times = drawn(arrivals)
    assert times.size == pytest.approx(arrivals.expected, rel=0.02)
    assert times[0] >= 0
    assert times[-1] < arrivals.seconds
    assert (np.diff(times) >= 0).all()


def test_poisson_arrivals_know_nothing_of_each_other() -> None:
    gaps = np.diff(drawn(Poisson(10.0, 1e5)))
    assert gaps.std() / gaps.mean() == pytest.approx(1, rel=0.01)
    assert np.corrcoef(gaps[:-1], gaps[1:])[0, 1] == pytest.approx(0, abs=0.005)


def test_the_same_seed_gives_the_same_arrivals_and_another_one_others() -> None:
    arrivals = Bursts(2.0, 1e4)
    assert (drawn(arrivals, 7) == drawn(arrivals, 7)).all()
    assert not np.array_equal(drawn(arrivals, 7), drawn(arrivals, 8))


def test_bursts_have_their_rate_their_length_and_their_share() -> None:
    arrivals = Bursts(10.0, 1e6, factor=8, burst_seconds=100, share=0.5)
    counts = per_bin(drawn(arrivals), arrivals.seconds, 1.0)
    # Between the calm rate, 5.3 a second, and the burst's, 80, lies nothing.
    bursting = counts > 35
    assert counts[bursting].mean() == pytest.approx(80, rel=0.02)
    assert counts[bursting].sum() / counts.sum() == pytest.approx(0.5, rel=0.05)
    starts = np.count_nonzero(np.diff(bursting.astype(int)) == 1)
    assert bursting.sum() / starts == pytest.approx(100, rel=0.15)


@pytest.mark.parametrize("peak", [1.0, 1.5, 3.0, 8.0])
def test_a_day_has_its_peak_at_its_hour(peak: float) -> None:
    days = 5
    arrivals = Diurnal(20.0, days * DAY, peak_to_mean=peak, peak_hour=9)
    quarters = per_bin(drawn(arrivals) % DAY, DAY, HOUR / 4)
    assert quarters.max() / quarters.mean() == pytest.approx(peak, rel=0.03)
    if peak > 1:
        assert (quarters.argmax() + 0.5) / 4 == pytest.approx(9, abs=1)


def test_a_weekend_has_its_share_and_the_week_its_mean() -> None:
    arrivals = Diurnal(1.0, 14 * DAY, weekend=0.25)
    days = per_bin(drawn(arrivals), arrivals.seconds, DAY).reshape(2, 7)
    assert days[:, 5:].mean() / days[:, :5].mean() == pytest.approx(0.25, rel=0.02)
    assert days.mean() == pytest.approx(DAY, rel=0.01)


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_a_rate_or_a_time_that_is_none_is_refused(value: float) -> None:
    for made in (Poisson, Bursts, Diurnal):
        with pytest.raises(SimulatorError, match=r"The rate of requests is .*: give a number above 0\."):
            made(value, 1.0)
        with pytest.raises(SimulatorError, match="The simulated time in seconds is"):
            made(1.0, value)


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"factor": 1.0}, "The factor of bursts is 1: give a number above 1"),
        ({"burst_seconds": -3.0}, "The length of a burst"),
        ({"share": 1.5}, "The share of requests in bursts is 1.5: give a number above 0 and of at most 1"),
    ],
)
def test_bursts_that_are_none_are_refused(given: dict[str, float], what: str) -> None:
    with pytest.raises(SimulatorError, match=what):
        Bursts(1.0, 1.0, **given)


@pytest.mark.parametrize(
    "given", [{"peak_to_mean": 0.5}, {"peak_to_mean": 100.0}, {"weekend": -1.0}, {"peak_hour": 25.0}]
)
def test_days_that_are_none_are_refused(given: dict[str, float]) -> None:
    with pytest.raises(SimulatorError):
        Diurnal(1.0, 1.0, **given)


def test_more_than_could_ever_be_simulated_is_refused() -> None:
    checked(Poisson(100_000.0, DAY))
    with pytest.raises(SimulatorError, match="requests would take days: simulate fewer hours"):
        checked(Poisson(100_000.0, 30 * DAY))
