"""The input of a batch with what came of each of its records: three files, read side by side.

A batch writes answers and errors in the order of its input, each record in one of the two.
"""

import json
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import BaseModel, ConfigDict

from lambda_llm.documents.errors import ExportError
from lambda_llm.documents.lines import lines

MISSING: Final = "missing"
"""Code of a record that is in neither file."""

UNKNOWN: Final = "unknown"
_CODE_MAX: Final = 64


class File(BaseModel):
    """A file of lines as it was when its export began, and how far it was read.

    Attributes:
        bucket: of it.
        key: of it; empty: there is none.
        size: in bytes.
        etag: of its content.
        offset: of the next line, in bytes.
    """

    model_config = ConfigDict(frozen=True)

    bucket: str = ""
    key: str = ""
    size: int = 0
    etag: str = ""
    offset: int = 0


@dataclass(frozen=True)
class Record:
    """A record of the input.

    Attributes:
        custom_id: of it.
        text: that was to be embedded.
        answer: line of the output; None: it has failed.
        code: of its error; None: it has an answer.
    """

    custom_id: str
    text: str
    answer: dict[str, Any] | None
    code: str | None


class Joined:
    """Records in order, and where each file is then."""

    def __init__(self, s3: Any, given: File, answers: File, errors: File) -> None:
        """Take the files; no request is sent.

        Args:
            s3: client of S3.
            given: the input.
            answers: the output.
            errors: the error file.
        """
        self._input = _Cursor(s3, given)
        self._answers = _Cursor(s3, answers)
        self._errors = _Cursor(s3, errors)

    @property
    def files(self) -> tuple[File, File, File]:
        """Input, output and error file as far as they were read."""
        return self._input.file, self._answers.file, self._errors.file

    def records(self) -> Iterator[Record]:
        """The records from here on.

        Raises:
            ExportError: a file can't be read, has changed, or is not in the order of the input.
        """
        while (record := self._input.take()) is not None:
            custom_id, text = _of_input(record)
            answer = error = None
            if self._answers.next_id == custom_id:
                answer = self._answers.take()
            elif self._errors.next_id == custom_id:
                error = self._errors.take()
            code = None if answer is not None else MISSING if error is None else _code(error)
            yield Record(custom_id, text, answer, code)
        for cursor in (self._answers, self._errors):
            if cursor.next_id is not None:
                raise ExportError(
                    f"s3://{cursor.file.bucket}/{cursor.file.key} has a line for {cursor.next_id[:100]!r} that is not "
                    "where the input has it: it is no file of this batch; start a new run."
                )


class _Cursor:
    """Lines of a file, of which one is read ahead."""

    def __init__(self, s3: Any, file: File) -> None:
        self.file = file
        self._lines = _parsed(s3, file)
        self._next: tuple[dict[str, Any], int] | None = None
        self._ended = False

    @property
    def next_id(self) -> str | None:
        """`custom_id` of the next line; None: there is none."""
        ahead = self._ahead()
        return None if ahead is None else str(ahead[0].get("custom_id"))

    def take(self) -> dict[str, Any] | None:
        """The next line; None: there is none."""
        ahead, self._next = self._ahead(), None
        if ahead is None:
            return None
        self.file = self.file.model_copy(update={"offset": ahead[1]})
        return ahead[0]

    def _ahead(self) -> tuple[dict[str, Any], int] | None:
        if self._next is None and not self._ended:
            self._next = next(self._lines, None)
            self._ended = self._next is None
        return self._next


def _parsed(s3: Any, file: File) -> Generator[tuple[dict[str, Any], int]]:
    if not file.key:
        return
    address = f"s3://{file.bucket}/{file.key}"
    try:
        for line in lines(s3, file.bucket, file.key, file.size, etag=file.etag, offset=file.offset):
            fields = json.loads(line.content) if line.content is not None else None
            if not isinstance(fields, dict):
                raise TypeError  # noqa: TRY301 - one answer to whatever is wrong
            yield fields, line.end
    except (ClientError, BotoCoreError) as error:
        raise ExportError(
            f"{address} can't be read ({error}): check that it is there as it was when the export began, and that the "
            "role may use s3:GetObject on it."
        ) from error
    except (ValueError, TypeError, RecursionError) as error:
        raise ExportError(f"{address} has a line that is no JSON object: it is no file of a batch.") from error


def _of_input(record: dict[str, Any]) -> tuple[str, str]:
    try:
        custom_id, text = record["custom_id"], record["body"]["input"]
    except (KeyError, TypeError):
        custom_id, text = None, None
    if not isinstance(custom_id, str) or not isinstance(text, str):
        raise ExportError("The batch's input has a record without custom_id or text: it was not made by this function.")
    return custom_id, text


def _code(line: dict[str, Any]) -> str:
    """Of a line of the error file: its own error's, or that of the response that it has."""
    try:
        error = line["error"] or line["response"]["body"]["error"]
        code = error["code"] or error["type"]
    except (KeyError, TypeError):
        code = None
    return code[:_CODE_MAX] if isinstance(code, str) and code else UNKNOWN
