"""Measure what the router adds to a request: time to the first byte, CPU per token, memory under many streams."""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import httpx2
import psutil
import typer
from rich import box
from rich.table import Table

from lambda_llm.errors import LambdaLLMError
from scripts.bench.common import AsJSON, Markdown, command_line, ended_by, printer, progress_bar
from scripts.bench.measurement import machine
from scripts.local_aws.processes import running

REQUESTS: Final = 300
STREAMS: Final = 200
TOKENS: Final = 100
GAP_MS: Final = 20
"""Between two tokens of each of the streams that run at the same time."""

TARGET_MEDIAN_MS: Final = 5
TARGET_P99_MS: Final = 10
TARGET_IMPORT_SECONDS: Final = 0.5
TARGET_MEMORY: Final = 1.2
"""Memory during a second round of streams, over that of the first."""

_START_SECONDS: Final = 120

_HELP: Final = """Print what the router adds to calling a backend directly, beside other ways to do the same.

[bold]How it measures.[/bold] A backend on loopback streams tokens. Requests go to it directly and through each of the \
others in turn, one after another, and what counts is the difference to the direct ones of the same run. Then \
--streams run at the same time through one process. The router has no table of budgets here: on Lambda two \
transactions of DynamoDB come on top, one before the first byte.

--litellm names the program of LiteLLM's proxy, in an environment of its own: pip install 'litellm\\[proxy]'.

[dim]Example[/dim]
  python -m scripts.bench.router --markdown
  python -m scripts.bench.router --litellm /tmp/litellm/bin/litellm --json > measured.json
"""


class BenchError(LambdaLLMError):
    """It can't be measured."""


@dataclass(frozen=True)
class Way:
    """A way to the backend.

    Attributes:
        name: for people.
        url: of it.
        model: name that it knows.
        process: of the server in between; None: there is none.
    """

    name: str
    url: str
    model: str
    process: psutil.Process | None


@dataclass(frozen=True)
class Added:
    """What a way takes.

    Attributes:
        name: of it.
        median_ms: time to the first byte, median.
        p99_ms: the same, of the slowest hundredth.
        added_median_ms: to the direct median.
        added_p99_ms: to the direct p99.
        cpu_us: microseconds of CPU of the process in between, for a streamed token.
        streams: that ran at the same time and came whole.
        memory_mb: resident memory before them, after a first and after a second round.
    """

    name: str
    median_ms: float
    p99_ms: float
    added_median_ms: float
    added_p99_ms: float
    cpu_us: float | None
    streams: int
    memory_mb: tuple[float, ...]


def main(
    *,
    requests: Annotated[int, typer.Option(min=20, help="Requests one after another, for each way.")] = REQUESTS,
    streams: Annotated[int, typer.Option(min=1, help="Streams at the same time.")] = STREAMS,
    tokens: Annotated[int, typer.Option(min=2, help="Tokens of each of those.")] = TOKENS,
    litellm: Annotated[
        Path | None, typer.Option(help="Program of LiteLLM's proxy; left out: not compared.", show_default=False)
    ] = None,
    markdown: Markdown = False,
    as_json: AsJSON = False,
) -> None:
    """See `_HELP`."""
    out = printer(markdown=markdown)
    with ended_by(BenchError), tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        ways = _started(stack, Path(folder), litellm)
        with progress_bar("Measuring", 2 * len(ways)) as step:
            firsts = _first_bytes(ways, requests, step)
            rows = [_row(way, firsts, _loaded(way, streams, tokens), step) for way in ways]
        seconds = _import_seconds()
    if as_json:
        print(json.dumps({"machine": machine(), "import_cpu_seconds": seconds, "ways": [asdict(row) for row in rows]}))
        return
    out.print(_table(rows, markdown=markdown))
    out.print(f"\nImporting the router takes {seconds:.2f} s of CPU (target: below {TARGET_IMPORT_SECONDS} s).")
    ours = next(row for row in rows if row.name == "router")
    out.print(
        f"Added to the first byte: {ours.added_median_ms:.1f} ms at the median (target: at most {TARGET_MEDIAN_MS}), "
        f"{ours.added_p99_ms:.1f} ms at p99 (target: at most {TARGET_P99_MS})."
    )


