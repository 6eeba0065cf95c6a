"""Rows in Parquet, read back."""

import io
import struct

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lambda_llm.documents.errors import ExportError
from lambda_llm.documents.parquet import File
from lambda_llm.documents.places import Place
from lambda_llm.documents.rows import Rows
from lambda_llm.documents.vectors import Vector

PLACES = [Place("a/漢.md", None, None, 0), Place("a/漢.md", None, None, 1), Place("b.jsonl", 7, "own", 0)]


def rows(places: list[Place] = PLACES) -> Rows:
    found = Rows("s3://bucket/in/")
    for number, place in enumerate(places):
        found.add(place, f"text {number}", Vector(struct.pack("<3f", number, 0.5, -1), "encoder"))
    return found


def test_every_column_is_read_as_it_was_written() -> None:
    file = File(3)
    file.write(rows())
    file.write(rows(PLACES[:1]))
    table = pq.read_table(io.BytesIO(file.close()))
    assert table.schema.field("vector").type == pa.list_(pa.field("element", pa.float32(), nullable=False), 3)
    first = [
        {
            "document": f"s3://bucket/in/{place.document}",
            "line": place.line,
            "id": place.id,
            "chunk": place.chunk,
            "text": f"text {number}",
            "model": "encoder",
            "vector": [number, 0.5, -1],
        }
        for number, place in enumerate(PLACES)
    ]
    assert table.to_pylist() == [*first, first[0]]


def test_each_write_is_a_row_group_and_the_same_again_the_same_bytes() -> None:
    contents = []
    for _ in range(2):
        file = File(3)
        file.write(rows())
        file.write(rows())
        contents.append(file.close())
    assert contents[0] == contents[1]
    assert pq.ParquetFile(io.BytesIO(contents[0])).num_row_groups == 2


def test_a_vector_of_another_dimension_is_refused() -> None:
    found = rows()
    with pytest.raises(ExportError, match=r"has 2 numbers, and those before it 3: one batch must have one model"):
        found.add(PLACES[0], "text", Vector(struct.pack("<2f", 1, 2), "encoder"))


def test_rows_know_about_how_large_they_are() -> None:
    assert rows().size == 3 * 3 * 4 + 3 * len("text 0")
    assert len(rows()) == 3
