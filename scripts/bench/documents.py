"""Measure the function between documents and vectors: chunks a second into an input, rows a second into Parquet."""

import base64
import json
import random
import statistics
import tempfile
import time
from array import array
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich import box
from rich.table import Table

from lambda_llm.aws.s3_uri import parse_object
from lambda_llm.batch_store import layout
from lambda_llm.documents.chunks import Splitter
from lambda_llm.documents.export import begin, export
from lambda_llm.documents.prepare import Prepared, State, prepare
from lambda_llm.documents.settings import Settings
from lambda_llm.openai_types.batches import Batch
from scripts.bench.common import AsJSON, Markdown, command_line, printer, progress_bar
from scripts.bench.measurement import machine
from scripts.local_aws.server import LocalAWS, local_aws

DOCUMENTS: Final = 2_000
LINES: Final = 2_000
DIMENSION: Final = 1_024
DISTINCT: Final = 1_024
"""Vectors, each of which many texts have: far enough apart for a compressor not to see it."""

REPEATS: Final = 3
SIZE: Final = 1_000
PARAGRAPHS: Final = 12
BUCKET: Final = "bench"
TENANT: Final = "bench"
NOW: Final = 1_700_000_000

_HELP: Final = """Print how many chunks a second become the input of a batch, and how many vectors a second Parquet.

One process, as in one invocation, with the S3 of the local AWS on the same machine, whose own time counts. Markdown \
documents of about 6 KB are objects of their own, or lines of one .jsonl object; chunks have up to 1,000 characters. \
Answers have vectors in base64, as the function asks for them, or as numbers.

[dim]Example[/dim]
  python -m scripts.bench.documents --markdown
"""


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        name: of what was measured.
        number: of chunks or vectors.
        megabytes: that were written.
        rate: of them in a second, the median of all repeats.
        spread: between the fastest and the slowest one, by the median.
    """

    name: str
    number: int
    megabytes: float
    rate: float
    spread: float


def text(source: random.Random) -> str:
    """A document in Markdown."""

    def sentence() -> str:
        words = ["".join(source.choices("etaoinshrdlu", k=source.randint(2, 9))) for _ in range(source.randint(5, 18))]
        return f"{' '.join(words).capitalize()}."

    paragraphs = [" ".join(sentence() for _ in range(source.randint(3, 9))) for _ in range(PARAGRAPHS)]
    return "".join(f"## {sentence()}\n\n{paragraph}\n\n" for paragraph in paragraphs)


def measured(name: str, repeats: int, run: Callable[[int], tuple[int, int]], step: Callable[[str], None]) -> Row:
    """Measure something.

    Args:
        name: of it.
        repeats: how often.
        run: takes the number of the repeat, returns numbers of things and of bytes.
        step: called after each repeat.
    """
    rates, number, size = [], 0, 0
    for repeat in range(repeats):
        begun = time.perf_counter()
        number, size = run(repeat)
        rates.append(number / (time.perf_counter() - begun))
        step(name)
    middle = statistics.median(rates)
    return Row(name, number, size / 1e6, middle, (max(rates) - min(rates)) / middle)


class Bench:
    """A bucket with documents, and what is done with them."""

    def __init__(self, aws: LocalAWS, s3: Any, documents: int, lines: int) -> None:
        """Write the documents."""
        self._s3 = s3
        aws.make_bucket(BUCKET)
        source = random.Random(7)  # noqa: S311 - texts, not secrets
        for number in range(documents):
            self._put(f"objects/{number:06d}.md", text(source).encode())
        every = (json.dumps({"id": number, "text": text(source)}) for number in range(lines))
        self._put("lines/all.jsonl", "\n".join(every).encode())

    def settings(self, source: str) -> Settings:
        """Of a function that reads documents below a prefix."""
        machine_arn = "arn:aws:states:us-east-1:123456789012:stateMachine:bench"
        place = f"s3://{BUCKET}/"
        return Settings(place + source, place + "store/", machine_arn, TENANT, "encoder", place + "vectors/", SIZE)

    def prepared(self, source: str, repeat: int) -> Prepared:
        """All invocations of the step, in one."""
        settings, state = self.settings(source), None
        splitter = Splitter(settings.size, settings.overlap)
        while True:
            done = prepare(self._s3, settings, splitter, f"{source}{repeat}", state, lambda: 900.0)
            if not isinstance(done, State):
                return done
            state = done

    def chunks(self, source: str, repeat: int) -> tuple[int, int]:
        """Chunks of documents, and the bytes of the input."""
        done = self.prepared(source, repeat)
        return done.counts.chunks, self._size(parse_object(done.input)[1])

    def answered(self, prepared: Prepared, dimension: int, *, numbers: bool) -> Batch:
        """A batch with a vector for each record."""
        source = random.Random(7)  # noqa: S311
        vectors = [source.randbytes(dimension * 4).translate(_SMALL) for _ in range(DISTINCT)]
        forms: list[list[float] | str] = [
            _floats(vector) if numbers else base64.b64encode(vector).decode() for vector in vectors
        ]  # as JSON takes them
        key = parse_object(prepared.input)[1]
        content = self._s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        written = bytearray()
        for number, line in enumerate(content.splitlines()):
            data = [{"object": "embedding", "index": 0, "embedding": forms[number % len(forms)]}]
            body = {
                "object": "list",
                "data": data,
                "model": "encoder",
                "usage": {"prompt_tokens": 9, "total_tokens": 9},
            }
            response = {"status_code": 200, "request_id": "r", "body": body}
            custom_id = json.loads(line)["custom_id"]
            written += json.dumps({"id": "b", "custom_id": custom_id, "response": response, "error": None}).encode()
            written += b"\n"
        file_id = layout.new_file(NOW)
        self._put(f"store/{layout.file(TENANT, file_id)}", bytes(written))
        return Batch(
            id=layout.new_batch(NOW),
            endpoint="/v1/embeddings",
            input_file_id=prepared.input,
            completion_window="24h",
            status="completed",
            created_at=NOW,
            expires_at=NOW + 86_400,
            output_file_id=file_id,
        )

    def rows(self, prepared: Prepared, batch: Batch, repeat: int) -> tuple[int, int]:
        """Rows of Parquet, and the bytes of the files."""
        settings, run = self.settings("lines/"), f"{batch.id}-{repeat}"
        state, ended = begin(self._s3, settings, prepared, batch), False
        while not ended:
            state, ended = export(self._s3, settings, None, run, state, lambda: 900.0)
        names = [f"vectors/run={run}/part-{part:05d}.parquet" for part in range(state.parts)]
        return state.rows, sum(map(self._size, names))

    def _put(self, key: str, content: bytes) -> None:
        self._s3.put_object(Bucket=BUCKET, Key=key, Body=content)

    def _size(self, key: str) -> int:
        size: int = self._s3.head_object(Bucket=BUCKET, Key=key)["ContentLength"]
        return size


_SMALL: Final = bytes((byte & 0xBF) for byte in range(256))
"""Makes floats of random bytes finite: their exponents are not all ones."""


def _floats(vector: bytes) -> list[float]:
    return array("f", vector).tolist()


def main(
    *,
    documents: Annotated[int, typer.Option(min=1, help="Objects that are a document each.")] = DOCUMENTS,
    lines: Annotated[int, typer.Option(min=1, help="Documents of the .jsonl object.")] = LINES,
    dimension: Annotated[int, typer.Option(min=1, help="Numbers of a vector.")] = DIMENSION,
    repeats: Annotated[int, typer.Option(min=1, help="Of each measurement.")] = REPEATS,
    markdown: Markdown = False,
    as_json: AsJSON = False,
) -> None:
    """See `_HELP`."""
    found = machine()
    with tempfile.TemporaryDirectory() as folder, local_aws(Path(folder)) as aws, closing(aws.client("s3")) as s3:
        bench = Bench(aws, s3, documents, lines)
        with progress_bar("Documents", 4 * repeats) as step:
            rows = [
                measured("chunks, documents as objects", repeats, lambda each: bench.chunks("objects/", each), step),
                measured("chunks, documents as lines", repeats, lambda each: bench.chunks("lines/", each), step),
            ]
            prepared = bench.prepared("lines/", repeats)
            for name, numbers in (("base64", False), ("numbers", True)):
                batch = bench.answered(prepared, dimension, numbers=numbers)
                rows.append(_exported(bench, prepared, batch, f"rows, vectors in {name}", repeats, step))
    if as_json:
        print(json.dumps({"machine": found, "dimension": dimension, "rows": [asdict(row) for row in rows]}))
        return
    out = printer(markdown=markdown)
    out.print(_table(rows, markdown=markdown))
    out.print(
        f"\n{found['cpu']}, {found['cpus']} CPUs, load before {found['load_before']}; medians of {repeats}; vectors of "
        f"{dimension:,} numbers."
    )


def _exported(
    bench: Bench, prepared: Prepared, batch: Batch, name: str, repeats: int, step: Callable[[str], None]
) -> Row:
    return measured(name, repeats, lambda each: bench.rows(prepared, batch, each), step)


def _table(rows: list[Row], *, markdown: bool) -> Table:
    table = Table(box=box.MARKDOWN if markdown else box.SIMPLE)
    for number, column in enumerate(("", "Number", "MB written", "A second")):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(row.name, f"{row.number:,}", f"{row.megabytes:,.0f}", f"{row.rate:,.0f} ±{row.spread:.0%}")
    return table


app = command_line(main, _HELP)

if __name__ == "__main__":
    app()
