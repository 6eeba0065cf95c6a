"""Where two options cost the same, against closed forms."""

import math
from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_llm.cost.break_even import utilization
from lambda_llm.cost.compare.costs import priced
from lambda_llm.cost.compare.crossings import LEAST, MOST, Curve, break_even, break_evens, grid
from lambda_llm.cost.compare.formulas import Formula
from lambda_llm.cost.compare.options import Line, Option, load
from lambda_llm.cost.compare.workload import Workload
from lambda_llm.cost.prices import Prices
from lambda_llm.cost.prices import load as price_list

OPTIONS = {option.name: option for option in load().options}
HERE = Workload.of({})


def line(name: str, fixed: float, variable: float) -> Curve:
    """An option of `fixed` dollars a month, and `variable` more for each unit of utilization."""
    formula = Formula(f"{fixed:.17g} + {variable:.17g} * load")
    option = Option(name, name, "function", own=True, lines=(Line("all", formula),))
    return Curve(option, HERE.at, Prices("none", {}))


@settings(deadline=None)
@given(st.floats(1, 1e4), st.floats(1, 1e4), st.floats(1, 1e4), st.floats(1, 1e4))
def test_two_straight_lines(low: float, more: float, flat: float, steeper: float) -> None:
    """The one that costs less without requests and more for each."""
    found = break_even(line("steep", low, flat + steeper), line("flat", low + more, flat), HERE)
    where = more / steeper
    assert (found.cheap_first, found.cheap_later) == ("steep", "flat")
    if where < MOST * (1 - 1e-6):
        assert list(found.crossings) == pytest.approx([where], rel=1e-6)
        assert found.utilization == found.crossings[0]
        assert list(found.fixed) == pytest.approx([low, low + more])
        assert list(found.variable) == pytest.approx([flat + steeper, flat], rel=1e-3)
        assert found.requests_per_day == pytest.approx(where * 86_400 / HERE.quantities["seconds"], rel=1e-6)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_order_in_which_two_are_named_does_not_matter(order: tuple[int, int]) -> None:
    both = line("dear", 10, 1), line("cheap", 1, 10)
    found = break_even(both[order[0]], both[order[1]], HERE)
    assert (found.cheap_first, found.cheap_later) == ("cheap", "dear")
    assert found.utilization == pytest.approx(1, rel=1e-6)


def test_one_that_is_always_cheaper_meets_nobody() -> None:
    found = break_even(line("dear", 10, 10), line("cheap", 1, 1), HERE)
    assert (found.cheap_first, found.utilization, found.requests_per_day, found.crossings) == ("cheap", None, None, ())
    assert list(found.variable) == pytest.approx([1, 10])


def test_two_that_cost_the_same_never_cross() -> None:
    assert break_even(line("one", 3, 2), line("other", 3, 2), HERE).crossings == ()


@pytest.mark.parametrize("name", ["c7g.2xlarge", "g6.xlarge"])
def test_it_is_the_formula_of_the_router_when_all_else_is_free(name: str) -> None:
    """Hourly price over what a busy function costs an hour; the server is not full, so what it is worth is 1."""
    free = {each: price_list()[each].at(0) for each in OPTIONS["lambda"].prices | OPTIONS[f"ec2.{name}.spot"].prices}
    hourly, second = 0.3, 0.00002
    prices = price_list().with_prices(
        {
            **free,
            f"ec2.{name}.spot": price_list()[f"ec2.{name}.spot"].at(hourly),
            "lambda.arm64.duration": price_list()["lambda.arm64.duration"].at(second),
        }
    )
    workload = Workload.of({"restore_seconds": 0, "target": 1})
    ours, server = (Curve(OPTIONS[each], workload.at, prices) for each in ("lambda", f"ec2.{name}.spot"))
    found = break_even(ours, server, workload)
    assert found.utilization == pytest.approx(utilization(hourly, second * 10 * 3600, 1), rel=1e-6)


def test_servers_come_whole_so_their_order_changes_several_times() -> None:
    curves = [Curve(OPTIONS[name], HERE.at, price_list()) for name in ("lambda", "ec2.c7g.2xlarge.reserved-3y-upfront")]
    found = break_even(curves[0], curves[1], HERE)
    assert found.cheap_first == "lambda"
    assert len(found.crossings) >= 3
    assert len(found.crossings) % 2 == 1  # many servers are cheaper in the end


@pytest.mark.parametrize(
    ("one", "other"), [*combinations(["lambda", "bedrock.nova-2-lite.on-demand", "onprem.gpu"], 2)]
)
def test_costs_are_equal_where_they_cross_and_in_order_on_both_sides(one: str, other: str) -> None:
    check(one, other, HERE)


SMOOTH = [each.name for each in priced(price_list())[0] if each.kind != "server"]
"""Whose costs don't jump."""


def check(one: str, other: str, workload: Workload) -> None:
    curves = {name: Curve(OPTIONS[name], workload.at, price_list()) for name in (one, other)}
    found = break_even(curves[one], curves[other], workload)
    first, later = curves[found.cheap_first], curves[found.cheap_later]
    assert first(LEAST) <= later(LEAST)
    assert (found.utilization is None) == (found.crossings == ())
    edges = [LEAST, *found.crossings, MOST]
    for number, (low, high) in enumerate(pairwise(edges)):
        between = [point for point in grid() if low * 1.000001 < point < high * 0.999999]
        cheaper, dearer = (first, later) if number % 2 == 0 else (later, first)
        assert all(cheaper(point) <= dearer(point) for point in between)
    if one in SMOOTH and other in SMOOTH:
        for crossing in found.crossings:
            assert first(crossing) == pytest.approx(later(crossing), rel=1e-6)
    if found.utilization is not None:
        fixed, variable = found.fixed, found.variable
        assert variable[0] != variable[1]
        at = found.utilization
        assert (fixed[0] + variable[0] * at, fixed[1] + variable[1] * at) == pytest.approx((first(at), later(at)))
        if one in SMOOTH and other in SMOOTH and abs(fixed[1] - fixed[0]) > 1:
            assert (fixed[1] - fixed[0]) / (variable[0] - variable[1]) == pytest.approx(at, rel=1e-3)
        assert found.requests_per_day == pytest.approx(at * 86_400 / workload.quantities["seconds"])


@settings(deadline=None, max_examples=15)
@given(
    st.sampled_from(SMOOTH),
    st.sampled_from([each.name for each in priced(price_list())[0]]),
    st.floats(1, 4000),
    st.floats(1, 2000),
)
def test_so_it_is_for_every_pair_and_workload(one: str, other: str, prompt: float, answer: float) -> None:
    check(one, other, Workload.of({"prompt_tokens": prompt, "answer_tokens": answer}))


def test_each_pair_is_compared_once() -> None:
    options = [OPTIONS[name] for name in ("lambda", "agentcore", "microvm", "onprem.gpu")]
    found = break_evens(options, HERE, price_list())
    pairs = [{each.cheap_first, each.cheap_later} for each in found]
    assert pairs == [{one.name, other.name} for one, other in combinations(options, 2)]


def test_the_utilizations_go_from_the_one_end_to_the_other() -> None:
    assert grid()[0] == pytest.approx(LEAST)
    assert grid()[-1] == pytest.approx(MOST)
    assert grid() == sorted(grid())
    assert all(math.isfinite(point) for point in grid())
