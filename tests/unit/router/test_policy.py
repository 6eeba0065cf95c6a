"""Which backends may answer, in which order, and why."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_llm.backends.contract import Operation, Usage
from lambda_llm.backends.errors import Kind
from lambda_llm.cost import prices
from lambda_llm.router.facts import Facts, Feature, Place
from lambda_llm.router.health import Health
from lambda_llm.router.policy import (
    HOUR_SECONDS,
    Choice,
    Option,
    Prefer,
    TimePrice,
    TokenPrice,
    choose,
    threshold_of,
)

CHAT = frozenset({Operation.CHAT})
OURS = Option(
    "ours", CHAT, 8192, frozenset({Feature.TOOLS}), Place.LAMBDA, "eu-central-1", TimePrice(None, 200.0, 20.0)
)
BEDROCK = Option("bedrock", CHAT, 200_000, frozenset(Feature), Place.ACCOUNT, "us-east-1", TokenPrice(1.0, 5.0))
GPU = Option("gpu", CHAT, 32_768, frozenset(), Place.ACCOUNT, "eu-central-1", TimePrice(0.8048, 20_000.0, 1_000.0))
ELSEWHERE = Option("elsewhere", CHAT, 128_000, frozenset(Feature), Place.ANYWHERE, None, TokenPrice(0.1, 0.2))
ALL = (OURS, BEDROCK, GPU, ELSEWHERE)
FACTS = Facts(Operation.CHAT, 300, 100)
NOW = 1000.0


def names(choice: Choice) -> list[str]:
    return [each.backend for each in choice.candidates]


def chosen(facts: Facts = FACTS, prefer: Prefer = Prefer.ORDER, health: dict[str, Health] | None = None) -> Choice:
    return choose(facts, ALL, prefer, health or {}, NOW)


def why_not(choice: Choice, backend: str) -> str:
    return next(each.why for each in choice.refused if each.backend == backend)


def test_in_order() -> None:
    """The first of the list, and the others if it fails."""
    assert names(chosen()) == ["ours", "bedrock", "gpu", "elsewhere"]


def test_a_long_prompt_goes_where_it_fits() -> None:
    """Prompt and answer together."""
    choice = chosen(replace(FACTS, input_tokens=32_669))
    assert names(choice) == ["bedrock", "elsewhere"]
    assert why_not(choice, "gpu") == "has a context of 32,768 tokens, and about 32,769 are needed"
    assert "gpu" in names(chosen(replace(FACTS, input_tokens=32_668)))


def test_what_may_not_leave_does_not() -> None:
    """Not even where nothing else can answer."""
    choice = chosen(replace(FACTS, place=Place.LAMBDA, input_tokens=100_000))
    assert names(choice) == []
    assert choice.retry_after is None
    assert names(chosen(replace(FACTS, place=Place.LAMBDA))) == ["ours"]
    assert names(chosen(replace(FACTS, place=Place.ACCOUNT))) == ["ours", "bedrock", "gpu"]


def test_region_feature_and_operation() -> None:
    """Each with its reason."""
    assert names(chosen(replace(FACTS, region="us-east-1"))) == ["bedrock"]
    assert why_not(chosen(replace(FACTS, region="us-east-1")), "elsewhere") == "is in region unknown, not in us-east-1"
    choice = chosen(replace(FACTS, features=frozenset({Feature.TOOLS, Feature.IMAGES})))
    assert names(choice) == ["bedrock", "elsewhere"]
    assert why_not(choice, "ours") == "lacks images"
    assert why_not(chosen(replace(FACTS, operation=Operation.RERANK)), "gpu") == "does not have /v1/rerank"


def test_by_cost() -> None:
    """At Bedrock's price 800 $ for a million such requests, at ours what a function costs while it is busy."""
    assert BEDROCK.cost(FACTS) * 1e6 == pytest.approx(300 * 1.0 + 100 * 5.0)
    assert OURS.cost(FACTS) == pytest.approx(prices.busy(300 / 200 + 100 / 20))
    assert GPU.cost(FACTS) == pytest.approx(0.8048 / 3600 * (300 / 20_000 + 100 / 1_000))
    assert names(chosen(prefer=Prefer.COST)) == ["gpu", "elsewhere", "bedrock", "ours"]


def test_by_latency() -> None:
    """One that was never asked is asked, as nothing else tells its latency."""
    health = {"ours": Health(first_chunk=2.0), "bedrock": Health(first_chunk=0.4), "gpu": Health(first_chunk=0.2)}
    assert names(chosen(prefer=Prefer.LATENCY, health=health)) == ["elsewhere", "gpu", "bedrock", "ours"]


