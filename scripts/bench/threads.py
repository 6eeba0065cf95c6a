"""Compare numbers of threads, weight placements and builds of llama.cpp on this machine."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from lambda_llm.engine.threads import available_cpus
from lambda_llm.errors import LambdaLLMError
from lambda_llm.gguf.options import Weights
from scripts.bench.common import AsJSON, Markdown, Show, command_line, ended_by, printer, progress_bar, synthesized
from scripts.bench.measurement import (
    ANSWER_TOKENS,
    PROMPT_TOKENS,
    REPEATS,
    Clock,
    Combination,
    Workload,
    machine,
    measure,
    report,
    turn_name,
)
from scripts.build.llama import Target, build, find_toolchain
from scripts.build.progress import Progress, SetupError

DISTURBED: Final = 0.95
"""Rows with a smaller share of time on a CPU are marked."""

_HELP: Final = """Print a table of model x quantization x threads x backend: tokens per second in prefill and decode.

[bold]What it answers.[/bold] How many threads to compute with, whether repacked weights (copied) are \
faster than the file's (mapped), and whether another build of llama.cpp is faster: for this machine only.

[bold]How it measures.[/bold] Through lambda-llm's own engine, one process per measurement, all combinations in \
alternation. A model's first row is its baseline, and x is the ratio to it: a machine's speed changes from minute to \
minute, ratios within a run are stable. ± is half the range over the repeats. "On CPU" is the share of their time \
that the threads spent on a CPU; under 95 % something else ran there, and the row is not valid for an idle machine.

[bold]Shared machines.[/bold] llama.cpp's threads spin while they wait for each other, so two threads on one and a \
half free CPUs measure nothing. One thread can still be measured with --clock cpu, by the CPU time that it takes.

[bold]On Lambda.[/bold] measurement.handle, in this folder, is a handler; docs/threads.md says how to invoke it, and \
--show prints its result.

[dim]Examples[/dim]
  python -m scripts.bench.threads models/demo/lambda-llm-demo.gguf
  python -m scripts.bench.threads s3://bucket/model.gguf --threads 4,5,6 --markdown
  python -m scripts.bench.threads --synthesize llama-3.2-1b:Q4_0 --synthesize tiny:Q8_0 --threads 1 --clock cpu
  python -m scripts.bench.threads model.gguf --threads 2 --libraries /builds/openmp/lib --busy 1
  python -m scripts.bench.threads --synthesize llama-3.2-1b:Q4_0 --placement copied --after 64,1024,2048 --unedited
  python -m scripts.bench.threads --show measured-on-lambda.json
