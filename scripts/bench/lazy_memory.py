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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from lambda_llm.engine.order import Region
from lambda_llm.lifecycle.pages import STEP_BYTES

DEVICE: Final = Path("/dev/userfaultfd")
CHUNK_BYTES: Final = STEP_BYTES

# linux/userfaultfd.h
_NEW, _API, _REGISTER, _WAKE, _COPY = 0xAA00, 0xC018AA3F, 0xC020AA00, 0x8010AA02, 0xC028AA03
_MISSING, _PAGEFAULT, _MESSAGE_BYTES = 1, 0x12, 32
_DONTFORK = 10
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


class LazyMemory:
    """Some of this process's memory, which must not change any more, and a copy of it from which it is served.

    Attributes:
        size: bytes of it.
    """

    def __init__(self, regions: Sequence[Region]) -> None:
        """Copy and register; the memory itself stays for now.

        Args:
            regions: anonymous memory; of their edges only whole pages are taken.

        Raises:
            OSError: userfaultfd is not allowed, or one of the regions is of another kind.
        """
        self._ranges = _joined(regions)
        self.size = sum(size for _, size in self._ranges)
        self._copy = mmap.mmap(-1, self.size)  # shared with the process that serves
        self._served = mmap.mmap(-1, 8)
        self._fd = _open()
        at = 0
        for address, size in self._ranges:
            self._copy[at : at + size] = (ctypes.c_char * size).from_address(address)
            fcntl.ioctl(self._fd, _REGISTER, struct.pack("QQQQ", address, size, _MISSING, 0))
            _advise(address, size, _DONTFORK)
            at += size

    @property
    def served(self) -> int:
        """Bytes that were loaded since the memory was dropped."""
        return int.from_bytes(self._served[:8], sys.byteorder)

    @contextmanager
    def dropped(self, latency: float, bandwidth: float) -> Iterator[None]:
        """Drop the memory, and load it chunk by chunk as it is touched, in the context only.

        Whoever touches what is not loaded waits for a process that may be lost: give the whole a time limit.

        Args:
            latency: seconds from a touch to the chunk, however many are on their way.
            bandwidth: bytes a second, shared by all.
        """
        self._served[:8] = bytes(8)
        for address, size in self._ranges:
            _advise(address, size, mmap.MADV_DONTNEED)
        parent = os.getpid()
        child = os.fork()
        if child == 0:
            try:
                _libc.prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
                if os.getppid() == parent:
                    self._serve(latency, bandwidth)
            finally:
                os._exit(1)
        try:
            yield
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)

    def _serve(self, latency: float, bandwidth: float) -> None:
        seen: set[int] = set()
        waiting: list[tuple[float, int, int, int]] = []
        line_free = 0.0
        copy = ctypes.addressof(ctypes.c_char.from_buffer(self._copy))
        while True:
            due = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
            select.select([self._fd], [], [], due)
            for fault in self._faults():
                address, size, at = self._chunk(fault)
                if address in seen:  # on its way, or there: then the toucher may have missed the news
                    if all(address != each[1] for each in waiting):
                        fcntl.ioctl(self._fd, _WAKE, struct.pack("QQ", address, size))
                    continue
                seen.add(address)
                now = time.monotonic()
                line_free = max(line_free, now) + size / bandwidth
                heapq.heappush(waiting, (max(now + latency, line_free), address, size, at))
            while waiting and waiting[0][0] <= time.monotonic():
                _, address, size, at = heapq.heappop(waiting)
                fcntl.ioctl(self._fd, _COPY, struct.pack("QQQQq", address, copy + at, size, 0, 0))
                self._served[:8] = (self.served + size).to_bytes(8, sys.byteorder)

    def _faults(self) -> Iterator[int]:
        with suppress(BlockingIOError):
            messages = os.read(self._fd, 64 * _MESSAGE_BYTES)
            for event, address in struct.iter_unpack("B15xQ8x", messages):
                if event == _PAGEFAULT:
                    yield address

    def _chunk(self, fault: int) -> tuple[int, int, int]:
        """Address and size of the chunk with this byte, and where it lies in the copy."""
        before = 0
        for address, size in self._ranges:
            if address <= fault < address + size:
                start = (fault - address) // CHUNK_BYTES * CHUNK_BYTES
                return address + start, min(CHUNK_BYTES, size - start), before + start
            before += size
        raise AssertionError(hex(fault))


def _advise(address: int, size: int, advice: int) -> None:
    if _libc.madvise(address, size, advice):
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
