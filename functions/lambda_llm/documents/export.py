"""The step from a batch's answers to Parquet, and to S3 Vectors.

Files are `TARGET/run=RUN/part-00000.parquet` and so on, each written whole and the same however often it is written;
`_report.json` beside them is written last.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import BaseModel, ConfigDict

from lambda_llm.aws.s3_uri import parse_object, parse_prefix
from lambda_llm.batch_store import layout
from lambda_llm.documents.answers import File, Joined, Record
from lambda_llm.documents.errors import ExportError
from lambda_llm.documents.parquet import File as Parquet
from lambda_llm.documents.places import Place
from lambda_llm.documents.prepare import Counts, Prepared
from lambda_llm.documents.rows import Rows
from lambda_llm.documents.s3_vectors import Index
from lambda_llm.documents.settings import Settings
from lambda_llm.documents.vectors import vector
from lambda_llm.limits import MIB
from lambda_llm.openai_types.batches import Batch

GROUP_BYTES: Final = 16 * MIB
"""Of texts and vectors in a row group."""

GROUP_ROWS: Final = 20_000
"""Most rows of a row group: with S3 Vectors, which takes 2,500 a second, a file ends well within an invocation."""

GROUPS: Final = 8
"""Row groups of a file."""

MARGIN_SECONDS: Final = 180.0
"""Of an invocation, what the next file may need."""

CODES: Final = 50
"""Codes of errors that are counted apart."""

OTHERS: Final = "others"


class State(BaseModel):
    """What one invocation tells the next.

    Attributes:
        source: prefix of the documents.
        input: the batch's, output and errors likewise.
        output: see above.
        errors: see above.
        parts: files that were written.
        rows: of them.
        dimension: of the vectors; 0: not known yet.
        failed: records without a vector, by the code of their error.
    """

    model_config = ConfigDict(frozen=True)

    source: str
    input: File
    output: File
    errors: File
    parts: int = 0
    rows: int = 0
    dimension: int = 0
    failed: dict[str, int] = {}


class Report(BaseModel):
    """What came of a run.

    Attributes:
        run: name of it.
        batch: id of its batch.
        status: of the batch, as it ended.
        source: prefix of the documents.
        target: prefix of the files.
        documents: that were found.
        parts: files.
        rows: of them, each a chunk.
        dimension: of the vectors.
        failed: chunks without a vector, by the code of their error.
    """

    run: str
    batch: str
    status: str
    source: str
    target: str
    documents: Counts
    parts: int
    rows: int
    dimension: int
    failed: dict[str, int]


def begin(s3: Any, settings: Settings, prepared: Prepared, batch: Batch) -> State:
    """The state of an export of which nothing is done.

    Args:
        s3: client of S3.
        settings: of the function.
        prepared: the batch's input.
        batch: that has ended.

    Raises:
        ExportError: a file of the batch is not there.
    """
    bucket, prefix = parse_prefix(settings.store)

    def file(file_id: str | None) -> File:
        return File() if file_id is None else _file(s3, bucket, prefix + layout.file(settings.tenant, file_id))

    return State(
        source=prepared.source,
        input=_file(s3, *parse_object(prepared.input)),
        output=file(batch.output_file_id),
        errors=file(batch.error_file_id),
    )


def export(
    s3: Any, settings: Settings, index: Index | None, run: str, state: State, seconds: Callable[[], float]
) -> tuple[State, bool]:
    """Write files while there is time.

    Args:
        s3: client of S3.
        settings: of the function.
        index: that gets the vectors too.
        run: name of the run.
        state: that `begin` or the invocation before this one has returned.
        seconds: that this invocation has left.

    Returns:
        The state, and whether all is written.

    Raises:
        ExportError: a file can't be read or written, or an answer has no vector.
    """
    joined = Joined(s3, state.input, state.output, state.errors)
    records = joined.records()
    while True:
        part = _Part(state, index)
        part.fill(records)
        if part.content is not None:
            _put(s3, *_target(settings, run, f"part-{state.parts:05d}.parquet"), part.content)
        given, output, errors = joined.files
        state = part.state.model_copy(update={"input": given, "output": output, "errors": errors})
        if part.last or seconds() < MARGIN_SECONDS:
            return state, part.last


def report(s3: Any, settings: Settings, run: str, prepared: Prepared, batch: Batch, state: State) -> Report:
    """Write what came of a run, beside its files.

    Raises:
        ExportError: it can't be written.
    """
    bucket, key = _target(settings, run, "_report.json")
    told = Report(
        run=run,
        batch=batch.id,
        status=batch.status,
        source=state.source,
        target=f"s3://{bucket}/{key.rpartition('/')[0]}/",
        documents=prepared.counts,
        parts=state.parts,
        rows=state.rows,
        dimension=state.dimension,
        failed=state.failed,
    )
    _put(s3, bucket, key, json.dumps(told.model_dump(), indent=2, ensure_ascii=False).encode() + b"\n")
    return told


class _Part:
    """One file, while it is filled.

    Attributes:
        state: with the rows of the file.
        content: of the file; None: it would have no rows.
        last: whether there are no records behind it.
    """

    def __init__(self, state: State, index: Index | None) -> None:
        self.state = state
        self.content: bytes | None = None
        self.last = False
        self._index = index
        self._failed = Counter(state.failed)

    def fill(self, records: Iterator[Record]) -> None:
        """Write as many records as belong into a file."""
        file: Parquet | None = None
        bucket, prefix = parse_prefix(self.state.source)
        for _ in range(GROUPS):
            rows = Rows(f"s3://{bucket}/{prefix}", self.state.dimension)
            self._group(rows, records)
            if len(rows):
                file = file or Parquet(rows.dimension)
                file.write(rows)
                if self._index is not None:
                    self._index.write(rows)
                found = {"dimension": rows.dimension, "rows": self.state.rows + len(rows)}
                self.state = self.state.model_copy(update=found)
            if self.last:
                break
        changes: dict[str, Any] = {"failed": dict(self._failed)}
        if file is not None:
            self.content = file.close()
            changes["parts"] = self.state.parts + 1
        self.state = self.state.model_copy(update=changes)

    def _group(self, rows: Rows, records: Iterator[Record]) -> None:
        while rows.size < GROUP_BYTES and len(rows) < GROUP_ROWS:
            record = next(records, None)
            if record is None:
                self.last = True
                return
            if record.answer is not None:
                rows.add(Place.of(record.custom_id), record.text, vector(record.answer))
                continue
            code = record.code or OTHERS
            self._failed[code if code in self._failed or len(self._failed) < CODES else OTHERS] += 1


def _target(settings: Settings, run: str, name: str) -> tuple[str, str]:
    bucket, prefix = parse_prefix(settings.target)
    return bucket, f"{prefix}run={run}/{name}"


def _file(s3: Any, bucket: str, key: str) -> File:
    try:
        head = s3.head_object(Bucket=bucket, Key=key)
    except (ClientError, BotoCoreError) as error:
        raise ExportError(
            f"s3://{bucket}/{key} can't be read ({error}): check that it was not deleted, and that the role may use "
            "s3:GetObject on it."
        ) from error
    return File(bucket=bucket, key=key, size=head["ContentLength"], etag=head["ETag"])


def _put(s3: Any, bucket: str, key: str, content: bytes) -> None:
    try:
        s3.put_object(Bucket=bucket, Key=key, Body=content)
    except (ClientError, BotoCoreError) as error:
        raise ExportError(
            f"s3://{bucket}/{key} can't be written ({error}): check LAMBDA_LLM_DOCUMENTS_TARGET, and that the role may "
            "use s3:PutObject below it."
        ) from error
