"""Where a chunk comes from, and the `custom_id` that says so in a batch."""

import json
from dataclasses import dataclass
from typing import Final, Self

from lambda_llm.documents.errors import DocumentError, ExportError

CUSTOM_ID_BYTES: Final = 512
"""Most bytes of a `custom_id`, which the batch allows as characters: so it also fits, with what is around it, into a
key and the filterable metadata of S3 Vectors."""


@dataclass(frozen=True)
class Place:
    """Of a chunk.

    Attributes:
        document: key of the object, without the prefix of all documents.
        line: number of the line from 0, in an object of many; None: the object is one document.
        id: that the line gives its document; None likewise.
        chunk: number from 0.
    """

    document: str
    line: int | None
    id: str | None
    chunk: int

    @property
    def custom_id(self) -> str:
        """A JSON list of the fields, which is unique in a batch.

        Raises:
            DocumentError: it would be longer than a batch allows.
        """
        fields = [self.document, self.line, self.id, self.chunk]
        text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
        if len(text.encode()) > CUSTOM_ID_BYTES:
            raise DocumentError(
                f"key and id have more than the {CUSTOM_ID_BYTES} bytes of a custom_id: give the document a shorter one"
            )
        return text

    @classmethod
    def of(cls, custom_id: str) -> Self:
        """The place that a `custom_id` says.

        Raises:
            ExportError: it says none.
        """
        try:
            document, line, own, chunk = json.loads(custom_id)
        except (ValueError, TypeError, RecursionError):
            document, line, own, chunk = None, None, None, None
        if not (
            isinstance(document, str)
            and (line is None or isinstance(line, int))
            and (own is None or isinstance(own, str))
            and isinstance(chunk, int)
        ):
            raise ExportError(
                f"The batch has a record {custom_id[:100]!r} that names no document: its input was not made by the "
                "prepare step; start a new run."
            )
        return cls(document, line, own, chunk)
