"""What each option costs: examples worked by hand, to the cent, and what must hold for every workload."""

import math
from itertools import pairwise

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from lambda_llm.cost.compare.costs import cost, costs, priced
from lambda_llm.cost.compare.inputs import INPUTS
from lambda_llm.cost.compare.options import load
from lambda_llm.cost.compare.workload import Workload
from lambda_llm.cost.prices import Prices
from lambda_llm.cost.prices import load as price_list

OPTIONS = {option.name: option for option in load().options}
PRICED = [option.name for option in priced(price_list())[0]]
WORKLOADS = st.fixed_dictionaries({name: st.floats(each.low, each.high) for name, each in INPUTS.items()})

# 1,200 requests a day are 36,500 a month. Each takes 300 / 100 + 100 / 20 = 8 s, so 292,000 s a month, a ninth of its
# 2,628,000 s. Environments stay so long that none starts cold.
A_NINTH = {
    "requests_per_day": 1200,
    "prompt_tokens": 300,
    "answer_tokens": 100,
    "system_tokens": 0,
    "prefill": 100,
    "decode": 20,
    "keep_warm": 1e12,
}
TEN = {**A_NINTH, "requests_per_day": 1200 * 90}
"""Ten functions that are always busy."""
THOUSAND = {**A_NINTH, "requests_per_day": 1200 * 9000}
ONE_A_DAY = {**A_NINTH, "requests_per_day": 1}

EGRESS = 36_500 * 100 * 1.95578e-7 * 0.1
"""Of a ninth's answers: 0.7139 GB at $0.10."""


def at(**dollars: float) -> Prices:
    """The list with simple prices; `__` stands for a dot and `_` for a hyphen."""
    names = {name.replace("__", ".").replace("_", "-"): value for name, value in dollars.items()}
    return price_list().with_prices({name: price_list()[name].at(value) for name, value in names.items()})


def lines(name: str, given: dict[str, float], prices: Prices) -> dict[str, float]:
    return dict(cost(OPTIONS[name], Workload.of(given), prices).lines)


def monthly(name: str, given: dict[str, float], prices: Prices | None = None) -> float:
    return cost(OPTIONS[name], Workload.of(given), prices or price_list()).monthly


def cents(**dollars: float) -> object:
    return pytest.approx({name.replace("_", " "): value for name, value in dollars.items()}, abs=0.005)


# -- by hand ----------------------------------------------------------------------------------------


def test_lambda() -> None:
    prices = at(
        lambda__arm64__duration=1e-5,
        lambda__requests=1e-6,
        lambda__snapstart__cache=1e-6,
        lambda__snapstart__restore=1e-4,
        lambda__streaming=0.01,
        s3__storage=0.02,
        s3__put=5e-6,
        s3__get=1e-6,
        logs__ingested=0.5,
        egress__internet=0.1,
    )
    assert lines("lambda", A_NINTH, prices) == cents(
        computing_and_restoring=29.20,  # 292,000 s x 10 GB
        requests=0.0365,
        restores=0,
        published_versions=26.28,  # 10 GB x 2,628,000 s
        streaming=0,  # 100 tokens are less than the 6 MB that are free
        model_in_S3=0.016,  # 0.8 GB
        session_store=0.1825 + 0.0365 + 0.2931,  # puts, gets, and 1,200 requests x 400 tokens x 3.0532e-5 GB = 14.66 GB
        logs=0.01825,
        egress=EGRESS,
    )


def test_lambda_whose_requests_are_all_cold() -> None:
    prices = at(lambda__arm64__duration=1e-3, lambda__snapstart__restore=0.1)
    found = lines("lambda", {**ONE_A_DAY, "keep_warm": 0, "restore_seconds": 2, "versions": 3}, prices)
    # 365 / 12 = 30.4167 requests a month, each 8 + 2 s of 10 GB and one restore of 10 GB.
    assert found["computing and restoring"] == pytest.approx(3.04, abs=0.005)
    assert found["restores"] == pytest.approx(30.42, abs=0.005)
    assert found["published versions"] == pytest.approx(3 * 39.54, abs=0.01)  # 26,280,000 GB s x 0.0000015046


