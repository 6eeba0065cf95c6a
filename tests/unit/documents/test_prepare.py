"""The input of a batch: every chunk once, in order, however often the step is interrupted and repeated."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_llm.aws.s3_uri import parse_object
from lambda_llm.documents import input_file
from lambda_llm.documents import prepare as module
from lambda_llm.documents.chunks import Splitter
from lambda_llm.documents.errors import PrepareError
from lambda_llm.documents.places import Place
from lambda_llm.documents.prepare import Counts, Prepared, State, prepare
from lambda_llm.openai_types.batches import BatchLine
from lambda_llm.openai_types.embeddings import EmbeddingsRequest
from support.documents import MODEL, Stage

LONG = " ".join(f"Sentence number {number} of a long text." for number in range(30))
WORDS = st.text(st.sampled_from("ab .\n漢"), max_size=300)


def ticking(after: int) -> Callable[[], float]:
    """Time that is up with the question of this number, and then again."""
    asked = iter(range(1, 10**9))
    return lambda: 0.0 if next(asked) % after == 0 else 900.0


def chunks(stage: Stage, prepared: Prepared) -> list[tuple[Place, str]]:
    return [(Place.of(record["custom_id"]), record["body"]["input"]) for record in stage.records(prepared)]


def test_records_are_what_a_batch_and_the_model_take(stage: Stage) -> None:
    stage.put({"a/b.md": LONG, "c.jsonl": '{"id": "own", "text": "Short."}\n'})
    prepared = stage.prepared()
    records = stage.records(prepared)
    for record in records:
        line = BatchLine.model_validate(record)
        assert line.url == "/v1/embeddings"
        assert EmbeddingsRequest.model_validate(line.body).model == MODEL
    places = [place for place, _ in chunks(stage, prepared)]
    assert places == [
        *(Place("a/b.md", None, None, number) for number in range(len(records) - 1)),
        Place("c.jsonl", 0, "own", 0),
    ]
    assert prepared.counts == Counts(documents=2, chunks=len(records))
    assert len(records) > 10


def test_what_has_no_text_is_counted(stage: Stage) -> None:
    stage.put({"a.txt": " \n", "b.pdf": b"%PDF", "c.PDF": b"%PDF", "d": b"?", "e.txt": b"\xff", "f.jsonl": "{\n"})
    counts = stage.prepared().counts
    assert (counts.documents, counts.empty, counts.left_out, counts.chunks) == (0, 1, 2, 0)
    assert counts.skipped == {".pdf": 2, "": 1}
    assert counts.examples[0] == "e.txt: it is not encoded in UTF-8."
    assert counts.examples[1].startswith("f.jsonl line 1: it is no ")


def test_a_name_that_is_too_long_for_a_batch_is_left_out(stage: Stage) -> None:
    stage.put({f"{'n' * 180}/{'n' * 180}/{'n' * 180}.txt": "Text.", "short.txt": "Text."})
    prepared = stage.prepared()
    assert (prepared.counts.documents, prepared.counts.left_out) == (1, 1)
    assert "give the document a shorter one" in prepared.counts.examples[0]


def test_only_so_many_reasons_and_endings_are_told(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EXAMPLES", 2)
    monkeypatch.setattr(module, "SUFFIXES", 2)
    stage.put({**{f"{number}.txt": b"\xff" for number in range(4)}, **{f"x.{number}": b"" for number in range(5)}})
    counts = stage.prepared().counts
    assert (counts.left_out, len(counts.examples)) == (4, 2)
    assert counts.skipped == {".0": 1, ".1": 1, "others": 3}


@settings(max_examples=15)
@given(
    texts=st.lists(WORDS, max_size=6),
    lines=st.lists(WORDS, max_size=6),
    after=st.integers(1, 5),
    part=st.sampled_from([1, 100, 10**7]),
    overlap=st.sampled_from([0, 20]),
)
def test_every_chunk_is_there_once_wherever_the_step_stops(
    stage: Stage, texts: list[str], lines: list[str], after: int, part: int, overlap: int
) -> None:
    """And the texts of a document, put together again, are the document but for white space."""
    for key in stage.keys(""):
        stage.s3.delete_object(Bucket=stage.bucket, Key=key)
    wanted: dict[tuple[str, int | None], str] = {(f"t{number}.txt", None): text for number, text in enumerate(texts)}
    stage.put({key: text for (key, _), text in wanted.items()})
    stage.put({"a.jsonl": "\n".join(json.dumps({"id": "same", "text": text}) for text in lines)})
    wanted |= {("a.jsonl", number): text for number, text in enumerate(lines)}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(input_file, "PART_BYTES", part if part > 1 else 5 * 1024 * 1024)
        prepared = stage.prepared(seconds=ticking(after), overlap=overlap)
        whole = stage.prepared(run="r2", overlap=overlap)
    assert prepared.counts == whole.counts
    if not prepared.counts.chunks:
        assert stage.keys("store/") == []
        return
    assert chunks(stage, prepared) == chunks(stage, whole)
    found: dict[tuple[str, int | None], list[str]] = {}
    for place, text in chunks(stage, prepared):
        assert place.chunk == len(found.setdefault((place.document, place.line), []))
        found[place.document, place.line].append(text)
    assert set(found) == {key for key, text in wanted.items() if text.strip()}
    if not overlap:
        for of, pieces in found.items():
            assert "".join("".join(pieces).split()) == "".join(wanted[of].split())
    assert stage.keys("store/") == sorted(parse_object(each.input)[1] for each in (prepared, whole))


class DyingError(Exception):
    """The invocation is over."""


class Dying:
    """A client of S3 that dies with its call of this number, made or not."""

    def __init__(self, s3: Any, at: int, *, made: bool) -> None:
        self._s3 = s3
        self._left = at
        self._made = made

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._s3, name)
        if name == "get_paginator":
            return function

        def call(**given: Any) -> Any:
            if name == "get_object":
                return function(**given)
            self._left -= 1
            if self._left == 0 and not self._made:
                raise DyingError
            answer = function(**given)
            if self._left == 0:
                raise DyingError
            return answer

        return call


@pytest.mark.parametrize("made", [True, False])
def test_an_invocation_that_dies_is_repeated(
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
    made: bool,  # noqa: FBT001
) -> None:
    """Whatever call was its last: Step Functions gives the next one the same state."""
    monkeypatch.setattr(input_file, "PART_BYTES", 1000)
    stage.put({f"{number:02d}.txt": f"{number} " * 100 for number in range(9)})
    wanted = None
    for at in range(1, 30):
        state: State | None = None
        died = 0
        while True:
            s3 = Dying(stage.s3, at, made=made) if died < 3 else stage.s3
            try:
                done = prepare(s3, stage.settings, Splitter(80, 0), f"run-{at}", state, ticking(3))
            except DyingError:
                died += 1
                continue
            if isinstance(done, Prepared):
                break
            state = done
        content = stage.content(parse_object(done.input)[1])
        wanted = wanted or content
        assert content == wanted
        assert not [key for key in stage.keys("store/") if "rest" in key]
        if not died:
            return
    pytest.fail("the invocations have more calls than were tried")


def test_a_refusal_is_a_sentence(stage: Stage) -> None:
    stage.put({"a.txt": "Text."})
    with pytest.raises(
        PrepareError, match=r"^The documents below s3://gone/ can't be read \(.*NoSuchBucket.*ListBucket"
    ):
        stage.prepared(source="s3://gone/")
    with pytest.raises(PrepareError, match=r"^s3://gone/uploads/.*/documents/r1\.jsonl can't be written"):
        stage.prepared(store="s3://gone/")
