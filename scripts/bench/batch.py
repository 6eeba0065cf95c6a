"""Measure what a batch adds to asking the model directly; and put a very large batch on paper."""

import asyncio
import json
import math
import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from statistics import median
from typing import Annotated, Any, Final
from unittest import mock

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from lambda_llm.backends.contract import Operation
from lambda_llm.batch import build, estimate
from lambda_llm.batch.ask import Asker, Course
from lambda_llm.batch.bedrock import POLL_SECONDS
from lambda_llm.batch.config import BedrockBackend, GPUBackend, LambdaBackend, Model, parse
from lambda_llm.batch.finalize import Finalizer
from lambda_llm.batch.index import Indexer
from lambda_llm.batch.lines import parse as parse_line
from lambda_llm.batch.lines import split
from lambda_llm.batch.output import PART_BYTES
from lambda_llm.batch.plan import Part
from lambda_llm.batch.storage import BLOCK_BYTES, Storage, s3_client
from lambda_llm.batch.worker import MARGIN_SECONDS, SAVE_RECORDS, SAVE_SECONDS, Worker
from lambda_llm.batch_store import layout
from lambda_llm.batch_store.records import Rights
from lambda_llm.cost import prices
from lambda_llm.errors import LambdaLLMError
from lambda_llm.limits import (
    BATCH_ARRAY_SIZE,
    BEDROCK_JOB_RECORDS,
    BEDROCK_JOBS,
    CONCURRENCY,
    MAP_CONCURRENCY,
    S3_PARTS,
    TIMEOUT_MAX_SECONDS,
)
from lambda_llm.openai_types.batches import WINDOW_HOURS_MAX, BatchRequest
from scripts.bench.common import AsJSON, Markdown, command_line, ended_by, printer, progress_bar
from scripts.bench.measurement import machine
from scripts.local_aws.batches import TENANT, URL, Faults, Stand, line, stand

RECORDS: Final = 1_000
ROUNDS: Final = 3
PARALLEL: Final = 4
FOREVER: Final = 900.0

_HELP: Final = """Print what a batch adds to each record, and how fast inputs are indexed and answers are joined.

[bold]How it measures.[/bold] One function of the local AWS is asked for the same records by a batch's worker, and \
directly with the same client and as many requests at once, in turn. What counts is the ratio of each round. Indexing \
and joining are those of the same batches, in this process.

--paper RECORDS measures nothing: it says what a batch of so many records would take by the estimate that every batch \
begins with, and which limit of AWS it meets first.

[dim]Example[/dim]
  python -m scripts.bench.batch --json > measured.json
  python -m scripts.bench.batch --paper 100000000 --markdown
"""


class BenchError(LambdaLLMError):
    """It can't be measured."""


@dataclass(frozen=True)
class Round:
    """One round's figures.

    Attributes:
        direct: records a second, asked directly.
        worker: records a second of a batch's worker.
        indexed: records a second that were indexed.
        indexed_mb: megabytes a second, of input.
        joined: records a second that were joined.
        joined_mb: megabytes a second, of answers.
    """

    direct: float
    worker: float
    indexed: float
    indexed_mb: float
    joined: float
    joined_mb: float

    @property
    def ratio(self) -> float:
        """Time of a record in a batch, over that of one that is asked directly."""
        return self.direct / self.worker


