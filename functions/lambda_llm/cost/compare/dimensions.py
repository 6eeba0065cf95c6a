"""Every formula computed with units: one that mixes them, or forgets one, is an error before it is a wrong number."""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from lambda_llm.cost.compare import formulas
from lambda_llm.cost.compare.costs import cost
from lambda_llm.cost.compare.formulas import Formula
from lambda_llm.cost.compare.inputs import INPUTS
from lambda_llm.cost.compare.options import Option, Options
from lambda_llm.cost.compare.workload import Workload, with_derived, with_server
from lambda_llm.cost.prices import Prices
from lambda_llm.cost.units import QUANTITIES, UnitError, registry

if TYPE_CHECKING:
    from pint import Quantity

_SPEEDS: Final = {"vcpus": "vCPU", "gpu_prefill": "token/second", "gpu_decode": "token/second"}


def quantities(options: Options, workload: Workload, prices: Prices) -> dict[str, "Quantity[Any]"]:
    """What a workload's inputs and constants are, and what follows from them, each with its unit.

    Raises:
        UnitError: a formula's result has another unit than it says.
    """
    known = {name: _quantity(workload.inputs[name], each.unit) for name, each in INPUTS.items()}
    known |= {name: _quantity(each.value, each.unit) for name, each in options.constants.items()}
    functions = _calls(prices)
    every = with_derived(options, known, lambda each, every: _computed(each.formula, every, each.unit, functions))
    for name, each in options.derived.items():
        _compare(each.formula, every[name].magnitude, workload.quantities[name])
    return every


def lines(option: Option, options: Options, workload: Workload, prices: Prices) -> dict[str, float]:
    """What an option costs by its formulas with units, by line, in US dollars a month.

    Raises:
        UnitError: a formula mixes units, or a line is not in US dollars a month.
    """
    known = quantities(options, workload, prices)
    functions = _calls(prices)
    if option.server is not None:
        server = workload.servers[option.server]
        speeds = {name: _quantity(value, _SPEEDS[name]) for name, value in server.speeds.items()}
        known = with_server(
            options, server, known | speeds, lambda each, every: _computed(each.formula, every, each.unit, functions)
        )
    found = {
        line.what: float(_computed(line.formula, known, "USD/month", functions).magnitude) for line in option.lines
    }
    plain = cost(option, workload, prices).lines
    for line in option.lines:
        _compare(line.formula, found[line.what], plain[line.what])
    return found


def _compare(formula: Formula, with_units: float, without: float) -> None:
    if not math.isclose(with_units, without, rel_tol=1e-9, abs_tol=1e-12):
        raise UnitError(
            f"The formula {formula.text!r} mixes units: it comes to {with_units:g} with them and {without:g} without."
        )


def _quantity(value: float, unit: str) -> "Quantity[Any]":
    return registry().Quantity(value, unit or "dimensionless")


def _with_unit(value: Any) -> "Quantity[Any]":
    return value if hasattr(value, "to") else _quantity(value, "")


def _computed(
    formula: Formula, known: Mapping[str, Any], unit: str, functions: Mapping[str, Callable[..., Any]]
) -> "Quantity[Any]":
    from pint import DimensionalityError  # noqa: PLC0415 - slow to import, for checks only

    try:
        value = formula.value(known, functions)
        return _with_unit(value).to(unit or "dimensionless")
    except DimensionalityError as error:
        raise UnitError(f"The formula {formula.text!r} mixes units: {error}; expected {unit or 'a number'}.") from error


def _calls(prices: Prices) -> dict[str, Callable[..., Any]]:
    """What formulas call, for quantities."""
    plain = formulas.calls(prices)

    def of_numbers(name: str, units: tuple[str, ...], result: str) -> Callable[..., Any]:
        return lambda *given: _quantity(
            plain[name](*(value.to(unit).magnitude for value, unit in zip(given, units, strict=True))), result
        )

    def whole(quantity: "Quantity[Any]") -> "Quantity[Any]":
        return _quantity(math.ceil(quantity.to("dimensionless").magnitude), "")

    def of_price(name: str, quantity: Any) -> "Quantity[Any]":
        times = _with_unit(quantity) / _quantity(1, prices[name].unit)
        return _quantity(prices[name].cost(times.to("1/month").magnitude), "USD/month")

    def price(name: str) -> "Quantity[Any]":
        value = _quantity(prices[name].first, prices[name].unit)
        return value if name in QUANTITIES else _quantity(prices[name].first, f"USD/({prices[name].unit})")

    return plain | {
        "awake_share": of_numbers("awake_share", ("request/second", "second/request", "second"), ""),
        "ceil": whole,
        "cold_starts": of_numbers("cold_starts", ("request/second", "second/request", "second"), "1/second"),
        "cost": of_price,
        "max": lambda *given: max(map(_with_unit, given)),
        "min": lambda *given: min(map(_with_unit, given)),
        "price": price,
    }
