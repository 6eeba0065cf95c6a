"""Compare streamed tokens per second over HTTP with a bare loop around llama.cpp's `llama_decode`."""

import ctypes
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import httpx2
import llama_cpp
import psutil
import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lambda_llm.engine.decoder import Decoder
from lambda_llm.engine.engine import Engine
from lambda_llm.engine.threads import available_cpus
from lambda_llm.engine.weight_order import weights_in_order
from lambda_llm.errors import LambdaLLMError
from lambda_llm.inference.settings import Settings
from lambda_llm.inference.snapshot.memory import available_memory
from lambda_llm.loading.load import load
from scripts.bench.common import AsJSON, Synthesize, Threads, command_line, ended_by, named, progress_bar
from scripts.bench.measurement import cpu_name, machine

TARGET: Final = 0.97
TOKENS: Final = 64
REPEATS: Final = 7
PROMPT: Final = "How many boats pass through the seven towns, and who counts them?"
SAMPLED_BYTES: Final = 256 * 1024 * 1024
"""Read by each thread to measure memory bandwidth: far more than any cache."""
LIMIT_SECONDS: Final = 600

_HELP: Final = """Print decode speed streamed over HTTP, of a bare loop around llama_decode, and the memory's bound.

[bold]What it answers.[/bold] The overhead around llama.cpp: sampling from the whole vocabulary, detokenizing, JSON, \
server-sent events, uvicorn, the socket, and the client. Target: 0.97.

[bold]How it measures.[/bold] `lambda-llm serve` as a process, and in this process the same model with the same \
threads and context. Both evaluate a prompt of the same length, then decode as many tokens, in alternation; the ratio \
is taken within each round, because a machine's speed changes from minute to minute. The bare loop only calls \
llama_decode: it neither reads the logits nor detokenizes. On a shared machine, use the ratio by CPU time, with \
--threads 1.

[bold]The bound.[/bold] Every token reads all weights, so memory bandwidth over their bytes is the upper limit. It is \
measured in the same run, by comparing buffers with as many threads.

[dim]Examples[/dim]
  python -m scripts.bench.decode --synthesize llama-3.2-1b:Q4_0
  python -m scripts.bench.decode models/demo/lambda-llm-demo.gguf --tokens 32 --repeats 3 --json
"""


@dataclass(frozen=True)
class Speed:
    """Tokens per second.

    Attributes:
        wall: of elapsed time.
        cpu: of CPU time, summed over the process's threads.
    """

    wall: float
    cpu: float


@dataclass(frozen=True)
class Round:
    """Two measurements, one right after the other.

    Attributes:
        bare: the loop.
        streamed: as the client receives them; CPU time is the server's.
    """

    bare: Speed
    streamed: Speed


@dataclass(frozen=True)
class Served:
    """A running server.

    Attributes:
        url: of its API.
        process: of the server.
    """

    url: str
    process: psutil.Process


def main(
    model: Annotated[str | None, typer.Argument(help="A path or s3:// URI.", show_default=False)] = None,
    *,
    synthesize: Synthesize = None,
    threads: Threads = None,
    context: Annotated[int, typer.Option(min=256, help="Length of the context in tokens.")] = 2048,
    tokens: Annotated[int, typer.Option(min=2, help="Length of each answer.")] = TOKENS,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds.")] = REPEATS,
    as_json: AsJSON = False,
) -> None:
    """Measure; the help text is `_HELP`."""
    uri = str(named(model, synthesize))
    here = machine()
    with ended_by(LambdaLLMError):
        result = {"machine": here} | measure(uri, threads or available_cpus(), context, tokens, repeats)
    if as_json:
        print(json.dumps(result))
    else:
        _print(result)


def measure(uri: str, threads: int, context: int, tokens: int, repeats: int) -> dict[str, Any]:
    """Measure one model; the result is what --json prints.

    Raises:
        LambdaLLMError: the model can't be loaded.
    """
    with _opened(uri, threads, context) as bare, _served(uri, threads, context) as served:
        needed = sum(region.size for region in weights_in_order(bare))
        rounds = []
        with progress_bar(escape(uri), repeats + 1) as progress:
            prompt, _ = _stream(served, 2)  # warms both up
            _loop(bare, prompt, 2)
            memory = _read_speed(threads)
            progress("warm")
            for number in range(repeats):
                rounds.append(Round(_loop(bare, prompt, tokens), _stream(served, tokens)[1]))
                progress(f"round {number + 1}")
    ratios = {
        clock: [getattr(each.streamed, clock) / getattr(each.bare, clock) for each in rounds]
        for clock in ("wall", "cpu")
    }
    return {
        "model": uri.rpartition("/")[2],
        "threads": threads,
        "context": context,
        "tokens": tokens,
        "rounds": [asdict(each) for each in rounds],
        "bare": statistics.median(each.bare.wall for each in rounds),
        "streamed": statistics.median(each.streamed.wall for each in rounds),
        "ratios": ratios,
        "ratio": statistics.median(ratios["wall"]),
        "cpu_ratio": statistics.median(ratios["cpu"]),
        "target": TARGET,
        "bytes_per_token": needed,
        "memory_bytes_per_second": memory,
        "bound": memory / needed,
    }


@contextmanager
def _opened(uri: str, threads: int, context: int) -> Iterator[Decoder]:
    """Open the model as the server does."""
    settings = Settings.load(model=uri, threads=threads, context=context)
    loaded = load(
        settings.reference,
        options=settings.options,
        memory=available_memory(settings),
        seconds=settings.load_seconds,
    )
    with loaded.file as file:
        engine = Engine.open(file.path, loaded.plan)
    with engine:
        yield engine.decoder