"""


def main(  # noqa: PLR0913 - an option each
    models: Annotated[list[str] | None, typer.Argument(help="Paths or s3:// URIs.", show_default=False)] = None,
    *,
    synthesize: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SHAPE:QUANT",
            help="A model of random weights; shapes: `python -m scripts.models.synthesize --list`.",
        ),
    ] = None,
    threads: Annotated[
        str | None, typer.Option(metavar="N,N", help="Numbers of threads; default: each from 1 to this machine's CPUs.")
    ] = None,
    placement: Annotated[
        list[Weights] | None, typer.Option(help="copied or mapped; can be repeated; default: both.")
    ] = None,
    libraries: Annotated[
        list[Path] | None,
        typer.Option(help="Folder with another build of llama.cpp's libraries to compare; can be repeated."),
    ] = None,
    prompt_tokens: Annotated[int, typer.Option(min=2, help="Length of the prompt.")] = PROMPT_TOKENS,
    answer_tokens: Annotated[int, typer.Option(min=1, help="Length of the answer.")] = ANSWER_TOKENS,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds; each measures every combination once.")] = REPEATS,
    clock: Annotated[
        Clock,
        typer.Option(help="wall: elapsed seconds. cpu: seconds of CPU time, for one thread on a shared machine."),
    ] = Clock.WALL,
    after: Annotated[
        str | None,
        typer.Option(metavar="N,N", help="Also a table of short prompts behind so many tokens, such as 64,1024,2048."),
    ] = None,
    unedited: Annotated[
        bool,
        typer.Option("--unedited", help="Compare with llama.cpp without native/edits, which is built first if needed."),
    ] = False,
    busy: Annotated[int, typer.Option(min=0, help="Busy processes beside each measurement, as noisy neighbours.")] = 0,
    as_json: AsJSON = False,
    markdown: Markdown = False,
    show: Show = None,
) -> None:
    """Measure; the help text is `_HELP`."""
    if show:
        result = json.loads(show.read_text(encoding="utf-8"))
    else:
        if not (models or synthesize):
            raise typer.BadParameter("name a model, or use --synthesize SHAPE:QUANT", param_hint="MODELS")
        turns = tuple(sorted(_numbers(after, "--after"))) if after else ()
        counts = _numbers(threads, "--threads") if threads else list(range(1, available_cpus() + 1))
        combinations = _combinations(counts, placement, libraries)
        if unedited:
            folder = _unedited()
            combinations += [replace(each, libraries=folder) for each in combinations if not each.libraries]
        workload = Workload(prompt_tokens, answer_tokens, repeats, busy, turns)
        here = machine()
        uris = [*(models or ()), *(str(synthesized(each)) for each in synthesize or ())]
        rows = []
        with ended_by(LambdaLLMError):
            for uri in uris:
                with progress_bar(escape(uri), len(combinations) * repeats) as progress:
                    rows += measure(uri, combinations, workload, progress=progress)
        result = report(here, workload, rows)
    if as_json:
        print(json.dumps(result))
    else:
        _print(result, clock, markdown=markdown)


def _numbers(text: str, option: str) -> list[int]:
    numbers = [int(part) for part in text.split(",") if part.strip().isdecimal()]
    if len(numbers) != len(text.split(",")) or 0 in numbers:
        raise typer.BadParameter(f"{text!r} is not a list of numbers above 0 such as 1,2,4", param_hint=option)
    return numbers


def _unedited() -> Path:
    """Build llama.cpp as it is, unless it is there; returns the folder of its libraries."""
    target = replace(Target.host(), edited=False)
    toolchain = find_toolchain(target)
    if toolchain is None:
        raise typer.BadParameter("a compiler is missing: run `make build` first", param_hint="--unedited")
    with ended_by(SetupError), Progress() as progress:
        return build(target, toolchain, report=lambda state: progress.update("llama.cpp without edits", state))


def _combinations(
    threads: list[int], placements: list[Weights] | None, libraries: list[Path] | None
) -> list[Combination]:
    placements = placements or [Weights.COPIED, Weights.MAPPED]
    if Weights.AUTO in placements:
        raise typer.BadParameter("use copied or mapped: auto selects one of them", param_hint="--placement")
    for folder in libraries or ():
        if not any(folder.glob("libllama.*")):
            raise typer.BadParameter(f"{folder} contains no libllama", param_hint="--libraries")
    return [
        Combination(count, place, folder)
        for place in placements
        for count in threads
        for folder in [None, *(libraries or ())]
    ]


def _print(result: Mapping[str, Any], clock: Clock, *, markdown: bool) -> None:
    out = printer(markdown=markdown)
    unit = "tok/s" if clock is Clock.WALL else "tok/CPU s"
    table = Table(box=box.MARKDOWN if markdown else box.SIMPLE_HEAD)
    table.add_column("Model")
    table.add_column("Quantization")
    table.add_column("Threads", justify="right")
    table.add_column("Weights")
    table.add_column("Backend")
    for part in ("Prefill", "Decode"):
        table.add_column(f"{part} {unit}", justify="right")
        table.add_column("x", justify="right")
    table.add_column("On CPU", justify="right")
    for row in result["rows"]:
        build = "" if row["libraries"] == "default" else f" ({row['libraries']})"
        numbers = []
        for part in ("prefill", "decode"):
            speed = row[part][clock.value]
            numbers.append(f"{speed['tokens_per_second']:,.4g} ±{speed['spread']:.0%}")
            numbers.append("baseline" if row["baseline"] else f"{speed['ratio']:.2f}")
        mark = "" if row["on_cpu"] >= DISTURBED else " (!)"
        table.add_row(
            escape(row["model"]),
            row["quantization"],
            str(row["threads"]),
            row["placement"],
            escape(row["backend"] + build),
            *numbers,
            f"{row['on_cpu']:.0%}{mark}",
        )
    out.print(table)
    if result.get("after"):
        out.print(_turns(result, clock, markdown=markdown))
    here = result["machine"]
    beside = f", {result['busy']} busy processes beside it" if result["busy"] else ""
    out.print(
        f"{here['cpu']} ({here['architecture']}), {here['cpus']} CPUs, load before {here['load_before']}{beside}. "
        f"{result['prompt_tokens']} tokens of prompt, {result['answer_tokens']} of answer, medians of "
        f"{result['repeats']}.",
        soft_wrap=True,
    )


def _turns(result: Mapping[str, Any], clock: Clock, *, markdown: bool) -> Table:
    """Milliseconds that a token takes behind others, and the others behind nothing; x is to the baseline's."""
    table = Table(box=box.MARKDOWN if markdown else box.SIMPLE_HEAD)
    table.add_column("New tokens", justify="right")
    table.add_column("Threads", justify="right")
    table.add_column("Weights")
    table.add_column("Libraries")
    for after in result["after"]:
        table.add_column(f"ms each after {after:,}", justify="right")
        table.add_column("x", justify="right")
    for new in [*result["new"], None]:
        for row in result["rows"]:
            numbers = []
            for after in result["after"]:
                speed = row["turns"][turn_name(new, after) if new else turn_name(after, 0)][clock.value]
                numbers.append(f"{1000 / speed['tokens_per_second']:.1f}")
                numbers.append("baseline" if row["baseline"] else f"{1 / speed['ratio']:.2f}")
            table.add_row(
                str(new or "those before"), str(row["threads"]), row["placement"], escape(row["libraries"]), *numbers
            )
    return table


app = command_line(main, _HELP)

if __name__ == "__main__":
    app()
