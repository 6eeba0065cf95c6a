"""Rows as a file of Apache Parquet."""

import io

import pyarrow as pa
import pyarrow.parquet as pq

from lambda_llm.documents.rows import Rows


def schema(dimension: int) -> pa.Schema:
    """Columns of a file.

    Args:
        dimension: of the vectors.
    """
    return pa.schema(
        [
            pa.field("document", pa.string(), nullable=False),
            pa.field("line", pa.int64()),
            pa.field("id", pa.string()),
            pa.field("chunk", pa.int32(), nullable=False),
            pa.field("text", pa.string(), nullable=False),
            pa.field("model", pa.string(), nullable=False),
            pa.field("vector", pa.list_(pa.field("element", pa.float32(), nullable=False), dimension), nullable=False),
        ]
    )


class File:
    """A file in memory; the same rows in the same groups give the same bytes."""

    def __init__(self, dimension: int) -> None:
        """Begin it.

        Args:
            dimension: of the vectors.
        """
        self._schema = schema(dimension)
        self._content = io.BytesIO()
        # Keys and models repeat themselves, texts and vectors don't.
        self._writer = pq.ParquetWriter(
            self._content, self._schema, compression="zstd", use_dictionary=["document", "model"]
        )

    def write(self, rows: Rows) -> None:
        """Add rows, as a group."""
        numbers = pa.Array.from_buffers(
            pa.float32(), len(rows) * rows.dimension, [None, pa.py_buffer(bytes(rows.numbers))]
        )
        columns = [
            pa.array([rows.document(place) for place in rows.places], pa.string()),
            pa.array([place.line for place in rows.places], pa.int64()),
            pa.array([place.id for place in rows.places], pa.string()),
            pa.array([place.chunk for place in rows.places], pa.int32()),
            pa.array(rows.texts, pa.string()),
            pa.array(rows.models, pa.string()),
            pa.FixedSizeListArray.from_arrays(numbers, type=self._schema.field("vector").type),
        ]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema), row_group_size=len(rows))

    def close(self) -> bytes:
        """The whole file."""
        self._writer.close()
        return self._content.getvalue()