@contextmanager
def _served(uri: str, threads: int, context: int) -> Iterator[Served]:
    """Serve the same model."""
    command = [
        str(Path(sys.executable).with_name("lambda-llm")),
        "serve",
        uri,
        "--json",
        "--port=0",
        f"--threads={threads}",
        f"--context={context}",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None  # noqa: S101 - piped above
            ready = process.stdout.readline()
            if not ready:
                raise LambdaLLMError("The server did not start; see its output above.")
            yield Served(json.loads(ready)["url"], psutil.Process(process.pid))
        finally:
            process.terminate()


def _stream(served: Served, tokens: int) -> tuple[int, Speed]:
    """Stream an answer of so many tokens; returns the prompt's tokens and the speed after the first token."""
    body = {
        "model": httpx2.get(f"{served.url}/models").json()["data"][0]["id"],
        "messages": [{"role": "user", "content": PROMPT}],
        "temperature": 0,
        "max_tokens": tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    began = ended = (0.0, 0.0)
    usage: dict[str, int] = {}
    with httpx2.stream("POST", f"{served.url}/chat/completions", json=body, timeout=LIMIT_SECONDS) as response:
        for line in response.iter_lines():
            data = line.removeprefix("data: ")
            if not data or data == "[DONE]":
                continue
            now = time.perf_counter()
            chunk = json.loads(data)
            if chunk["choices"] and chunk["choices"][0]["delta"].get("content"):
                if began == (0.0, 0.0):
                    began = now, _cpu(served.process)
                ended = now, 0.0
            elif chunk["choices"] and chunk["choices"][0]["finish_reason"]:
                ended = ended[0], _cpu(served.process)
            elif chunk.get("usage"):
                usage = chunk["usage"]
    if usage.get("completion_tokens", 0) < tokens or ended[0] <= began[0]:
        raise LambdaLLMError(f"The model ended its answer before {tokens} tokens: ask for fewer with --tokens.")
    wall, cpu = (end - begin for begin, end in zip(began, ended, strict=True))
    return usage["prompt_tokens"], Speed((tokens - 1) / wall, (tokens - 1) / max(cpu, 1e-9))


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _loop(decoder: Decoder, prompt: int, tokens: int) -> Speed:
    """Decode so many tokens after a prompt of that length, and nothing else."""
    with decoder.lock:
        decoder.evaluate([1] * prompt)
        context = decoder._context  # noqa: SLF001 - bypasses the engine, whose overhead is measured
        llama_cpp.llama_set_abort_callback(context, llama_cpp.ggml_abort_callback(), None)
        one = (llama_cpp.llama_token * 1)(1)
        batch = llama_cpp.llama_batch_get_one(one, 1)
        began, cpu = time.perf_counter(), time.process_time()
        for _ in range(tokens - 1):
            if llama_cpp.llama_decode(context, batch):
                raise LambdaLLMError("llama.cpp could not decode a token.")
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
        # The decoder doesn't know of these tokens.
        llama_cpp.llama_memory_seq_rm(llama_cpp.llama_get_memory(context), 0, prompt, -1)
    return Speed((tokens - 1) / took, (tokens - 1) / cpu)


def _read_speed(threads: int) -> float:
    """Return the memory bandwidth of so many threads in bytes per second, the best of several runs."""
    compare = ctypes.CDLL(None).memcmp  # reads both, writes nothing, and runs without the GIL
    compare.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
    half = SAMPLED_BYTES // 2
    buffers = [ctypes.create_string_buffer(SAMPLED_BYTES) for _ in range(threads)]
    for buffer in buffers:
        ctypes.memset(buffer, 1, SAMPLED_BYTES)  # untouched pages would all map the zero page

    def read(buffer: Any) -> None:
        compare(ctypes.addressof(buffer), ctypes.addressof(buffer) + half, half)

    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(5):
            began = time.perf_counter()
            list(pool.map(read, buffers))
            best = max(best, threads * SAMPLED_BYTES / (time.perf_counter() - began))
    return best


def _print(result: Mapping[str, Any]) -> None:
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("", "Tokens a second", "x"):
        table.add_column(column, justify="right" if column else "left")
    low, high = min(result["ratios"]["wall"]), max(result["ratios"]["wall"])
    table.add_row("bare llama_decode loop", f"{result['bare']:.2f}", "baseline")
    table.add_row("streamed over HTTP", f"{result['streamed']:.2f}", f"{result['ratio']:.3f} ({low:.3f} to {high:.3f})")
    table.add_row("the memory's bound", f"{result['bound']:.2f}", f"{result['bound'] / result['bare']:.2f}")
    out = Console(highlight=False)
    out.print(table)
    met = "met" if result["ratio"] >= result["target"] else "missed"
    out.print(
        f"{result['model']}, {result['threads']} threads, {cpu_name()}, {result['machine']['cpus']} CPUs, load before "
        f"{result['machine']['load_before']}; {result['tokens']} tokens an answer, medians of {len(result['rounds'])} "
        f"rounds. Each token reads {result['bytes_per_token'] / 1e9:.2f} GB of weights, the memory gives "
        f"{result['memory_bytes_per_second'] / 1e9:.1f} GB/s. Target {result['target']}: {met}. By CPU time, "
        f"everything but llama_decode included: {result['cpu_ratio']:.3f}.",
        soft_wrap=True,
    )


app = command_line(main, _HELP)

if __name__ == "__main__":
    app()
