"""Sums of lines: every dollar once, for whom it was spent."""

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lambda_llm.usage.spend import Amount, Key, Spend
from support.usage_lines import of_agent, of_function, of_part, of_router

DAY = "2026-11-26"


def test_what_the_model_s_function_says_counts_for_the_router_s_tenant() -> None:
    """In any order: the function's log may be read first."""
    lines = [of_router("r1", "lambda", 0.5), of_function("r1", 0.3), of_function("r2", 0.1, tenant="direct")]
    for order in (lines, lines[::-1]):
        spend = Spend.of(order)
        assert spend.by_key == {
            Key(DAY, "inference", "llama", "acme"): Amount(0.3, 1, 90, 9),
            Key(DAY, "inference", "llama", "direct"): Amount(0.1, 1, 90, 9),
        }
        assert spend.unseen == Amount()
        assert spend.lines == 3


def test_what_others_answered_is_in_the_router_s_line_alone() -> None:
    spend = Spend.of([of_router("r1", "bedrock", 0.5), of_router("r2", "gpu", 0.25, tenant="other")])
    assert spend.by("tenant") == {("acme",): Amount(0.5, 1, 100, 10), ("other",): Amount(0.25, 1, 100, 10)}
    assert spend.by("plane") == {("inference",): Amount(0.75, 2, 200, 20)}


def test_the_router_s_own_time_is_orchestration() -> None:
    spend = Spend.of([of_router("r1", "bedrock", 0.5, own_dollars=0.01)])
    assert spend.by("plane", "tenant") == {
        ("inference", "acme"): Amount(0.5, 1, 100, 10),
        ("orchestration", "acme"): Amount(0.01),
    }


def test_what_a_function_answered_whose_lines_are_missing_is_told_beside() -> None:
    spend = Spend.of([of_router("r1", "lambda", 0.5), of_router("r2", "lambda", 0.5), of_function("r2", 0.25)])
    assert spend.total == Amount(0.25, 1, 90, 9)
    assert spend.unseen == Amount(0.5, 1, 100, 10)


def test_a_request_that_was_answered_twice_costs_twice() -> None:
    """As a hedge does it: the router's id is in both lines."""
    spend = Spend.of([of_router("r1", "lambda", 0.5), of_function("r1", 0.3), of_function("r1", 0.2)])
    assert spend.by("tenant") == {("acme",): Amount(0.5, 2, 180, 18)}


def test_a_batch_on_our_function_is_in_its_lines_and_one_elsewhere_in_the_parts() -> None:
    lines = [
        of_part("batch_1", "lambda", 0.5, 2),
        of_function("batch_1-0", 0.2),
        of_function("batch_1-1", 0.2),
        of_part("batch_2", "bedrock", 0.7, 1000, tenant="other"),
        of_part("batch_3", "lambda", 0.9, 10),
    ]
    spend = Spend.of(lines)
    assert spend.by("tenant") == {("other",): Amount(0.7, 1000, 50, 5), ("acme",): Amount(0.4, 2, 180, 18)}
    assert spend.unseen == Amount(0.9, 10, 50, 5)


def test_agents_are_orchestration_and_no_requests() -> None:
    spend = Spend.of([of_agent("acme", 0.25), of_agent("acme", 0.5, day=1)])
    assert list(spend.by("day")) == [(DAY,), ("2026-11-27",)]
    assert spend.by("plane") == {("orchestration",): Amount(0.75)}


def test_days_come_in_order_and_the_rest_by_cost() -> None:
    lines = [of_agent("a", 0.1, day=2), of_agent("b", 0.2), of_agent("c", 0.3), of_agent("c", 5.0, day=1)]
    spend = Spend.of(lines)
    assert [key[0][-2:] for key in spend.by("day")] == ["26", "27", "28"]
    assert list(spend.by("tenant")) == [("c",), ("b",), ("a",)]
    assert [(key[0][-2:], key[1]) for key in spend.by("day", "tenant")] == [
        ("26", "c"),
        ("26", "b"),
        ("27", "c"),
        ("28", "a"),
    ]


IDS = st.sampled_from(["r1", "r2", "batch_1-0", "batch_1-1"])
ANY = st.one_of(
    st.builds(of_router, IDS, st.sampled_from(["lambda", "bedrock"]), st.just(0.5)),
    st.builds(of_function, IDS, st.just(0.25)),
    st.builds(of_part, st.just("batch_1"), st.just("lambda"), st.just(0.125), st.just(2)),
    st.builds(of_agent, st.sampled_from(["acme", "other"]), st.just(0.0625)),
)


@given(st.lists(ANY, unique_by=lambda line: (line["event"], line["service"], line["request_id"])), st.randoms())
def test_no_order_changes_a_sum(lines: list[dict[str, Any]], dice: random.Random) -> None:
    once = Spend.of(lines)
    dice.shuffle(lines)
    assert Spend.of(lines) == once
