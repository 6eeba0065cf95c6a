"""Compare the loader with other ways to load an object from S3 into memory, on this machine."""

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer
from rich import box
from rich.table import Table

from lambda_llm.limits import MIB
from scripts.bench.common import AsJSON, Figure, Markdown, command_line, console, ended_by, printer, progress_bar
from scripts.bench.measurement import machine
from scripts.bench.s3_server import KEY_ID, REGION, SECRET, stored_checksum

BUCKET: Final = "models"
BASELINE: Final = "sample"

NAMES: Final[Mapping[str, str]] = {
    "ours": "lambda-llm, CRC64NVME",
    "ours-sha256": "lambda-llm, CRC64NVME and SHA-256",
    "ours-unverified": "lambda-llm, unverified",
    "sample": "the sample's method",
    "boto3": "boto3 transfer manager",
    "awscrt": "awscrt S3 client",
    "curl": "curl, one stream",
}

GB: Final = 1_000_000_000
MB: Final = 1_000_000

_HELP: Final = """Print a table of ways to load an object from S3: GB/s, CPU seconds per GB, memory, requests.

[bold]What it answers.[/bold] Whether this project's loader is faster than the method of AWS's sample on this machine, \
and at what cost; with --network-mb, whether it saturates a network of that speed.

[bold]How it measures.[/bold] A local server (s3_server.py) on loopback verifies every signature and sends files from \
the page cache by sendfile. Every method fills a memory file, in a process of its own, whose client is ready before \
the clock starts; the bytes are verified against the object's checksum afterwards. Methods alternate, so that slow \
changes of the machine affect all equally; figures are medians, x is the median of the \
ratios to the sample's method in the same round. "CPU" is of the loading process only, including curl. "Memory" is \
the highest peak beyond the process's memory before and the model's own size.

[bold]What it needs.[/bold] Linux, twice the largest size in free memory, that size once on disk, and `curl` for its \
row.

[dim]Examples[/dim]
  python -m scripts.bench.loading
  python -m scripts.bench.loading --sizes 4 --repeats 3 --methods ours,sample
  python -m scripts.bench.loading --sizes 0.7 --network-mb 78 --latency-ms 20 --methods ours,sample,curl
  python -m scripts.bench.loading --json > first.json
  python -m scripts.bench.loading --show first.json --show second.json --figure docs/loading.svg --markdown
"""


class BenchError(Exception):
    """A measurement could not be made."""


def main(  # noqa: PLR0913 - an option each
    *,
    sizes: Annotated[str, typer.Option(metavar="GB,GB", help="Sizes of the objects.")] = "0.1,0.7,4",
    methods: Annotated[
        str, typer.Option(metavar="NAME,NAME", help=f"Of {', '.join(NAMES)}; x needs {BASELINE}.")
    ] = ",".join(NAMES),
    repeats: Annotated[int, typer.Option(min=1, help="Rounds; each runs every method once.")] = 5,
    network_mb: Annotated[float, typer.Option(min=0, help="Limit of the server's token bucket in MB/s; 0: none.")] = 0,
    latency_ms: Annotated[float, typer.Option(min=0, help="Milliseconds before each response.")] = 0,
    as_json: AsJSON = False,
    markdown: Markdown = False,
    show: Annotated[
        list[Path] | None, typer.Option(help="Measure nothing; print the tables of an earlier --json; can be repeated.")
    ] = None,
    figure: Figure = None,
) -> None:
    """Measure; the help text is `_HELP`."""
    if show:
        results = [json.loads(path.read_text(encoding="utf-8")) for path in show]
    else:
        wanted = _chosen(methods)
        with ended_by(BenchError):
            results = [measure(_numbers(sizes), wanted, repeats, network_mb * MB, latency_ms / 1000)]
    if as_json:
        print(json.dumps(results[0] if len(results) == 1 else results))
    else:
        for result in results:
            _print(result, markdown=markdown)
    if figure:
        draw([row for result in results if not result["bytes_per_second"] for row in result["rows"]], figure)


