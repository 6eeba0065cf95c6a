"""`lambda-llm simulate`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lambda_llm.cli.console import JSON, Verified, out, steps_bar
from lambda_llm.cost.compare.inputs import INPUTS

if TYPE_CHECKING:
    from lambda_llm.cost.speeds import Speeds
    from lambda_llm.simulator.arrivals import Arrivals
    from lambda_llm.simulator.result import Result

_STEPS = 100


def simulate(
    *,
    requests_per_day: Annotated[
        float | None, typer.Option(help="Mean rate of the requests.", show_default=False)
    ] = None,
    requests_per_second: Annotated[
        float | None, typer.Option(help="The same in another unit; give one of the two.", show_default=False)
    ] = None,
    arrivals: Annotated[
        str,
        typer.Option(
            metavar="poisson|bursts|diurnal|FILE.csv",
            help="How requests arrive. A file has lines `timestamp`, or `timestamp,count` as CloudWatch exports "
            "Invocations; it needs no rate.",
        ),
    ] = "poisson",
    hours: Annotated[
        float | None, typer.Option(help="Simulated time; default: a day, or the whole file.", show_default=False)
    ] = None,
    burst_factor: Annotated[float, typer.Option(help="Bursts: their rate over the mean.")] = 10,
    burst_seconds: Annotated[float, typer.Option(help="Bursts: their mean length.")] = 60,
    peak_to_mean: Annotated[float, typer.Option(help="Diurnal: the busiest minute over the mean.")] = 2,
    weekend: Annotated[float, typer.Option(help="Diurnal: a weekend's day over another day.")] = 1,
    prompt_tokens: Annotated[float, typer.Option(help="Mean length of a prompt.")] = 500,
    answer_tokens: Annotated[float, typer.Option(help="Mean length of an answer.")] = 100,
    variation: Annotated[
        float, typer.Option(help="Standard deviation of the lengths over their mean (lognormal); 0: all are equal.")
    ] = 1,
    cached: Annotated[float, typer.Option(help="Share of a prompt that a cache knows, 0 to 1.")] = 0,
    prefill: Annotated[
        float | None,
        typer.Option(help="Tokens a second of a prompt.", show_default=f"{INPUTS['prefill'].value:g}"),
    ] = None,
    decode: Annotated[
        float | None,
        typer.Option(help="Tokens a second of an answer.", show_default=f"{INPUTS['decode'].value:g}"),
    ] = None,
    measured: Annotated[
        Path | None, typer.Option(help="Speeds from the JSON of `lambda-llm bench`.", show_default=False)
    ] = None,
    restore_seconds: Annotated[
        float | None,
        typer.Option(
            help="Mean time of a restore from the snapshot.", show_default=f"{INPUTS['restore_seconds'].value:g}"
        ),
    ] = None,
    verified: Verified = None,
    restore_variation: Annotated[float, typer.Option(help="Its standard deviation over its mean (lognormal).")] = 0.3,
    keep_warm: Annotated[
        float,
        typer.Option(help="Seconds an idle environment is kept; AWS does not tell, 5 to 7 minutes are common."),
    ] = INPUTS["keep_warm"].value,
    concurrency: Annotated[int, typer.Option(help="Requests at once: reserved, or what the account has left.")] = 1000,
    retries: Annotated[int, typer.Option(help="How often a client repeats a throttled request, with backoff.")] = 0,
    server: Annotated[
        list[str],
        typer.Option(
            metavar="NAME:COUNT@HOURLY[,key=value]",
            help="A fleet to compare; several times. `c8g.2xlarge:4@0.319`; with a range autoscaled, with batch a GPU: "
            "`g6.xlarge:1-8@0.8048,batch=32,prefill=4000,decode=60`. Keys: prefill, decode, slots, batch, "
            "slowdown, queue, target, period, start, cooldown.",
            show_default=False,
        ),
    ] = [],  # noqa: B006 - typer's way, never changed
    seed: Annotated[int, typer.Option(help="Of the random numbers; the same one gives the same result.")] = 0,
    figure: Annotated[
        Path | None, typer.Option(help="Draw the course into this file (.svg, .png).", show_default=False)
    ] = None,
    as_json: JSON = False,
) -> None:
    """Simulate traffic on Lambda functions, and on servers beside them: waiting, throttling, cost.

    Every request takes an environment, or a place on a server, by their rules; docs/simulator.md has them. The first
    line says what to take. Prices are those of us-east-1, and a month has 730 hours like those that are simulated.

    - Will it be throttled? `--arrivals bursts --burst-factor 50 --concurrency 200`

    - Is it warm? A quiet service: `--requests-per-day 200 --keep-warm 360`

    - What would a GPU do? `--server g6.xlarge:1@0.8048,batch=32,prefill=4000,decode=60`

    Example: `lambda-llm simulate --requests-per-day 20000 --arrivals diurnal --server c8g.2xlarge:4@0.319`
    """
    from lambda_llm.cost.plotting import checked
    from lambda_llm.simulator.compiled import compiled  # noqa: F401 - says first what is not installed
    from lambda_llm.simulator.figure import draw
    from lambda_llm.simulator.fleet import simulate_fleet
    from lambda_llm.simulator.functions import Rules, simulate_functions
    from lambda_llm.simulator.work import Tokens, Work
    from lambda_llm.simulator.written import fleet_of

    if figure:
        checked(figure)
    coming = _arrivals(
        arrivals,
        _rate(requests_per_day, requests_per_second, arrivals),
        hours,
        bursts={"factor": burst_factor, "burst_seconds": burst_seconds},
        days={"peak_to_mean": peak_to_mean, "weekend": weekend},
    )
    speeds = _speeds(prefill, decode, measured, prompt_tokens, _restore_seconds(restore_seconds, verified))
    work = Work(Tokens(prompt_tokens, variation), Tokens(answer_tokens, variation), cached)
    rules = Rules(speeds, concurrency, keep_warm, restore_variation, retries=retries)
    fleets = [fleet_of(text, speeds) for text in server]
    with steps_bar("Simulating", _STEPS * (1 + len(fleets))) as advance:
        results = [simulate_functions(coming, work, rules, seed, _shares(advance))]
        results += [simulate_fleet(coming, work, fleet, seed, _shares(advance)) for fleet in fleets]
    if figure:
        draw(results, figure)
    if as_json:
        _print_json(results)
    else:
        _print_table(results)


def _shares(advance: Callable[[], None]) -> Callable[[float], None]:
    """Advance a bar by the share that is done."""
    done = 0

    def at(share: float) -> None:
        nonlocal done
        while done < int(share * _STEPS):
            done += 1
            advance()

    return at


def _rate(per_day: float | None, per_second: float | None, arrivals: str) -> float | None:
    """Requests a second; None: a file has them."""
    given = [each for each in (per_day, per_second) if each is not None]
    if arrivals.endswith(".csv"):
        if given:
            raise typer.BadParameter("A file of arrivals has its own rate: leave --requests-per-… out.")
        return None
    if len(given) != 1:
        raise typer.BadParameter("Give one of --requests-per-day and --requests-per-second.")
    return per_second if per_second is not None else given[0] / (24 * 3600)


def _arrivals(
    kind: str, rate: float | None, hours: float | None, *, bursts: dict[str, float], days: dict[str, float]
) -> "Arrivals":
    from lambda_llm.simulator.arrivals import DAY, HOUR, Bursts, Diurnal, Poisson
    from lambda_llm.simulator.errors import check
    from lambda_llm.simulator.trace import Trace

    if hours is not None:
        check("The number of hours", hours, above=True)
    if rate is None:
        return Trace.read(Path(kind)) if hours is None else Trace.read(Path(kind), hours * HOUR)
    seconds = DAY if hours is None else hours * HOUR
    match kind:
        case "poisson":
            return Poisson(rate, seconds)
        case "bursts":
            return Bursts(rate, seconds, **bursts)
        case "diurnal":
            return Diurnal(rate, seconds, **days)
    raise typer.BadParameter(f"{kind!r} is unknown: poisson, bursts, diurnal, or a file whose name ends in .csv.")


def _restore_seconds(given: float | None, verified: Path | None) -> float:
    from lambda_llm.cost.measured import read_restore_seconds

    if given is not None and verified is not None:
        raise typer.BadParameter("--verified has the time of a restore: leave --restore-seconds out.")
    if verified is not None:
        return read_restore_seconds(verified)
    return INPUTS["restore_seconds"].value if given is None else given


def _speeds(
    prefill: float | None, decode: float | None, measured: Path | None, prompt_tokens: float, restore_seconds: float
) -> "Speeds":
    from lambda_llm.cost.measured import read
    from lambda_llm.cost.speeds import Speeds

    if measured is None:
        return Speeds(
            INPUTS["prefill"].value if prefill is None else prefill,
            INPUTS["decode"].value if decode is None else decode,
            restore_seconds,
        )
    if prefill is not None or decode is not None:
        raise typer.BadParameter("--measured has the speeds: leave --prefill and --decode out.")
    return Speeds.of(read(measured), prompt_tokens, restore_seconds)


def _print_json(results: "Sequence[Result]") -> None:
    from lambda_llm.simulator.result import SCHEMA
    from lambda_llm.simulator.verdict import verdict

    told = {"schema": SCHEMA, "verdict": verdict(results), "results": [each.as_json() for each in results]}
    out.print_json(data=told, ensure_ascii=True)


def _print_table(results: "Sequence[Result]") -> None:
    from rich.markup import escape
    from rich.table import Table

    from lambda_llm.simulator.verdict import verdict
    from lambda_llm.units import printable

    out.print(printable(verdict(results)), markup=False)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("")
    for each in results:
        table.add_column(escape(printable(each.name)), justify="right")
    for name, *cells in _rows(results):
        table.add_row(name, *cells)
    out.print(table)


def _rows(results: "Sequence[Result]") -> list[tuple[str, ...]]:
    from lambda_llm.simulator.verdict import seconds

    spreads = {
        "Wait": [each.wait for each in results],
        "First token": [each.first_token for each in results],
        "Whole answer": [each.whole for each in results],
    }
    rows: list[tuple[str, ...]] = [
        ("Requests", *(f"{each.arrived:,}" for each in results)),
        ("Unanswered", *(f"{each.arrived - each.served:,}" for each in results)),
    ]
    for name, found in spreads.items():
        for share, field in (("50", "p50"), ("90", "p90"), ("95", "p95"), ("99", "p99"), ("99.9", "p999")):
            cells = ("-" if each is None else seconds(getattr(each, field)) for each in found)
            rows.append((f"{name}, {share} % within", *cells))
    rows += [
        ("Waited for a restore", *(f"{each.cold_share:.2%}" if _is_lambda(each) else "-" for each in results)),
        ("Restores, servers started", *(f"{each.restores:,}" for each in results)),
        ("Environments, servers at most", *(f"{each.most_running:,}" for each in results)),
        ("Busy GB-seconds", *(f"{each.billed_gb_seconds:,.0f}" if _is_lambda(each) else "-" for each in results)),
        ("Server hours", *("-" if _is_lambda(each) else f"{each.running_hours:,.1f}" for each in results)),
    ]
    for part in dict.fromkeys(part for each in results for part in each.month):
        cells = (f"${each.month[part]:,.2f}" if part in each.month else "-" for each in results)
        rows.append((f"A month's {part}", *cells))
    rows.append(("A month in all", *(f"${each.month_dollars:,.2f}" for each in results)))
    return rows


def _is_lambda(result: "Result") -> bool:
    return result.kind == "functions"