def main(  # noqa: PLR0913 - an option each
    *,
    records: Annotated[int, typer.Option(min=10, help="Records of a round.")] = RECORDS,
    rounds: Annotated[int, typer.Option(min=1, help="How often everything is measured.")] = ROUNDS,
    parallel: Annotated[int, typer.Option(min=1, help="Requests at once.")] = PARALLEL,
    seconds: Annotated[float, typer.Option(min=0, help="That the model takes for an answer.")] = 0.05,
    paper: Annotated[
        int | None, typer.Option(min=1, metavar="RECORDS", help="Of a batch on paper.", show_default=False)
    ] = None,
    input_tokens: Annotated[int, typer.Option(min=1, help="Of a record on paper.")] = 200,
    output_tokens: Annotated[int, typer.Option(min=1, help="Likewise.")] = 50,
    line_bytes: Annotated[int, typer.Option(min=1, help="Likewise, of its line and of its answer's.")] = 1_000,
    markdown: Markdown = False,
    as_json: AsJSON = False,
) -> None:
    """See `_HELP`."""
    out = printer(markdown=markdown)
    if paper is not None:
        plans = on_paper(paper, input_tokens, output_tokens, line_bytes)
        if as_json:
            print(json.dumps({"records": paper, "backends": [asdict(each) for each in plans]}))
        else:
            _show_paper(out, plans, markdown=markdown)
        return
    with ended_by(LambdaLLMError), progress_bar("Measuring", rounds) as step:
        measured = _measured(records, rounds, parallel, seconds, step)
    ratios = [each.ratio for each in measured]
    if as_json:
        found = {"records": records, "parallel": parallel, "seconds": seconds, "ratio": median(ratios)}
        print(json.dumps({"machine": machine(), **found, "rounds": [asdict(each) for each in measured]}))
        return
    table = Table(box=box.MARKDOWN if markdown else box.SIMPLE)
    for name in ("round", "direct", "worker", "ratio", "indexed", "joined"):
        table.add_column(name, justify="right")
    for number, each in enumerate(measured):
        table.add_row(
            str(number + 1),
            f"{each.direct:,.0f}/s",
            f"{each.worker:,.0f}/s",
            f"{each.ratio:.2f}",
            f"{each.indexed:,.0f}/s, {each.indexed_mb:.1f} MB/s",
            f"{each.joined:,.0f}/s, {each.joined_mb:.1f} MB/s",
        )
    out.print(table)
    out.print(f"\nA record takes {median(ratios):.2f} times as long in a batch as asked directly (median).")


# -- Measured ---------------------------------------------------------------------------------------


def _measured(records: int, rounds: int, parallel: int, seconds: float, step: Callable[[str], None]) -> list[Round]:
    with ExitStack() as stack:
        running = stack.enter_context(stand(Faults(), concurrency=parallel, parallel=parallel, seconds=seconds))
        stack.enter_context(mock.patch.dict(os.environ, running.aws.environment))
        measured = []
        # The first round starts the model's processes.
        for number in range(rounds + 1):
            found = _round(running, records, parallel)
            if number:
                measured.append(found)
                step(f"{found.ratio:.2f}")
        return measured


def _round(running: Stand, records: int, parallel: int) -> Round:
    """Each step of a batch in this process, and the same records asked directly."""
    storage = Storage(running.store, s3_client())
    content = b"".join(line(str(number), f"word {number}") for number in range(records))
    file = running.files.create(TENANT, content, "in.jsonl", "batch")
    request = BatchRequest(input_file_id=file.id, endpoint=URL, completion_window="24h")
    with mock.patch.object(running.states, "start_execution"):  # the steps are called here
        batch = running.batches.create(TENANT, request, Rights())
    configuration = parse(storage.get(layout.CONFIGURATION) or b"")
    indexer = Indexer(storage, running.batches, configuration)
    _, indexing = _timed(lambda: indexer.index(TENANT, batch.id, _forever))
    record = running.batches.read(TENANT, batch.id).record
    model, backend = build.chosen(configuration, record)
    if not isinstance(backend, LambdaBackend):
        raise BenchError("The store's backend is no function: it must be one.")

    async def both() -> tuple[float, float]:
        asker = build.function(model, backend, record)
        try:
            began = time.perf_counter()
            await _asked(asker, content, parallel)
            between = time.perf_counter()
            await _worked(Worker(storage, record, asker, parallel))
            return between - began, time.perf_counter() - between
        finally:
            await asker.close()

    direct, worker = asyncio.run(both())
    finalizer = Finalizer(storage, running.batches, running.files)
    _, joining = _timed(lambda: finalizer.finalize(TENANT, batch.id, _forever))
    ended = running.batches.get(TENANT, batch.id)
    if ended.status != "completed" or ended.request_counts.completed != records or ended.output_file_id is None:
        raise BenchError(f"The batch is {ended.status} with {ended.request_counts}: it must be completed.")
    answers = running.files.get(TENANT, ended.output_file_id).bytes
    return Round(
        records / direct,
        records / worker,
        records / indexing,
        len(content) / 1e6 / indexing,
        records / joining,
        answers / 1e6 / joining,
    )


