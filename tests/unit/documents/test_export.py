"""Vectors to Parquet: each chunk once, in order, in files that are the same however often they are written."""

import io
import json
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lambda_llm.documents import export as module
from lambda_llm.documents.errors import ExportError
from lambda_llm.documents.export import State, begin, export, report
from lambda_llm.documents.places import Place
from lambda_llm.documents.prepare import Prepared
from lambda_llm.documents.rows import Rows
from lambda_llm.openai_types.batches import Batch
from support.documents import MODEL, Stage, answer, numbers, refusal

TEXT = " ".join(f"Sentence number {number} of a text." for number in range(40))
DOCUMENTS = {"a.md": TEXT, "b/c.txt": TEXT, "d.jsonl": "\n".join(json.dumps({"id": n, "text": TEXT}) for n in range(3))}


class Index:
    """What an index of S3 Vectors is given."""

    def __init__(self) -> None:
        self.keys: list[Place] = []

    def write(self, rows: Rows) -> None:
        self.keys += rows.places


def exported(stage: Stage, prepared: Prepared, batch: Batch, seconds: float = 900.0, index: Any = None) -> State:
    """All invocations of the export step, whose state goes through JSON between them."""
    state, ended = begin(stage.s3, stage.settings, prepared, batch), False
    while not ended:
        state, ended = export(stage.s3, stage.settings, index, "r1", state, lambda: seconds)
        state = State.model_validate_json(state.model_dump_json())
    return state