def test_by_utilization() -> None:
    """The server comes first from the computed break-even on, and not before."""
    threshold = threshold_of(FACTS, OURS, GPU) or 0.0
    ratio = (300 / 200 + 100 / 20) / (300 / 20_000 + 100 / 1_000)
    assert threshold == pytest.approx(0.8048 / (prices.busy(HOUR_SECONDS) * ratio))
    below = chosen(prefer=Prefer.UTILIZATION, health={"ours": Health(utilization=threshold - 0.001)})
    above = chosen(prefer=Prefer.UTILIZATION, health={"ours": Health(utilization=threshold)})
    assert names(below) == ["ours", "gpu", "bedrock", "elsewhere"]
    assert names(above) == ["gpu", "ours", "bedrock", "elsewhere"]
    assert below.candidates[1].why == "functions are at 3%, break-even at 3%"


def test_one_that_fails_is_left_out_and_the_client_told_when_none_is_left() -> None:
    """The shortest of all pauses."""
    closed = {each.name: Health().sent().failed(Kind.THROTTLED, 10.0 + number, NOW) for number, each in enumerate(ALL)}
    assert names(chosen(health={"ours": closed["ours"]})) == ["bedrock", "gpu", "elsewhere"]
    none = chosen(health=closed)
    assert (names(none), none.retry_after) == ([], 10.0)
    assert why_not(none, "ours") == "left alone for 10 s after failures"


def test_what_a_cache_had_has_its_own_price() -> None:
    """Of a token's price another one, of a time's price none; a cache has no more than the prompt."""
    price = TokenPrice(1.0, 2.5, 0.1)
    assert price.dollars(Usage(1_000_000)) == 1.0
    assert price.dollars(Usage(1000, 100, 900)) * 1e6 == pytest.approx(100 + 90 + 250)
    assert price.dollars(Usage(10, 0, 99)) * 1e6 == pytest.approx(1.0)
    assert TokenPrice(1.0, 2.5).dollars(Usage(1000, 0, 900)) * 1e6 == pytest.approx(1000)
    ours = TimePrice(None, 200.0, 20.0)
    assert ours.dollars(Usage(300, 100, 200)) == pytest.approx(prices.busy(100 / 200 + 100 / 20))
    assert ours.dollars(Usage(10, 0, 99)) == 0


OPTIONS = st.builds(
    Option,
    st.sampled_from("abcdef"),
    st.frozensets(st.sampled_from(Operation)),
    st.integers(1, 100_000),
    st.frozensets(st.sampled_from(Feature)),
    st.sampled_from(Place),
    st.none() | st.sampled_from(["eu-central-1", "us-east-1"]),
    st.builds(TokenPrice, st.floats(0, 100), st.floats(0, 100))
    | st.builds(TimePrice, st.none() | st.floats(0.01, 100), st.floats(0.1, 1e5), st.floats(0.1, 1e5)),
)
HEALTH = st.builds(
    Health,
    failures=st.integers(0, 9),
    closed_until=st.floats(0, 2 * NOW),
    pause=st.sampled_from([0.0, 10.0]),
    probing=st.booleans(),
    first_chunk=st.none() | st.floats(0, 10),
    utilization=st.none() | st.floats(0, 50),
)


@given(
    st.builds(
        Facts,
        st.sampled_from(Operation),
        st.integers(0, 100_000),
        st.integers(0, 10_000),
        st.frozensets(st.sampled_from(Feature)),
        st.sampled_from(Place),
        st.none() | st.sampled_from(["eu-central-1", "us-east-1"]),
    ),
    st.lists(OPTIONS, max_size=6, unique_by=lambda option: option.name),
    st.sampled_from(Prefer),
    st.dictionaries(st.sampled_from("abcdef"), HEALTH),
)
def test_whatever_the_table_says(
    facts: Facts, options: list[Option], prefer: Prefer, health: dict[str, Health]
) -> None:
    """Each backend comes once, with a reason; none is asked that must not be; the same question has one answer."""
    choice = choose(facts, options, prefer, health, NOW)
    both = [*choice.candidates, *choice.refused]
    assert sorted(each.backend for each in both) == sorted(option.name for option in options)
    assert all(each.why for each in both)
    by_name = {option.name: option for option in options}
    for each in choice.candidates:
        option = by_name[each.backend]
        assert facts.operation in option.operations
        assert option.place <= facts.place
        assert facts.features <= option.features
        assert facts.input_tokens + facts.output_tokens <= option.context
        assert facts.region in (None, option.region)
        assert health.get(each.backend, Health()).available(NOW)
    if prefer is Prefer.COST:
        costs = [by_name[each.backend].cost(facts) for each in choice.candidates]
        assert costs == sorted(costs)
    if prefer is Prefer.ORDER:
        assert [each.backend for each in choice.candidates] == [
            option.name for option in options if option.name in names(choice)
        ]
    assert choose(facts, options, prefer, health, NOW) == choice
