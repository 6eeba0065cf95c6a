"""The units that prices are for, and what a price or another quantity is in a unit of the same dimension.

`GB` is 2**30 bytes, as AWS bills it: its 10,240 MB of memory are 10 GB, and the first 10 TB of a tier end at 10,240 GB.
Source of the tiers: https://aws.amazon.com/ec2/pricing/on-demand/, section Data Transfer
"""

from functools import cache
from typing import Any, Final

from pint import Quantity, UnitRegistry

from lambda_llm.errors import LambdaLLMError

QUANTITIES: Final = frozenset(
    {
        "lambda.managed.fee",
        "lambda.managed-gpu.fee",
        "onprem.people-hours",
        "onprem.pue",
        "onprem.server.cpu",
        "onprem.server.gpu",
        "onprem.watts",
        "onprem.years",
    }
)
"""Names whose value has the list's unit itself; every other value is US dollars for one of it."""

# Pint's own bytes are numbers without dimension, which would let a GB be forgotten.
_DEFINITIONS: Final = """
USD = [currency]
request = [request]
token = [token]
operation = [operation]
transition = [transition]
vCPU = [vcpu]
GB = [information]
GiB = GB
TB = 1024 GB
MB = GB / 1024
kB = MB / 1024
Mtoken = 1e6 token
thousand = 1e3
million = 1e6
billion = 1e9
"""


class UnitError(LambdaLLMError):
    """A text is no quantity, or one of another dimension."""


@cache
def registry() -> UnitRegistry[Any]:
    """Pint's units, with those that AWS charges for."""
    made: UnitRegistry[Any] = UnitRegistry()
    for line in _DEFINITIONS.split("\n"):
        if line:
            made.define(line)
    return made


def unit_of(name: str, unit: str) -> Quantity[Any]:
    """What the value of a price is in: dollars for one unit, or the unit itself, as a quantity of 1.

    Args:
        name: in the list.
        unit: in the list.
    """
    units = registry()
    one: Quantity[Any] = units.Quantity(1, unit)
    return one if name in QUANTITIES else units.Quantity(1, "USD") / one


def shown_unit(name: str, unit: str) -> str:
    """The unit of a value for people, as `unit_of` reads it: `USD/(GB*second)`."""
    if name in QUANTITIES:
        return "" if unit == "dimensionless" else unit
    return f"USD/({unit})" if "*" in unit or "/" in unit else f"USD/{unit}"


def magnitude(text: str, name: str, unit: str) -> float:
    """A value in a price's unit.

    Args:
        text: a number, which is in that unit, or one with a unit, as `0.5 USD/hour`.
        name: of the price.
        unit: of the price.

    Raises:
        UnitError: it is neither, or of another dimension.
    """
    try:
        return float(text)
    except ValueError:
        pass
    wanted = shown_unit(name, unit) or "a plain number"
    try:
        read: Quantity[Any] = registry().Quantity(text)
    # Pint's parser raises whatever its steps do: of its own, of Python's tokenizer, of arithmetic.
    except Exception as error:
        raise UnitError(
            f"{text!r} is no value for {name}: give a number, or one with a unit as in {wanted}."
        ) from error
    try:
        return float(read.to(unit_of(name, unit).units).magnitude)
    except (TypeError, ValueError, AttributeError) as error:
        raise UnitError(f"{text!r} can't be converted for {name}: expected a unit as in {wanted}.") from error
