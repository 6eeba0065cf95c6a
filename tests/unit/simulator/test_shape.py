"""A traffic's shape, from CSV files."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lambda_llm.cost.compare.inputs import INPUTS
from lambda_llm.simulator.shape import shape
from lambda_llm.simulator.trace import Trace

MONDAY = datetime(2026, 11, 2, tzinfo=UTC)


def written(folder: Path, counts: dict[datetime, int]) -> Trace:
    path = folder / "requests.csv"
    path.write_text("timestamp,count\n" + "".join(f"{time.isoformat()},{count}\n" for time, count in counts.items()))
    return Trace.read(path)


def by_hours(days: int, *, weekend: int = 40, factor: float = 1.0) -> dict[datetime, int]:
    """Requests from 8 to 18 o'clock, 40 an hour, at noon 120; on a weekend fewer."""
    counts = {}
    for hour in range(24 * days):
        time = MONDAY + timedelta(hours=hour)
        usual = 120 if time.hour == 12 else 40
        open_now = 8 <= time.hour < 18
        most = weekend if time.weekday() >= 5 else usual
        counts[time] = round(factor * most) if open_now else 0
    return counts


def test_two_weeks_of_office_hours(tmp_path: Path) -> None:
    found = shape(written(tmp_path, by_hours(14, weekend=0)))
    # 5 of 7 days with 9 * 40 + 120 requests in 10 hours.
    assert found["requests_per_day"] == pytest.approx(480 * 5 / 7)
    assert found["hours_per_day"] == 10
    assert found["days_per_week"] == 5
    assert found["burst"] == pytest.approx(120 / 48)
    assert "season" not in found


def test_a_day_says_nothing_of_weeks(tmp_path: Path) -> None:
    found = shape(written(tmp_path, by_hours(1)))
    assert found == {"requests_per_day": pytest.approx(480), "hours_per_day": 10, "burst": pytest.approx(120 / 48)}


def test_three_hours_say_nothing_of_days(tmp_path: Path) -> None:
    counts = {MONDAY + timedelta(hours=hour): 10 * (hour + 1) for hour in range(3)}
    found = shape(written(tmp_path, counts))
    assert found == {"requests_per_day": pytest.approx(60 * 8), "burst": pytest.approx(1.5)}


def test_a_season_is_the_busiest_month_over_the_mean(tmp_path: Path) -> None:
    counts = by_hours(61)
    busier = {time: count * (3 if time >= MONDAY + timedelta(hours=730) else 1) for time, count in counts.items()}
    assert shape(written(tmp_path, busier))["season"] == pytest.approx(1.5, rel=0.02)


def test_lines_without_counts_are_requests(tmp_path: Path) -> None:
    path = tmp_path / "requests.csv"
    path.write_text("".join(f"{(MONDAY + timedelta(minutes=minute)).isoformat()}\n" for minute in range(120)))
    found = shape(Trace.read(path))
    assert found["requests_per_day"] == pytest.approx(1440, rel=0.01)
    assert found["burst"] == pytest.approx(1)


def test_what_it_finds_are_inputs(tmp_path: Path) -> None:
    assert set(shape(written(tmp_path, by_hours(70)))) <= set(INPUTS)
