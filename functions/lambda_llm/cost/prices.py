"""The prices that this project calculates with; no other module has any.

One list for each group of regions, `prices-GROUP.csv` beside this file, in US dollars, without free tier, discounts and
tax. The columns are those of AWS's public offer files as far as these have them; each price has its source and the day
on which it was read, and a second source where there is one.
"""

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Final, Self

from lambda_llm.errors import LambdaLLMError
from lambda_llm.limits import MEMORY_MB

GROUPS: Final = {
    "us": ("us-east-1", "us-east-2", "us-west-2"),
    "eu": ("eu-central-1", "eu-west-1", "eu-north-1"),
    "ap": ("ap-northeast-1", "ap-southeast-1", "ap-southeast-2"),
}
"""Regions of each list. The prices are those of its first region."""

REGION: Final = "us-east-1"
"""The region of every price that is asked for without one."""


COLUMNS: Final = (
    "Name",
    "Unit",
    "StartingRange",
    "EndingRange",
    "PricePerUnit",
    "Currency",
    "PriceDescription",
    "Source",
    "ReadOn",
    "SecondSource",
    "SecondPricePerUnit",
)
"""Of a list."""


class PriceError(LambdaLLMError):
    """A price is not in a list, or a list is none."""


class UnknownPriceError(PriceError, KeyError):
    """A list has no price of that name."""

    __str__ = Exception.__str__  # not the text's repr, as of a KeyError


@dataclass(frozen=True)
class Tier:
    """A part of a month's quantity that has one price.

    Attributes:
        start: quantity from which on it holds, in the price's unit.
        end: up to which; infinity for the last one.
        price: in US dollars for one unit.
    """

    start: float
    end: float
    price: float


@dataclass(frozen=True)
class Price:
    """One price.

    Attributes:
        name: in the list, as `lambda.arm64.duration`.
        unit: of what it is for, as pint reads it: `GB*second`, `hour`, `Mtoken`.
        tiers: by quantity a month, without gaps, from 0 to infinity.
        description: one line.
        source: public address that has it, or that it is derived from.
        read_on: day on which the source was read, ISO 8601.
        second_source: another one.
        second: what that says of the first tier with a price.
    """

    name: str
    unit: str
    tiers: tuple[Tier, ...]
    description: str
    source: str
    read_on: str
    second_source: str | None = None
    second: float | None = None

    def cost(self, quantity: float) -> float:
        """What a month's quantity costs, in US dollars: each tier's part at its price.

        Args:
            quantity: in the price's unit, at least 0.
        """
        return sum((min(quantity, tier.end) - tier.start) * tier.price for tier in self.tiers if quantity > tier.start)

    @property
    def first(self) -> float:
        """Of the first unit that is not free, in US dollars."""
        return next((tier.price for tier in self.tiers if tier.price), 0.0)

    def at(self, price: float) -> Self:
        """The same thing at another price, the same for every quantity."""
        return replace(self, tiers=(Tier(0, math.inf, price),), second_source=None, second=None)


class Prices(Mapping[str, Price]):
    """The prices of one group of regions, by name."""

    def __init__(self, group: str, prices: Mapping[str, Price]) -> None:
        """Take prices as they are.

        Args:
            group: name of the group.
            prices: by name.
        """
        self.group = group
        self._prices = dict(prices)

    def __getitem__(self, name: str) -> Price:
        """The price of a name.

        Raises:
            UnknownPriceError: the list has none of this name.
        """
        try:
            return self._prices[name]
        except KeyError:
            raise UnknownPriceError(
                f"The price list {self.group!r} has no {name!r}: name one that `lambda-llm cost prices` shows, or give "
                f"it as --price {name}=DOLLARS."
            ) from None

    def __contains__(self, name: object) -> bool:
        return name in self._prices

    def __iter__(self) -> Iterator[str]:
        return iter(self._prices)

    def __len__(self) -> int:
        return len(self._prices)

    def with_prices(self, given: Mapping[str, Price]) -> "Prices":
        """These, with some of them replaced or added."""
        return Prices(self.group, {**self._prices, **given})


def plain(value: float) -> str:
    """A price in digits, never with an exponent: `0.0000133334`."""
    return format(Decimal(f"{value:.12g}").normalize(), "f")


def group_of(region: str) -> str:
    """The group whose list has the prices of a region.

    Raises:
        PriceError: no list has.
    """
    for group, regions in GROUPS.items():
        if region in regions:
            return group
    known = ", ".join(region for regions in GROUPS.values() for region in regions)
    raise PriceError(f"There are no prices of {region!r}: choose one of {known}, or override prices with --price.")


@cache
def load(region: str = REGION) -> Prices:
    """The prices of a region.

    Raises:
        PriceError: there is no list for it.
    """
    group = group_of(region)
    return read(Path(__file__).with_name(f"prices-{group}.csv"), group)


def anywhere(name: str) -> Price | None:
    """A price as the first list has it that has one of this name, for its unit and description."""
    return next((prices[name] for regions in GROUPS.values() if name in (prices := load(regions[0]))), None)


