"""Lines of an object in S3, read as a stream from any of them on."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import BotoCoreError

BLOCK_BYTES: Final = 1024 * 1024
"""That are read at a time."""

LINE_BYTES_MAX: Final = 16 * 1024 * 1024
"""Of one line; the content of a longer one is not kept."""

_ATTEMPTS: Final = 4
"""To read on after a connection was lost, without a block in between."""


@dataclass(frozen=True)
class Line:
    """A line.

    Attributes:
        content: without its end; None: it is longer than `LINE_BYTES_MAX`.
        end: offset of the next line in bytes.
    """

    content: bytes | None
    end: int


def lines(s3: Any, bucket: str, key: str, size: int, *, etag: str, offset: int = 0) -> Iterator[Line]:
    """Read lines; a lost connection is made again where it was lost.

    Args:
        s3: client of S3.
        bucket: of the object.
        key: of it.
        size: of it, in bytes.
        etag: of its content; if it has another one, S3 refuses with `PreconditionFailed`.
        offset: of the first line to read, in bytes.

    Raises:
        ClientError, BotoCoreError: S3 refuses, or does not answer.
    """
    start, rest, long = offset, bytearray(), False
    for block in blocks(s3, bucket, key, size, etag=etag, offset=offset):
        *ended, begun = block.split(b"\n")
        for piece in ended:
            end = start + len(piece) + 1
            yield Line(None if long or len(rest) + len(piece) > LINE_BYTES_MAX else bytes(rest + piece), end)
            start, rest, long = end, bytearray(), False
        start += len(begun)
        long = long or len(rest) + len(begun) > LINE_BYTES_MAX
        if long:
            rest.clear()
        else:
            rest += begun
    if rest or long:
        yield Line(None if long else bytes(rest), start)


def blocks(s3: Any, bucket: str, key: str, size: int, *, etag: str, offset: int = 0) -> Iterator[bytes]:
    """Read an object as a stream, likewise.

    Args and Raises: as of `lines`.
    """
    attempt = 0
    while offset < size:
        attempt += 1
        try:
            with closing(s3.get_object(Bucket=bucket, Key=key, IfMatch=etag, Range=f"bytes={offset}-")["Body"]) as body:
                while block := body.read(BLOCK_BYTES):
                    offset += len(block)
                    attempt = 0
                    yield block
        except BotoCoreError:  # a ClientError is none
            if attempt == _ATTEMPTS:
                raise