def test_lambda_streams_long_answers() -> None:
    # 100,000 tokens are 0.0195578 GB, of which 0.00585938 are free: 36,500 x 0.01369842 GB = 499.99 GB, at $0.01.
    found = lines("lambda", {**A_NINTH, "answer_tokens": 100_000}, at(lambda__streaming=0.01))
    assert found["streaming"] == pytest.approx(5.00, abs=0.005)


def test_managed_instances() -> None:
    prices = at(ec2__c8g__2xlarge__on_demand=0.5, lambda__managed__fee=0.2, lambda__requests=1e-6, egress__internet=0.1)
    name = "managed.c8g.2xlarge"
    # A ninth of a function needs 0.12 of an instance; there are three: 3 x 730 h x $0.50, and a fifth of it.
    assert list(lines(name, A_NINTH, prices).values()) == pytest.approx([1095, 219, 0.0365, EGRESS], abs=0.005)
    # Ten functions: 10 / (8 / 5.8 x 0.7) = 10.3571 instances x 730 h x $0.50.
    assert lines(name, TEN, prices)["instances"] == pytest.approx(3780.36, abs=0.005)
    assert lines(name, TEN, prices)["Lambda's fee"] == pytest.approx(756.07, abs=0.005)


def test_managed_instances_with_a_gpu_sleep() -> None:
    prices = at(ec2__g6__xlarge__on_demand=1, lambda__managed__fee=0.2, lambda__requests=1e-6, egress__internet=0.1)
    # One request a day: awake for 1 - exp(-908 / 86,400) = 0.010454 of 730 h.
    found = lines("managed.g6.xlarge", ONE_A_DAY, prices)
    assert list(found.values()) == pytest.approx([7.63, 1.53, 0.00003, 0.00006], abs=0.005)
    # A thousand functions: 8 s / (300 / 14,500 + 100 / 3,800 s) = 170.19 functions a GPU; 8.394 of them are 70 % busy.
    assert lines("managed.g6.xlarge", THOUSAND, prices)["instances"] == pytest.approx(6127.53, rel=1e-4)


@pytest.mark.parametrize(("term", "hourly"), [("on-demand", 0.5), ("spot", 0.2)])
def test_ec2_by_the_hour(term: str, hourly: float) -> None:
    name = f"ec2.c7g.2xlarge.{term}"
    simple = at(ebs__gp3=0.1, alb__hour=0.02, egress__internet=0.1)
    prices = simple.with_prices({name: price_list()[name].at(hourly)})
    assert lines(name, A_NINTH, prices) == cents(instances=730 * hourly, disks=3.00, load_balancer=14.60, egress=EGRESS)
    # Ten functions: 10.3571 servers, as above, each with 30 GB at $0.10.
    assert lines(name, TEN, prices)["instances"] == pytest.approx(7560.71 * hourly, abs=0.005)
    assert lines(name, TEN, prices)["disks"] == pytest.approx(31.07, abs=0.005)


@pytest.mark.parametrize("term", ["reserved-1y", "reserved-3y", "reserved-3y-upfront"])
def test_ec2_for_years(term: str) -> None:
    name = f"ec2.c7g.2xlarge.{term}"
    simple = at(ebs__gp3=0.1, alb__hour=0.02, egress__internet=0.1)
    prices = simple.with_prices({name: price_list()[name].at(0.25)})
    assert lines(name, A_NINTH, prices) == cents(instances=182.50, disks=3.00, load_balancer=14.60, egress=EGRESS)
    # The busiest hour of the busiest month is 3 x 2 of ten functions: 60 / (8 / 5.8 x 0.7) = 62.14, so 63 servers.
    busiest = lines(name, {**TEN, "burst": 3, "season": 2}, prices)
    assert busiest["instances"] == pytest.approx(11_497.50, abs=0.005)
    assert busiest["disks"] == pytest.approx(189.00, abs=0.005)
    # In 12 of 24 hours it is twice as much: 124.29, so 125 servers.
    half = lines(name, {**TEN, "burst": 3, "season": 2, "hours_per_day": 12}, prices)
    assert half["instances"] == pytest.approx(125 * 182.50, abs=0.005)


def test_ec2_with_a_gpu_and_a_larger_model() -> None:
    prices = at(ec2__g6__xlarge__on_demand=1)
    name = "ec2.g6.xlarge.on-demand"
    assert lines(name, THOUSAND, prices)["instances"] == pytest.approx(6127.53, rel=1e-4)  # as above
    assert lines(name, {**THOUSAND, "model_gb": 1.6}, prices)["instances"] == pytest.approx(12_255.06, rel=1e-4)


