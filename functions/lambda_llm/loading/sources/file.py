"""A model in a local file."""

import os
import stat
from pathlib import Path
from urllib.parse import unquote, urlsplit

from lambda_llm.loading.budget import Budget
from lambda_llm.loading.errors import (
    ChangedError,
    ForbiddenError,
    InvalidReferenceError,
    NotFoundError,
    UnavailableError,
    no_descriptor,
)
from lambda_llm.loading.sources.base import PIECE_BYTES, Deliver, Description, ModelReference


def open_file(reference: ModelReference, budget: Budget) -> "FileSource":  # noqa: ARG001 - as every opener
    """The source of a `file:///path` reference, or of a path.

    Raises:
        InvalidReferenceError: the URI names a host.
    """
    parts = urlsplit(reference.uri)
    if parts.scheme != "file":
        return FileSource(Path(reference.uri))
    if parts.netloc not in {"", "localhost"}:
        raise InvalidReferenceError(
            f"{reference.uri!r} names a host: write file:///PATH with three slashes for a local file."
        )
    return FileSource(Path(unquote(parts.path)))


class FileSource:
    """A local file."""

    def __init__(self, path: Path) -> None:
        self.uri = str(path)
        self.ranged = True
        self.needs_checksum = False
        self._path = path
        self._fd = -1

    def describe(self) -> Description:
        """See `Source.describe`.

        Raises:
            NotFoundError, ForbiddenError, TooManyFilesError: by the system's error.
        """
        try:
            # Without O_NONBLOCK a named pipe would block this until it has a writer.
            self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError):
            raise NotFoundError(f"There is no file {self.uri}: check the path.") from None
        except PermissionError:
            raise ForbiddenError(f"{self.uri} may not be read by this user: change its permissions.") from None
        except (OSError, ValueError) as error:
            raise no_descriptor(error, f"to read {self.uri}") or NotFoundError(
                f"{self.uri!r} can't be opened ({error}): check the path."
            ) from None
        if not stat.S_ISREG(os.fstat(self._fd).st_mode):
            self.close()
            raise NotFoundError(f"{self.uri} is not a regular file: give the path of the .gguf file.")
        self._stamp = self._state()
        return Description(size=os.fstat(self._fd).st_size)

    def read(self, start: int, end: int, deliver: Deliver) -> int:
        """See `Source.read`.

        Raises:
            ChangedError: the file was written to after `describe`.
            UnavailableError: the system could not read it.
        """
        at = start
        try:
            while at < end:
                piece = os.pread(self._fd, min(end - at, PIECE_BYTES), at)
                if not piece:
                    break
                at += len(piece)
                deliver(piece)
                del piece  # before the next one is allocated
            unchanged = self._state() == self._stamp
        except OSError as error:
            raise UnavailableError(f"{self.uri} can't be read at byte {at:,} ({error}).") from error
        if at < end or not unchanged:
            raise ChangedError(f"{self.uri} was changed while it was being read: load it again.")
        return 0

    def close(self) -> None:
        """See `Source.close`."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _state(self) -> tuple[int, int]:
        status = os.fstat(self._fd)
        return status.st_size, status.st_mtime_ns
