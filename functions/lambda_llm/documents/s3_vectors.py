"""Rows as vectors of an index of S3 Vectors.

A vector's key says where its chunk is, so that another run writes over what one has written. Its metadata are
`document`, `chunk`, `id` and `line` where there are such, and `text`, which the index must have among its
non-filterable keys: filterable metadata have 2 KB.

Sources: https://docs.aws.amazon.com/AmazonS3/latest/API/API_S3VectorBuckets_PutVectors.html,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-vectors-limitations.html
"""

import json
from array import array
from collections.abc import Iterator
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from lambda_llm.documents.errors import ExportError
from lambda_llm.documents.places import Place
from lambda_llm.documents.rows import Rows
from lambda_llm.documents.vectors import FLOAT_BYTES
from lambda_llm.limits import (
    S3_VECTORS_DIMENSION,
    S3_VECTORS_METADATA_BYTES,
    S3_VECTORS_PUT,
    S3_VECTORS_PUT_BYTES,
)

_NUMBER_BYTES: Final = 25
"""Most of a number as botocore writes it, which takes it for one of 64 bits, with a comma."""

_AROUND_BYTES: Final = 64
"""Of a vector, beside its key, numbers and metadata."""


class Index:
    """An index of S3 Vectors."""

    def __init__(self, client: Any, arn: str) -> None:
        """Take the place; no request is sent.

        Args:
            client: of S3 Vectors.
            arn: of the index.
        """
        self._client = client
        self._arn = arn

    def write(self, rows: Rows) -> None:
        """Put rows into the index, over those of the same keys.

        Raises:
            ExportError: the service refuses, or does not answer.
        """
        if rows.dimension > S3_VECTORS_DIMENSION:
            raise ExportError(
                f"S3 Vectors takes {S3_VECTORS_DIMENSION} numbers a vector, and the model's have {rows.dimension}: "
                "unset LAMBDA_LLM_DOCUMENTS_VECTORS."
            )
        for vectors in _batches(_vectors(rows)):
            try:
                self._client.put_vectors(indexArn=self._arn, vectors=vectors)
            except (ClientError, BotoCoreError) as error:
                raise ExportError(
                    f"Vectors can't be put into {self._arn} ({error}): check that the role may use "
                    f"s3vectors:PutVectors, and that the index has dimension {rows.dimension} and 'text' among its "
                    "non-filterable metadata keys."
                ) from error


def key(rows: Rows, place: Place) -> str:
    """Key of a vector: the document's address, its line if it is one, and the chunk's number."""
    line = "" if place.line is None else f"#{place.line}"
    return f"{rows.document(place)}{line}#{place.chunk}"


def _vectors(rows: Rows) -> Iterator[tuple[dict[str, Any], int]]:
    """Vectors, and the most bytes of each."""
    of_one = rows.dimension * FLOAT_BYTES
    for number, (place, text) in enumerate(zip(rows.places, rows.texts, strict=True)):
        metadata: dict[str, Any] = {"document": rows.document(place), "chunk": place.chunk}
        if place.line is not None:
            metadata |= {"line": place.line, "id": place.id}
        with_text = {**metadata, "text": text}
        # One that is too large is in Parquet alone.
        if (size := _size(with_text)) <= S3_VECTORS_METADATA_BYTES:
            metadata = with_text
        numbers = array("f", bytes(rows.numbers[number * of_one : (number + 1) * of_one])).tolist()
        name = key(rows, place)
        vector = {"key": name, "data": {"float32": numbers}, "metadata": metadata}
        yield vector, rows.dimension * _NUMBER_BYTES + size + len(json.dumps(name)) + _AROUND_BYTES


def _batches(vectors: Iterator[tuple[dict[str, Any], int]]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    held = 0
    for vector, size in vectors:
        if batch and (len(batch) == S3_VECTORS_PUT or held + size > S3_VECTORS_PUT_BYTES - _AROUND_BYTES * 8):
            yield batch
            batch, held = [], 0
        batch.append(vector)
        held += size
    if batch:
        yield batch


def _size(metadata: dict[str, Any]) -> int:
    """Of metadata as botocore sends them, which escapes what is not ASCII: an upper bound for any counting."""
    return len(json.dumps(metadata))
