"""The documents below a prefix in S3: listed in order, read ahead, one after the other.

| object | is |
|---|---|
| `*.txt` | a document |
| `*.md`, `*.markdown` | a document, split as Markdown |
| `*.jsonl` | a document for each line, `{"id": …, "text": …}`; other fields are not read |
| else | skipped, and counted by the end of its name |
"""

import json
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

from botocore.exceptions import ClientError
from pydantic import BaseModel, ConfigDict

from lambda_llm.aws.s3_uri import parse_prefix
from lambda_llm.documents.chunks import Kind
from lambda_llm.documents.errors import DocumentError
from lambda_llm.documents.lines import Line, blocks, lines
from lambda_llm.limits import MIB

DOCUMENT_BYTES_MAX: Final = 4 * MIB
"""Of a document, or a line that is one: it is split in one invocation, whatever its text is like."""

READERS: Final = 16
"""Objects that are read at once."""

AHEAD: Final = 64
"""Objects that may be read before their turn."""

AHEAD_BYTES: Final = 64 * 1024 * 1024
"""That they may have together."""

JSONL: Final = ".jsonl"

_KINDS: Final = {".txt": Kind.TEXT, ".md": Kind.MARKDOWN, ".markdown": Kind.MARKDOWN}
_SUFFIX_MAX: Final = 16
_CHANGED: Final = frozenset({"PreconditionFailed", "412"})
_GONE: Final = frozenset({"NoSuchKey", "404", "NotFound"})
_ARCHIVED: Final = "InvalidObjectState"


class Position(BaseModel):
    """How far reading has come. Keys are without the prefix.

    Attributes:
        after: key of the last object that is done with; empty: none is.
        key: of the object whose lines are being read; empty: none is.
        etag: of it.
        offset: of its next line, in bytes.
        line: number of it.
    """

    model_config = ConfigDict(frozen=True)

    after: str = ""
    key: str = ""
    etag: str = ""
    offset: int = 0
    line: int = 0


@dataclass(frozen=True)
class Document:
    """A text.

    Attributes:
        key: of its object, without the prefix.
        line: number of its line from 0; None: the object is one document.
        id: that its line has; None likewise.
        kind: of its structure.
        text: it.
    """

    key: str
    line: int | None
    id: str | None
    kind: Kind
    text: str


@dataclass(frozen=True)
class Skipped:
    """An object of a kind that is not read.

    Attributes:
        suffix: end of its name from the last dot, in lower case; empty: it has none.
    """

    suffix: str


@dataclass(frozen=True)
class LeftOut:
    """An object, or a line of one, that can't be read.

    Attributes:
        what: the object's key without the prefix, and the line's number from 1.
        why: it can't.
    """

    what: str
    why: str


@dataclass(frozen=True)
class _Listed:
    key: str
    suffix: str
    size: int
    etag: str


