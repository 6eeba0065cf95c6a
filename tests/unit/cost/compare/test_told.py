"""Words and rows: what people read."""

import pytest

from lambda_llm.cost.compare.analysis import Analysis, analyse
from lambda_llm.cost.compare.inputs import INPUTS
from lambda_llm.cost.compare.told import OptionRow, assumptions, cheapest_of_each, notes, share, until
from lambda_llm.cost.compare.workload import Workload
from lambda_llm.cost.prices import Prices
from lambda_llm.cost.prices import load as price_list


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    return analyse(Workload.of({}), price_list())


def row(analysis: Analysis, name: str) -> OptionRow:
    return OptionRow.of(next(each for each in analysis.costs if each.option.name == name), analysis)


def test_a_row_says_until_when_lambda_is_cheaper(analysis: Analysis) -> None:
    free = analysis.verdict.free
    assert free.until
    assert free.requests_per_day
    told = row(analysis, free.name)
    assert told.until == f"up to {free.requests_per_day:,.0f} requests a day ({100 * free.until:,.0f}% busy)"
    assert (told.ours, told.own) == (False, True)
    assert row(analysis, "lambda").until == ""
    assert row(analysis, "lambda").ours
    assert row(analysis, "bedrock.nova-micro.batch").until == "never"
    assert not row(analysis, "bedrock.nova-micro.batch").own
    assert row(analysis, "agentcore").until.startswith("from ")


def test_a_row_says_what_is_slower(analysis: Analysis) -> None:
    assert row(analysis, "ec2.c7g.large.spot").title == "EC2 c7g.large spot, at 34% of a function's speed"
    assert row(analysis, "ec2.c7g.2xlarge.spot").title == "EC2 c7g.2xlarge spot"


def test_always_is_said() -> None:
    dear = price_list()["onprem.server.gpu"].at(1e12)
    found = analyse(Workload.of({}), price_list().with_prices({dear.name: dear}))
    assert until(next(each for each in found.costs if each.option.name == "onprem.gpu"), found) == "always"


def test_of_each_kind_of_place_the_cheapest_is_shown(analysis: Analysis) -> None:
    rows = cheapest_of_each(analysis)
    assert [each.ours for each in rows].count(True) == 1
    titles = " ".join(each.title for each in rows)
    for place in ("Bedrock", "EC2", "SageMaker", "MicroVMs", "AgentCore", "Managed Instances", "On premises", "llama"):
        assert place in titles
    cheapest = analysis.costs[0]
    assert rows[0] == OptionRow.of(cheapest, analysis)
    assert len(rows) < len(analysis.costs) / 2


def test_the_notes_say_what_it_depends_on(analysis: Analysis) -> None:
    said = notes(analysis)
    assert all(each.endswith(".") and "\n" not in each for each in said)
    text = " ".join(said)
    for word in ("10 s", "12% of the time", "15% and 40%", "half the decode", "2 times the prefill", "system prompt"):
        assert word in text
    assert "e+" not in text  # numbers for people
    assert "nan" not in text
    assert "session store" not in text  # of one turn there is nothing to keep
    assert "Not compared" not in text
    longer = " ".join(notes(analyse(Workload.of({"turns": 4}), price_list())))
    assert "Without the session store a request takes" in longer


def test_the_rules_are_computed_in_the_servers_time(analysis: Analysis) -> None:
    rule = next(each for each in analysis.rules if each.name == "ec2.c7g.2xlarge.on-demand")
    assert rule.utilization
    text = " ".join(notes(analysis))
    assert f"{share(rule.utilization)} of EC2 c7g.2xlarge on demand (worth 1.4 functions)" in text


def test_a_list_without_those_servers_has_no_rules_and_names_what_it_lacks() -> None:
    few = {name: price for name, price in price_list().items() if not name.startswith(("ec2.c7g", "ec2.g6.x"))}
    text = " ".join(notes(analyse(Workload.of({}), Prices("us", few))))
    assert (
        "The rules that a server is cheaper from 15% and 40% utilization on can't be computed without prices." in text
    )
    assert "Not compared, for want of prices in this region: " in text
    assert "ec2.c7g.2xlarge.on-demand" in text


def test_the_assumptions_name_every_input_and_the_days(analysis: Analysis) -> None:
    text = assumptions(analysis, "us-east-1")
    assert text.startswith("Prices of us-east-1, read 20")
    for each in INPUTS.values():
        assert f"{each.label}: {each.value:g}" in text


def test_prices_that_are_all_given_have_no_day() -> None:
    given = {name: price.at(price.first) for name, price in price_list().items()}
    none = Prices("us", {name: type(price)(**{**vars(price), "read_on": ""}) for name, price in given.items()})
    assert "Prices of us-east-1, all given, without" in assumptions(analyse(Workload.of({}), none), "us-east-1")


def test_no_requests_are_told() -> None:
    nothing = analyse(Workload.of({"requests_per_day": 0}), price_list())
    assert row(nothing, "lambda").per_million == ""
    assert "0% of the time" in notes(nothing)[0]


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0%"), (0.000531, "0.053%"), (0.098, "9.8%"), (0.5, "50%"), (1.44, "144%"), (12, "1,200%")]
)
def test_a_share_is_in_percent(value: float, text: str) -> None:
    assert share(value) == text
