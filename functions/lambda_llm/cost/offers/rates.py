"""What AWS's public offer files say: which products are wanted, and their prices in an offer's CSV file.

An offer is a service's price list. Its CSV file has five lines about itself, one of column names, and one for each
rate: a tier of a product under a term. Source:
https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/reading-service-price-list-file-for-services.html
"""

import csv
import math
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, Final

from lambda_llm.cost.prices import Tier
from lambda_llm.errors import LambdaLLMError

HOURS_A_YEAR: Final = 365 * 24
"""By which an upfront payment is spread over a reservation, as AWS's calculator does it."""

_PREAMBLE: Final = 5
_NEEDED: Final = (
    "SKU",
    "TermType",
    "EffectiveDate",
    "StartingRange",
    "EndingRange",
    "Unit",
    "PricePerUnit",
    "Currency",
)
# `EUC1-`, `APN1-`, `USE1-`, `EU-`; KMS writes `us-east-1-`; in us-east-1 and for old services there is none.
_REGION: Final = r"(?:[A-Z]{2}[A-Z0-9]{0,4}-|[a-z]{2}-[a-z]+-\d-)?"
_UPFRONT: Final = "Quantity"


class OfferError(LambdaLLMError):
    """An offer file can't be read, or is of another shape."""


@dataclass(frozen=True)
class Wanted:
    """A price's product in an offer.

    Attributes:
        name: of the price, in the lists.
        offer: the offer's code.
        match: columns and what they have.
        term: of a reservation, columns and what they have; empty: on demand.
        units: of the file that are one of the list's.
        free: first quantity that costs nothing, in the list's unit.
    """

    name: str
    offer: str
    match: Mapping[str, str]
    term: Mapping[str, str]
    units: float = 1
    free: float = 0


@dataclass(frozen=True)
class Rates:
    """What an offer says of a price.

    Attributes:
        tiers: of the product, in the list's unit.
        published: day on which the offer was published, ISO 8601.
    """

    tiers: tuple[Tier, ...]
    published: str


@dataclass(frozen=True)
class Unclear:
    """Why an offer says nothing of a price.

    Attributes:
        sentence: for people.
    """

    sentence: str


@cache
def wanted() -> tuple[Wanted, ...]:
    """Every price that an offer has, from `offers.toml`."""
    table = tomllib.loads(Path(__file__).with_name("offers.toml").read_text(encoding="utf-8"))
    return tuple(
        Wanted(
            name,
            entry["offer"],
            entry["match"],
            entry.get("term", {}),
            float(entry.get("units", 1)),
            float(entry.get("free", 0)),
        )
        for name, entry in table.items()
    )


def rates(lines: Iterable[str], products: Iterable[Wanted], region: str, offer: str) -> dict[str, Rates | Unclear]:
    """The prices of some products in an offer's CSV file, which is read line by line.

    Args:
        lines: of the file.
        products: of this offer.
        region: whose products are meant; a file may have those of no region, as the free tier is.
        offer: its code, for errors.

    Returns:
        By name: the rates, or why there are none.

    Raises:
        OfferError: the file is no offer's.
    """
    rows = csv.reader(lines)
    about = {row[0]: row[1] for row in islice(rows, _PREAMBLE) if len(row) > 1}
    columns = next(rows, [])
    published = about.get("Publication Date", "")[:10]
    if missing := [name for name in _NEEDED if name not in columns]:
        raise OfferError(
            f"The file of offer {offer} has no column {missing[0]!r} in its sixth line: expected an offer's CSV file "
            "as AWS publishes it, so --offers-url may be another place's."
        )
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", published):
        raise OfferError(f"The file of offer {offer} does not say when it was published: expected an offer's CSV file.")
    searches = [_Search(each, set(columns)) for each in products]
    for row in rows:
        if len(row) != len(columns):
            raise OfferError(
                f"Line {rows.line_num} of the file of offer {offer} has {len(row)} columns instead of {len(columns)}: "
                "it was cut or is damaged; try again."
            )
        line = dict(zip(columns, row, strict=True))
        if line.get("Region Code", region) in {region, ""}:
            for search in searches:
                search.see(line)
    return {search.wanted.name: search.result(published) for search in searches}


