"""Measure the time from restore to first token when memory is loaded on demand."""

import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from lambda_llm.engine.threads import available_cpus
from lambda_llm.errors import LambdaLLMError
from scripts.bench import lazy_memory
from scripts.bench.common import (
    AsJSON,
    Figure,
    Markdown,
    ModelFile,
    Show,
    Synthesize,
    Threads,
    command_line,
    console,
    ended_by,
    named,
    printer,
    progress_bar,
)
from scripts.bench.lazy_restore import Way
from scripts.bench.measurement import machine

LATENCIES: Final = (0.25, 1.0, 4.0)
BANDWIDTHS: Final = (0.5, 1.0, 2.0)
REPEATS: Final = 3
TARGET: Final = 2.5
TARGET_LATENCY: Final = 1.0

_HELP: Final = """Print the time to first token after a restore, with and without prefetch.

[bold]What it answers.[/bold] Whether prefetching the weights with many threads, in the order in which a token needs \
them, is faster than loading each chunk when the computation touches it.

[bold]How it measures.[/bold] A process loads and warms up the model and prepares the snapshot as the function \
does. Each restore is a fork of it whose weights are dropped and served through Linux's userfaultfd in chunks of \
512 KB, each --latency after its first page fault, at --bandwidth in total. The clock runs from the restore to the \
first token, which must equal the warm process's. In alternation: no prefetch, one thread in order, many threads by \
address, many threads in order, as in the function. The bound is the bytes needed over the bandwidth.

[dim]Examples[/dim]
  python -m scripts.bench.restore --synthesize llama-3.2-1b:Q4_0
  python -m scripts.bench.restore --synthesize llama-3.2-1b:Q4_0 --latency 1 --bandwidth 1 --json > measured.json
  python -m scripts.bench.restore --show measured.json --figure docs/restore.svg
"""


def main(  # noqa: PLR0913 - an option each
    model: ModelFile = None,
    *,
    synthesize: Synthesize = None,
    threads: Threads = None,
    latency: Annotated[
        list[float] | None, typer.Option(min=0, help="Milliseconds per chunk; can be repeated; default: 0.25, 1, 4.")
    ] = None,
    bandwidth: Annotated[
        list[float] | None, typer.Option(min=0.001, help="GB/s in total; can be repeated; default: 0.5, 1, 2.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Restores of each kind.")] = REPEATS,
    as_json: AsJSON = False,
    markdown: Markdown = False,
    show: Show = None,
    figure: Figure = None,
) -> None:
    """Measure; the help text is `_HELP`."""
    if show:
        result = json.loads(show.read_text(encoding="utf-8"))
    else:
        path = Path(named(model, synthesize))
        if reason := lazy_memory.unavailable():
            console.print(f"Nothing was measured or drawn. {escape(reason)}", soft_wrap=True)
            if as_json:
                print(json.dumps({"skipped": reason}))
            return
        latencies = [each / 1e3 for each in latency or LATENCIES]
        bandwidths = [each * 1e9 for each in bandwidth or BANDWIDTHS]
        here = machine()
        with ended_by(LambdaLLMError):
            measured = measure(path, threads or available_cpus(), latencies, bandwidths, repeats)
        result = {"machine": here} | measured
    if figure:
        draw(result, figure)
    if as_json:
        print(json.dumps(result))
    else:
        _print(result, markdown=markdown)


def measure(
    path: Path, threads: int, latencies: Sequence[float], bandwidths: Sequence[float], repeats: int
) -> dict[str, Any]:
    """Measure one model; the result is what --json prints.

    Args:
        path: of a GGUF file.
        threads: to compute with.
        latencies: seconds from page fault to loaded chunk.
        bandwidths: bytes per second.
        repeats: restores of each kind.

    Raises:
        LambdaLLMError: the model can't be restored.
    """
    given = {
        "model": str(path),
        "threads": threads,
        "latencies": list(latencies),
        "bandwidths": list(bandwidths),
        "repeats": repeats,
    }
    command = [sys.executable, "-m", "scripts.bench.lazy_restore", json.dumps(given)]
    results = []
    steps = repeats * (1 + len(latencies) * len(bandwidths) * len(Way))
    with (
        progress_bar(escape(path.name), steps) as progress,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process,
    ):
        assert process.stdout is not None  # noqa: S101 - piped above
        for line in process.stdout:
            results.append(json.loads(line))
            progress(results[-1].get("way", "warm"))
    if process.returncode:
        raise LambdaLLMError("The model could not be restored; see the output above.")
    warm = [each["warm"] for each in results if "warm" in each]
    restores = [each for each in results if "way" in each]
    return given | {
        "model": path.name,
        "chunk": lazy_memory.CHUNK_BYTES,
        "dropped": restores[0]["dropped"],
        "warm": statistics.median(warm),
        "rows": [_row(restores, latency, bandwidth) for bandwidth in bandwidths for latency in latencies],
        "target": TARGET,
    }