def test_sagemaker() -> None:
    prices = at(sagemaker__ml__g6__xlarge__real_time=1.5, egress__internet=0.1)
    real_time, asynchronous = "sagemaker.g6.xlarge.real-time", "sagemaker.g6.xlarge.asynchronous"
    assert lines(real_time, ONE_A_DAY, prices) == cents(instances=1095, egress=0)
    assert lines(real_time, THOUSAND, prices)["instances"] == pytest.approx(1.5 * 6127.53, rel=1e-4)
    assert lines(asynchronous, ONE_A_DAY, prices) == cents(instances=11.45, egress=0)  # 7.6316 h
    assert lines(asynchronous, THOUSAND, prices)["instances"] == pytest.approx(1.5 * 6127.53, rel=1e-4)


def test_microvm() -> None:
    prices = at(lambda__microvm__vcpu=1e-4, lambda__microvm__memory=1e-5, lambda__microvm__snapshot=0.1)
    assert lines("microvm", ONE_A_DAY, prices) == cents(
        vCPUs=21.98,  # 7.6316 h x 3,600 s x 8 vCPU
        memory=4.40,  # 7.6316 h x 3,600 s x 16 GB
        suspended_state=1.60,  # 16 GB
        egress=0,
    )


def test_agentcore() -> None:
    prices = at(agentcore__runtime__vcpu=0.1, agentcore__runtime__memory=0.01, egress__internet=0.1)
    # vCPUs while they compute: a ninth of 5.8 vCPUs for 730 h; memory while it is awake: 7.6316 h, or always.
    assert lines("agentcore", A_NINTH, prices) == cents(vCPUs=47.04, memory=58.40, egress=EGRESS)
    assert lines("agentcore", ONE_A_DAY, prices) == cents(vCPUs=0.04, memory=0.61, egress=0)


@pytest.mark.parametrize("mode", ["on-demand", "batch", "flex"])
def test_bedrock(mode: str) -> None:
    name = f"bedrock.gpt-oss-20b.{mode}"
    known = price_list()
    prices = at(egress__internet=0.1).with_prices(
        {f"{name}.input": known[f"{name}.input"].at(2), f"{name}.output": known[f"{name}.output"].at(4)}
    )
    # 36,500 requests: 10.95 million tokens of prompts, 3.65 of answers.
    assert lines(name, A_NINTH, prices) == cents(prompts=21.90, answers=14.60, egress=EGRESS)
    # A system prompt is paid for by the token, and so is what was said before: two turns of 400 tokens at the mean.
    longer = lines(name, {**A_NINTH, "system_tokens": 100, "turns": 5}, prices)
    assert longer["prompts"] == pytest.approx(36_500 * (300 + 100 + 800) / 1e6 * 2, abs=0.005)


def test_other_hosts() -> None:
    prices = at(together__llama_3__2_1b__input=2, together__llama_3__2_1b__output=4)
    assert lines("together.llama-3.2-1b", A_NINTH, prices) == cents(prompts=21.90, answers=14.60)


def test_on_premises() -> None:
    prices = at(
        onprem__server__gpu=3600,
        onprem__years=3,
        onprem__watts=500,
        onprem__pue=1.5,
        onprem__electricity=0.2,
        onprem__rack=100,
        onprem__people=40,
        onprem__people_hours=8,
    )
    assert lines("onprem.gpu", A_NINTH, prices) == cents(
        capital=100,  # over 36 months
        power=32.88,  # 0.5 kW x 1.5 x 730 h x $0.20 x 0.30026: it idles
        space=100,
        people=320,
    )
    # 100,000 functions: 8 s / (300 / 21,000 + 100 / 8,000 s) = 298.67 functions a server; the busiest hour has 3 times
    # as many: 300,000 / (298.67 x 0.7) = 1434.9, so 1435 servers, of which each is 100,000 / (298.67 x 1435) busy.
    many = lines("onprem.gpu", {**A_NINTH, "requests_per_day": 1200 * 900_000}, prices)
    assert many["capital"] == pytest.approx(143_500)
    busy = 100_000 / (298.6667 * 1435)
    assert many["power"] == pytest.approx(1435 * 0.5 * 1.5 * 730 * 0.2 * (0.3 + 0.7 * busy), rel=1e-5)


