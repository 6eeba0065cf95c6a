"""Amounts, windows and limits."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_llm.router.budget import (
    Amount,
    Limit,
    Limits,
    What,
    Window,
    dollars,
    micro_dollars,
    refusal,
)

TIMES = st.floats(86_400, 7e9)
COUNTS = st.integers(0, 10**9)


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("window", "now", "key", "left"),
    [
        (Window.MINUTE, "2026-11-27T06:34:00", "2026-11-27T06:34", 60),
        (Window.MINUTE, "2026-11-27T06:34:59.5", "2026-11-27T06:34", 1),
        (Window.DAY, "2026-11-27T23:59:00", "2026-11-27", 60),
        (Window.DAY, "2026-03-29T00:30:00", "2026-03-29", 23 * 3600 + 1800),
        (Window.MONTH, "2026-12-31T23:59:59", "2026-12", 1),
        (Window.MONTH, "2028-02-28T00:00:00", "2028-02", 2 * 86_400),
        (Window.MONTH, "2026-01-31T00:00:00", "2026-01", 86_400),
    ],
)
def test_a_window_has_a_name_and_an_end(window: Window, now: str, key: str, left: int) -> None:
    assert (window.key(at(now)), window.seconds_left(at(now))) == (key, left)


@given(st.sampled_from(Window), TIMES)
def test_a_window_ends_where_the_next_begins(window: Window, now: float) -> None:
    end = window.end(now)
    assert end > now
    assert window.key(end - 1) == window.key(now) != window.key(end)
    assert timedelta(seconds=end - now) <= timedelta(days=31)


@pytest.mark.parametrize(
    ("given_dollars", "micro", "shown"),
    [(0, 0, "$0.00"), (0.1, 100_000, "$0.10"), (1.5, 1_500_000, "$1.50"), (Decimal("0.0000001"), 1, "$0.000001"),
     (1234.567, 1_234_567_000, "$1,234.567"), (1e-9, 1, "$0.000001")],
)  # fmt: skip
def test_dollars_are_whole_millionths_rounded_up(given_dollars: float, micro: int, shown: str) -> None:
    assert micro_dollars(given_dollars) == micro
    assert dollars(micro) == shown


@pytest.mark.parametrize(("tokens", "micro"), [(-1, 0), (0, -1)])
def test_nobody_spends_less_than_nothing(tokens: int, micro: int) -> None:
    with pytest.raises(ValueError, match="negative"):
        Amount(tokens, micro)


AMOUNTS = st.builds(Amount, st.integers(0, 30), st.integers(0, 30))
LIMIT = st.builds(Limit, st.none() | st.integers(0, 30), st.none() | st.integers(0, 30))


@given(AMOUNTS, st.fixed_dictionaries(dict.fromkeys(Window, AMOUNTS)), st.builds(Limits, LIMIT, LIMIT, LIMIT), TIMES)
def test_a_request_is_refused_exactly_if_one_of_its_windows_has_less_left(
    wanted: Amount, used: dict[Window, Amount], limits: Limits, now: float
) -> None:
    short: dict[tuple[Window, What], tuple[int, int]] = {}
    for window in Window:
        left = limits.of(window).left(used[window])
        for what in What:
            most, rest = limits.of(window).of(what), left.of(what)
            if most is not None and rest is not None and wanted.of(what) > max(0, rest):
                short[window, what] = (most, rest)
            elif most is not None and used[window].of(what) > most:
                short[window, what] = (most, 0)  # more was settled than reserved
    refused = refusal(wanted, used, limits, now)
    if refused is None:
        assert short == {}
        return
    most, _ = short[refused.window, refused.what]
    never = {each for each, (whole, _) in short.items() if wanted.of(each[1]) > whole}
    if never:
        assert (refused.window, refused.what) in never
        assert refused.retry_after is None
    else:
        assert refused.retry_after == refused.window.seconds_left(now)
        assert refused.retry_after == max(window.seconds_left(now) for window, _ in short)


def test_a_refusal_is_one_sentence_that_says_what_to_do() -> None:
    now = at("2026-11-27T06:34:28")
    used = dict.fromkeys(Window, Amount(800, 1_500_000))
    refused = refusal(Amount(500), used, Limits(minute=Limit(tokens=1000)), now)
    assert str(refused) == (
        "The tenant's budget of 1,000 tokens a minute has 200 tokens left, and the request may take 500 tokens: send "
        "it again in 32 s, or ask for a shorter answer."
    )
    refused = refusal(Amount(500, 2_500_000), used, Limits(day=Limit(micro_dollars=2_000_000)), now)
    assert str(refused) == (
        "The request may take $2.50, more than the tenant's whole budget of $2.00 a day: ask for a shorter answer, or "
        "have the budget raised."
    )
