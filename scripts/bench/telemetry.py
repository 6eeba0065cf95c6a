"""What lines and spans cost: their CPU time for an answer, as a share of the answer's own."""

import asyncio
import contextlib
import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from fastapi import FastAPI
from rich import box
from rich.console import Console
from rich.table import Table
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lambda_llm.engine.generate import Generation
from lambda_llm.errors import LambdaLLMError
from lambda_llm.inference.figures import Figures, RequestLines, always
from lambda_llm.inference.init import init
from lambda_llm.inference.settings import Settings
from lambda_llm.serving.app import create_app
from lambda_llm.serving.worker import Worker
from lambda_llm.telemetry import spans
from lambda_llm.web.correlation import Correlation
from scripts.bench.common import AsJSON, Synthesize, Threads, command_line, ended_by, named
from scripts.bench.measurement import cpu_name, machine

TOKENS: Final = 64
REPEATS: Final = 7
REQUESTS: Final = 200
"""Of each round: enough for a clock of microseconds."""

PATH: Final = "/v1/chat/completions"
QUESTION: Final = "Count from 1 to 100."

_HELP: Final = """Print what lines and spans cost of an answer's CPU time: lines, spans off, and spans on.

[bold]What it answers.[/bold] Whether a function may always write lines, and what an exporter takes. Targets: nothing \
that could be measured with spans off, at most 1 % with spans on.

[bold]How it measures.[/bold] A difference of a hundredth is less than what two answers differ by. So an answer of a \
real model is streamed, and its CPU time taken, which is nearly all decode: its prompt is cached. Then its pieces are \
sent again through the same middleware, many times, without the model: with nothing around them, with lines, and with \
lines and spans, which a collector in another process takes over OTLP/HTTP before each answer ends. The \
differences are the costs.

[dim]Examples[/dim]
  python -m scripts.bench.telemetry models/demo/lambda-llm-demo.gguf
  python -m scripts.bench.telemetry --synthesize llama-3.2-1b:Q4_0 --threads 1 --json
"""


