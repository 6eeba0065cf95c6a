"""A file that lives in memory only, and that llama.cpp can open as a path."""

import fcntl
import logging
import os
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from lambda_llm.errors import LoadError
from lambda_llm.gguf.errors import DoesNotFitError
from lambda_llm.loading.errors import no_descriptor

logger = logging.getLogger(__name__)


class MemoryFile:
    """An anonymous file of fixed size; after `seal` nobody can change it any more.

    On Linux it is a `memfd`. Where `memfd_create` does not exist (macOS) an unlinked temporary file
    takes its place, which a log line says: it works alike but may touch the disk and can't be sealed.

    Source: https://man7.org/linux/man-pages/man2/memfd_create.2.html
    """

    def __init__(self, size: int) -> None:
        """Make an empty (zero-filled) file.

        Args:
            size: bytes, more than 0.

        Raises:
            DoesNotFitError: there is no room for `size` bytes.
            TooManyFilesError: there is no descriptor left.
        """
        self.size = size
        self._fd = -1
        self._sealable = False
        try:
            self._fd = self._create()
            os.ftruncate(self._fd, size)
        except (OSError, MemoryError) as error:
            self.close()
            raise self._no_room(error) from error

    def _create(self) -> int:
        if hasattr(os, "memfd_create"):
            self._sealable = True
            return os.memfd_create("lambda-llm-model", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        fd, path = tempfile.mkstemp(prefix="lambda-llm-")
        Path(path).unlink()
        logger.warning("memfd_create does not exist here: an unlinked temporary file takes its place")
        return fd

    def _no_room(self, error: OSError | MemoryError) -> LoadError:
        return no_descriptor(error, f"for a file of {self.size:,} bytes in memory") or DoesNotFitError(
            f"No room for a file of {self.size:,} bytes in memory ({error}): give the process more memory, or "
            "use a smaller quantization of the model."
        )

    @property
    def path(self) -> str:
        """A path under which this process, and only while the file is open, can open the file."""
        return f"/proc/self/fd/{self._fd}" if Path("/proc/self/fd").is_dir() else f"/dev/fd/{self._fd}"

    @property
    def closed(self) -> bool:
        """Whether the descriptor is gone (the pages live on while somebody maps them)."""
        return self._fd < 0

    def write(self, data: bytes, position: int) -> None:
        """Put all of `data` at `position`; threads may do so at the same time.

        Writing costs less than storing into a mapping: pages are taken without being zeroed first, and without a page
        fault each; docs/decisions/0006 has the figures. It fails where a mapping would kill the process.

        Raises:
            DoesNotFitError: there is no memory for it.
        """
        try:
            with memoryview(data) as left:
                at = 0
                while at < len(left):
                    at += os.pwrite(self._fd, left[at:], position + at)
        except (OSError, MemoryError) as error:
            raise self._no_room(error) from error

    def read(self, position: int, size: int) -> bytes:
        """Up to `size` bytes from `position` on."""
        return os.pread(self._fd, size, position)

    def seal(self) -> None:
        """Forbid, for good and to everybody, to write, grow or shrink the file."""
        if self._sealable and hasattr(fcntl, "F_ADD_SEALS"):
            seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
            fcntl.fcntl(self._fd, fcntl.F_ADD_SEALS, seals)

    def close(self) -> None:
        """Give the descriptor back; closing twice is fine."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
