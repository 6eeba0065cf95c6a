"""The one sentence: three answers, and what each is by."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_llm.cost.compare.costs import cost, costs
from lambda_llm.cost.compare.crossings import against
from lambda_llm.cost.compare.inputs import INPUTS
from lambda_llm.cost.compare.options import load
from lambda_llm.cost.compare.verdict import EQUAL, LAMBDA, Verdict, verdict
from lambda_llm.cost.compare.workload import Workload
from lambda_llm.cost.prices import PriceError, Prices
from lambda_llm.cost.prices import load as price_list
from lambda_llm.units import dollars

OPTIONS = {option.name: option for option in load().options}
WORKLOADS = st.fixed_dictionaries({name: st.floats(each.low, each.high) for name, each in INPUTS.items()})


def judged(**given: float) -> Verdict:
    return judged_by(price_list(), **given)


def judged_by(prices: Prices, /, **given: float) -> Verdict:
    workload = Workload.of(given)
    found = costs(workload, prices)
    options = {each.option.name: each.option for each in found}
    ours = options.pop(LAMBDA)
    return verdict(found, workload, prices, against(ours, list(options.values()), workload, prices))


def monthly(name: str, **given: float) -> float:
    return cost(OPTIONS[name], Workload.of(given), price_list()).monthly


def test_few_requests_are_right() -> None:
    found = judged(requests_per_day=1000)
    assert found.answer == "right"
    assert found.free.name == "ec2.c7g.2xlarge.on-demand"
    assert found.committed
    assert found.committed.name == "ec2.c7g.2xlarge.reserved-3y-upfront"
    assert found.free.requests_per_day
    assert found.committed.requests_per_day
    assert found.sentence == (
        f"Lambda is right for this traffic: {dollars(monthly(LAMBDA, requests_per_day=1000))} a month, against "
        f"{dollars(found.free.monthly)} for EC2 c7g.2xlarge on demand (which is cheaper from "
        f"{found.free.requests_per_day:,.0f} requests a day on), "
        f"{dollars(found.committed.monthly)} for EC2 c7g.2xlarge for 3 years upfront (which is cheaper from "
        f"{found.committed.requests_per_day:,.0f} requests a day on), and "
        f"{dollars(monthly('deepinfra.llama-3.1-8b', requests_per_day=1000))} by the token for another's model "
        "(deepinfra.llama-3.1-8b)."
    )


def test_more_are_right_unless_one_commits() -> None:
    found = judged(requests_per_day=2500)
    assert found.answer == "right without commitment"
    assert found.sentence.startswith("Lambda is right for this traffic unless you commit for years: $")
    assert found.committed
    assert found.committed.monthly < monthly(LAMBDA, requests_per_day=2500) < found.free.monthly


def test_many_are_wrong() -> None:
    found = judged(requests_per_day=50_000)
    assert found.answer == "wrong"
    assert found.sentence.startswith("Lambda is not right for this traffic: $")
    assert found.free.monthly < monthly(LAMBDA, requests_per_day=50_000)


@pytest.mark.parametrize("rival", ["free", "committed"])
def test_the_answer_changes_where_it_says(rival: str) -> None:
    found = getattr(judged(requests_per_day=1000), rival)
    for part, cheaper in ((0.999, LAMBDA), (1.001, found.name)):
        given = {"requests_per_day": found.requests_per_day * part}
        assert min((LAMBDA, found.name), key=lambda name: monthly(name, **given)) == cheaper


@settings(deadline=None, max_examples=30)
@given(WORKLOADS)
def test_the_sentence_does_not_contradict_itself(inputs: dict[str, float]) -> None:
    found = judged(**inputs)
    ours = monthly(LAMBDA, **inputs)
    equals = [each for each in (found.free, found.committed) if each]
    assert found.answer == (
        "wrong"
        if ours > found.free.monthly
        else "right without commitment"
        if found.committed and ours > found.committed.monthly
        else "right"
    )
    assert found.sentence.endswith(").")
    for each in equals:
        told = f"(which is cheaper from {each.requests_per_day or 0:,.0f} requests a day on)"
        if told in found.sentence:
            assert each.requests_per_day
            assert (inputs["requests_per_day"] > each.requests_per_day) == (ours > each.monthly)


def test_what_lambda_is_measured_by_is_as_fast_and_there() -> None:
    found = judged(requests_per_day=100)
    for each in (found.free, found.committed):
        assert each
        option = OPTIONS[each.name]
        assert Workload.of({}).for_option(option)["capacity"] >= EQUAL
        assert option.kind in {"server", "scaled"}
        assert not each.name.endswith(".spot")
    # Cheaper ones are slower, may go away, or sleep.
    assert monthly("ec2.c7g.large.on-demand", requests_per_day=100) < found.free.monthly
    assert monthly("ec2.c7g.2xlarge.spot", requests_per_day=100) < found.free.monthly


def without(*words: str) -> Prices:
    kept = {name: price for name, price in price_list().items() if not any(word in name for word in words)}
    return Prices("few", kept)


def test_a_list_without_servers_gives_no_verdict() -> None:
    with pytest.raises(PriceError, match=r"'few' has no server: give one as --price NAME=DOLLARS\.$"):
        judged_by(without("ec2.", "sagemaker."))


def test_without_commitments_and_tokens_it_is_shorter() -> None:
    found = judged_by(without("reserved", "onprem", "bedrock", "llama"))
    assert (found.answer, found.committed) == ("right", None)
    assert " and " not in found.sentence
    assert found.sentence.count("$") == 2


def test_no_requests() -> None:
    found = judged(requests_per_day=0)
    assert found.answer == "right"
    assert "$0.00 by the token" in found.sentence


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "$0.00"),
        (0.0004567, "$0.00046"),
        (0.014, "$0.01"),
        (99.994, "$99.99"),
        (100.4, "$100"),
        (1234567, "$1,234,567"),
    ],
)
def test_dollars_have_cents_where_they_matter(value: float, text: str) -> None:
    assert dollars(value) == text
