"""The language of options.toml, so small that Python and JavaScript can't differ, and the limits of what it calls."""

import math
import random
from collections import deque
from heapq import heappop, heappush
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_llm.cost.compare.formulas import FUNCTIONS, Formula, FormulaError, awake_share, calls, cold_starts
from lambda_llm.cost.prices import Price, PriceError, Prices, Tier

PRICES = Prices("test", {"tea.cup": Price("tea.cup", "hour", (Tier(0, 10, 0), Tier(10, math.inf, 2)), "d", "s", "r")})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hours ** 2", "has a Pow"),
        ("hours // 2", "has a FloorDiv"),
        ("hours % 2", "none of a formula's"),
        ("hours < 2", "none of a formula's"),
        ("hours if 1 else 2", "has a IfExp"),
        ("hours and 2", "has a BoolOp"),
        ("not hours", "has a UnaryOp|has a Not"),
        ("+hours", "has a UAdd"),
        ("hours.real", "none of a formula's"),
        ("hours[0]", "none of a formula's"),
        ("(hours, 2)", "has a Tuple"),
        ("lambda: 2", "none of a formula's"),
        ("lambda hours", "can't be read"),
        ("max(hours, key=2)", "none of a formula's"),
        ("max(*hours, 2)", "has a Starred"),
        ("True", "none of a formula's"),
        ("None", "none of a formula's"),
        ("1j * hours", "can't be read|none of a formula's"),
        ("0x10", "none of a formula's|can't be read"),
        ("1_000", "none of a formula's|can't be read"),
        ("010", "can't be read"),
        ("--hours", "none of a formula's"),  # JavaScript counts down
        ("1--hours", "none of a formula's"),
        ("hours # much", "none of a formula's"),
        ("hours\n+ 2", "none of a formula's"),
        ("'tea.cup'", "none of a formula's"),
        ('"tea.cup"', "a text outside cost and price"),
        ('max("tea.cup", 1)', "a text outside cost and price"),
        ('cost("tea.cup", "tea.cup")', "a text outside cost and price"),
        ('cost("tea" ".cup", 1)', "calls cost wrongly|none of a formula's"),
        ("cost(hours, 1)", "calls cost wrongly: it takes a price's name in quotes"),
        ("price(2)", "calls price wrongly: it takes a price's name in quotes"),
        ('price("tea.cup", 1)', "calls price wrongly: it takes 1"),
        ('cost("tea.cup")', "calls cost wrongly: it takes 2"),
        ("max(hours)", "calls max wrongly: it takes 2"),
        ("ceil()", "calls ceil wrongly"),
        ("open(hours)", "calls something else than"),
        ("max(hours, 2)(3)", "calls something else than"),
        ("max + 1", "has max without a call"),
        ("price", "has price without a call"),
        ("", "none of a formula's"),
        ("2 +", "can't be read"),
        ("(2", "can't be read"),
        ("héures", "none of a formula's"),
        ("(" * 5000 + "1" + ")" * 5000, "can't be read"),
    ],
)
def test_all_else_is_refused_in_one_sentence(text: str, said: str) -> None:
    with pytest.raises(FormulaError, match=said) as refused:
        Formula(text)
    assert str(refused.value).startswith("The formula ")
    assert str(refused.value).endswith(".")
    assert "\n" not in str(refused.value)


def test_a_formula_names_what_it_needs() -> None:
    formula = Formula('-hours / 2 + max(1.5e-3, cost("tea.cup", hours * cups)) - price("tea.cup")')
    assert formula.names == {"hours", "cups"}
    assert formula.prices == {"tea.cup"}