def table(stage: Stage) -> pa.Table:
    return pa.concat_tables(pq.read_table(io.BytesIO(stage.content(key))) for key in stage.keys("out/"))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of six rows in three groups."""
    monkeypatch.setattr(module, "GROUP_ROWS", 2)
    monkeypatch.setattr(module, "GROUPS", 3)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("seconds", [900.0, 0.0])
@pytest.mark.parametrize("form", ["base64", "float"])
def test_every_chunk_is_a_row_in_order(stage: Stage, form: str, seconds: float) -> None:
    stage.put(DOCUMENTS)
    prepared = stage.prepared()
    records = stage.records(prepared)
    own = [numbers(each["body"]["input"]) for each in records]
    answers = [answer(each, None if form == "base64" else own[n]) for n, each in enumerate(records)]
    index = Index()
    state = exported(stage, prepared, stage.ended(prepared, answers, []), seconds, index)
    assert (state.rows, state.failed, state.dimension) == (len(records), {}, len(own[0]))
    rows = table(stage).to_pylist()
    places = [Place.of(each["custom_id"]) for each in records]
    assert [(each["document"], each["line"], each["id"], each["chunk"]) for each in rows] == [
        (f"s3://{stage.bucket}/in/{place.document}", place.line, place.id, place.chunk) for place in places
    ]
    assert [each["text"] for each in rows] == [each["body"]["input"] for each in records]
    assert [each["vector"] for each in rows] == own  # of 256ths, which 32 bits have exactly
    assert {each["model"] for each in rows} == {MODEL}
    assert index.keys == places
    assert stage.keys("out/") == [f"out/run=r1/part-{part:05d}.parquet" for part in range(state.parts)]
    files = [pq.ParquetFile(io.BytesIO(stage.content(key))) for key in stage.keys("out/")]
    assert [each.metadata.num_rows for each in files] == [6] * (len(records) // 6) + [len(records) % 6] * (
        len(records) % 6 > 0
    )
    assert files[0].num_row_groups == 3


@pytest.mark.usefixtures("small")
def test_an_export_that_is_repeated_writes_the_same(stage: Stage) -> None:
    stage.put(DOCUMENTS)
    prepared = stage.prepared()
    batch = stage.ended(prepared, [answer(each) for each in stage.records(prepared)], [])
    contents = []
    for seconds in (0.0, 900.0, 0.0):
        exported(stage, prepared, batch, seconds)
        contents.append({key: stage.content(key) for key in stage.keys("out/")})
    assert contents[0] == contents[1] == contents[2]


@pytest.mark.usefixtures("small")
def test_records_without_a_vector_are_counted_by_their_errors(stage: Stage) -> None:
    stage.put({**DOCUMENTS, "e.pdf": b"%PDF", "f.txt": b"\xff"})
    prepared = stage.prepared()
    records = stage.records(prepared)
    fates = ["answered", "busy", "answered", "missing", "batch_expired", "busy"]
    told = [(each, fates[number % len(fates)]) for number, each in enumerate(records)]
    answers = [answer(each) for each, fate in told if fate == "answered"]
    errors = [refusal(each, fate) for each, fate in told if fate in ("busy", "batch_expired")]
    batch = stage.ended(prepared, answers, errors)
    state = exported(stage, prepared, batch)
    counted = {fate: sum(each == fate for _, each in told) for fate in ("busy", "missing", "batch_expired")}
    assert state.failed == counted
    assert state.rows == len(answers) == table(stage).num_rows
    told_of = report(stage.s3, stage.settings, "r1", prepared, batch, state)
    written = json.loads(stage.content("out/run=r1/_report.json"))
    assert written == json.loads(told_of.model_dump_json())
    assert written == {
        "run": "r1",
        "batch": batch.id,
        "status": "completed",
        "source": f"s3://{stage.bucket}/in/",
        "target": f"s3://{stage.bucket}/out/run=r1/",
        "documents": {
            "documents": 5,
            "empty": 0,
            "left_out": 1,
            "chunks": len(records),
            "skipped": {".pdf": 1},
            "examples": ["f.txt: it is not encoded in UTF-8."],
        },
        "parts": state.parts,
        "rows": len(answers),
        "dimension": 8,
        "failed": counted,
    }


def test_a_batch_without_any_answer_has_a_report_alone(stage: Stage) -> None:
    stage.put({"a.txt": "One text."})
    prepared = stage.prepared()
    for batch in (
        stage.ended(prepared, [], [refusal(each, "busy") for each in stage.records(prepared)]),
        stage.ended(prepared, [], []),
    ):
        state = exported(stage, prepared, batch)
        assert (state.rows, state.parts, sum(state.failed.values())) == (0, 0, 1)
        assert stage.keys("out/") == []


def test_only_so_many_codes_are_counted_apart(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CODES", 2)
    stage.put(DOCUMENTS)
    prepared = stage.prepared()
    errors = [refusal(each, f"code-{number}") for number, each in enumerate(stage.records(prepared))]
    state = exported(stage, prepared, stage.ended(prepared, [], errors))
    assert state.failed == {"code-0": 1, "code-1": 1, "others": len(errors) - 2}


def test_large_rows_make_more_groups(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GROUP_BYTES", 300)
    stage.put(DOCUMENTS)
    prepared = stage.prepared()
    exported(stage, prepared, stage.ended(prepared, [answer(each) for each in stage.records(prepared)], []))
    metadata = pq.ParquetFile(io.BytesIO(stage.content(stage.keys("out/")[0]))).metadata
    assert metadata.num_row_groups == module.GROUPS
    assert all(metadata.row_group(number).num_rows < 6 for number in range(module.GROUPS))


def test_vectors_of_two_dimensions_are_refused_also_in_another_file(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GROUP_ROWS", 1)
    monkeypatch.setattr(module, "GROUPS", 1)
    stage.put(DOCUMENTS)
    prepared = stage.prepared()
    first, second, *_ = stage.records(prepared)
    batch = stage.ended(prepared, [answer(first, [1.0, 2.0]), answer(second, [1.0])], [])
    with pytest.raises(ExportError, match=r"has 1 numbers, and those before it 2"):
        exported(stage, prepared, batch)


def test_what_can_t_be_read_or_written_is_a_sentence(stage: Stage) -> None:
    stage.put({"a.txt": "One text."})
    prepared = stage.prepared()
    batch = stage.ended(prepared, [answer(each) for each in stage.records(prepared)], [])
    gone = batch.model_copy(update={"output_file_id": "file-000"})
    with pytest.raises(ExportError, match=r"^s3://.*file-000 can't be read \(.*404.*check that it was not deleted"):
        begin(stage.s3, stage.settings, prepared, gone)
    state = begin(stage.s3, stage.settings, prepared, batch)
    elsewhere = replace(stage.settings, target="s3://gone/")
    with pytest.raises(ExportError, match=r"^s3://gone/run=r1/part-00000.parquet can't be written \(.*NoSuchBucket"):
        export(stage.s3, elsewhere, None, "r1", state, lambda: 900.0)
