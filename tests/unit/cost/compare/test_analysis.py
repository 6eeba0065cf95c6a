"""Everything that is said of a workload, as data."""

import json
import math
from itertools import combinations
from typing import Any

import pytest

from lambda_llm.cost.compare.analysis import SCHEMA, Analysis, analyse
from lambda_llm.cost.compare.costs import cost, priced
from lambda_llm.cost.compare.inputs import INPUTS
from lambda_llm.cost.compare.options import load
from lambda_llm.cost.compare.told import notes
from lambda_llm.cost.compare.verdict import LAMBDA
from lambda_llm.cost.compare.workload import Workload
from lambda_llm.cost.prices import PriceError, Prices
from lambda_llm.cost.prices import load as price_list

KNOWN = [option.name for option in priced(price_list())[0]]
OPTIONS = {option.name: option for option in load().options}


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    return analyse(Workload.of({"turns": 3, "requests_per_day": 1500}), price_list())


@pytest.fixture(scope="module")
def said(analysis: Analysis) -> Any:
    return json.loads(json.dumps(analysis.as_json(), allow_nan=False))


def finite(value: Any) -> bool:
    if isinstance(value, dict):
        return all(finite(each) for each in value.values())
    if isinstance(value, list):
        return all(finite(each) for each in value)
    return not isinstance(value, float) or math.isfinite(value)


def test_the_json_has_all_inputs_and_what_follows(said: Any, analysis: Analysis) -> None:
    assert said["schema"] == SCHEMA
    assert said["inputs"] == {name: each.value for name, each in INPUTS.items()} | {
        "turns": 3,
        "requests_per_day": 1500,
    }
    assert load().derived.keys() | load().constants.keys() == said["derived"].keys()
    assert said["utilization"] == said["derived"]["load"]
    assert said["cold_share"] == pytest.approx(said["derived"]["cold"] / said["derived"]["requests"])
    assert said["verdict"]["sentence"] == analysis.verdict.sentence
    assert said["price_list"] == "us"
    assert said["missing"] == {}
    assert finite(said)


def test_the_json_has_every_option_with_its_formulas(said: Any) -> None:
    assert sorted(each["name"] for each in said["options"]) == sorted(KNOWN)
    assert [each["monthly"] for each in said["options"]] == sorted(each["monthly"] for each in said["options"])
    for each in said["options"]:
        assert each["monthly"] == pytest.approx(sum(line["monthly"] for line in each["lines"]))
        formulas = {line.what: line.formula.text for line in OPTIONS[each["name"]].lines}
        assert {line["what"]: line["formula"] for line in each["lines"]} == formulas


def test_the_json_has_every_pair(said: Any) -> None:
    pairs = {frozenset((each["cheap_first"], each["cheap_later"])) for each in said["break_evens"]}
    assert pairs == {frozenset(pair) for pair in combinations(KNOWN, 2)}
    assert len(said["break_evens"]) == len(pairs)
    for each in said["break_evens"]:
        (f0, f1), (v0, v1) = each["fixed"], each["variable"]
        assert (each["utilization"] is None) == (each["requests_per_day"] is None) == (each["crossings"] == [])
        if (
            each["utilization"]
            and abs(f1 - f0) > 1
            and {OPTIONS[n].kind for n in pairs_of(each)} <= {"scaled", "tokens"}
        ):
            assert eval(said["break_even_formula"], {}, {"fixed": (f0, f1), "variable": (v0, v1)}) == pytest.approx(  # noqa: S307
                each["utilization"], rel=1e-3
            )


def pairs_of(each: Any) -> tuple[str, str]:
    return each["cheap_first"], each["cheap_later"]


def test_the_json_has_every_price_with_its_source_and_day(said: Any) -> None:
    assert said["prices"].keys() == {price for name in KNOWN for price in OPTIONS[name].prices}
    for name, each in said["prices"].items():
        assert each["source"].startswith("https://")
        assert "2025-08-01" <= each["read_on"] <= "2100"
        assert each["first"] == price_list()[name].first
        assert each["unit"] == price_list()[name].unit


def test_lambda_is_compared_with_each(analysis: Analysis) -> None:
    others = [next(name for name in pairs_of(vars(each)) if name != LAMBDA) for each in analysis.break_evens]
    assert sorted(others) == sorted(set(KNOWN) - {LAMBDA})
    assert analysis.ours.option.name == LAMBDA


