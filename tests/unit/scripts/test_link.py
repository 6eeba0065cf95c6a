"""What a simulated storage delivers, and when: computed, on a clock of the test's own."""

import pytest

from scripts.bench.link import Link


def test_a_small_request_takes_the_latency() -> None:
    assert Link(0.5, 1000).arrival(100, now=10) == 10.5


def test_a_large_one_takes_its_bytes() -> None:
    assert Link(0.5, 1000).arrival(2000, now=10) == 12


def test_requests_share_the_bandwidth_and_not_the_latency() -> None:
    link = Link(0.5, 1000)
    assert [link.arrival(400, now=0) for _ in range(3)] == pytest.approx([0.5, 0.8, 1.2])


def test_what_was_not_asked_for_in_time_is_not_made_up_for() -> None:
    link = Link(0, 1000)
    assert link.arrival(1000, now=0) == 1
    assert link.arrival(1000, now=5) == 6


@pytest.mark.parametrize(("latency", "expected"), [(0.5, 10 + 2 + 2 + 0.5), (3, 10 + 3 + 3 + 3)])
def test_a_stretch_that_is_asked_for_in_waves_waits_for_each(latency: float, expected: float) -> None:
    link = Link(latency, 1000)
    assert link.arrival_in_waves(4400, now=10, wave=2000) == pytest.approx(expected)
    assert link.arrival_in_waves(0, now=20, wave=2000) == 20