class Documents:
    """Documents below a prefix."""

    def __init__(self, s3: Any, uri: str) -> None:
        """Take the place; no request is sent.

        Args:
            s3: client of S3.
            uri: `s3://bucket/prefix/`.

        Raises:
            S3URIError: it has another form.
        """
        self._s3 = s3
        self._bucket, self._prefix = parse_prefix(uri)

    def read(self, start: Position) -> Iterator[tuple[Document | Skipped | LeftOut | None, Position]]:
        """Read on from a position, in the order of keys and lines.

        Yields:
            What was found, or None at the end of an object of lines; and the position behind it.

        Raises:
            ClientError, BotoCoreError: S3 refuses, or does not answer.
        """
        begun = start.key
        with ThreadPoolExecutor(READERS) as pool, closing(self._ahead(pool, start.after)) as objects:
            for listed, content in objects:
                if begun and listed.key != begun:
                    yield LeftOut(begun, "it was deleted while it was read"), Position(after=begun)
                done = Position(after=listed.key)
                if listed.suffix == JSONL:
                    first = start if listed.key == begun else Position(after=start.after)
                    yield from self._lines(listed, first)
                    yield None, done
                elif listed.suffix in _KINDS:
                    yield _document(listed, content), done
                else:
                    yield Skipped(listed.suffix), done
                start, begun = done, ""
            if begun:
                yield LeftOut(begun, "it was deleted while it was read"), Position(after=begun)

    def _ahead(
        self, pool: ThreadPoolExecutor, after: str
    ) -> Generator[tuple[_Listed, "Future[bytes | DocumentError] | None"]]:
        """Objects in order, whose content other threads read meanwhile."""
        waiting: deque[tuple[_Listed, Future[bytes | DocumentError] | None]] = deque()
        held = 0
        try:
            for listed in self._listed(after):
                whole = listed.suffix in _KINDS
                waiting.append((listed, pool.submit(self._content, listed) if whole else None))
                held += listed.size if whole else 0
                while waiting and (len(waiting) > AHEAD or held > AHEAD_BYTES):
                    held -= waiting[0][0].size if waiting[0][1] else 0
                    yield waiting.popleft()
            while waiting:
                yield waiting.popleft()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _listed(self, after: str) -> Iterator[_Listed]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket,
            Prefix=self._prefix,
            **({"StartAfter": self._prefix + after} if after else {}),
        )
        for page in pages:
            for each in page.get("Contents", ()):
                key = each["Key"].removeprefix(self._prefix)
                if key and not key.endswith("/"):  # folders, as the console makes them
                    suffix = PurePosixPath(key).suffix.lower()[:_SUFFIX_MAX]
                    yield _Listed(key, suffix, each["Size"], each["ETag"])

    def _content(self, listed: _Listed) -> bytes | DocumentError:
        if listed.size > DOCUMENT_BYTES_MAX:
            return DocumentError(
                f"it has {listed.size:,} bytes, and a document at most {DOCUMENT_BYTES_MAX:,}: split it, or make it a "
                f"{JSONL} file with a line for each part"
            )
        try:
            key = self._prefix + listed.key
            return b"".join(blocks(self._s3, self._bucket, key, listed.size, etag=listed.etag))
        except ClientError as error:
            return _unreadable(error)

    def _lines(self, listed: _Listed, start: Position) -> Iterator[tuple[Document | LeftOut, Position]]:
        if start.key and start.etag != listed.etag:
            yield LeftOut(listed.key, "it was changed while it was read"), Position(after=listed.key)
            return
        number, key = start.line, self._prefix + listed.key
        try:
            for line in lines(self._s3, self._bucket, key, listed.size, etag=listed.etag, offset=start.offset):
                behind = Position(after=start.after, key=listed.key, etag=listed.etag, offset=line.end, line=number + 1)
                if line.content is None or line.content.strip():
                    yield _of_line(listed.key, number, line), behind
                number += 1
        except ClientError as error:
            yield LeftOut(listed.key, str(_unreadable(error))), Position(after=listed.key)


def _unreadable(error: ClientError) -> DocumentError:
    """What the error means for one object; raises it again where it says something of all."""
    code = str(error.response["Error"].get("Code"))
    if code in _GONE:
        return DocumentError("it was deleted after it was listed")
    if code in _CHANGED:
        return DocumentError("it was changed while it was read")
    if code == _ARCHIVED:
        return DocumentError("it is archived: restore it first")
    raise error


def _document(listed: _Listed, content: "Future[bytes | DocumentError] | None") -> Document | LeftOut:
    read = content.result() if content else b""
    if isinstance(read, DocumentError):
        return LeftOut(listed.key, str(read))
    try:
        text = read.decode("utf-8-sig")
    except UnicodeDecodeError:
        return LeftOut(listed.key, "it is not encoded in UTF-8")
    return Document(listed.key, None, None, _KINDS[listed.suffix], text)


def _of_line(key: str, number: int, line: Line) -> Document | LeftOut:
    what = f"{key} line {number + 1}"
    if line.content is None or len(line.content) > DOCUMENT_BYTES_MAX:
        return LeftOut(what, f"it has more than {DOCUMENT_BYTES_MAX:,} bytes: make it several lines")
    try:
        fields = json.loads(line.content.decode("utf-8-sig"))
        own, text = fields["id"], fields["text"]
        if not isinstance(text, str) or not isinstance(own, str | int) or isinstance(own, bool):
            raise TypeError  # noqa: TRY301 - one answer to whatever is wrong
        f"{own}{text}".encode()
    except (ValueError, TypeError, KeyError, RecursionError):  # a lone surrogate is a ValueError too
        return LeftOut(what, 'it is no {"id": …, "text": …} with an id and a text in valid Unicode')
    return Document(key, number, str(own), Kind.TEXT, text)
