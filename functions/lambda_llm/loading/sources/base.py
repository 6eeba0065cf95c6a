"""References to models, and the interface of every source."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from lambda_llm.limits import MIB

PIECE_BYTES: Final = 2 * MIB
"""Bytes that are read, checksummed and written at a time: the buffer of every connection, and the interval at which a
worker checks the time budget. Smaller pieces cost more CPU time in the socket: docs/decisions/0006."""

CONNECTIONS: Final = 12
"""Most threads that read one source concurrently: two for each of `limits.VCPUS`. On S3 each has a connection, which
takes two of the `limits.FILE_DESCRIPTORS` and `PIECE_BYTES` of memory."""


@dataclass(frozen=True)
class ModelReference:
    """Identifies a model; a field that is None is not pinned.

    Attributes:
        uri: `s3://bucket/key`, `file:///path` or a path.
        version_id: version of the S3 object.
        size: bytes.
        sha256: of the whole file, 64 hex digits.
    """

    uri: str
    version_id: str | None = None
    size: int | None = None
    sha256: str | None = None

    @property
    def name(self) -> str:
        """The file name without folder and `.gguf`."""
        return self.uri.rstrip("/").rpartition("/")[2].removesuffix(".gguf")


@dataclass(frozen=True)
class Description:
    """The store's metadata of an object, known before it is read.

    Attributes:
        size: bytes.
        crc64nvme: of the whole object, or None where the store has none.
        version_id: version of the S3 object, or None in a bucket without versioning.
        kms_key_arn: ARN of the KMS key that encrypts the S3 object, or None.
    """

    size: int
    crc64nvme: int | None = None
    version_id: str | None = None
    kms_key_arn: str | None = None


Deliver = Callable[[bytes], None]
"""Called with each piece as it arrives, in order; an exception ends the read."""


class Source(Protocol):
    """One immutable object, readable by ranges. Thread-safe."""

    uri: str
    ranged: bool
    """False once the store has ignored a range and sent the whole object: read it as one part then."""
    needs_checksum: bool
    """Whether bytes must be verified by a checksum; a local file is trusted."""

    def describe(self) -> Description:
        """Fetch size, version and checksum; every later read is of that version."""
        ...

    def read(self, start: int, end: int, deliver: Deliver) -> int:
        """Deliver the bytes from `start` up to `end` (exclusive); returns the number of retries."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...