async def _asked(asker: Asker, content: bytes, parallel: int) -> None:
    """Ask for all lines, without a batch."""
    lines = enumerate(split([content], 0))

    async def one() -> None:
        for number, raw in lines:
            answer = await asker.ask(parse_line(raw.content), number, time.monotonic() + FOREVER, Course())
            if not answer.answered:
                raise BenchError(f"The model has not answered: {answer.line[:300]!r}")

    await asyncio.gather(*(one() for _ in range(parallel)))


async def _worked(worker: Worker) -> None:
    """Answer all parts of a batch."""
    for part in (worker.storage.get(layout.parts(worker.record.batch.id)) or b"").splitlines():
        step = await worker.work(Part.model_validate_json(part), 0, _forever)
        if step != "done":
            raise BenchError(f"The worker has returned {step!r}: measure fewer records.")


def _forever() -> float:
    return FOREVER


def _timed(action: Callable[[], Any]) -> tuple[Any, float]:
    began = time.perf_counter()
    found = action()
    return found, time.perf_counter() - began


# -- On paper ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Use:
    """How much of a limit a batch would use.

    Attributes:
        limit: what is limited.
        used: by the batch.
        most: that there may be.
    """

    limit: str
    used: float
    most: float

    @property
    def share(self) -> float:
        """Of the limit."""
        return self.used / self.most


@dataclass(frozen=True)
class Paper:
    """A batch on paper.

    Attributes:
        kind: of its backend.
        hours: until the last answer.
        dollars: by the estimate, requests to S3 not among them.
        parts: children of the map, jobs of Bedrock or of the array.
        part_records: of a part.
        invocations: of workers.
        transitions: of the state machine.
        puts: requests to S3 that write or list, for pieces, marks and the files that come of it.
        gets: those that read.
        s3_dollars: of both.
        why_not: why the batch would not be started; None: it would be.
        uses: of limits, the fullest first.
    """

    kind: str
    hours: float
    dollars: float
    parts: int
    part_records: int
    invocations: int
    transitions: int
    puts: int
    gets: int
    s3_dollars: float
    why_not: str | None
    uses: tuple[Use, ...]


def _backends() -> Sequence[LambdaBackend | BedrockBackend | GPUBackend]:
    """One of each kind, for a model of about a billion weights: speeds are those of docs/cost.md."""
    arn = "arn:aws:batch:us-east-1:123456789012:job"
    listed = prices.load()
    return (
        LambdaBackend(
            kind="lambda",
            function="arn:aws:lambda:us-east-1:123456789012:function:chat:live",
            region="us-east-1",
            model="chat",
            prefill=300,
            decode=40,
            concurrency=CONCURRENCY,
            parallel=10,
        ),
        BedrockBackend(
            kind="bedrock",
            model="nova-micro",
            region="us-east-1",
            role="arn:aws:iam::123456789012:role/batch",
            input=listed["bedrock.nova-micro.batch.input"].first,
            output=listed["bedrock.nova-micro.batch.output"].first,
        ),
        GPUBackend(
            kind="gpu",
            queue=f"{arn}-queue/gpu",
            definition=f"{arn}-definition/vllm",
            model="chat",
            hourly=listed["ec2.g6.xlarge.on-demand"].first,
            prefill=14_500,
            decode=3_800,
            instances=20,
        ),
    )


def on_paper(records: int, input_tokens: int, output_tokens: int, line_bytes: int) -> tuple[Paper, ...]:
    """What a batch would take on each kind of backend, every answer as long as it may be.

    Args:
        records: of it.
        input_tokens: of each.
        output_tokens: of each answer.
        line_bytes: of each line, and of each answer's.
    """
    size = records * line_bytes
    totals = estimate.Totals(records, size, records * input_tokens, records * output_tokens)
    return tuple(_paper(backend, totals) for backend in _backends())