def test_the_real_list() -> None:
    assert lines("lambda", A_NINTH, price_list()) == cents(
        computing_and_restoring=38.93,  # 2,920,000 GB s x 0.0000133334
        requests=0.01,
        restores=0,
        published_versions=39.54,
        streaming=0,
        model_in_S3=0.02,
        session_store=0.18 + 0.01 + 0.34,
        logs=0.02,
        egress=0,  # the first 100 GB are free
    )
    assert monthly("ec2.c7g.2xlarge.on-demand", A_NINTH) == pytest.approx(211.70 + 2.40 + 16.425, abs=0.005)
    assert monthly("bedrock.nova-micro.on-demand", A_NINTH) == pytest.approx(10.95 * 0.035 + 3.65 * 0.14, abs=0.005)


# -- for every workload -----------------------------------------------------------------------------


def not_less(more: float, less: float) -> bool:
    return more >= less * (1 - 1e-9) - 1e-9


MORE = ("prompt_tokens", "answer_tokens", "system_tokens", "turns", "burst", "season", "versions", "model_gb")


@settings(deadline=None, max_examples=300)
@given(WORKLOADS, st.sampled_from(PRICED), st.sampled_from((*MORE, "internet", "replicas")), st.floats(0, 1))
def test_more_of_it_never_costs_less(inputs: dict[str, float], option: str, name: str, part: float) -> None:
    more = {**inputs, name: inputs[name] + part * (INPUTS[name].high - inputs[name])}
    assert not_less(monthly(option, more), monthly(option, inputs))


@settings(deadline=None, max_examples=200)
@given(WORKLOADS, st.sampled_from([name for name in PRICED if name != "lambda"]), st.floats(1, 1000))
def test_more_requests_never_cost_less_elsewhere(inputs: dict[str, float], option: str, times: float) -> None:
    more = {**inputs, "requests_per_day": inputs["requests_per_day"] * times}
    assert not_less(monthly(option, more), monthly(option, inputs))


@settings(deadline=None, max_examples=200)
@given(WORKLOADS, st.floats(1, 1000))
def test_more_requests_never_cost_less_on_lambda_but_for_restores(inputs: dict[str, float], times: float) -> None:
    """More requests keep environments warm, so there may be fewer restores, which short requests don't outweigh."""
    inputs["restore_seconds"] = 1
    less, more = (
        lines(
            "lambda",
            {**inputs, "requests_per_day": inputs["requests_per_day"] * by, "restore_seconds": 0},
            price_list(),
        )
        for by in (1, times)
    )
    assert all(not_less(more[what], less[what]) for what in less if what != "restores")
    # A restore of 10 GB costs as much as 11.5 s; the share that is saved for one more request is at most exp(-2).
    assume(Workload.of(inputs).quantities["seconds"] > 11.5 * math.exp(-2))
    found = [monthly("lambda", {**inputs, "requests_per_day": inputs["requests_per_day"] * by}) for by in (1, times)]
    assert not_less(found[1], found[0])


def test_more_of_very_short_requests_can_cost_less_on_lambda() -> None:
    short = {"prompt_tokens": 1, "answer_tokens": 1, "system_tokens": 0}
    assert monthly("lambda", {**short, "requests_per_day": 411}) < monthly("lambda", {**short, "requests_per_day": 206})


@settings(deadline=None)
@given(WORKLOADS, st.sampled_from(["prefill", "decode"]), st.floats(1, 50))
def test_faster_never_costs_more_on_lambda(inputs: dict[str, float], name: str, times: float) -> None:
    assert not_less(monthly("lambda", inputs), monthly("lambda", {**inputs, name: inputs[name] * times}))


@settings(deadline=None)
@given(WORKLOADS, st.sampled_from(PRICED), st.floats(1, 50))
def test_environments_that_stay_longer_never_cost_more(inputs: dict[str, float], option: str, times: float) -> None:
    longer = {**inputs, "keep_warm": inputs["keep_warm"] * times}
    assert not_less(monthly(option, inputs), monthly(option, longer))


def test_a_session_store_costs_for_one_turn_and_saves_for_many() -> None:
    assert monthly("lambda", {"turns": 1, "session_store": 1}) > monthly("lambda", {"turns": 1, "session_store": 0})
    assert monthly("lambda", {"turns": 9, "session_store": 1}) < monthly("lambda", {"turns": 9, "session_store": 0})