def measure(
    sizes: Sequence[float], methods: Sequence[str], repeats: int, bytes_per_second: float, latency: float
) -> dict[str, Any]:
    """Run every method on every size, in alternation.

    Args:
        sizes: of the objects, in GB.
        methods: keys of `NAMES`.
        repeats: rounds.
        bytes_per_second: of the network; 0 means no limit.
        latency: seconds before each response.

    Returns:
        `machine`, `repeats`, `bytes_per_second`, `latency`, and `rows`: one for each size and method, with medians.

    Raises:
        BenchError: a method failed, or loaded other bytes than are stored.
    """
    before = machine()
    rows = []
    with (
        tempfile.TemporaryDirectory(prefix="lambda-llm-bench-") as folder,
        progress_bar("loading", len(sizes) * len(methods) * repeats) as progress,
    ):
        bucket = Path(folder) / BUCKET
        bucket.mkdir()
        for size in sizes:
            path = _written(bucket / f"{size:g}GB.bin", round(size * GB))
            with served(Path(folder), bytes_per_second, latency) as environment:
                environment["SHA256"] = _sha256(path) if "ours-sha256" in methods else ""
                rounds = []
                for number in range(repeats):
                    taken = {}
                    for method in methods:
                        taken[method] = _run(method, path, environment)
                        progress(f"{size:g} GB, {NAMES[method]}, round {number + 1}")
                    rounds.append(taken)
            path.unlink()
            rows += [summary(method, path_size=round(size * GB), rounds=rounds) for method in methods]
    return {
        "machine": before,
        "repeats": repeats,
        "bytes_per_second": bytes_per_second,
        "latency": latency,
        "rows": rows,
    }


