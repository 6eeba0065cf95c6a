"""A price list compared with AWS's offer files, and written again with what they say."""

import csv
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Final

from lambda_llm.cost.offers.files import AbsentError, OfferFiles, Progress
from lambda_llm.cost.offers.rates import OfferError, Rates, Unclear, Wanted, rates, wanted
from lambda_llm.cost.prices import COLUMNS, Price, Prices, anywhere, plain

IMPLAUSIBLE: Final = 10
"""Nothing of AWS got so many times dearer or cheaper at once: it is another unit, or another product."""

Bar = Callable[[str], AbstractContextManager[Progress]]
"""Shows the progress of an offer's file."""


@dataclass
class Refreshed:
    """What offer files say of a list.

    Attributes:
        prices: with the offers' prices, sources and days; the rest as it was.
        changed: prices that are others now, as they were and as they are; None: the list had none.
        same: names whose price is confirmed.
        unclear: a sentence for each price of which the offers say nothing.
    """

    prices: Prices
    changed: list[tuple[Price | None, Price]] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)


@contextmanager
def no_bar(_: str) -> Iterator[Progress]:
    """A `Bar` that shows nothing."""
    yield lambda _done, _total: None


def refreshed(prices: Prices, region: str, files: OfferFiles, bar: Bar = no_bar) -> Refreshed:
    """Compare a list with the offer files of its region.

    Args:
        prices: the list.
        region: whose prices it has.
        files: where the offers are.
        bar: shows the progress of each file.

    Raises:
        OfferError: a file can't be read; or nothing in any of them was found.
    """
    result = Refreshed(prices)
    now: dict[str, Price] = {}
    for offer, products in groupby(sorted(wanted(), key=lambda each: each.offer), key=lambda each: each.offer):
        for name, url, said in _said(offer, list(products), region, files, bar):
            if isinstance(said, Unclear):
                result.unclear.append(said.sentence)
                continue
            before = prices.get(name)
            known = before or anywhere(name)
            if known is None:
                result.unclear.append(f"{name}: no list has its unit; add it to one first.")
                continue
            after = _priced(known, said, url)
            if before and not _plausible(before, after):
                result.unclear.append(
                    f"{name}: {plain(before.first)} would become {plain(after.first)}, which is another unit or "
                    "product; look what offers.toml should name."
                )
            else:
                now[name] = after
                if before and _equal(before, after):
                    result.same.append(name)
                else:
                    result.changed.append((before, after))
    if not now:
        raise OfferError(f"None of {len(wanted())} prices was found in the offers at {files.url}: {result.unclear[0]}")
    result.prices = prices.with_prices(now)
    return result


def _said(
    offer: str, products: list[Wanted], region: str, files: OfferFiles, bar: Bar
) -> Iterable[tuple[str, str, Rates | Unclear]]:
    try:
        url = files.csv_url(offer, region)
    except AbsentError as error:
        return [(each.name, "", Unclear(f"{each.name}: {error}")) for each in products]
    with bar(offer) as progress:
        found = files.read(url, lambda lines: rates(lines, products, region, offer), progress)
    return [(name, url, said) for name, said in found.items()]


def _priced(price: Price, said: Rates, url: str) -> Price:
    # How a price was derived is no longer true of one that AWS states.
    description = price.description.partition(": derived")[0].partition("; the first tier")[0]
    return replace(price, tiers=said.tiers, description=description, source=url, read_on=said.published)


def _plausible(before: Price, after: Price) -> bool:
    return 1 / IMPLAUSIBLE < after.first / before.first < IMPLAUSIBLE


def _equal(before: Price, after: Price) -> bool:
    def numbers(price: Price) -> list[float]:
        return [number for tier in price.tiers for number in (tier.start, tier.end, tier.price)]

    mine, theirs = numbers(before), numbers(after)
    return len(mine) == len(theirs) and all(
        math.isclose(one, other, rel_tol=1e-9) for one, other in zip(mine, theirs, strict=True)
    )


def write(prices: Mapping[str, Price], path: Path) -> None:
    """Write a list as `prices.read` reads it.

    Raises:
        OfferError: the file can't be written.
    """
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            lines = csv.writer(file, lineterminator="\n")
            lines.writerow(COLUMNS)
            for price in prices.values():
                lines.writerows(_rows(price))
    except OSError as error:
        raise OfferError(f"{path} can't be written ({error.strerror}): choose another --output.") from error


def _rows(price: Price) -> Iterator[list[str]]:
    second = "" if price.second is None else plain(price.second)
    for tier in price.tiers:
        end = "Inf" if math.isinf(tier.end) else plain(tier.end)
        yield [
            price.name,
            price.unit,
            plain(tier.start),
            end,
            plain(tier.price),
            "USD",
            price.description,
            price.source,
            price.read_on,
            price.second_source or "",
            second,
        ]
