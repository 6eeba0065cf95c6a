"""Memory that is loaded when it is touched, chunk by chunk, as a restored snapshot's is: Linux's userfaultfd.

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
from lambda_llm.inference.snapshot.prefetch import STEP_BYTES

DEVICE: Final = Path("/dev/userfaultfd")
CHUNK_BYTES: Final = STEP_BYTES

# linux/userfaultfd.h
_NEW, _API, _REGISTER, _WAKE, _COPY = 0xAA00, 0xC018AA3F, 0xC020AA00, 0x8010AA02, 0xC028AA03
_MISSING, _PAGEFAULT, _MESSAGE_BYTES = 1, 0x12, 32
_PARENT_DEATH_SIGNAL = 1

_libc: Any = ctypes.CDLL(None, use_errno=True)
_libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


def unavailable() -> str | None:
    """Why this machine can't do it, in a sentence; None where it can."""
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
def lazily_loaded(regions: Sequence[Region], latency: float, bandwidth: float) -> Iterator["Loads"]:
    """Drop some of this process's memory, and load it chunk by chunk as it is touched, in the context only.

    A fork of this process, made on entry, is the snapshot: it serves the memory as it was then. Whoever touches what is
    not loaded waits for that process, for good if it is lost: give the whole a time limit.

    Args:
        regions: anonymous memory that nobody writes to, so nothing that belongs to Python; of their edges only whole
            pages are taken.
        latency: seconds from a touch to the chunk, however many are on their way.
        bandwidth: bytes a second, shared by all.

    Yields:
        What is loaded.

    Raises:
        OSError: userfaultfd is not allowed, or one of the regions is of another kind.
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
                _Store(faults, ranges, latency, bandwidth, loads).serve()
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
    """How much is there again.

    Attributes:
        size: bytes that were dropped.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._count = mmap.mmap(-1, 8)  # shared with the process that serves

    @property
    def bytes(self) -> int:
        """That were loaded until now."""
        return int.from_bytes(self._count[:8], sys.byteorder)

    def add(self, size: int) -> None:
        """Count some more; only who serves does."""
        self._count[:8] = (self.bytes + size).to_bytes(8, sys.byteorder)


class _Store:
    """Where the dropped memory comes from."""

    def __init__(self, faults: int, ranges: Sequence[Region], latency: float, bandwidth: float, loads: Loads) -> None:
        self._faults = faults
        self._ranges = ranges
        self._starts = [address for address, _ in ranges]
        self._latency = latency
        self._bandwidth = bandwidth
        self._loads = loads

    def serve(self) -> None:
        seen: set[int] = set()
        waiting: list[tuple[float, Region]] = []
        line_free = 0.0
        while True:
            due = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
            select.select([self._faults], [], [], due)
            for fault in self._touched():
                chunk = self._chunk(fault)
                if chunk.address in seen:  # on its way, or there: then the toucher may have missed the news
                    if all(chunk != each for _, each in waiting):
                        fcntl.ioctl(self._faults, _WAKE, struct.pack("QQ", *chunk))
                    continue
                seen.add(chunk.address)
                now = time.monotonic()
                line_free = max(line_free, now) + chunk.size / self._bandwidth
                heapq.heappush(waiting, (max(now + self._latency, line_free), chunk))
            while waiting and waiting[0][0] <= time.monotonic():
                _, (address, size) = heapq.heappop(waiting)
                fcntl.ioctl(self._faults, _COPY, struct.pack("QQQQq", address, address, size, 0, 0))
                self._loads.add(size)

    def _touched(self) -> Iterator[int]:
        with suppress(BlockingIOError):
            messages = os.read(self._faults, 64 * _MESSAGE_BYTES)
            for event, address in struct.iter_unpack("B15xQ8x", messages):
                if event == _PAGEFAULT:
                    yield address

    def _chunk(self, fault: int) -> Region:
        """The chunk with this byte."""
        address, size = self._ranges[bisect_right(self._starts, fault) - 1]
        start = (fault - address) // CHUNK_BYTES * CHUNK_BYTES
        return Region(address + start, min(CHUNK_BYTES, size - start))


def _drop(address: int, size: int) -> None:
    if _libc.madvise(address, size, mmap.MADV_DONTNEED):
        number = ctypes.get_errno()
        raise OSError(number, f"madvise: {errno.errorcode[number]}")


def _joined(regions: Sequence[Region]) -> list[Region]:
    """Neighbours in one piece, cut to whole pages."""
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
