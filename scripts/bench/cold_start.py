"""Compare cold starts of one model by five packagings, each from simulated storage."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from lambda_llm.engine.threads import available_cpus
from lambda_llm.errors import LambdaLLMError
from lambda_llm.inference.snapshot.prefetch import THREADS
from scripts.bench import lazy_file, lazy_memory
from scripts.bench.cold_start_process import Place
from scripts.bench.cold_start_storages import CACHED_CHUNKS, COLD_CHUNKS, EFS, PUBLISHED, S3, SOURCES, Storage
from scripts.bench.common import (
    AsJSON,
    Figure,
    Markdown,
    ModelFile,
    Show,
    Synthesize,
    Threads,
    command_line,
    ended_by,
    named,
    printer,
    progress_bar,
)
from scripts.bench.lazy_restore import Way
from scripts.bench.loading import BUCKET, BenchError, served
from scripts.bench.measurement import machine

REPEATS: Final = 3

STEPS: Final[Mapping[str, str]] = {
    "runtime": "Python starts and imports",
    "fetch": "model is fetched",
    "open": "model is opened, a lazy file read",
    "answer": "first token",
}
"""Steps of a cold start, in order, with their titles."""


LAZY: Final = (Place.FILE, Place.FILE_READ_AHEAD)
"""Where a model is that is loaded on demand."""


@dataclass(frozen=True)
class Packaging:
    """A way to bring a model to a function.

    Attributes:
        name: in few words.
        storage: what the model comes from.
        place: where the model is for the process; None: in its snapshot.
        once: whether it is measured in the first round only: its storage is so slow that little else shows.
    """

    name: str
    storage: Storage
    place: Place | None
    once: bool = False

    def unavailable(self) -> str | None:
        """Return why it can't be measured here, in one sentence; None if it can."""
        if self.place is None:
            return lazy_memory.unavailable()
        return lazy_file.unavailable() if self.place in LAZY else None


OURS: Final = Packaging("memory file, SnapStart and our restore", CACHED_CHUNKS, None)
PACKAGINGS: Final = (
    Packaging("container image, first use", COLD_CHUNKS, Place.FILE, once=True),
    Packaging("container image", CACHED_CHUNKS, Place.FILE),
    Packaging(f"container image, read by {THREADS} threads, first use", COLD_CHUNKS, Place.FILE_READ_AHEAD, once=True),
    Packaging(f"container image, read by {THREADS} threads", CACHED_CHUNKS, Place.FILE_READ_AHEAD),
    Packaging("EFS", EFS, Place.FILE),
    Packaging("download to /tmp", S3, Place.DOWNLOADED_FILE),
    Packaging("memory file, no snapshot", S3, Place.MEMORY_FILE),
    Packaging("memory file, SnapStart and our restore, first use", COLD_CHUNKS, None, once=True),
    OURS,
)

_HELP: Final = f"""Print the time from a cold start to the first token, for five packagings of the same model.

[bold]What it answers.[/bold] What a packaging costs whoever comes first: a container image that is loaded lazily by \
blocks, EFS, a download to /tmp, our loader from S3 to a memory file, and the same with SnapStart and our restore. An \
image is also read ahead by as many threads as a restore has.

[bold]What is simulated.[/bold] Every storage, by a set latency and bandwidth, whose sources are in \
cold_start_storages.py. Images and EFS are a file that Linux's FUSE serves chunk by chunk, with the kernel's page \
cache and readahead; S3 is s3_server.py; a snapshot is memory that Linux's userfaultfd serves chunk by chunk. What \
Lambda does before a process starts is left out.

[bold]What is real.[/bold] Python's start and imports, the download, llama.cpp, the prefill: each cold start is a new \
process with the function's imports. All run the same engine on repacked weights, in alternation, and must give the \
same first token. "First use", when no cache of Lambda's has the chunks, is measured once.

[bold]What it needs.[/bold] Linux and root; what can't be measured without is left out, with a sentence. About five \
minutes for 0.8 GB: each way through the network takes ten seconds a round, an image's first use one minute.

[dim]Examples[/dim]
  python -m scripts.bench.cold_start --synthesize llama-3.2-1b:Q4_0 --markdown --figure docs/cold-start.png
  python -m scripts.bench.cold_start models/demo/lambda-llm-demo.gguf --repeats {REPEATS} --json > measured.json
  python -m scripts.bench.cold_start --show measured.json --markdown
"""


