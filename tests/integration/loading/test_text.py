"""Texts that settings refer to: the text itself, or what lies at its address, verified."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from lambda_llm.gguf.errors import CorruptError
from lambda_llm.loading.errors import NotFoundError
from lambda_llm.loading.text import TEXT_BYTES, read_text
from scripts.local_aws.server import LocalAWS
from support.faulty_s3 import FaultyS3, always, flip

SECONDS = 30
TEXT = "You are kind. 日本語\n"


@pytest.mark.parametrize(
    "text", ["You are kind.", "see s3://bucket/key", "s3://bucket/key is where it lies", "", "/a/b"]
)
def test_a_text_stands_for_itself(text: str) -> None:
    assert read_text(text, seconds=SECONDS) == text


def test_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "prompt.txt").write_text(TEXT)
    assert read_text(f"file://{tmp_path}/prompt.txt", seconds=SECONDS) == TEXT


def test_an_object_is_read(aws: LocalAWS) -> None:
    bucket = f"texts-{uuid4().hex}"
    aws.make_bucket(bucket)
    with closing(aws.client("s3")) as s3:
        s3.put_object(Bucket=bucket, Key="prompt.txt", Body=TEXT.encode(), ChecksumAlgorithm="CRC64NVME")
    assert read_text(f"s3://{bucket}/prompt.txt", seconds=SECONDS) == TEXT
    with pytest.raises(NotFoundError, match=r"other\.txt"):
        read_text(f"s3://{bucket}/other.txt", seconds=SECONDS)


def test_a_damaged_object_is_refused(serve: Callable[..., FaultyS3]) -> None:
    s3 = serve(TEXT.encode())
    s3.plan = always(flip(8), lambda request: request.method == "GET")
    with pytest.raises(CorruptError, match="is damaged: its CRC64NVME"):
        read_text(s3.uri, seconds=SECONDS)


@pytest.mark.parametrize(
    ("data", "says"),
    [(b"", "has 0 bytes"), (b"x" * (TEXT_BYTES + 1), "has 1,048,577 bytes"), (b"caf\xe9", "is not UTF-8")],
    ids=["empty", "long", "latin-1"],
)
def test_what_is_no_text_is_refused(tmp_path: Path, data: bytes, says: str) -> None:
    (tmp_path / "prompt.txt").write_bytes(data)
    with pytest.raises(CorruptError, match=says):
        read_text(f"file://{tmp_path}/prompt.txt", seconds=SECONDS)
