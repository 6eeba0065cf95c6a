"""Lines of an object, whatever their length, and whatever becomes of the connection."""

from typing import Any

import pytest
from botocore.exceptions import ClientError, ResponseStreamingError

from lambda_llm.documents import lines as module
from lambda_llm.documents.lines import Line, lines
from support.documents import Stage


def read(stage: Stage, content: bytes, offset: int = 0, s3: Any = None) -> list[Line]:
    etag = stage.s3.put_object(Bucket=stage.bucket, Key="lines", Body=content)["ETag"]
    return list(lines(s3 or stage.s3, stage.bucket, "lines", len(content), etag=etag, offset=offset))


@pytest.mark.parametrize("block", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("content", [b"", b"\n", b"a", b"ab\n", b"ab\n\ncdefghi\nj", b"a\nb\n" * 9 + b"long" * 20])
def test_they_are_those_of_the_object(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, content: bytes, block: int
) -> None:
    monkeypatch.setattr(module, "BLOCK_BYTES", block)
    found = read(stage, content)
    assert [line.content for line in found] == content.removesuffix(b"\n").split(b"\n")[: None if content else 0]
    for line in found:
        assert [each.content for each in read(stage, content, line.end)] == [
            each.content for each in found if each.end > line.end
        ]


@pytest.mark.parametrize("block", [1, 4, 100])
def test_a_line_that_is_too_long_has_no_content(stage: Stage, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(module, "BLOCK_BYTES", block)
    monkeypatch.setattr(module, "LINE_BYTES_MAX", 5)
    found = read(stage, b"12345\n123456\nx\n" + b"y" * 50)
    assert found == [Line(b"12345", 6), Line(None, 13), Line(b"x", 15), Line(None, 65)]


class Broken:
    """A client of S3 whose bodies break after some bytes."""

    def __init__(self, s3: Any, after: int) -> None:
        self._s3 = s3
        self._after = after
        self.requests = 0

    def get_object(self, **given: Any) -> dict[str, Any]:
        self.requests += 1
        answer: dict[str, Any] = self._s3.get_object(**given)
        return {**answer, "Body": Body(answer["Body"], self._after)}


class Body:
    def __init__(self, body: Any, left: int) -> None:
        self._body = body
        self._left = left

    def read(self, size: int) -> bytes:
        if not self._left:
            raise ResponseStreamingError(error="reset")
        piece: bytes = self._body.read(min(size, self._left))
        self._left -= len(piece)
        return piece

    def close(self) -> None:
        self._body.close()


def test_a_lost_connection_is_made_again_where_it_was_lost(stage: Stage) -> None:
    content = b"".join(b"line %d\n" % number for number in range(100))
    s3 = Broken(stage.s3, 50)
    assert read(stage, content, s3=s3) == read(stage, content)
    assert s3.requests > 10


def test_one_that_gives_nothing_is_given_up(stage: Stage) -> None:
    s3 = Broken(stage.s3, 0)
    with pytest.raises(ResponseStreamingError):
        read(stage, b"content", s3=s3)
    assert s3.requests == 4


def test_another_content_is_refused(stage: Stage) -> None:
    stage.put({"x": "one\ntwo\n"})
    with pytest.raises(ClientError, match="PreconditionFailed"):
        list(lines(stage.s3, stage.bucket, "in/x", 8, etag='"other"'))
