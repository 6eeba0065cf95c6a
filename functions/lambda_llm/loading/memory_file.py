"""A file in anonymous memory that llama.cpp can open by its path."""

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
    """An anonymous file of fixed size; immutable after `seal`.

    On Linux it is a `memfd`. Where `memfd_create` does not exist (macOS) it is an unlinked temporary file, and a
    warning is logged: it behaves the same but may touch the disk and can't be sealed.

    Source: https://man7.org/linux/man-pages/man2/memfd_create.2.html
    """

    def __init__(self, size: int) -> None:
        """Create a zero-filled file.

        Args:
            size: bytes, more than 0.

        Raises:
            DoesNotFitError: there is no room for `size` bytes.
            TooManyFilesError: no descriptor is left.
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
        logger.warning("memfd_create is not available: using an unlinked temporary file")
        return fd

    def _no_room(self, error: OSError | MemoryError) -> LoadError:
        return no_descriptor(error, f"for a file of {self.size:,} bytes in memory") or DoesNotFitError(
            f"No room for a file of {self.size:,} bytes in memory ({error}): give the process more memory, or "
            "use a smaller quantization of the model."
        )

    @property
    def path(self) -> str:
        """A path by which this process can open the file while it is not closed."""
        return f"/proc/self/fd/{self._fd}" if Path("/proc/self/fd").is_dir() else f"/dev/fd/{self._fd}"

    @property
    def closed(self) -> bool:
        """Whether the descriptor is closed (pages live on while they are mapped)."""
        return self._fd < 0

    def write(self, data: bytes, position: int) -> None:
        """Write all of `data` at `position`; safe to call from several threads.

        `pwrite` costs less than storing into a mapping: pages are allocated without being zeroed first, and without a
        page fault each; docs/decisions/0006 has the figures. Out of memory it fails, where a mapping would kill the
        process.

        Raises:
            DoesNotFitError: memory ran out.
        """
        try:
            with memoryview(data) as view:
                at = 0
                while at < len(view):
                    at += os.pwrite(self._fd, view[at:], position + at)
        except (OSError, MemoryError) as error:
            raise self._no_room(error) from error

    def read(self, position: int, size: int) -> bytes:
        """Read up to `size` bytes at `position`."""
        return os.pread(self._fd, size, position)

    def seal(self) -> None:
        """Forbid every further write, growth and shrinking of the file; irreversible."""
        if self._sealable and hasattr(fcntl, "F_ADD_SEALS"):
            seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
            fcntl.fcntl(self._fd, fcntl.F_ADD_SEALS, seals)

    def close(self) -> None:
        """Close the descriptor; closing twice is fine."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