def summary(method: str, path_size: int, rounds: Sequence[Mapping[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """Summarize one method's runs on one object.

    Args:
        method: a key of `NAMES`.
        path_size: bytes of the object.
        rounds: measurements of each method in each round: `seconds`, `cpu`, `extra`, `requests`.

    Returns:
        Medians: `gb_per_second`, `cpu_per_gb` (seconds), `extra` (bytes, or None if it can't be measured), `requests`;
        `speed_ratio` and `cpu_ratio` to the baseline's run of the same round, or None without one; `spread`: half of
        the range of the seconds, as a share of their median.
    """
    own = [taken[method] for taken in rounds]
    base = [taken[BASELINE] for taken in rounds if BASELINE in taken]
    seconds = [each["seconds"] for each in own]
    return {
        "method": method,
        "size": path_size,
        "gb_per_second": path_size / GB / statistics.median(seconds),
        "spread": (max(seconds) - min(seconds)) / 2 / statistics.median(seconds),
        "cpu_per_gb": statistics.median(each["cpu"] for each in own) / (path_size / GB),
        "extra": None if own[0]["extra"] is None else max(each["extra"] for each in own),
        "requests": statistics.median(each["requests"] for each in own),
        "speed_ratio": statistics.median(b["seconds"] / o["seconds"] for o, b in zip(own, base, strict=True))
        if base
        else None,
        "cpu_ratio": statistics.median(o["cpu"] / b["cpu"] for o, b in zip(own, base, strict=True)) if base else None,
    }


def draw(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw throughput and memory over the object's size."""
    import matplotlib as mpl  # noqa: PLC0415 - only a figure needs it

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "lambda-llm"  # the same figure from the same numbers
    from matplotlib import pyplot as plt  # noqa: PLC0415 - as above

    figure, (speed, memory) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for method in NAMES:
        own = sorted((row for row in rows if row["method"] == method), key=lambda row: row["size"])
        if not own:
            continue
        ours = method.startswith("ours")
        style: dict[str, Any] = {
            "marker": "o" if ours else "s",
            "linewidth": 2.5 if method == "ours" else 1.2,
            "linestyle": "-" if method in {"ours", BASELINE} else "--",
            "label": NAMES[method],
        }
        sizes = [row["size"] / GB for row in own]
        line = speed.plot(sizes, [row["gb_per_second"] for row in own], **style)[0]
        if own[0]["extra"] is not None:
            memory.plot(sizes, [max(row["extra"] / MB, 0.1) for row in own], **(style | {"color": line.get_color()}))
    for axes, what in ((speed, "Throughput, GB/s"), (memory, "Memory beyond the model, MB")):
        axes.set_xscale("log")
        ticks = sorted({row["size"] / GB for row in rows})
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks], minor=False)
        axes.minorticks_off()
        axes.set_xlabel("Size of the object, GB")
        axes.set_title(what)
        axes.grid(visible=True, alpha=0.3)
    speed.set_ylim(bottom=0)
    memory.set_yscale("log")
    memory.axhline(32 * MIB / MB, color="black", linewidth=1, linestyle=":")
    memory.annotate("32 MiB", (ticks[0], 32 * MIB / MB), textcoords="offset points", xytext=(0, 3), fontsize=8)
    figure.legend(*speed.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=9)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)


def _numbers(text: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) <= 0:
        raise typer.BadParameter(f"{text!r} is not a list of numbers above 0 such as 0.1,0.7,4", param_hint="--sizes")
    return numbers


def _chosen(text: str) -> list[str]:
    methods = text.split(",")
    if unknown := [each for each in methods if each not in NAMES]:
        raise typer.BadParameter(f"{unknown[0]!r} is none of {', '.join(NAMES)}", param_hint="--methods")
    if "curl" in methods and shutil.which("curl") is None:
        console.print("curl is not installed: its row is left out.")
        methods.remove("curl")
    return methods


def _written(path: Path, size: int) -> Path:
    """Write noise, so that misplaced bytes are detected; the file is then in the page cache."""
    random = np.random.default_rng(size)
    with path.open("wb") as file:
        for start in range(0, size, 16 * MIB):
            file.write(random.bytes(min(16 * MIB, size - start)))
    return path


def _sha256(path: Path) -> str:
    sha = sha256()
    with path.open("rb") as file:
        while piece := file.read(MIB):
            sha.update(piece)
    return sha.hexdigest()


@contextmanager
def served(folder: Path, bytes_per_second: float, latency: float) -> Iterator[dict[str, str]]:
    """Run the server (s3_server.py) for the duration of the context.

    Args:
        folder: contains a folder for each bucket.
        bytes_per_second: of the network; 0 means no limit.
        latency: seconds before each response.

    Yields:
        The variables that point an AWS client to it.

    Raises:
        BenchError: it did not start.
    """
    command = [sys.executable, "-m", "scripts.bench.s3_server", str(folder)]
    command += ["--bytes-per-second", str(bytes_per_second), "--latency", str(latency)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            port = server.stdout.readline().strip() if server.stdout else ""
            if not port:
                raise BenchError("The server did not start; see its output above.")
            others = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
            yield others | {
                "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{port}",
                "AWS_DEFAULT_REGION": REGION,
                "AWS_ACCESS_KEY_ID": KEY_ID,
                "AWS_SECRET_ACCESS_KEY": SECRET,
                "AWS_EC2_METADATA_DISABLED": "true",
                "AWS_CONFIG_FILE": os.devnull,
                "NO_PROXY": "127.0.0.1",
            }
        finally:
            server.send_signal(signal.SIGKILL)


def _run(method: str, path: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    """Run one method once, in a process of its own."""
    _requests(environment)
    command = [sys.executable, "-m", "scripts.bench.loading_methods", method, BUCKET, path.name]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchError(f"{NAMES[method]} failed: {done.stderr.strip()[-1000:]}")
    taken: dict[str, Any] = json.loads(done.stdout)
    if taken["crc64nvme"] != stored_checksum(path):
        raise BenchError(f"{NAMES[method]} loaded other bytes than are stored.")
    return taken | {"requests": _requests(environment)}


def _requests(environment: Mapping[str, str]) -> int:
    """Return the number of requests since the last call."""
    with urllib.request.urlopen(environment["AWS_ENDPOINT_URL_S3"] + "/-/requests") as answer:  # noqa: S310 - loopback
        return int(answer.read())


def _print(result: Mapping[str, Any], *, markdown: bool) -> None:
    out = printer(markdown=markdown)
    limited = bool(result["bytes_per_second"])
    table = Table(box=box.MARKDOWN if markdown else box.SIMPLE_HEAD)
    table.add_column("Object")
    table.add_column("Method")
    for name in ("GB/s", "of the network" if limited else "x", "CPU s/GB", "x", "Memory, MB", "Requests"):
        table.add_column(name, justify="right")
    for row in result["rows"]:
        network = f"{row['gb_per_second'] * GB / result['bytes_per_second']:.1%}" if limited else None
        table.add_row(
            f"{row['size'] / GB:g} GB",
            NAMES[row["method"]],
            f"{row['gb_per_second']:.3g} ±{row['spread']:.0%}",
            network or _ratio(row["speed_ratio"]),
            f"{row['cpu_per_gb']:.2f}",
            _ratio(row["cpu_ratio"]),
            "-" if row["extra"] is None else f"{row['extra'] / MB:.0f}",
            f"{row['requests']:g}",
        )
    out.print(table)
    here = result["machine"]
    shaped = (
        f" A token bucket lets {result['bytes_per_second'] / MB:g} MB/s through; each answer begins "
        f"{result['latency'] * 1000:g} ms late."
        if limited or result["latency"]
        else ""
    )
    out.print(
        f"{here['cpu']} ({here['architecture']}), {here['cpus']} CPUs, load before {here['load_before']}; medians of "
        f"{result['repeats']}.{shaped}",
        soft_wrap=True,
    )


def _ratio(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}"


app = command_line(main, _HELP)

if __name__ == "__main__":
    app()
