"""The step from documents to the input of a batch: `POST /v1/embeddings`, a line for each chunk."""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import BaseModel, ConfigDict

from lambda_llm.documents.chunks import Splitter
from lambda_llm.documents.errors import DocumentError, PrepareError
from lambda_llm.documents.input_file import InputFile, Progress
from lambda_llm.documents.places import Place
from lambda_llm.documents.settings import Settings
from lambda_llm.documents.sources import Document, Documents, LeftOut, Position, Skipped

MARGIN_SECONDS: Final = 300.0
"""Of an invocation, what is left for its last document, which may take minutes, and for keeping what waits."""

EXAMPLES: Final = 20
"""Documents without a text whose reasons are told."""

SUFFIXES: Final = 50
"""Ends of names that are counted apart."""

OTHERS: Final = "others"

_LAST_CHUNK: Final = 10**9
"""No document has more, so whose `custom_id` fits with this one, fits with every one."""


class Counts(BaseModel):
    """What was found.

    Attributes:
        documents: with chunks.
        empty: without text.
        left_out: objects and lines that can't be read.
        chunks: of all documents.
        skipped: objects of other kinds, by the end of their names.
        examples: why something was left out, of the first ones.
    """

    model_config = ConfigDict(frozen=True)

    documents: int = 0
    empty: int = 0
    left_out: int = 0
    chunks: int = 0
    skipped: dict[str, int] = {}
    examples: tuple[str, ...] = ()


class State(BaseModel):
    """What one invocation tells the next.

    Attributes:
        source: prefix of the documents, which must stay the same.
        position: behind the last document.
        progress: of the input file.
        read: whether all documents were read.
        counts: of them.
    """

    model_config = ConfigDict(frozen=True)

    source: str
    position: Position = Position()
    progress: Progress = Progress()
    read: bool = False
    counts: Counts = Counts()


class Prepared(BaseModel):
    """The input.

    Attributes:
        source: prefix of the documents.
        input: `s3://` address of the batch's input.
        counts: of the documents.
    """

    model_config = ConfigDict(frozen=True)

    source: str
    input: str
    counts: Counts


def prepare(
    s3: Any, settings: Settings, splitter: Splitter, run: str, state: State | None, seconds: Callable[[], float]
) -> State | Prepared:
    """Read documents while there is time.

    Args:
        s3: client of S3.
        settings: of the function.
        splitter: of the texts.
        run: name of the run, which no other has.
        state: that the invocation before this one has returned; None: this is the first one.
        seconds: that this invocation has left.

    Returns:
        The input, or a state to go on with.

    Raises:
        PrepareError: the documents can't be read, or the input can't be written.
    """
    state = state or State(source=settings.source)
    file = InputFile(s3, settings.store, settings.tenant, run, state.progress)
    if state.read:
        file.finish()
        return Prepared(source=state.source, input=file.uri, counts=state.counts)
    tally = _Tally(state.counts)
    position = state.position
    try:
        for found, position in Documents(s3, state.source).read(state.position):
            if isinstance(found, Document):
                file.add(_lines(found, splitter, settings.model, tally))
            else:
                tally.other(found)
            if file.full:
                file.flush()
            if seconds() < MARGIN_SECONDS:
                return state.model_copy(
                    update={"position": position, "progress": file.pause(), "counts": tally.counts()}
                )
    except (ClientError, BotoCoreError) as error:
        raise PrepareError(
            f"The documents below {state.source} can't be read ({error}): check the address, and that the role may use "
            "s3:GetObject below it and s3:ListBucket on the bucket."
        ) from error
    return state.model_copy(
        update={"position": position, "progress": file.close(), "read": True, "counts": tally.counts()}
    )


class _Tally:
    """Counts while documents are read."""

    def __init__(self, counts: Counts) -> None:
        self._before = counts
        self._numbers: Counter[str] = Counter()
        self._skipped = Counter(counts.skipped)
        self._examples = list(counts.examples)

    def document(self, chunks: int) -> None:
        self._numbers["documents" if chunks else "empty"] += 1
        self._numbers["chunks"] += chunks

    def other(self, found: Skipped | LeftOut | None) -> None:
        if isinstance(found, Skipped):
            known = found.suffix in self._skipped or len(self._skipped) < SUFFIXES
            self._skipped[found.suffix if known else OTHERS] += 1
        elif found is not None:
            self._numbers["left_out"] += 1
            if len(self._examples) < EXAMPLES:
                self._examples.append(f"{found.what}: {found.why}.")

    def counts(self) -> Counts:
        before = self._before.model_dump()
        return Counts(
            **{name: before[name] + self._numbers[name] for name in ("documents", "empty", "left_out", "chunks")},
            skipped=dict(self._skipped),
            examples=tuple(self._examples),
        )


def _lines(document: Document, splitter: Splitter, model: str, tally: _Tally) -> bytes:
    """The records of a document."""
    written = bytearray()
    try:
        Place(document.key, document.line, document.id, _LAST_CHUNK).custom_id  # noqa: B018 - it is checked
    except DocumentError as error:
        tally.other(LeftOut(document.key[:100], str(error)))
        return b""
    number = -1
    for number, chunk in enumerate(splitter.split(document.text, document.kind)):
        place = Place(document.key, document.line, document.id, number)
        record = {
            "custom_id": place.custom_id,
            "method": "POST",
            "url": "/v1/embeddings",
            # A third of the size of numbers, and exact.
            "body": {"model": model, "input": chunk.text, "encoding_format": "base64"},
        }
        written += json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    tally.document(number + 1)
    return bytes(written)
