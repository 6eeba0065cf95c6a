"""Documents below a prefix: what is one, in which order they come, and that reading may stop behind any of them."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lambda_llm.documents import sources
from lambda_llm.documents.chunks import Kind
from lambda_llm.documents.sources import Document, Documents, LeftOut, Position, Skipped
from support.documents import Stage

LINES = '{"id": "a", "text": "one", "more": 1}\n\n{"id": 7, "text": "two"}\n{"id": "c", "text": "three"}'
DOCUMENTS: Mapping[str, str | bytes] = {
    "B.TXT": b"\xef\xbb\xbfbyte order mark",
    "a.md": "# Title",
    "b/c.jsonl": LINES,
    "b/d.markdown": "",
    "b/folder/": "",
    "b/picture.PNG": b"\x89PNG",
    "e": "no ending",
    "latin.txt": "caf\xe9".encode("latin-1"),
    "z.txt": "漢字",
}
FOUND = [
    Document("B.TXT", None, None, Kind.TEXT, "byte order mark"),
    Document("a.md", None, None, Kind.MARKDOWN, "# Title"),
    Document("b/c.jsonl", 0, "a", Kind.TEXT, "one"),
    Document("b/c.jsonl", 2, "7", Kind.TEXT, "two"),
    Document("b/c.jsonl", 3, "c", Kind.TEXT, "three"),
    Document("b/d.markdown", None, None, Kind.MARKDOWN, ""),
    Skipped(".png"),
    Skipped(""),
    LeftOut("latin.txt", "it is not encoded in UTF-8"),
    Document("z.txt", None, None, Kind.TEXT, "漢字"),
]


def read(stage: Stage, start: Position = Position()) -> list[tuple[Any, Position]]:  # noqa: B008 - it is frozen
    return list(Documents(stage.s3, f"s3://{stage.bucket}/in/").read(start))


def found(stage: Stage, start: Position = Position()) -> list[Any]:  # noqa: B008 - it is frozen
    return [each for each, _ in read(stage, start) if each is not None]


def test_everything_below_the_prefix_is_found_in_order(stage: Stage) -> None:
    stage.put(DOCUMENTS)
    stage.s3.put_object(Bucket=stage.bucket, Key="inbox.txt", Body=b"not below it")
    assert found(stage) == FOUND


def test_reading_goes_on_behind_whatever_was_read_last(stage: Stage) -> None:
    stage.put(DOCUMENTS)
    everything = read(stage)
    for number, (_, position) in enumerate(everything):
        rest = [each for each, _ in everything[number + 1 :] if each is not None]
        assert found(stage, Position.model_validate_json(position.model_dump_json())) == rest


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '"text"',
        '{"text": "no id"}',
        '{"id": "no text"}',
        '{"id": true, "text": "x"}',
        '{"id": null, "text": "x"}',
        '{"id": "x", "text": 1}',
        '{"id": "x", "text": "\\ud800"}',
        "[" * 100_000,
    ],
)
def test_a_line_without_id_or_text_is_left_out_and_the_others_are_not(stage: Stage, line: str) -> None:
    stage.put({"x.jsonl": f'{{"id": 1, "text": "before"}}\n{line}\n{{"id": 2, "text": "behind"}}\n'})
    before, wrong, behind = found(stage)
    assert (before.text, behind.text) == ("before", "behind")
    assert wrong == LeftOut("x.jsonl line 2", 'it is no {"id": …, "text": …} with an id and a text in valid Unicode')


def test_what_is_too_large_is_left_out(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "DOCUMENT_BYTES_MAX", 3)
    stage.put({"a.txt": "1234", "b.txt": "123", "c.jsonl": '{"id": 1, "text": ""}'})
    large, other, line = found(stage)
    assert line == LeftOut("c.jsonl line 1", "it has more than 3 bytes: make it several lines")
    assert (large.what, other.text) == ("a.txt", "123")
    assert (
        large.why
        == "it has 4 bytes, and a document at most 3: split it, or make it a .jsonl file with a line for each part"
    )


def test_no_more_is_read_ahead_than_fits(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "AHEAD_BYTES", 10)
    monkeypatch.setattr(sources, "AHEAD", 3)
    texts = {f"{number:03d}.txt": "x" * (number % 15) for number in range(40)}
    stage.put(texts)
    assert [each.text for each in found(stage)] == list(texts.values())


@pytest.mark.parametrize("deleted", [True, False])
def test_lines_of_an_object_that_is_not_the_same_any_more_are_not_mixed(stage: Stage, deleted: bool) -> None:  # noqa: FBT001
    stage.put({"a.jsonl": LINES, "b.txt": "other"})
    _, position = read(stage)[0]
    if deleted:
        stage.s3.delete_object(Bucket=stage.bucket, Key="in/a.jsonl")
    else:
        stage.put({"a.jsonl": json.dumps({"id": "new", "text": "new"})})
    left, other = found(stage, position)
    assert left == LeftOut("a.jsonl", f"it was {'deleted' if deleted else 'changed'} while it was read")
    assert other.text == "other"


def test_the_last_object_may_be_gone(stage: Stage) -> None:
    stage.put({"a.jsonl": LINES})
    _, position = read(stage)[0]
    stage.s3.delete_object(Bucket=stage.bucket, Key="in/a.jsonl")
    assert found(stage, position) == [LeftOut("a.jsonl", "it was deleted while it was read")]


class Between:
    """A client of S3 whose GetObject fails for one key."""

    def __init__(self, s3: Any, code: str) -> None:
        self._s3 = s3
        self._code = code

    def __getattr__(self, name: str) -> Any:
        return getattr(self._s3, name)

    def get_object(self, **given: Any) -> Any:
        if given["Key"] == "in/a.txt":
            raise ClientError({"Error": {"Code": self._code, "Message": "so it is"}}, "GetObject")
        return self._s3.get_object(**given)


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("NoSuchKey", "it was deleted after it was listed"),
        ("PreconditionFailed", "it was changed while it was read"),
        ("InvalidObjectState", "it is archived: restore it first"),
    ],
)
def test_an_object_that_can_t_be_read_is_left_out(stage: Stage, code: str, why: str) -> None:
    stage.put({"a.txt": "one", "b.txt": "two"})
    documents = Documents(Between(stage.s3, code), f"s3://{stage.bucket}/in/")
    left, other = [each for each, _ in documents.read(Position())]
    assert left == LeftOut("a.txt", why)
    assert isinstance(other, Document)


def test_a_refusal_ends_it(stage: Stage) -> None:
    stage.put({"a.txt": "one"})
    with pytest.raises(ClientError, match="AccessDenied"):
        list(Documents(Between(stage.s3, "AccessDenied"), f"s3://{stage.bucket}/in/").read(Position()))
