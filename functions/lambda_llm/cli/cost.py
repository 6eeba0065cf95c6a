"""`lambda-llm cost`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lambda_llm.cli import cost_plan, cost_prices
from lambda_llm.cli.console import JSON, Verified, err, out
from lambda_llm.cli.cost_prices import GivenPrices, PricesRegion
from lambda_llm.cost.compare.inputs import INPUTS
from lambda_llm.cost.prices import REGION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lambda_llm.cost.compare.analysis import Analysis
    from lambda_llm.cost.compare.options import Server


def _input(name: str) -> Any:
    entry = INPUTS[name]
    return typer.Option(help=f"{entry.label}.", show_default=f"{entry.value:g}")


app = typer.Typer(
    invoke_without_command=True,
    rich_markup_mode="markdown",
    help="""Say what a model costs on Lambda for a traffic, and on everything else that could run it.

    The verdict comes first: is Lambda right for this traffic, and when does it stop being so? Then what each option
    costs, where two cost the same, and what it depends on. All formulas and prices are in `--json` and in `--report`.

    Speeds are those of Llama 3.2 1B as Q4_0 unless `--measured` or `--prefill` and `--decode` have yours; measure them
    with `lambda-llm bench URL --json > bench.json`.

    Example: `lambda-llm cost --requests-per-day 2000 --prompt-tokens 400 --answer-tokens 200 --report cost.html`
    """,
)


@app.callback()
def cost(
    context: typer.Context,
    *,
    requests_per_day: Annotated[float | None, _input("requests_per_day")] = None,
    prompt_tokens: Annotated[float | None, _input("prompt_tokens")] = None,
    answer_tokens: Annotated[float | None, _input("answer_tokens")] = None,
    system_tokens: Annotated[float | None, _input("system_tokens")] = None,
    turns: Annotated[float | None, _input("turns")] = None,
    hours_per_day: Annotated[float | None, _input("hours_per_day")] = None,
    days_per_week: Annotated[float | None, _input("days_per_week")] = None,
    burst: Annotated[float | None, _input("burst")] = None,
    season: Annotated[float | None, _input("season")] = None,
    traffic: Annotated[
        Path | None,
        typer.Option(
            help="CSV file with the requests of some days: `timestamp`, or `timestamp,count` as CloudWatch's sum of "
            "Invocations. Requests a day, hours, days, burst and season are taken from it.",
            show_default=False,
        ),
    ] = None,
    prefill: Annotated[float | None, _input("prefill")] = None,
    decode: Annotated[float | None, _input("decode")] = None,
    measured: Annotated[
        Path | None, typer.Option(help="Speeds from `lambda-llm bench URL --json`.", show_default=False)
    ] = None,
    verified: Verified = None,
    server: Annotated[
        list[str],
        typer.Option(
            help="Measured speed of a server, all requests together: NAME=PREFILL,DECODE in tokens/s, as "
            "g6.xlarge=15000,4000.",
            show_default=False,
        ),
    ] = [],  # noqa: B006 - typer's way, never changed
    restore_seconds: Annotated[float | None, _input("restore_seconds")] = None,
    keep_warm: Annotated[float | None, _input("keep_warm")] = None,
    versions: Annotated[float | None, _input("versions")] = None,
    model_gb: Annotated[float | None, _input("model_gb")] = None,
    session_store: Annotated[float | None, _input("session_store")] = None,
    prompt_cache: Annotated[float | None, _input("prompt_cache")] = None,
    internet: Annotated[float | None, _input("internet")] = None,
    replicas: Annotated[float | None, _input("replicas")] = None,
    target: Annotated[float | None, _input("target")] = None,
    region: PricesRegion = REGION,
    price: GivenPrices = None,
    every: Annotated[bool, typer.Option("--all", help="Show every option, not the cheapest of each kind.")] = False,
    figure: Annotated[
        Path | None,
        typer.Option(help="Draw cost over utilization, as .svg or .png; needs the extra `cost`.", show_default=False),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write a page with sliders, in one HTML file.", show_default=False)
    ] = None,
    as_json: JSON = False,
) -> None:
    """See the application's help."""
    if context.invoked_subcommand is not None:
        return
    from lambda_llm.cost.compare.analysis import analyse
    from lambda_llm.cost.compare.workload import Workload
    from lambda_llm.cost.overrides import overridden
    from lambda_llm.cost.prices import load

    given = {name: value for name, value in context.params.items() if name in INPUTS and value is not None}
    known = {**_of_traffic(traffic), **_of_measurements(measured, verified, given.get("prompt_tokens")), **given}
    workload = Workload.of(known, _servers(server))
    analysis = analyse(workload, overridden(load(region), price or []))
    if figure is not None:
        from lambda_llm.cost.figure import draw

        draw(analysis, figure)
    if report is not None:
        from lambda_llm.cost.report import write

        write(analysis, report)
    if as_json:
        out.file.write(json.dumps(analysis.as_json(), indent=2) + "\n")  # too large for colours: they take seconds
        return
    _print(analysis, region, every=every)
    for path in (figure, report):
        if path is not None:
            err.print(f"Wrote {path}.", markup=False)


