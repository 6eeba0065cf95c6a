"""What is to be loaded, and what every place that it may lie in can do."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from lambda_llm.limits import MIB

PIECE_BYTES: Final = 2 * MIB
"""How much is read, checked and written at a time, which is what every connection holds in memory; also what is read
between two looks at the clock and the other threads. Smaller ones cost more CPU time in the socket: decisions/0006."""

CONNECTIONS: Final = 12
"""How many threads read one source at a time at most: two for each of `limits.VCPUS`. In S3 each has a connection,
which takes two of the `limits.FILE_DESCRIPTORS`, and `PIECE_BYTES` of memory."""


@dataclass(frozen=True)
class ModelReference:
    """Which bytes exactly are meant; what is None is not pinned.

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
        """The file's own name without folder and ending."""
        return self.uri.rstrip("/").rpartition("/")[2].removesuffix(".gguf")


@dataclass(frozen=True)
class Description:
    """What the store says of the object before any of it is read.

    Attributes:
        size: bytes.
        crc64nvme: of the whole object, or None where the store keeps none.
        version_id: version of the S3 object, or None in a bucket without versions.
    """

    size: int
    crc64nvme: int | None = None
    version_id: str | None = None


Deliver = Callable[[bytes], None]
"""Is given each piece right after it arrived, in order; what it raises ends the read."""


class Source(Protocol):
    """Readable ranges of one immutable object. Safe to use from several threads."""

    uri: str
    ranged: bool
    """False once the store has answered a range with the whole object: then read it in one piece."""
    needs_checksum: bool
    """Whether bytes from here count only if a checksum proves them; a file of this machine is as good as it is."""

    def describe(self) -> Description:
        """Ask for size, version and checksum; every later read is of that very version."""
        ...

    def read(self, start: int, end: int, deliver: Deliver) -> int:
        """Deliver the bytes from `start` to before `end`; returns how many retries that took."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...
