"""`lambda-llm bench`."""

from typing import TYPE_CHECKING, Annotated

import typer

from lambda_llm.cli.console import JSON, URL, Region, check_url, err, out, steps_bar

if TYPE_CHECKING:
    from lambda_llm.cost.measured import Measured, Quantity


def bench(
    url: URL,
    *,
    prompt_tokens: Annotated[
        list[int],
        typer.Option(min=1, help="Prompt length in tokens; may be given several times. Default: 128 to 2,048."),
    ] = [],  # noqa: B006 - typer's way, never changed
    answer_tokens: Annotated[int, typer.Option(min=1, help="Most tokens of an answer.")] = 64,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds; each asks every length once.")] = 5,
    region: Region = None,
    as_json: JSON = False,
) -> None:
    """Measure a deployment: prefill, decode, and the first token with a new and with a known prefix.

    Every prompt is another one, so that no cache knows it; then its next turn is asked, which finds it there. The rates
    are by the server's own clock where it tells, the first token is what a client waits for. A request that fails is
    counted and left out.

    Example: `lambda-llm bench https://abc123.lambda-url.eu-central-1.on.aws --json`
    """
    from lambda_llm.cli.benchmark import Workload, lengths_that_fit, measure
    from lambda_llm.cli.probes.deployment import connected
    from lambda_llm.cost import prices

    check_url(url)
    with connected(url, region) as deployment:
        workload = Workload(lengths_that_fit(deployment, prompt_tokens, answer_tokens), repeats, answer_tokens)
        if deployment.region:
            err.print(
                f"Sends {workload.requests} requests, one after another; answering costs ${prices.busy(60):.4f} a "
                f"minute, and an environment that is restored for them ${prices.restore():.4f}."
            )
        with steps_bar(f"Measuring {deployment.health['model']}", len(workload.lengths) * repeats) as done:
            measured = measure(deployment, workload, done)
    if as_json:
        out.print_json(data=measured.as_json(), ensure_ascii=True)
    else:
        _print_table(measured)


def _print_table(measured: "Measured") -> None:
    from rich.markup import escape
    from rich.table import Table

    from lambda_llm.units import printable

    table = Table("Measured", "n", "Median", "Spread", box=None, padding=(0, 2, 0, 0), header_style="dim")
    decode = measured.decode_tokens_per_second
    rows: list[tuple[str, Quantity | None, str]] = [("Decode", decode, "tokens/s")]
    for prompt in measured.prompts:
        behind = f"of {prompt.prompt_tokens:,} tokens"
        rows += [
            (f"Prefill {behind}", prompt.prefill_tokens_per_second, "tokens/s"),
            (f"First token, new prefix {behind}", prompt.first_token_seconds, "s"),
            (f"First token, known prefix {behind}", prompt.cached_first_token_seconds, "s"),
        ]
    for name, quantity, unit in rows:
        if quantity is None:
            table.add_row(name, "0", "not measured", "")
        else:
            table.add_row(name, str(quantity.n), f"{quantity.median:,.3g} {unit}", f"±{quantity.spread:.0%}")
    out.print(table)
    out.print(f"Rates by the {measured.clock}'s clock; {escape(printable(measured.model))}, {measured.backend}.")
    for failure in dict.fromkeys(measured.failures):
        count = measured.failures.count(failure)
        err.print(f"{count}x left out: {printable(failure)}", style="yellow", markup=False)