def main(
    model: ModelFile = None,
    *,
    synthesize: Synthesize = None,
    threads: Threads = None,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds; each starts every packaging once.")] = REPEATS,
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
        here = machine()
        with ended_by(LambdaLLMError), ended_by(BenchError), ended_by(lazy_file.LazyFileError):
            result = {"machine": here} | measure(path, threads or available_cpus(), repeats)
    if figure:
        draw(result, figure)
    if as_json:
        print(json.dumps(result))
    else:
        _print(result, markdown=markdown)


def measure(path: Path, threads: int, repeats: int) -> dict[str, Any]:
    """Start every packaging of a model, in alternation; the result is what --json prints.

    Args:
        path: of a GGUF file.
        threads: to compute with.
        repeats: rounds.

    Raises:
        LambdaLLMError: there is no such file; a packaging did not start, or gave another first token than the others.
        BenchError: the local S3 did not start.
        LazyFileError: the lazily loaded file could not be served.
    """
    if not path.is_file():
        raise LambdaLLMError(f"There is no file {path}: name a GGUF file.")
    reasons = {each.name: each.unavailable() for each in PACKAGINGS}
    possible = [each for each in PACKAGINGS if reasons[each.name] is None]
    rounds: list[dict[str, dict[str, Any]]] = []
    steps = sum(1 if each.once else repeats for each in possible)
    with (
        tempfile.TemporaryDirectory(prefix="lambda-llm-bench-") as folder,
        progress_bar(escape(path.name), steps) as bar,
    ):
        (Path(folder) / BUCKET).mkdir()
        (Path(folder) / BUCKET / path.name).symlink_to(path.resolve())
        for number in range(repeats):
            found = {}
            for each in possible:
                if each.once and number:
                    continue
                found[each.name] = _started(each, path, Path(folder), threads)
                bar(each.name)
            if len({taken["text"] for taken in found.values()}) > 1:
                tokens = ", ".join(f"{name}: {taken['text']!r}" for name, taken in found.items())
                raise LambdaLLMError(f"The packagings give different first tokens ({tokens}): they are not comparable.")
            rounds.append(found)
    return {
        "model": path.name,
        "size": path.stat().st_size,
        "threads": threads,
        "repeats": repeats,
        "rows": [summary(each, rounds) for each in possible],
        "skipped": {name: reason for name, reason in reasons.items() if reason},
        "published": [asdict(each) for each in PUBLISHED],
    }


def _started(packaging: Packaging, path: Path, folder: Path, threads: int) -> dict[str, Any]:
    """Start one packaging once; returns seconds of each step, those in all, and the first token."""
    storage = packaging.storage
    if packaging.place is None:
        given = {
            "model": str(path),
            "threads": threads,
            "latencies": [storage.latency],
            "bandwidths": [storage.bandwidth],
            "repeats": 1,
            "ways": [Way.OURS],
            "everything": True,
        }
        restored = _output("scripts.bench.lazy_restore", given, os.environ)
        took = restored["first_token"]
        steps = dict.fromkeys(STEPS, 0.0) | {"answer": took}
        return steps | {"total": took, "text": restored["text"]}
    with _stored(packaging, path, folder) as (model, environment):
        given = {"place": packaging.place, "model": model, "threads": threads, "began": time.monotonic()}
        return _output("scripts.bench.cold_start_process", given, environment)


@contextmanager
def _stored(packaging: Packaging, path: Path, folder: Path) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Simulate the storage; yields the model's path or URI, and the environment to load it in."""
    storage = packaging.storage
    if packaging.place in LAZY:
        with lazy_file.lazily_served(path, storage.latency, storage.bandwidth, storage.chunk) as target:
            yield str(target), os.environ
    else:
        with served(folder, storage.bandwidth, storage.latency) as environment:
            yield f"s3://{BUCKET}/{path.name}", environment


def _output(module: str, given: Mapping[str, object], environment: Mapping[str, str]) -> dict[str, Any]:
    """Run a module with arguments in JSON; returns the last line of what it prints."""
    command = [sys.executable, "-m", module, json.dumps(given)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LambdaLLMError(f"A cold start failed: {done.stderr.strip()[-1000:] or f'status {done.returncode}'}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def summary(packaging: Packaging, rounds: Sequence[Mapping[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """Summarize one packaging's cold starts.

    Args:
        packaging: one of `PACKAGINGS`.
        rounds: what was measured in each round, by the packaging's name: seconds of each step, and `total`.

    Returns:
        `packaging`, `storage`, its `latency` (seconds) and `bandwidth` (bytes per second); medians in seconds: `steps`
        and `total`; `totals` of every round; `slower`: the median of the ratios to ours in the same round, or None
        without it.
    """
    taken = [each[packaging.name] for each in rounds if packaging.name in each]
    ratios = [
        each[packaging.name]["total"] / each[OURS.name]["total"]
        for each in rounds
        if packaging.name in each and OURS.name in each
    ]
    return {
        "packaging": packaging.name,
        "storage": packaging.storage.name,
        "latency": packaging.storage.latency,
        "bandwidth": packaging.storage.bandwidth,
        "steps": {step: statistics.median(each[step] for each in taken) for step in STEPS},
        "total": statistics.median(each["total"] for each in taken),
        "totals": [each["total"] for each in taken],
        "slower": statistics.median(ratios) if ratios else None,
    }


def draw(result: Mapping[str, Any], target: Path) -> None:
    """Draw the seconds of each packaging, by step, and what is published of AWS's sample."""
    import matplotlib as mpl  # noqa: PLC0415 - slow to import, rarely needed

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "lambda-llm"  # the same figure from the same numbers
    import matplotlib.pyplot as plt  # noqa: PLC0415 - as above

    rows, published = result["rows"], result["published"]
    colours = {"runtime": "tab:gray", "fetch": "tab:orange", "open": "tab:olive", "answer": "tab:blue"}
    names = [row["packaging"] for row in rows] + [f"{each['name']}, on Lambda" for each in published]
    totals = [row["total"] for row in rows] + [each["seconds"] for each in published]
    figure, axes = plt.subplots(figsize=(10, 0.5 * len(names) + 1.8), layout="constrained")
    for number, row in enumerate(rows):
        left = 0.0
        for step, colour in colours.items():
            axes.barh(number, row["steps"][step], left=left, color=colour, label=None if number else STEPS[step])
            left += row["steps"][step]
    axes.barh(
        range(len(rows), len(names)),
        totals[len(rows) :],
        color="white",
        edgecolor="black",
        hatch="//",
        label="published: another model, another machine",
    )
    for number, total in enumerate(totals):
        axes.annotate(f"{total:.1f} s", (total, number), textcoords="offset points", xytext=(4, 0), va="center")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.grid(visible=True, axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    axes.set_xlabel("seconds from the cold start to the first token; every storage is simulated")
    axes.set_title(f"{result['model']}, {result['threads']} threads")
    handles, labels = axes.get_legend_handles_labels()
    order = [labels.index(label) for label in dict.fromkeys(labels)]
    figure.legend([handles[i] for i in order], [labels[i] for i in order], loc="outside lower center", ncols=3)
    figure.savefig(target, metadata={"Date": None} if target.suffix == ".svg" else None)
    plt.close(figure)


def _print(result: Mapping[str, Any], *, markdown: bool) -> None:
    out = printer(markdown=markdown)
    table = Table(box=box.MARKDOWN if markdown else box.SIMPLE_HEAD)
    for column in ("Packaging", "Storage, simulated"):
        table.add_column(column)
    for column in (*(title.capitalize() for title in STEPS.values()), "In all", "x"):
        table.add_column(column, justify="right")
    for row in result["rows"]:
        totals = row["totals"]
        spread = f" ±{(max(totals) - min(totals)) / 2 / row['total']:.0%}" if len(totals) > 1 else ""
        table.add_row(
            row["packaging"],
            f"{row['storage']}: {row['latency'] * 1e3:g} ms, {row['bandwidth'] / 1e6:,.0f} MB/s",
            *(f"{row['steps'][step]:.2f} s" if row["steps"][step] else "-" for step in STEPS),
            f"{row['total']:.2f} s{spread}",
            "-" if row["slower"] is None else f"{row['slower']:.1f}",
        )
    for each in result["published"]:
        nothing = ["-"] * len(STEPS)
        table.add_row(f"{each['name']}, published", "none: Lambda itself", *nothing, f"{each['seconds']} s", "-")
    out.print(table)
    here = result["machine"]
    out.print(
        f"{result['model']} ({result['size'] / 1e6:,.0f} MB), {result['threads']} threads, {here['cpu']}, "
        f"{here['cpus']} CPUs, load before {here['load_before']}; medians of {result['repeats']}, first use once. x is "
        f"the median of the ratios to the last packaging in the same round.",
        soft_wrap=True,
    )
    for name, reason in result["skipped"].items():
        out.print(escape(f"Left out: {name}. {reason}"), soft_wrap=True)
    if markdown:
        out.print()
        for source in SOURCES:
            out.print(escape(f"- {source}."), soft_wrap=True)


app = command_line(main, _HELP)

if __name__ == "__main__":
    app()
