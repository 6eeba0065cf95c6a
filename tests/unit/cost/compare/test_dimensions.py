"""Units can't be mixed: every formula is computed with them, and comes to what it does without."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_llm.cost.compare.costs import cost, priced
from lambda_llm.cost.compare.dimensions import lines, quantities
from lambda_llm.cost.compare.formulas import Formula
from lambda_llm.cost.compare.inputs import INPUTS
from lambda_llm.cost.compare.options import Derived, Line, Option, load
from lambda_llm.cost.compare.workload import Workload
from lambda_llm.cost.prices import load as price_list
from lambda_llm.cost.units import UnitError

OPTIONS = {option.name: option for option in load().options}
PRICED = [option.name for option in priced(price_list())[0]]
WORKLOADS = st.fixed_dictionaries({name: st.floats(each.low, each.high) for name, each in INPUTS.items()})


@settings(max_examples=20, deadline=None)
@given(WORKLOADS)
def test_every_quantity_has_the_unit_that_it_says(inputs: dict[str, float]) -> None:
    workload = Workload.of(inputs)
    for name, quantity in quantities(load(), workload, price_list()).items():
        assert quantity.magnitude == pytest.approx(workload.quantities[name], rel=1e-9), name


@pytest.mark.parametrize("name", PRICED)
def test_every_line_is_in_dollars_a_month(name: str) -> None:
    workload = Workload.of({"requests_per_day": 20_000, "turns": 3, "answer_tokens": 40_000, "internet": 0.5})
    with_units = lines(OPTIONS[name], load(), workload, price_list())
    assert with_units == pytest.approx(dict(cost(OPTIONS[name], workload, price_list()).lines), rel=1e-9)


@pytest.mark.parametrize(
    "wrong",
    [
        'cost("lambda.arm64.duration", requests * seconds)',  # without the memory
        'cost("lambda.arm64.duration", requests * memory)',
        'cost("lambda.requests", requests_per_day)',
        'cost("bedrock.nova-micro.on-demand.input", requests * input_tokens)',  # tokens at the price of millions
        'price("lambda.requests")',
        "requests + seconds",
        "max(memory, seconds)",
        "1",
    ],
)
def test_a_line_that_mixes_units_is_refused(wrong: str) -> None:
    option = Option("wrong", "Wrong", "function", own=True, lines=(Line("wrong", Formula(wrong)),))
    with pytest.raises(UnitError, match="mixes units"):
        lines(option, load(), Workload.of({}), price_list())


def test_a_quantity_of_another_unit_is_refused() -> None:
    options = load()
    wrong = replace(options, derived={**options.derived, "load": Derived("", Formula("requests * seconds"))})
    with pytest.raises(UnitError, match=r"'requests \* seconds' mixes units"):
        quantities(wrong, Workload.of({}), price_list())