def test_a_formula_is_computed_with_the_usual_precedence() -> None:
    # 12 hours: 10 free, 2 at $2.
    formula = Formula('cost("tea.cup", hours) + 3 * (4 - 2) / price("tea.cup") - min(1, 7) + ceil(0.2)')
    assert formula.value({"hours": 12}, calls(PRICES)) == 4 + 3 - 1 + 1


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("hours / cups", FormulaError, "divides by zero"),
        ("hours * days", FormulaError, "has no value for 'days'"),
        ('price("tea.pot")', PriceError, "has no 'tea.pot'"),
    ],
)
def test_what_has_no_value_is_said(text: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        Formula(text).value({"hours": 1, "cups": 0}, calls(PRICES))


def test_a_formula_sees_nothing_of_python() -> None:
    for name in ("__import__", "print", "open", "cold", "math"):
        with pytest.raises(FormulaError, match=f"no value for '{name}'"):
            Formula(name).value({}, calls(PRICES))
    assert calls(PRICES).keys() == FUNCTIONS.keys()


# -- cold starts ------------------------------------------------------------------------------------


def test_requests_that_hardly_ever_come_are_all_cold() -> None:
    assert cold_starts(1e-9, 8, 420) / 1e-9 == pytest.approx(1, rel=1e-6)


@pytest.mark.parametrize("load", [0.01, 0.99, 1, 1.01, 7.5, 300, 1e5])
def test_where_nothing_stays_warm_every_request_is_cold(load: float) -> None:
    assert cold_starts(load / 8, 8, 0) == pytest.approx(load / 8, rel=1e-9)


@pytest.mark.parametrize("load", [0.01, 1, 7.5, 300, 1e5])
def test_where_everything_stays_warm_no_request_is_cold(load: float) -> None:
    assert cold_starts(load / 8, 8, 1e30) < 1e-25


def test_no_requests_have_no_cold_starts() -> None:
    assert cold_starts(0, 8, 420) == 0
    assert cold_starts(5, 0, 420) == pytest.approx(5 * math.exp(-5 * 420), abs=1e-300)


def test_one_that_takes_no_time_needs_one_environment_only() -> None:
    # One request in 100 s, environments that stay for 100 s: a gap is longer with probability 1/e.
    assert cold_starts(0.01, 0, 100) == pytest.approx(0.01 / math.e)


def test_two_environments_by_hand() -> None:
    # Load 0.1: P(0 busy) = e^-0.1, P(1 busy) = 0.1 e^-0.1, P(2 busy) = 0.005 e^-0.1; one request of 10 s in 100 s.
    p0, p1, p2, p3 = (math.exp(-0.1) * weight for weight in (1, 0.1, 0.005, 0.1**3 / 6))
    first = 0.01 * p0 * math.exp(-0.01 * 420)
    second = 0.01 * p1 * math.exp(-0.01 * p1 / (p0 + p1) * 420)
    third = 0.01 * p2 * math.exp(-0.01 * p2 / (p0 + p1 + p2) * 420)
    fourth = 0.01 * p3 * math.exp(-0.01 * p3 * 420)
    assert cold_starts(0.01, 10, 420) == pytest.approx(first + second + third + fourth, rel=1e-4)


@settings(deadline=None)
@given(st.floats(1e-6, 1e5), st.floats(0.01, 300), st.lists(st.floats(0, 1e5), min_size=2, max_size=5))
def test_who_keeps_them_warm_longer_has_fewer(load: float, seconds: float, keep_warm: list[float]) -> None:
    found = [cold_starts(load / seconds, seconds, each) for each in sorted(keep_warm)]
    assert all(0 <= later <= earlier for earlier, later in pairwise(found))
    assert all(math.isfinite(each) and each <= load / seconds * (1 + 1e-9) for each in found)


@pytest.mark.parametrize("keep_warm", [0, 1, 8, 60, 420])
def test_there_is_no_jump_where_the_load_is_a_whole_number(keep_warm: float) -> None:
    for load in (1, 2, 10, 1000):
        below, above = (cold_starts(load * part / 8, 8, keep_warm) for part in (1 - 1e-9, 1 + 1e-9))
        assert below == pytest.approx(above, rel=1e-6)


@pytest.mark.parametrize(("rate", "fewer", "more"), [(0.002, 0.97, 1.03), (0.05, 0.96, 1.04), (0.5, 0.9, 1.3)])
def test_a_simulation_has_about_as_many(rate: float, fewer: float, more: float) -> None:
    drawn, now, busy, idle, cold, count = random.Random(7), 0.0, list[float](), deque[float](), 0, 60_000  # noqa: S311
    for _ in range(count):
        now += drawn.expovariate(rate)
        while busy and busy[0] <= now:
            idle.append(heappop(busy))
        while idle and idle[0] + 420 < now:
            idle.popleft()
        if idle:
            idle.pop()  # the one that was used last
        else:
            cold += 1
        heappush(busy, now + 8)
    assert fewer < cold / count / (cold_starts(rate, 8, 420) / rate) < more


@pytest.mark.parametrize("load", [1e10, 1e300, math.inf, math.nan])
def test_more_than_there_can_be_is_refused_before_it_is_computed(load: float) -> None:
    with pytest.raises(FormulaError, match=r"functions would be busy at once: expected at most 1e\+09\."):
        cold_starts(load, 1, 420)


# -- awake ------------------------------------------------------------------------------------------


def test_what_sleeps_is_awake_around_each_request() -> None:
    assert awake_share(0, 8, 900) == 0
    # Requests so seldom that none meets another: each has its own 908 s.
    assert awake_share(1e-9, 8, 900) == pytest.approx(908e-9, rel=1e-6)
    # One in 908 s: it is asleep when none came in 908 s, with probability 1/e.
    assert awake_share(1 / 908, 8, 900) == pytest.approx(1 - 1 / math.e)
    assert awake_share(100, 8, 900) == 1