def _row(restores: Sequence[Mapping[str, Any]], latency: float, bandwidth: float) -> dict[str, Any]:
    """Return medians for one latency and bandwidth, and the median of the rounds' speedups."""
    rounds = {
        way: [
            each for each in restores if (each["way"], each["latency"], each["bandwidth"]) == (way, latency, bandwidth)
        ]
        for way in Way
    }
    times = {way: [each["first_token"] for each in found] for way, found in rounds.items()}
    needed = min(each["bytes"] for each in rounds[Way.ON_DEMAND])
    return {
        "latency": latency,
        "bandwidth": bandwidth,
        "first_token": {way: statistics.median(each) for way, each in times.items()},
        "first_tokens": times,
        "bytes": {way: statistics.median(each["bytes"] for each in found) for way, found in rounds.items()},
        "bound": needed / bandwidth,
        "faster": statistics.median(
            one / other for one, other in zip(times[Way.ON_DEMAND], times[Way.OURS], strict=True)
        ),
    }


def draw(result: Mapping[str, Any], target: Path) -> None:
    """Draw seconds to the first token over the latency, one panel for each bandwidth."""
    import matplotlib as mpl  # noqa: PLC0415 - slow to import, rarely needed

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415 - as above

    bandwidths = result["bandwidths"]
    figure, panels = plt.subplots(
        1, len(bandwidths), figsize=(3.4 * len(bandwidths), 4.2), sharey=True, squeeze=False, layout="constrained"
    )
    looks = {
        Way.ON_DEMAND: ("s", "tab:gray"),
        Way.ONE_THREAD: ("^", "tab:olive"),
        Way.BY_ADDRESS: ("v", "tab:orange"),
        Way.OURS: ("o", "tab:blue"),
    }
    for axes, bandwidth in zip(panels[0], bandwidths, strict=True):
        rows = [row for row in result["rows"] if row["bandwidth"] == bandwidth]
        latencies = [row["latency"] * 1e3 for row in rows]
        for way, (marker, colour) in looks.items():
            times = [row["first_token"][way] for row in rows]
            axes.plot(latencies, times, marker=marker, color=colour, label=f"{way} (ours)" if way == Way.OURS else way)
        axes.plot(latencies, [row["bound"] for row in rows], "k--", label="bound: bytes needed over bandwidth")
        axes.axhline(result["warm"], color="tab:green", linestyle=":", label="warm, nothing to load")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks(latencies, [f"{each:g}" for each in latencies])
        axes.xaxis.set_minor_formatter(mpl.ticker.NullFormatter())
        axes.yaxis.set_major_formatter(mpl.ticker.FormatStrFormatter("%g"))
        axes.yaxis.set_major_locator(mpl.ticker.LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_formatter(mpl.ticker.NullFormatter())
        axes.set_title(f"{bandwidth / 1e9:g} GB/s")
        axes.grid(visible=True, which="both", alpha=0.3)
        axes.set_xlabel("ms a chunk")
    panels[0][0].set_ylabel("seconds from restore to first token")
    figure.suptitle(f"{result['model']}, {result['threads']} threads, chunks of {result['chunk'] // 1024} KB")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    figure.savefig(target, metadata={"Date": None} if target.suffix == ".svg" else None)


def _print(result: Mapping[str, Any], *, markdown: bool) -> None:
    out = printer(markdown=markdown)
    table = Table(box=box.MARKDOWN if markdown else box.SIMPLE_HEAD)
    for column in ("Latency", "Bandwidth", "Bound", *Way, "On demand over ours", "Loaded by then, on demand", "ours"):
        table.add_column(column.capitalize() if column in list(Way) else column, justify="right")
    for row in result["rows"]:
        table.add_row(
            f"{row['latency'] * 1e3:g} ms",
            f"{row['bandwidth'] / 1e9:g} GB/s",
            f"{row['bound']:.2f} s",
            *(f"{row['first_token'][way]:.2f} s" for way in Way),
            f"{row['faster']:.1f} x",
            *(f"{row['bytes'][way] / 1e6:,.0f} MB" for way in (Way.ON_DEMAND, Way.OURS)),
        )
    out.print(table)
    here = result["machine"]
    out.print(
        f"{result['model']}, {result['threads']} threads, {here['cpu']}, {here['cpus']} CPUs, load before "
        f"{here['load_before']}; {result['dropped'] / 1e6:,.0f} MB of weights in chunks of {result['chunk'] // 1024} "
        f"KB, medians of {result['repeats']}. Warm, the first token takes {result['warm']:.2f} s. Target at "
        f"{TARGET_LATENCY:g} ms: {result['target']} x.",
        soft_wrap=True,
    )


app = command_line(main, _HELP)

if __name__ == "__main__":
    app()