def _of_traffic(path: Path | None) -> dict[str, float]:
    if path is None:
        return {}
    from lambda_llm.simulator.shape import shape
    from lambda_llm.simulator.trace import Trace

    return shape(Trace.read(path))


def _of_measurements(measured: Path | None, verified: Path | None, prompt_tokens: float | None) -> dict[str, float]:
    from lambda_llm.cost.measured import read, read_restore_seconds
    from lambda_llm.cost.speeds import Speeds

    known: dict[str, float] = {}
    if measured is not None:
        speeds = Speeds.of(read(measured), prompt_tokens or INPUTS["prompt_tokens"].value)
        known |= {"prefill": speeds.prefill, "decode": speeds.decode}
    if verified is not None:
        known["restore_seconds"] = read_restore_seconds(verified)
    return known


def _servers(given: "Sequence[str]") -> "dict[str, Server]":
    from lambda_llm.cost.compare.options import Server, load

    servers: dict[str, Server] = {}
    for text in given:
        name, _, speeds = text.partition("=")
        try:
            prefill, decode = (float(each) for each in speeds.split(","))
        except ValueError:
            prefill = decode = 0.0
        if name not in load().servers:
            raise typer.BadParameter(f"{name!r} is no server: expected one of {', '.join(load().servers)}.")
        if not (0 < prefill < float("inf") and 0 < decode < float("inf")):
            raise typer.BadParameter(f"{text!r} has no speeds: expected NAME=PREFILL,DECODE in tokens a second.")
        title = load().servers[name].title
        servers[name] = Server(title, prefill=prefill, decode=decode, source="--server", measured=True)
    return servers


def _print(analysis: "Analysis", region: str, *, every: bool) -> None:
    from rich.markup import escape
    from rich.table import Table

    from lambda_llm.cost.compare.told import OptionRow, assumptions, cheapest_of_each, notes

    out.print(f"[bold]{escape(analysis.verdict.sentence)}[/]\n")
    table = Table(
        "Option",
        "$ a month",
        "$ a million tokens",
        "Lambda is cheaper",
        box=None,
        padding=(0, 2, 0, 0),
        header_style="dim",
    )
    for column in table.columns[1:3]:
        column.justify = "right"
    rows = cheapest_of_each(analysis) if not every else [OptionRow.of(each, analysis) for each in analysis.costs]
    for row in rows:
        style = "bold" if row.ours else "" if row.own else "dim"
        table.add_row(escape(row.title), row.monthly, row.per_million, row.until, style=style)
    out.print(table)
    out.print()
    for note in notes(analysis):
        out.print(escape(note))
    err.print(escape(assumptions(analysis, region)), style="dim")


app.command("plan", no_args_is_help=True)(cost_plan.plan)
app.command("prices")(cost_prices.prices)