def _paper(backend: LambdaBackend | BedrockBackend | GPUBackend, totals: estimate.Totals) -> Paper:
    model = Model(operations=(Operation.CHAT,), backends={"own": backend})
    (option,) = estimate.options(model, Operation.CHAT, totals, estimate.Wish(24 * 3600))
    parts = estimate.parts_for(backend, totals)
    seconds = option.hours * 3600
    part_records = math.ceil(totals.records / parts)
    if isinstance(backend, LambdaBackend):
        lanes = min(backend.parallel, backend.concurrency)
        busy = estimate.seconds_of(backend, totals) / parts / lanes
        invocations = parts * max(1, math.ceil(busy / (WORK_SECONDS)))
        pieces = parts * max(math.ceil(part_records / SAVE_RECORDS), math.ceil(busy / SAVE_SECONDS))
        uses = [
            Use("requests to functions at once", backend.concurrency, CONCURRENCY),
            Use("children of a map at once", estimate.workers(backend), MAP_CONCURRENCY),
        ]
    elif isinstance(backend, BedrockBackend):
        invocations = parts * math.ceil(backend.hours * 3600 / POLL_SECONDS)
        pieces = parts * math.ceil(part_records / SAVE_RECORDS)
        uses = [
            Use("jobs of Bedrock at once", min(parts, estimate.workers(backend)), BEDROCK_JOBS),
            Use("records of a job", part_records, BEDROCK_JOB_RECORDS),
            Use("children of a map at once", estimate.workers(backend), MAP_CONCURRENCY),
        ]
    else:
        invocations = 0
        pieces = parts * max(math.ceil(part_records / SAVE_RECORDS), math.ceil(seconds / SAVE_SECONDS / parts))
        uses = [Use("jobs of an array", parts, BATCH_ARRAY_SIZE)]
    blocks = math.ceil(totals.bytes / BLOCK_BYTES)
    uploads = _uploads(totals.bytes)
    transitions = 8 + (0 if isinstance(backend, GPUBackend) else 2 * parts + 2 * max(invocations, parts))
    puts, gets = pieces + 3 * parts + uploads, pieces + 2 * blocks + 4 * max(invocations, parts)
    listed = prices.load()
    uses += [
        Use("parts that a batch has", parts, BATCH_ARRAY_SIZE),
        Use("parts of the output's upload", uploads, S3_PARTS),
        Use("bytes of the output", totals.bytes, OUTPUT_BYTES),
        Use("hours of the window", option.hours, WINDOW_HOURS_MAX),
    ]
    return Paper(
        backend.kind,
        option.hours,
        option.dollars,
        parts,
        part_records,
        invocations,
        transitions,
        puts,
        gets,
        listed["s3.put"].cost(puts) + listed["s3.get"].cost(gets),
        option.why_not,
        tuple(sorted(uses, key=lambda use: -use.share)),
    )


WORK_SECONDS: Final = TIMEOUT_MAX_SECONDS - MARGIN_SECONDS
"""That an invocation of a worker works, at most."""


def _part_bytes(number: int) -> int:
    """Size of a part of the output's upload, as `Output` makes it."""
    return PART_BYTES * (1 + number // 1000)


OUTPUT_BYTES: Final = sum(map(_part_bytes, range(S3_PARTS)))


def _uploads(size: int) -> int:
    """Parts of an upload."""
    number = 0
    while size > 0:
        size -= _part_bytes(number)
        number += 1
    return number


def _show_paper(out: Console, plans: Sequence[Paper], *, markdown: bool) -> None:
    table = Table(box=box.MARKDOWN if markdown else box.SIMPLE)
    names = ("backend", "hours", "dollars", "parts", "records a part", "invocations", "transitions", "S3 requests")
    for name in (*names, "fullest limits", "within 24 h"):
        table.add_column(name, justify="right" if name in names[1:] else "left")
    for each in plans:
        fullest = ", ".join(f"{use.limit}: {use.used:,.0f} of {use.most:,.0f}" for use in each.uses[:2])
        table.add_row(
            each.kind,
            f"{each.hours:,.1f}",
            f"{each.dollars + each.s3_dollars:,.0f}",
            f"{each.parts:,}",
            f"{each.part_records:,}",
            f"{each.invocations:,}",
            f"{each.transitions:,}",
            f"{each.puts + each.gets:,}",
            fullest,
            each.why_not or "yes",
        )
    out.print(table)


app = command_line(main, _HELP)

if __name__ == "__main__":
    app()
