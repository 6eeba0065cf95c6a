"""`lambda-llm cost prices`."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from lambda_llm.cli.console import JSON, err, out, progress_bar
from lambda_llm.cost.prices import GROUPS, REGION

if TYPE_CHECKING:
    from rich.table import Table

    from lambda_llm.cost.offers.refresh import Refreshed
    from lambda_llm.cost.prices import Price, Prices

GAP: Final = 2
"""Between the columns of a table."""
SOURCE_WIDTH: Final = 40
"""Least width of a source on a terminal, which folds it."""

GivenPrices = Annotated[
    list[str] | None,
    typer.Option(
        "--price",
        metavar="NAME=DOLLARS",
        help="Another price, in the list's unit or with one: `'ec2.g6.xlarge.on-demand=0.5 USD/hour'`. Repeatable.",
    ),
]
PricesRegion = Annotated[str, typer.Option("--region", help="Region whose prices are meant.")]


def prices(
    word: Annotated[
        str | None, typer.Argument(help="Only prices with this in their name or description.", show_default=False)
    ] = None,
    *,
    region: PricesRegion = REGION,
    price: GivenPrices = None,
    as_json: JSON = False,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Compare the list with AWS's public offer files; needs no account.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(help="With --refresh: file for the new list; default: say what changed, write nothing."),
    ] = None,
    offers_url: Annotated[
        str | None, typer.Option(help="With --refresh: index of the offers, where it isn't AWS's own.")
    ] = None,
) -> None:
    """Show the prices that everything here is calculated with: each with unit, day and source.

    Example: `lambda-llm cost prices ec2 --region eu-central-1`
    """
    from rich.console import Console

    from lambda_llm.cost.overrides import overridden
    from lambda_llm.cost.prices import group_of, load

    if not refresh and (output or offers_url):
        raise typer.BadParameter("--output and --offers-url go with --refresh.")
    if refresh and (word or price):
        raise typer.BadParameter("--refresh compares the whole list: give it neither a word nor --price.")
    listed = load(region)
    home = GROUPS[group_of(region)][0]
    if refresh:
        _refresh(listed, home, output, offers_url, as_json=as_json)
        return
    shown = [each for each in overridden(listed, price or []).values() if _about(each, word)]
    if as_json:
        out.print_json(data={"region": home, "list": listed.group, "prices": [_as_json(each) for each in shown]})
        return
    if not shown:
        raise typer.BadParameter(f"No price of {home} has {word!r} in its name or description.")
    out.print(f"Prices of {home} in US dollars, for its group of regions ({', '.join(GROUPS[listed.group])})\n")
    # A table is never wider than its console, and cut where it has no room.
    Console(width=_width(shown), highlight=False, soft_wrap=True).print(_table(shown))


def _about(price: "Price", word: str | None) -> bool:
    return not word or word.lower() in f"{price.name} {price.description}".lower()


def _as_json(price: "Price") -> dict[str, Any]:
    from lambda_llm.cost.overrides import GIVEN
    from lambda_llm.cost.units import shown_unit

    return {
        "name": price.name,
        "unit": price.unit,
        "value_unit": shown_unit(price.name, price.unit),
        "tiers": [
            {"start": tier.start, "end": None if math.isinf(tier.end) else tier.end, "price": tier.price}
            for tier in price.tiers
        ],
        "description": price.description,
        "source": None if price.source == GIVEN else price.source,
        "read_on": price.read_on or None,
        "second_source": price.second_source,
        "second": price.second,
        "overridden": price.source == GIVEN,
    }


def _tiers(price: "Price") -> str:
    """The value by quantity, a line for each tier."""
    from lambda_llm.cost.prices import plain
    from lambda_llm.cost.units import shown_unit

    unit = shown_unit(price.name, price.unit)
    lines = [f"{plain(tier.price)} {unit}".rstrip() for tier in price.tiers]
    return "\n".join(
        line if math.isinf(tier.end) else f"{line} to {tier.end:,.0f}"
        for line, tier in zip(lines, price.tiers, strict=True)
    )


def _width(shown: "list[Price]") -> int:
    """Of the table: the terminal's if names and prices have room in it, and whatever it takes where a program reads."""
    names = max(len(each.name) for each in shown)
    values = max(len(line) for each in shown for line in _tiers(each).splitlines())
    sources = max(len(each.source) for each in shown)
    beside = names + values + len("2026-11-27") + 4 * GAP
    return max(out.width, beside + (SOURCE_WIDTH if out.is_terminal else max(sources, SOURCE_WIDTH)))


def _table(shown: "list[Price]") -> "Table":
    from rich.table import Table

    from lambda_llm.cost.overrides import GIVEN

    table = Table(box=None, padding=(0, GAP, 0, 0), header_style="dim")
    table.add_column("Name", no_wrap=True)
    table.add_column("Price", no_wrap=True)
    table.add_column("Read on", no_wrap=True)
    table.add_column("Source", overflow="fold")
    for price in shown:
        given = price.source == GIVEN
        table.add_row(price.name, _tiers(price), price.read_on, "overridden by --price" if given else price.source)
    return table


def _refresh(listed: "Prices", region: str, output: Path | None, url: str | None, *, as_json: bool) -> None:
    from lambda_llm.cost.offers.files import OFFERS_URL, OfferFiles
    from lambda_llm.cost.offers.refresh import refreshed, write

    with OfferFiles(url or OFFERS_URL) as files:
        found = refreshed(listed, region, files, progress_bar)
    if output:
        write(found.prices, output)
    if as_json:
        out.print_json(data=_changes(found, region, output))
        return
    _tell(found, region, output)


def _changes(found: "Refreshed", region: str, output: Path | None) -> dict[str, Any]:
    return {
        "region": region,
        "changed": [
            {"name": after.name, "before": before and _as_json(before), "after": _as_json(after)}
            for before, after in found.changed
        ],
        "same": found.same,
        "unclear": found.unclear,
        "output": output and str(output),
    }


def _tell(found: "Refreshed", region: str, output: Path | None) -> None:
    from rich.table import Table

    changed, same = len(found.changed), len(found.same)
    out.print(f"{region}: {changed} prices changed, {same} are as in the list, {len(found.unclear)} were not found.")
    if found.changed:
        table = Table(box=None, padding=(0, GAP, 0, 0), header_style="dim")
        for title in ("Name", "Was", "Is"):
            table.add_column(title)
        for before, after in found.changed:
            table.add_row(after.name, _tiers(before) if before else "not listed", _tiers(after))
        out.print(table)
    for sentence in found.unclear:
        err.print(f"Kept: {sentence}", markup=False)
    if output:
        out.print(f"Written to {output}.", markup=False)
    elif found.changed:
        out.print("Nothing was written: --output names a file for the new list.")
