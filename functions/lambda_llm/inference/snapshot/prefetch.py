"""Prefetch memory after a restore, in a given order and with many threads.

The memory of a restored snapshot is loaded on first access, in chunks, and each access blocks. Computation waits for
one chunk after the other; threads that only read wait for many concurrently.
"""

import ctypes
import logging
import mmap
import os
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Final

from lambda_llm.engine.weight_order import Region
from lambda_llm.limits import MIB
from lambda_llm.units import megabytes

logger = logging.getLogger(__name__)

STEP_BYTES: Final = MIB // 2
"""What one thread reads at a time: the chunk size in which Lambda stores snapshots.
Source: Brooker et al., On-demand Container Loading in AWS Lambda, USENIX ATC 2023"""

THREADS: Final = 16
"""More than CPUs, because they block instead of computing."""

LARGE_BYTES: Final = 32 * MIB
"""A region of at least this size without weights is a cache or a buffer, of which the first token needs little."""

_MAPS: Final = Path("/proc/self/maps")
_MEMORY: Final = Path("/proc/self/mem")


class Prefetch:
    """Reads every page of memory regions in the background.

    Weights must stay mapped until it has finished or is stopped. Other regions may be unmapped at any time.

    Attributes:
        stopped: whether `stop` was called.
    """

    def __init__(self, weights: Sequence[Region], others: Sequence[Region] = (), threads: int = THREADS) -> None:
        """Start the threads.

        Args:
            weights: in the order in which a token needs them.
            others: other memory of this process: read first if small, last if large.
            threads: how many read concurrently.
        """
        small = [region for region in others if region.size < LARGE_BYTES]
        large = [region for region in others if region.size >= LARGE_BYTES]
        self._pieces = chain(
            ((piece, _read_mapped) for piece in _pieces(small)),
            ((piece, _read_weights) for piece in _pieces(weights)),
            ((piece, _read_mapped) for piece in _pieces(large)),
        )
        self._bytes = sum(region.size for region in chain(weights, others))
        self._lock = threading.Lock()
        self.stopped = False
        self._began = time.monotonic()
        self._threads = [
            threading.Thread(target=self._read, name="lambda-llm-pages", daemon=True) for _ in range(threads)
        ]
        self._running = threads
        for thread in self._threads:
            thread.start()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until all is read, or for `seconds`; returns whether all is read."""
        end = None if seconds is None else time.monotonic() + seconds
        for thread in self._threads:
            thread.join(None if end is None else max(0, end - time.monotonic()))
        return not self.stopped and not any(thread.is_alive() for thread in self._threads)

    def stop(self) -> None:
        """Stop reading; returns when every thread has ended."""
        self.stopped = True
        self.wait()

    def _read(self) -> None:
        while not self.stopped:
            with self._lock:
                piece, read = next(self._pieces, (None, None))
            if piece is None or read is None:
                break
            read(piece)
        with self._lock:
            self._running -= 1
            last = self._running == 0
        if last and not self.stopped:
            logger.info("read %s of memory in %.2f s", megabytes(self._bytes), time.monotonic() - self._began)


def other_memory(weights: Sequence[Region], maps: Path = _MAPS) -> list[Region]:
    """Writable private memory of this process without the weights; empty on systems without /proc.

    Args:
        weights: regions to leave out.
        maps: the process's memory map.
    """
    try:
        lines = maps.read_text().splitlines()
    except OSError:
        return []
    rest = []
    taken = sorted(weights)
    for line in lines:
        addresses, permissions, _, _, _, *name = line.split(maxsplit=5)
        if permissions != "rw-p" or (name and name[0] != "[heap]"):
            continue
        start, end = (int(address, 16) for address in addresses.split("-"))
        for region in taken:
            if start <= region.address < end:
                rest.append(Region(start, region.address - start))
                start = region.address + region.size
        rest.append(Region(start, end - start))
    return [region for region in rest if region.size > 0]


def _pieces(regions: Sequence[Region]) -> Iterator[Region]:
    """Split regions into whole pages, so that no byte is missed."""
    for address, size in regions:
        end = -(-(address + size) // mmap.PAGESIZE) * mmap.PAGESIZE
        for start in range(address // mmap.PAGESIZE * mmap.PAGESIZE, end, STEP_BYTES):
            yield Region(start, min(STEP_BYTES, end - start))


_search = ctypes.CDLL(None).lfind
_search.argtypes = [ctypes.c_char_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_size_t), ctypes.c_size_t, ctypes.c_void_p]
_search.restype = ctypes.c_void_p
_compare = ctypes.cast(ctypes.CDLL(None).strcmp, ctypes.c_void_p)
_NOWHERE: Final = secrets.token_hex(16).encode()


def _read_weights(piece: Region) -> None:
    """Read a byte of each page outside Python: a blocked thread must not hold the GIL.

    C's linear search does that, over an array whose elements are pages, for a string with which none begins. The system
    call `madvise` does not: in a restored VM the page tables are complete, and only an access loads a chunk.
    """
    _search(_NOWHERE, piece.address, ctypes.c_size_t(piece.size // mmap.PAGESIZE), mmap.PAGESIZE, _compare)


def _read_mapped(piece: Region) -> None:
    """Read memory that may be unmapped at any time: the kernel returns an error, where an access would crash."""
    with suppress(OSError), _MEMORY.open("rb", buffering=0) as file:
        os.pread(file.fileno(), piece.size, piece.address)