class _Search:
    """The lines of one product."""

    def __init__(self, wanted: Wanted, columns: set[str]) -> None:
        self.wanted = wanted
        self._absent = sorted({*wanted.match, *wanted.term} - columns)
        usage = wanted.match.get("usageType")
        self._usage = re.compile(_REGION + re.escape(usage)) if usage else None
        self._lines: dict[str, list[dict[str, str]]] = {}

    def see(self, line: dict[str, str]) -> None:
        """Keep a line if it is this product's."""
        want = self.wanted
        if self._absent or line["TermType"] != ("Reserved" if want.term else "OnDemand"):
            return
        if self._usage and not self._usage.fullmatch(line["usageType"]):
            return
        same = all(line[column] == value for column, value in self._exactly())
        if same:
            self._lines.setdefault(line["SKU"], []).append(line)

    def _exactly(self) -> Iterator[tuple[str, str]]:
        yield from ((column, value) for column, value in self.wanted.match.items() if column != "usageType")
        yield from self.wanted.term.items()

    def result(self, published: str) -> Rates | Unclear:
        """What the lines say together."""
        name, offer = self.wanted.name, self.wanted.offer
        if self._absent:
            return Unclear(
                f"{name}: the file of offer {offer} has no column {self._absent[0]!r}, by which it is found."
            )
        # A free tier is a product beside the one that costs something, and in some files of the same usage.
        products = {sku: lines for sku, lines in self._lines.items() if any(map(_costs, lines))}
        if not products:
            return Unclear(f"{name}: offer {offer} has no such product any more; look what offers.toml should name.")
        if len(products) > 1:
            found = ", ".join(sorted(products))
            return Unclear(
                f"{name}: offer {offer} has {len(products)} such products ({found}); offers.toml must tell more."
            )
        (lines,) = products.values()
        newest = max(line["EffectiveDate"] for line in lines)
        current = [line for line in lines if line["EffectiveDate"] == newest]
        if other := {line["Currency"] for line in current} - {"USD"}:
            return Unclear(f"{name}: offer {offer} has it in {other.pop()}, not in US dollars.")
        try:
            tiers = self._reserved(current) if self.wanted.term else self._tiers(current)
        except ValueError as error:
            return Unclear(f"{name}: offer {offer} has rates that are none ({error}).")
        return Rates(tiers, published)

    def _tiers(self, lines: list[dict[str, str]]) -> tuple[Tier, ...]:
        units = self.wanted.units
        found = sorted(
            (float(line["StartingRange"] or 0) / units, _end(line["EndingRange"]) / units, _amount(line) * units)
            for line in lines
        )
        ends = [0.0, *(end for _, end, _ in found)]
        if [start for start, _, _ in found] + [math.inf] != ends:
            raise ValueError("its tiers have gaps or overlap")
        free = self.wanted.free
        tiers = [Tier(max(start, free), end, price) for start, end, price in found if end > free]
        return (Tier(0, free, 0), *tiers) if free else tuple(tiers)

    def _reserved(self, lines: list[dict[str, str]]) -> tuple[Tier, ...]:
        years = int(re.sub(r"\D", "", self.wanted.term["LeaseContractLength"]))
        upfront = [_amount(line) for line in lines if line["Unit"] == _UPFRONT]
        hourly = [_amount(line) for line in lines if line["Unit"] != _UPFRONT]
        if len(upfront) > 1 or len(hourly) > 1:
            raise ValueError("several for one reservation")
        return (Tier(0, math.inf, sum(hourly) + sum(upfront) / (years * HOURS_A_YEAR)),)


def _amount(line: Mapping[str, Any]) -> float:
    return float(line["PricePerUnit"] or 0)


def _costs(line: Mapping[str, Any]) -> bool:
    return bool(line["PricePerUnit"].strip("0."))


def _end(text: str) -> float:
    return math.inf if text in {"", "Inf"} else float(text)
