"""Memory that is loaded on demand, chunk by chunk, like a restored snapshot's, by Linux's userfaultfd.

Source: https://docs.kernel.org/admin-guide/mm/userfaultfd.html
"""

import ctypes
import errno
import fcntl
import heapq
import mmap
import os
import select
import signal
import struct
import sys
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from lambda_llm.engine.weight_order import Region
from lambda_llm.inference.snapshot.prefetch import STEP_BYTES, THREADS
from scripts.bench.link import Link

DEVICE: Final = Path("/dev/userfaultfd")
CHUNK_BYTES: Final = STEP_BYTES

# linux/userfaultfd.h
_NEW, _API, _REGISTER, _WAKE, _COPY = 0xAA00, 0xC018AA3F, 0xC020AA00, 0x8010AA02, 0xC028AA03
_MISSING, _PAGEFAULT, _MESSAGE_BYTES = 1, 0x12, 32
_PARENT_DEATH_SIGNAL = 1

_libc: Any = ctypes.CDLL(None, use_errno=True)
_libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


def unavailable() -> str | None:
    """Return why userfaultfd is unavailable here, in one sentence; None if it is available."""
    if sys.platform != "linux":
        return "Only Linux has userfaultfd."
    try:
        os.close(_open())
    except OSError as error:
        return f"userfaultfd is not allowed here ({error}): run it as root, or let this user open {DEVICE}."
    return None


def _open() -> int:
    device = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    try:
        fd = fcntl.ioctl(device, _NEW, os.O_CLOEXEC | os.O_NONBLOCK)
    finally:
        os.close(device)
    fcntl.ioctl(fd, _API, struct.pack("QQQ", 0xAA, 0, 0))
    return fd


@contextmanager
def lazily_loaded(regions: Sequence[Region], latency: float, bandwidth: float, *, ahead: int = 0) -> Iterator["Loads"]:
    """Drop some of this process's memory and load it on demand, chunk by chunk, for the duration of the context.

    A fork of this process, made on entry, is the snapshot: it serves the memory as it was then. A thread that touches
    memory not loaded yet waits for that process, forever if it dies: set a time limit.

    Args:
        regions: anonymous memory that nothing writes to, so none of Python's own; only whole pages of them are
            dropped.
        latency: seconds from page fault to loaded chunk, however many are in flight.
        bandwidth: bytes per second, shared by all.
        ahead: bytes of other memory that are loaded before the first chunk, as many chunks at a time as the prefetch
            has threads.

    Yields:
        Statistics of what was loaded.

    Raises:
        OSError: userfaultfd is not allowed, or a region is not anonymous memory.
    """
    ranges = _joined(regions)
    loads = Loads(sum(size for _, size in ranges))
    faults = _open()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        try:
            _libc.prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
            if os.getppid() == parent:
                _Store(faults, ranges, Link(latency, bandwidth), ahead, loads).serve()
        finally:
            os._exit(1)
    try:
        for address, size in ranges:
            fcntl.ioctl(faults, _REGISTER, struct.pack("QQQQ", address, size, _MISSING, 0))
            _drop(address, size)
        yield loads
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(faults)


class Loads:
    """How much has been loaded again.

    Attributes:
        size: bytes that were dropped.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._count = mmap.mmap(-1, 8)  # shared with the serving process

    @property
    def bytes(self) -> int:
        """Bytes loaded so far."""
        return int.from_bytes(self._count[:8], sys.byteorder)

    def add(self, size: int) -> None:
        """Count further bytes; only for the serving process."""
        self._count[:8] = (self.bytes + size).to_bytes(8, sys.byteorder)


class _Store:
    """Serves the dropped memory."""

    def __init__(self, faults: int, ranges: Sequence[Region], link: Link, ahead: int, loads: Loads) -> None:
        self._faults = faults
        self._ranges = ranges
        self._starts = [address for address, _ in ranges]
        self._link = link
        self._ahead = ahead
        self._loads = loads

    def serve(self) -> None:
        seen: set[int] = set()
        waiting: list[tuple[float, Region]] = []
        ready = 0.0
        while True:
            due = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
            select.select([self._faults], [], [], due)
            for fault in self._faulted():
                chunk = self._chunk(fault)
                if chunk.address in seen:  # in flight, or loaded: then the thread may have missed its wake-up
                    if all(chunk != each for _, each in waiting):
                        fcntl.ioctl(self._faults, _WAKE, struct.pack("QQ", *chunk))
                    continue
                now = time.monotonic()
                if not seen:
                    ready = self._link.arrival_in_waves(self._ahead, now, THREADS * CHUNK_BYTES)
                seen.add(chunk.address)
                heapq.heappush(waiting, (self._link.arrival(chunk.size, max(now, ready)), chunk))
            while waiting and waiting[0][0] <= time.monotonic():
                _, (address, size) = heapq.heappop(waiting)
                fcntl.ioctl(self._faults, _COPY, struct.pack("QQQQq", address, address, size, 0, 0))
                self._loads.add(size)

    def _faulted(self) -> Iterator[int]:
        with suppress(BlockingIOError):
            messages = os.read(self._faults, 64 * _MESSAGE_BYTES)
            for event, address in struct.iter_unpack("B15xQ8x", messages):
                if event == _PAGEFAULT:
                    yield address

    def _chunk(self, fault: int) -> Region:
        """Return the chunk that contains this address."""
        address, size = self._ranges[bisect_right(self._starts, fault) - 1]
        start = (fault - address) // CHUNK_BYTES * CHUNK_BYTES
        return Region(address + start, min(CHUNK_BYTES, size - start))


def _drop(address: int, size: int) -> None:
    if _libc.madvise(address, size, mmap.MADV_DONTNEED):
        number = ctypes.get_errno()
        raise OSError(number, f"madvise: {errno.errorcode[number]}")


def _joined(regions: Sequence[Region]) -> list[Region]:
    """Merge adjacent regions and cut them to whole pages."""
    joined: list[list[int]] = []
    for address, size in sorted(regions):
        if joined and address - joined[-1][1] < mmap.PAGESIZE:
            joined[-1][1] = max(joined[-1][1], address + size)
        else:
            joined.append([address, address + size])
    whole = [
        (-(-start // mmap.PAGESIZE) * mmap.PAGESIZE, end // mmap.PAGESIZE * mmap.PAGESIZE) for start, end in joined
    ]
    return [Region(start, end - start) for start, end in whole if end > start]