def test_a_rule_is_in_the_servers_own_time(analysis: Analysis) -> None:
    rule = next(each for each in analysis.rules if each.name == "ec2.c7g.2xlarge.on-demand")
    assert rule.ratio == pytest.approx(8 / 5.8)
    assert analysis.verdict.free.name == rule.name
    assert analysis.verdict.free.until
    assert rule.utilization == pytest.approx(analysis.verdict.free.until / (8 / 5.8))
    assert not rule.lambda_always
    assert {OPTIONS[each.name].kind for each in analysis.rules} == {"server", "scaled"}


def test_a_rule_says_where_lambda_is_always_cheaper() -> None:
    dear = price_list()["ec2.c7g.2xlarge.on-demand"].at(1e9)
    found = analyse(Workload.of({}), price_list().with_prices({dear.name: dear}))
    rule = next(each for each in found.rules if each.name == dear.name)
    assert (rule.lambda_always, rule.utilization) == (True, None)


def test_sensitivities_are_what_other_speeds_would_cost(analysis: Analysis) -> None:
    assert [(each.name, each.factor) for each in analysis.sensitivities] == [
        *(("decode", 0.5), ("decode", 2)),
        *(("prefill", 0.5), ("prefill", 2)),
    ]
    for each in analysis.sensitivities:
        other = analysis.workload.with_inputs(**{each.name: INPUTS[each.name].value * each.factor})
        assert each.monthly == cost(OPTIONS[LAMBDA], other, price_list()).monthly
        assert (each.monthly > analysis.ours.monthly) == (each.factor < 1)
        assert each.until
        assert each.requests_per_day == pytest.approx(each.until * 86_400 / other.quantities["seconds"])


def test_savings_are_what_lambda_would_cost_without(analysis: Analysis) -> None:
    store, prompt = analysis.savings
    # Three turns of 450 tokens: one of them was said before, at the mean, which 100 tokens a second evaluate again.
    assert store.seconds == pytest.approx(450 / 100)
    assert prompt.seconds == pytest.approx(500 / 100)
    without = analysis.workload.with_inputs(session_store=0)
    assert store.monthly == cost(OPTIONS[LAMBDA], without, price_list()).monthly - analysis.ours.monthly


def test_no_requests_are_no_error() -> None:
    found = analyse(Workload.of({"requests_per_day": 0}), price_list())
    assert found.cold_share == 0
    assert finite(json.loads(json.dumps(found.as_json(), allow_nan=False)))
    assert all(each["per_million_tokens"] is None for each in found.as_json()["options"])


@pytest.mark.parametrize(
    "given",
    [
        {name: each.most for name, each in INPUTS.items() if name not in {"prompt_tokens", "requests_per_day"}},
        {name: each.least for name, each in INPUTS.items() if name != "answer_tokens"},
        {"requests_per_day": 1e7, "prompt_tokens": 0, "answer_tokens": 1, "prefill": 1e6, "decode": 1e6},
        {"target": 0.01, "hours_per_day": 1, "days_per_week": 1, "burst": 1e12, "season": 1e12},
    ],
)
def test_the_ends_of_what_is_possible_are_finite(given: dict[str, float]) -> None:
    if given.get("answer_tokens", 0) > 1e6:
        given |= {"answer_tokens": 1e6, "system_tokens": 1e6, "turns": 1e3}
    found = analyse(Workload.of(given), price_list())
    assert finite([each.monthly for each in found.costs])
    assert finite(json.loads(json.dumps([vars(each) for each in found.break_evens], allow_nan=False)))


def test_a_list_without_lambdas_prices_says_which() -> None:
    without = Prices("us", {name: price for name, price in price_list().items() if "snapstart" not in name})
    with pytest.raises(PriceError, match=r"has no 'lambda.snapstart.cache': name one that .* or give it as --price"):
        analyse(Workload.of({}), without)


def test_a_minor_line_without_a_price_is_left_out_and_said_to_be() -> None:
    without = Prices("us", {name: price for name, price in price_list().items() if name != "ebs.gp3"})
    found = analyse(Workload.of({}), without)
    server = next(each for each in found.costs if each.option.name == "ec2.c7g.2xlarge.on-demand")
    assert set(server.lines) == {"instances", "load balancer", "egress"}
    assert found.missing["ec2.c7g.2xlarge.on-demand"] == ["ebs.gp3"]
    assert notes(found)[-1] == "Not counted, for want of prices in this region: ebs.gp3."


def test_what_a_list_lacks_is_missing_and_not_free() -> None:
    few = Prices("us", {name: price for name, price in price_list().items() if "microvm" not in name})
    found = analyse(Workload.of({}), few)
    assert found.missing == {"microvm": sorted(OPTIONS["microvm"].prices - few.keys())}
    assert "microvm" not in [each.option.name for each in found.costs]