def read(path: Path, group: str) -> Prices:
    """A price list from its file.

    Args:
        path: a CSV file with the columns that this package's lists have.
        group: the name that errors say.

    Raises:
        PriceError: a line is wrong, or tiers have gaps.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    prices: dict[str, Price] = {}
    try:
        for name, lines in groupby(rows, key=lambda row: row["Name"]):
            if name in prices:
                raise PriceError(f"The lines of {name!r} in {path.name} don't stand together: sort them.")
            prices[name] = _price(name, list(lines))
    except (KeyError, TypeError, ValueError) as error:
        raise PriceError(f"{path.name} is no price list ({error!r}): expected the columns of prices-us.csv.") from error
    return Prices(group, prices)


def _price(name: str, rows: list[dict[str, str]]) -> Price:
    tiers = tuple(
        Tier(
            float(row["StartingRange"]),
            math.inf if row["EndingRange"] == "Inf" else float(row["EndingRange"]),
            float(row["PricePerUnit"]),
        )
        for row in rows
    )
    ends = [0.0, *(tier.end for tier in tiers)]
    starts = [*(tier.start for tier in tiers), math.inf]
    if starts != ends or any(tier.start >= tier.end or tier.price < 0 for tier in tiers):
        raise PriceError(f"The tiers of {name!r} have gaps or overlap: each starts where the one before it ends.")
    row = rows[0]
    if row["Currency"] != "USD":
        raise PriceError(f"{name!r} is in {row['Currency']!r}: expected US dollars (USD).")
    second = row["SecondPricePerUnit"]
    return Price(
        name,
        row["Unit"],
        tiers,
        row["PriceDescription"],
        row["Source"],
        row["ReadOn"],
        row["SecondSource"] or None,
        float(second) if second else None,
    )


_HERE: Final = load()

ARM64_GB_SECOND: Final = _HERE["lambda.arm64.duration"].first
"""Per GB of configured memory and second of an arm64 function's duration, in the first tier."""

REQUEST: Final = _HERE["lambda.requests"].first
"""Per request."""

SNAPSTART_CACHE_GB_SECOND: Final = _HERE["lambda.snapstart.cache"].first
"""Per GB of configured memory and second that a published version with SnapStart exists."""

SNAPSTART_LEAST_DAYS: Final = 3 / 24
"""A version is billed for at least so long. Source: https://aws.amazon.com/lambda/pricing/, section SnapStart"""

SNAPSTART_RESTORE_GB: Final = _HERE["lambda.snapstart.restore"].first
"""Per GB of configured memory that is restored."""

DURABLE_OPERATION: Final = _HERE["lambda.durable.operations"].first
"""Per operation of a durable execution: a start, step, wait, callback, invocation or context."""

DURABLE_WRITTEN_GB: Final = _HERE["lambda.durable.written"].first
"""Per GB that a durable execution writes."""

DURABLE_RETAINED_GB_MONTH: Final = _HERE["lambda.durable.retained"].first
"""Per GB and month of an execution's history, while it lasts and for the retention period after."""

STATE_TRANSITION: Final = _HERE["stepfunctions.transitions"].first
"""Per transition of a standard state machine."""

KMS_KEY_MONTH: Final = _HERE["kms.key"].first
"""Per KMS key and month."""

GB: Final = MEMORY_MB / 1024
"""Configured memory in GB, the unit of the prices above."""

DAY_SECONDS: Final = 24 * 60 * 60

MONTH_HOURS: Final = 730
"""Hours of a month, as AWS calculates it: 365 days by 12.
Source: https://aws.amazon.com/calculator/calculator-assumptions/"""

MONTH_DAYS: Final = MONTH_HOURS / 24


def live_version(days: float, memory_mb: int = MEMORY_MB) -> float:
    """What one published version costs while it exists, invoked or not, in US dollars.

    Args:
        days: how long it exists; under three hours costs as much as three.
        memory_mb: configured memory; an inference function's unless given.
    """
    return SNAPSTART_CACHE_GB_SECOND * (memory_mb / 1024) * max(days, SNAPSTART_LEAST_DAYS) * DAY_SECONDS


def restore(memory_mb: int = MEMORY_MB) -> float:
    """What restoring one environment from the snapshot costs, in US dollars.

    Args:
        memory_mb: configured memory; an inference function's unless given.
    """
    return SNAPSTART_RESTORE_GB * (memory_mb / 1024)


def busy(seconds: float, memory_mb: int = MEMORY_MB) -> float:
    """What an environment costs while it processes requests, in US dollars.

    Args:
        seconds: billed duration.
        memory_mb: configured memory; an inference function's unless given.
    """
    return ARM64_GB_SECOND * (memory_mb / 1024) * seconds


def invocation(seconds: float, *, restored: bool, memory_mb: int = MEMORY_MB, region: str = REGION) -> float:
    """What one invocation of a function costs, in US dollars.

    Args:
        seconds: billed duration.
        restored: whether an environment was restored for it.
        memory_mb: configured memory; an inference function's unless given.
        region: of the function.

    Raises:
        PriceError: no list has the prices of the region.
    """
    prices, gb = load(region), memory_mb / 1024
    total = prices["lambda.requests"].first + prices["lambda.arm64.duration"].first * gb * seconds
    return total + (prices["lambda.snapstart.restore"].first * gb if restored else 0.0)


def durable(operations: int, written: int) -> float:
    """What a durable execution costs beside the time of its functions, in US dollars.

    Args:
        operations: of it.
        written: bytes of inputs, results, payloads and errors.
    """
    return DURABLE_OPERATION * operations + DURABLE_WRITTEN_GB * written / 1e9
