"""Measure the memory of a served model: resident after warm-up, and at the peak while loading."""

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from lambda_llm.gguf.options import Weights
from lambda_llm.inference.settings import Settings
from scripts.bench.common import AsJSON, Markdown, command_line, console, printer, synthesized

SHAPES_AND_TYPES: Final = ("llama-3.2-1b:Q4_0", "llama-3.2-1b:Q4_K_M", "llama-3.2-1b:Q8_0")
SAMPLE_SECONDS: Final = 0.002
_RESERVED: Final = re.compile(r"(KV|compute|output) buffer size = +([\d.]+) MiB")


def occupied(model: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    """Load and warm up a model and prepare the snapshot in a new process, and sample its memory.

    Args:
        model: a GGUF file.
        environment: variables of the process, `LAMBDA_LLM_*` among them.

    Returns:
        Bytes: what `/health` reports of the memory (see `Memory`), `file`, `kv` and `compute` as llama.cpp reserved
        them, `seen`: the peak, including the memory file, sampled every 2 ms, and `ratio`: of resident memory to file,
        KV cache and compute buffers together.

    Raises:
        subprocess.CalledProcessError: the model can't be served.
    """
    command = [sys.executable, "-m", "scripts.bench.resident", "--watched", str(model)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        seen = 0
        while process.poll() is None:
            seen = max(seen, _in_use(process.pid))
            try:
                process.wait(SAMPLE_SECONDS)
            except subprocess.TimeoutExpired:
                continue
        output = process.stdout.read() if process.stdout else ""
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    result: dict[str, Any] = json.loads(output)
    needed = result["file"] + result["kv"] + result["compute"]
    return result | {"seen": seen, "ratio": result["resident"] / needed}


def _in_use(process: int) -> int:
    """Return a process's resident bytes; a memory file counts once, however often it is open or mapped."""
    folder = Path(f"/proc/{process}")
    try:
        status = (folder / "status").read_text()
        memory_files = [link.stat() for link in (folder / "fd").iterdir() if "memfd" in str(link.readlink())]
    except OSError:  # the process has just ended
        return 0
    kinds = {kind: int(size) * 1024 for kind, size in re.findall(r"^Rss(\w+):\s+(\d+) kB", status, re.MULTILINE)}
    sizes = {each.st_ino: each.st_blocks * 512 for each in memory_files}
    files = sum(sizes.values()) or kinds.get("Shmem", 0)  # once closed, it stays mapped as the weights
    return kinds.get("Anon", 0) + kinds.get("File", 0) + files


def watched(model: str) -> dict[str, int]:
    """Do what the function does until the snapshot, in the sampled process."""
    from fastapi.testclient import TestClient  # noqa: PLC0415 - as above

    from lambda_llm.inference.init import init  # noqa: PLC0415 - as above
    from lambda_llm.inference.snapshot.hooks import SnapshotHooks  # noqa: PLC0415 - as above
    from lambda_llm.serving.app import create_app  # noqa: PLC0415 - the sampling process loads no libraries

    messages: list[str] = []
    listener = logging.Handler()
    listener.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign] # that is all it does
    logger = logging.getLogger("llama.cpp")
    logger.setLevel(logging.INFO)
    logger.addHandler(listener)
    environment = init(Settings.load(model=model))
    logger.removeHandler(listener)
    app = create_app(environment.engine, environment.serving)
    SnapshotHooks(environment.engine.context, environment.resources).before_snapshot()
    reserved = {"KV": 0.0, "compute": 0.0, "output": 0.0}
    for kind, size in _RESERVED.findall("\n".join(messages)):
        reserved[kind] += float(size) * 2**20
    with TestClient(app) as client:
        memory: dict[str, int] = client.get("/health").json()["memory"]
    return memory | {
        "file": environment.loaded.inspection.described.size,
        "kv": round(reserved["KV"]),
        "compute": round(reserved["compute"] + reserved["output"]),
    }


_HELP: Final = """Measure how much memory a served model occupies.

Each model is loaded, warmed up and prepared for a snapshot in a process of its own, exactly as in the function.
[bold]Ratio[/] is all resident memory at that point, Python included, to file + KV cache + compute buffers.

[dim]Examples[/dim]
  python -m scripts.bench.resident                      Llama 3.2 1B's shape, Q4_0, Q4_K_M and Q8_0
  python -m scripts.bench.resident model.gguf --weights copied --json
"""


def main(
    models: Annotated[list[Path] | None, typer.Argument(help="GGUF files; default: synthetic ones.")] = None,
    *,
    weights: Annotated[list[Weights] | None, typer.Option(help="Placement; can be repeated; default: both.")] = None,
    as_json: AsJSON = False,
    markdown: Markdown = False,
    watch: Annotated[bool, typer.Option("--watched", hidden=True)] = False,
) -> None:
    """Measure; the help text is `_HELP`."""
    if watch and models:
        print(json.dumps(watched(str(models[0]))))
        return
    paths = models or [synthesized(each) for each in SHAPES_AND_TYPES]
    rows = []
    for path, placement in product(paths, weights or (Weights.COPIED, Weights.MAPPED)):
        with console.status(f"loading {escape(path.name)}, {placement}"):
            memory = occupied(path, os.environ | {"LAMBDA_LLM_WEIGHTS": placement})
        rows.append({"model": path.stem, "placement": placement} | memory)
    if as_json:
        print(json.dumps(rows))
        return
    table = Table(box=box.MARKDOWN if markdown else box.SIMPLE_HEAD)
    words = ("Model", "Weights")
    for column in (*words, "File", "KV", "Compute", "Resident", "of it Python", "Ratio", "Peak, planned", "seen"):
        table.add_column(column, justify="left" if column in words else "right")
    for row in rows:
        sizes = (row[name] for name in ("file", "kv", "compute", "resident", "process"))
        table.add_row(
            escape(row["model"]),
            row["placement"],
            *(f"{size / 2**20:,.0f} MB" for size in sizes),
            f"{row['ratio']:.3f}",
            *(f"{row[name] / 2**20:,.0f} MB" for name in ("peak", "seen")),
        )
    printer(markdown=markdown).print(table)


app = command_line(main, _HELP)

if __name__ == "__main__":
    app()
