"""Prices that a user gives instead of a list's: `--price NAME=DOLLARS`."""

import difflib
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from lambda_llm.cost.prices import Price, PriceError, Prices, anywhere, load
from lambda_llm.cost.units import magnitude, shown_unit

GIVEN: Final = "--price"
"""The source of such a price."""


def overridden(prices: Prices, given: Sequence[str]) -> Prices:
    """A list with some prices replaced, or added where only the list of another region has them.

    Args:
        prices: the list.
        given: each `NAME=VALUE`: a number in the unit of the list, or one with a unit that is converted, as
            `ec2.g6.xlarge.on-demand=0.5 USD/hour` or `lambda.arm64.duration=13.3 USD/(million GB s)`. A given price
            holds for every quantity: it has no tiers.

    Raises:
        PriceError: a text is no `NAME=VALUE`, a name is unknown or given twice, or a value isn't positive and finite.
        UnitError: a value is no quantity, or one of another dimension.
    """
    found: dict[str, Price] = {}
    for text in given:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not (name and equals and value):
            raise PriceError(f"{text!r} gives no price: expected NAME=DOLLARS, as kms.key=1 or kms.key='1 USD/month'.")
        if name in found:
            raise PriceError(f"The price of {name!r} is given twice: give it once.")
        price = _known(name, prices)
        amount = magnitude(value, name, price.unit)
        if not (math.isfinite(amount) and amount > 0):
            unit = shown_unit(name, price.unit)
            raise PriceError(f"{text!r} gives {amount:g} {unit}".rstrip() + ": a price is positive and finite.")
        found[name] = replace(price.at(amount), source=GIVEN, read_on="")
    return prices.with_prices(found)


def _known(name: str, prices: Prices) -> Price:
    """A price of that name in any list, for its unit and description."""
    if known := prices.get(name) or anywhere(name):
        return known
    near = difflib.get_close_matches(name, {*prices, *load()}, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    raise PriceError(f"No list has a price {name!r}: name one that `lambda-llm cost prices` shows{hint}")