def main(
    model: Annotated[Path | None, typer.Argument(help="A GGUF file.", show_default=False)] = None,
    synthesize: Synthesize = None,
    threads: Threads = None,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds, whose median counts.")] = REPEATS,
    requests: Annotated[int, typer.Option(min=1, help="Requests of a round.")] = REQUESTS,
    *,
    as_json: AsJSON = False,
) -> None:
    """Measure and print."""
    os.environ.setdefault("AWS_REGION", "us-east-1")
    os.environ.setdefault("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "10240")
    with ended_by(LambdaLLMError):
        result = measure(str(named(model, synthesize)), threads, repeats, requests)
    if as_json:
        print(json.dumps(result))
    else:
        _print(result)


def measure(uri: str, threads: int | None, repeats: int, requests: int) -> dict[str, Any]:
    """CPU seconds of an answer, and of what telemetry adds to it.

    Args:
        uri: the model.
        threads: that compute.
        repeats: rounds.
        requests: of a round.
    """
    before = machine()
    environment = init(Settings.load(model=uri, threads=threads))
    app = create_app(environment.engine, environment.serving)
    try:
        with _collector() as collector, _nowhere(), asyncio.Runner() as runner:
            answer, pieces, generations = runner.run(_answered(app, repeats))
            figures = Figures(environment, app)
            replay = _Replay(pieces, generations, app.state.service.worker)
            variants: dict[str, Callable[[], ASGIApp]] = {
                "nothing": lambda: replay,
                "lines": lambda: Correlation(RequestLines(replay, figures, always)),
                "lines and spans": lambda: Correlation(RequestLines(replay, figures, always)),
            }
            seconds: dict[str, list[float]] = {name: [] for name in variants}
            for _ in range(repeats):
                for name, made in variants.items():
                    _spans(collector if name == "lines and spans" else None)
                    seconds[name].append(runner.run(_spent(made(), requests)))
                    _spans(None)
            off = statistics.median(_off(requests) for _ in range(repeats))
    finally:
        app.state.service.worker.close()
        environment.engine.close()
    bare, lines, both = (statistics.median(seconds[name]) for name in ("nothing", "lines", "lines and spans"))
    costs = {"lines": lines - bare, "spans_off": off, "spans_on": both - lines}
    return {
        "model": environment.serving.model_id,
        "tokens": TOKENS,
        "answer_seconds": answer,
        "seconds": costs,
        "shares": {name: cost / answer for name, cost in costs.items()},
        "rounds": seconds,
        "cpu": cpu_name(),
        "machine": before,
    }


class _Replay:
    """An application that sends an answer's pieces again, with its generations."""

    def __init__(self, pieces: list[Message], generations: list[Generation], worker: Worker) -> None:
        self._pieces = pieces
        self._generations = generations
        self._worker = worker

    async def __call__(self, _: Scope, __: Receive, send: Send) -> None:
        """See ASGI."""
        for generation in self._generations:
            for listener in self._worker.listeners:
                listener(generation)
        for piece in self._pieces:
            await send(dict(piece))


async def _answered(app: FastAPI, repeats: int) -> tuple[float, list[Message], list[Generation]]:
    """CPU seconds of an answer of `TOKENS`, its pieces, and its generation.

    Raises:
        LambdaLLMError: the model ends its answer earlier.
    """
    generations: list[Generation] = []
    app.state.service.worker.listeners.append(generations.append)
    seconds: list[float] = []
    pieces: list[Message] = []
    try:
        for _ in range(repeats):
            pieces = []
            generations.clear()
            began = time.process_time()
            await app(_scope(), _sent(QUESTION), _kept(pieces))
            seconds.append(time.process_time() - began)
    finally:
        app.state.service.worker.listeners.remove(generations.append)
    if [each.stats.completion_tokens for each in generations] != [TOKENS]:
        raise LambdaLLMError(f"The answer has not {TOKENS} tokens: name a model that goes on.")
    return statistics.median(seconds), pieces, generations


async def _spent(app: ASGIApp, requests: int) -> float:
    """CPU seconds of a request, of all threads of this process."""
    began = time.process_time()
    for _ in range(requests):
        await app(_scope(), _sent(""), _kept([]))
    return (time.process_time() - began) / requests


def _off(requests: int) -> float:
    """CPU seconds that a request spends in calls of `spans` that do nothing."""
    spans.configure("inference")
    began = time.process_time()
    for _ in range(requests):
        with spans.span("POST", kind="server", parent={}, attributes={"http.request.method": "POST"}) as span:
            span.set("http.response.status_code", 200)
            spans.headers()
            for _ in range(TOKENS):
                spans.enabled()
    return (time.process_time() - began) / requests


def _kept(pieces: list[Message]) -> Send:
    async def send(message: Message) -> None:
        pieces.append(message)

    return send


def _sent(question: str) -> Receive:
    body = {
        "messages": [{"role": "user", "content": question}],
        "max_tokens": TOKENS,
        "temperature": 0,
        "stream": True,
        "logit_bias": {},
    }
    given = False

    async def receive() -> Message:
        nonlocal given
        if given:
            await asyncio.Event().wait()
        given = True
        return {"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}

    return receive


def _scope() -> Scope:
    return {
        "type": "http",
        "method": "POST",
        "path": PATH,
        "raw_path": PATH.encode(),
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
        "root_path": "",
        "scheme": "http",
        "http_version": "1.1",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
    }


def _spans(collector: str | None) -> None:
    """Record spans for a collector; None: no longer."""
    if collector is None:
        os.environ.pop("OTEL_EXPORTER_OTLP_ENDPOINT", None)
    else:
        os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector
    spans.configure("inference")


@contextlib.contextmanager
def _nowhere() -> Iterator[None]:
    """Standard output to a file that keeps nothing: lines are written, and read by nobody."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


@contextlib.contextmanager
def _collector() -> Iterator[str]:
    """A collector in a process of its own, whose CPU time is not ours; gives its URL."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_collect, args=(theirs,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()
        process.close()


def _collect(port: Connection) -> None:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        port.send(server.server_port)
        server.serve_forever()


def _print(result: Mapping[str, Any]) -> None:
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("", "CPU time an answer", "of an answer"):
        table.add_column(column, justify="right" if column else "left")
    table.add_row(f"an answer of {result['tokens']} tokens", f"{result['answer_seconds'] * 1e3:.1f} ms", "")
    for name, text in (("lines", "its line"), ("spans_off", "spans, off"), ("spans_on", "spans, on")):
        table.add_row(text, f"{result['seconds'][name] * 1e6:.0f} µs", f"{result['shares'][name]:.4%}")
    out = Console(highlight=False)
    out.print(table)
    out.print(
        f"{result['model']}, {cpu_name()}, {result['machine']['cpus']} CPUs, load before "
        f"{result['machine']['load_before']}; medians of {len(result['rounds']['nothing'])} rounds.",
        soft_wrap=True,
    )


app = command_line(main, _HELP)

if __name__ == "__main__":
    app()