def _started(stack: ExitStack, folder: Path, litellm: Path | None) -> list[Way]:
    """Start every server; they end with `stack`."""
    ports = iter(_free_ports(4))
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": "unused",
        "AWS_SECRET_ACCESS_KEY": "unused",
        "AWS_DEFAULT_REGION": "us-east-1",
        "NO_PROXY": "127.0.0.1",
        "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
    }

    def start(name: str, command: Sequence[str], port: int, model: str, path: str = "/health") -> Way:
        log = stack.enter_context((folder / f"{name}.log").open("wb"))
        process = stack.enter_context(running(command, env=environment, stdout=log, stderr=log, start_new_session=True))
        url = f"http://127.0.0.1:{port}"
        _until_ready(url + path, process, folder / f"{name}.log")
        return Way(name, url, model, psutil.Process(process.pid))

    servers = [sys.executable, "-m", "scripts.bench.router_servers"]
    port = next(ports)
    backend = start("direct", [*servers, "backend", str(port)], port, "m")
    file = folder / "router.json"
    file.write_text(json.dumps(_configuration(backend.url)))
    port = next(ports)
    command = [str(Path(sys.executable).with_name("lambda-llm")), "router", "serve", "--config", str(file)]
    router = start("router", [*command, "--port", str(port)], port, "openai")
    port = next(ports)
    gateway = start("boto3 in threads (Converse)", [*servers, "gateway", str(port), backend.url], port, "m")
    ways = [
        Way("direct", backend.url, "m", None),
        router,
        Way("router (Converse)", router.url, "converse", router.process),
        gateway,
    ]
    if litellm is not None:
        config = folder / "litellm.json"
        parameters = {"model": "openai/m", "api_base": f"{backend.url}/v1", "api_key": "unused"}
        config.write_text(json.dumps({"model_list": [{"model_name": "m", "litellm_params": parameters}]}))
        port = next(ports)
        command = [str(litellm), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
        ways.append(start("LiteLLM's proxy", command, port, "m", "/health/liveliness"))
    return ways


def _configuration(url: str) -> dict[str, Any]:
    same = {"place": "account", "url": url, "model": "m", "context": 100_000, "price": {"input": 1, "output": 1}}
    return {
        "version": 1,
        "backends": {
            "openai": {**same, "kind": "openai_http", "auth": {"kind": "none"}},
            "converse": {**same, "kind": "converse", "region": "us-east-1"},
        },
        "models": {"openai": {"backends": ["openai"]}, "converse": {"backends": ["converse"]}},
        "tenants": {"*": {"models": ["*"]}},
    }


def _body(way: Way, tokens: int, gap_ms: int = 0) -> dict[str, Any]:
    body = {"model": way.model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": tokens, "stream": True}
    return body if way.model == "converse" or not gap_ms else {**body, "seed": gap_ms}


def _first_bytes(ways: Sequence[Way], requests: int, step: Callable[[str], None]) -> dict[str, list[float]]:
    """Seconds to the first byte of the body, of each way in turn."""
    found: dict[str, list[float]] = {way.name: [] for way in ways}
    with httpx2.Client(timeout=_START_SECONDS, trust_env=False) as client:
        for number in range(requests + 20):
            for way in ways:
                began = time.perf_counter()
                with client.stream("POST", f"{way.url}/v1/chat/completions", json=_body(way, 2)) as answer:
                    if answer.status_code != httpx2.codes.OK:
                        raise BenchError(f"{way.name} answered {answer.status_code}: {answer.read()[:200]!r}")
                    parts = answer.iter_raw()
                    next(parts)
                    seconds = time.perf_counter() - began
                    for _ in parts:
                        pass
                if number >= 20:  # noqa: PLR2004 - warm by then
                    found[way.name].append(seconds)
    for way in ways:
        step(way.name)
    return found


@dataclass(frozen=True)
class _Load:
    cpu_us: float | None
    whole: int
    memory_mb: tuple[float, ...]


def _loaded(way: Way, streams: int, tokens: int) -> _Load:
    """Two rounds of streams at the same time."""
    memory = [_memory(way)]
    cpu, whole = 0.0, 0
    for _ in range(2):
        before = _cpu(way)
        whole = asyncio.run(_streams(way, streams, tokens))
        cpu = _cpu(way) - before
        memory.append(_memory(way))
    per_token = None if way.process is None else cpu / (streams * tokens) * 1e6
    return _Load(per_token, whole, () if way.process is None else tuple(memory))


async def _streams(way: Way, streams: int, tokens: int) -> int:
    """How many came whole."""
    limits = httpx2.Limits(max_connections=streams, max_keepalive_connections=0)

    async def one(client: httpx2.AsyncClient) -> bool:
        async with client.stream("POST", f"{way.url}/v1/chat/completions", json=_body(way, tokens, GAP_MS)) as answer:
            content = b"".join([part async for part in answer.aiter_raw()])
        return content.count(b" token") == tokens and b"[DONE]" in content

    async with httpx2.AsyncClient(timeout=_START_SECONDS, trust_env=False, limits=limits) as client:
        return sum(await asyncio.gather(*(one(client) for _ in range(streams))))


def _row(way: Way, firsts: Mapping[str, list[float]], load: _Load, step: Callable[[str], None]) -> Added:
    step(way.name)
    direct = firsts["direct"]
    median, p99 = _median_ms(firsts[way.name]), _p99_ms(firsts[way.name])
    return Added(
        way.name,
        median,
        p99,
        median - _median_ms(direct),
        p99 - _p99_ms(direct),
        load.cpu_us,
        load.whole,
        load.memory_mb,
    )


def _median_ms(seconds: Sequence[float]) -> float:
    return statistics.median(seconds) * 1000


def _p99_ms(seconds: Sequence[float]) -> float:
    return statistics.quantiles(seconds, n=100)[98] * 1000


def _cpu(way: Way) -> float:
    if way.process is None:
        return 0.0
    times = way.process.cpu_times()
    return float(times.user + times.system)


def _memory(way: Way) -> float:
    return 0.0 if way.process is None else way.process.memory_info().rss / 1e6


def _import_seconds() -> float:
    """CPU seconds of a new process that imports what the function starts, beyond those of Python itself."""

    def used(code: str) -> float:
        use = "use = resource.getrusage(resource.RUSAGE_SELF)\nprint(use.ru_utime + use.ru_stime)"
        program = f"import resource\n{code}\n{use}"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        return float(done.stdout)

    pairs = [(used("import lambda_llm.router.serve"), used("")) for _ in range(5)]
    return statistics.median(whole - empty for whole, empty in pairs)


def _table(rows: Sequence[Added], *, markdown: bool) -> Table:
    table = Table(box=box.MARKDOWN if markdown else box.SIMPLE)
    for name in ("way", "first byte, median", "p99", "added, median", "added, p99", "CPU per token", "whole", "memory"):
        table.add_column(name, justify="left" if name == "way" else "right")
    for row in rows:
        memory = " → ".join(f"{each:.0f}" for each in row.memory_mb)
        table.add_row(
            row.name,
            f"{row.median_ms:.1f} ms",
            f"{row.p99_ms:.1f} ms",
            f"{row.added_median_ms:.1f} ms" if row.name != "direct" else "",
            f"{row.added_p99_ms:.1f} ms" if row.name != "direct" else "",
            "" if row.cpu_us is None else f"{row.cpu_us:.0f} µs",
            str(row.streams),
            f"{memory} MB" if memory else "",
        )
    return table


def _free_ports(count: int) -> list[int]:
    import socket  # noqa: PLC0415 - only here

    with ExitStack() as stack:
        bound = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in bound]


def _until_ready(url: str, process: "subprocess.Popen[Any]", log: Path) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            if httpx2.get(url, timeout=5, trust_env=False).status_code == httpx2.codes.OK:
                return
        except httpx2.HTTPError:
            pass
        time.sleep(0.1)
    raise BenchError(f"{log.stem} did not start: {log.read_text(errors='replace')[-500:]}")


app = command_line(main, _HELP)

if __name__ == "__main__":
    app()