@settings(deadline=None, max_examples=200)
@given(WORKLOADS, st.sampled_from(PRICED), st.data(), st.floats(1, 10))
def test_a_higher_price_never_costs_less(inputs: dict[str, float], option: str, data: st.DataObject, by: float) -> None:
    name = data.draw(st.sampled_from(sorted(OPTIONS[option].prices)))
    base = price_list().with_prices({name: price_list()[name].at(price_list()[name].first)})
    higher = base.with_prices({name: base[name].at(base[name].first * by)})
    less, more = monthly(option, inputs, base), monthly(option, inputs, higher)
    if name == "onprem.years":  # which is no price: a server that is used longer costs less
        less, more = more, less
    assert not_less(more, less)


@settings(deadline=None)
@given(WORKLOADS)
@example({name: each.value for name, each in INPUTS.items()})
def test_a_million_tokens_cost_their_part_of_a_month(inputs: dict[str, float]) -> None:
    workload = Workload.of(inputs)
    asked = inputs["requests_per_day"] * 365 / 12
    history = (inputs["turns"] - 1) / 2 * (inputs["prompt_tokens"] + inputs["answer_tokens"])
    tokens = asked * (inputs["system_tokens"] + history + inputs["prompt_tokens"] + inputs["answer_tokens"])
    found = costs(workload, price_list())
    assert [each.option.name for each in found] != []
    assert all(one.monthly <= other.monthly for one, other in pairwise(found))
    for each in found:
        assert each.monthly == pytest.approx(sum(each.lines.values()))
        assert min(each.lines.values()) >= 0
        assert each.per_million_tokens == pytest.approx(each.monthly / tokens * 1e6)


# -- tiers, and nothing -----------------------------------------------------------------------------


TIERED = [price.name for price in price_list().values() if len(price.tiers) > 1]


@pytest.mark.parametrize("name", TIERED)
def test_no_price_jumps_at_a_tier(name: str) -> None:
    price = price_list()[name]
    for tier in price.tiers[1:]:
        below, above = (price.cost(tier.start * part) for part in (1 - 1e-9, 1 + 1e-9))
        assert below == pytest.approx(above, rel=1e-6, abs=1e-6 * tier.price * tier.start)


@pytest.mark.parametrize("tier", [7.5e9, 18.75e9])
def test_lambda_does_not_jump_at_a_tier_and_is_cheaper_behind_it(tier: float) -> None:
    requests_per_day = tier / 10 / 8 / (365 / 12)
    found = [
        monthly("lambda", {**A_NINTH, "requests_per_day": requests_per_day * part}) for part in (1 - 1e-9, 1, 1 + 1e-9)
    ]
    assert found[0] == pytest.approx(found[1], rel=1e-8)
    assert found[2] == pytest.approx(found[1], rel=1e-8)
    less, here, more = (
        lines("lambda", {**A_NINTH, "requests_per_day": requests_per_day * part}, price_list())[
            "computing and restoring"
        ]
        for part in (0.9, 1, 1.1)
    )
    assert here - less > (more - here) * 1.05


def test_without_requests_only_what_stands_there_costs() -> None:
    standing = {
        "function": {"published versions", "model in S3"},
        "tokens": set[str](),
        "zero": set[str](),
        "scaled": {"instances", "disks", "load balancer", "Lambda's fee"},
        "server": {"instances", "disks", "load balancer", "capital", "power", "space", "people"},
    }
    found = costs(Workload.of({"requests_per_day": 0}), price_list())
    assert len(found) == len(PRICED)
    for each in found:
        paid = {what for what, dollars in each.lines.items() if dollars}
        if each.option.name == "microvm":
            assert paid == {"suspended state"}
        else:
            assert paid == standing[each.option.kind] & each.lines.keys(), each.option.name
        assert each.per_million_tokens is None


def test_what_has_no_prices_is_named_with_what_is_missing() -> None:
    few = Prices("few", {name: price_list()[name] for name in ("groq.llama-3.1-8b.input", "groq.llama-3.1-8b.output")})
    known, missing = priced(few)
    assert [option.name for option in known] == ["groq.llama-3.1-8b"]
    assert missing.keys() == OPTIONS.keys() - {"groq.llama-3.1-8b"}
    assert missing["onprem.gpu"] == sorted(name for name in price_list() if name.startswith("onprem."))
