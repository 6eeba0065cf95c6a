"""A file whose content is loaded on demand, chunk by chunk, like a container image's or a network file system's.

    python lazy_file.py FILE TARGET --latency SECONDS --bandwidth BYTES --chunk BYTES

Linux's FUSE puts `FILE` in the place of `TARGET`, an existing file, and this process serves what the kernel asks for.
Page cache and readahead are the kernel's own, so mapping and reading cost what they cost with any file system.
userfaultfd can't do that: it serves memory of a process, and no file that a program opens.

Source: https://docs.kernel.org/filesystems/fuse/fuse.html and linux/fuse.h
"""

import argparse
import ctypes
import errno
import heapq
import os
import select
import signal
import stat
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from lambda_llm.limits import MIB
from scripts.bench.link import Link

DEVICE: Final = Path("/dev/fuse")

# linux/fuse.h
_GETATTR, _OPEN, _READ, _RELEASE, _FLUSH, _INIT, _FORGET, _INTERRUPT, _DESTROY = 3, 14, 15, 18, 25, 26, 2, 36, 38
_BATCH_FORGET = 42
_UNANSWERED: Final = {_FORGET, _BATCH_FORGET, _INTERRUPT}
_VERSION: Final = (7, 31)
_ASYNC_READ, _MAX_PAGES = 1 << 0, 1 << 22
_REQUEST: Final = struct.Struct("<IIQQIIIHH")
_BACKGROUND: Final = 64
"""Requests of readahead that may be in flight."""
_REQUEST_BYTES: Final = MIB + 4096
"""Room for one request; the kernel wants at least `_WRITE_BYTES` and a header."""
_WRITE_BYTES: Final = 4096

# linux/mount.h
_READ_ONLY, _NO_SUID, _NO_DEVICES, _DETACH = 1, 2, 4, 2
_PARENT_DEATH_SIGNAL = 1

_libc: Any = ctypes.CDLL(None, use_errno=True)


class LazyFileError(Exception):
    """The file can't be served."""


def unavailable() -> str | None:
    """Return why FUSE is unavailable here, in one sentence; None if it is available."""
    if sys.platform != "linux":
        return "Only Linux has FUSE."
    with tempfile.NamedTemporaryFile() as target:
        try:
            os.close(_mounted(Path(target.name)))
        except OSError as error:
            return f"FUSE is not allowed here ({error}): run it as root, on a machine with {DEVICE}."
        _unmount(Path(target.name))
    return None


@contextmanager
def lazily_served(path: Path, latency: float, bandwidth: float, chunk: int) -> Iterator[Path]:
    """Serve a file on demand from a process of its own, for the duration of the context; at first nothing is cached.

    Args:
        path: the file.
        latency: seconds from request to loaded chunk, however many are in flight.
        bandwidth: bytes per second, shared by all.
        chunk: bytes that are loaded at a time; what is loaded is kept.

    Yields:
        The path at which it is served.

    Raises:
        LazyFileError: FUSE is not allowed here.
    """
    with tempfile.NamedTemporaryFile(prefix="lambda-llm-lazy-", suffix=path.suffix) as target:
        command = [sys.executable, "-m", "scripts.bench.lazy_file", str(path), target.name]
        command += ["--latency", str(latency), "--bandwidth", str(bandwidth), "--chunk", str(chunk)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            try:
                if not (server.stdout and server.stdout.readline()):
                    raise LazyFileError(unavailable() or "The server of the file did not start; see its output above.")
                yield Path(target.name)
            finally:
                server.terminate()


class Server:
    """Serves one file to the kernel."""

    def __init__(self, device: int, file: int, link: Link, chunk: int) -> None:
        """Prepare.

        Args:
            device: descriptor from which the kernel's requests are read.
            file: descriptor of the file that is served.
            link: when what is asked for is loaded.
            chunk: bytes that are loaded at a time.
        """
        self._device = device
        self._file = file
        self._size = os.fstat(file).st_size
        self._link = link
        self._chunk = chunk
        self._arrivals: dict[int, float] = {}
        self._waiting: list[tuple[float, int, int, int]] = []

    def serve(self) -> None:
        """Answer until the file is unmounted."""
        while True:
            due = max(0.0, self._waiting[0][0] - time.monotonic()) if self._waiting else None
            if select.select([self._device], [], [], due)[0] and not self._take():
                return
            while self._waiting and self._waiting[0][0] <= time.monotonic():
                _, unique, offset, size = heapq.heappop(self._waiting)
                self._answer(unique, os.pread(self._file, size, offset))

    def arrival(self, offset: int, size: int) -> float:
        """Ask for a range; returns when all of its chunks are loaded, on `time.monotonic`'s clock."""
        last = now = time.monotonic()
        for number in range(offset // self._chunk, -(-(offset + size) // self._chunk)):
            if number not in self._arrivals:
                start = number * self._chunk
                self._arrivals[number] = self._link.arrival(min(self._chunk, self._size - start), now)
            last = max(last, self._arrivals[number])
        return last

    def _take(self) -> bool:
        """Take one request; returns whether there will be more."""
        try:
            message = os.read(self._device, _REQUEST_BYTES)
        except OSError as error:
            return error.errno in {errno.ENOENT, errno.EINTR, errno.EAGAIN}  # interrupted; else it was unmounted
        _, operation, unique, *_ = _REQUEST.unpack_from(message)
        body = message[_REQUEST.size :]
        match operation:
            case _ if operation in _UNANSWERED:
                pass
            case _ if operation == _READ:
                offset, size = struct.unpack_from("<8xQI", body)
                size = max(0, min(size, self._size - offset))
                heapq.heappush(self._waiting, (self.arrival(offset, size), unique, offset, size))
            case _ if operation == _INIT:
                self._answer(unique, self._settings(body))
            case _ if operation == _GETATTR:
                self._answer(unique, self._attributes())
            case _ if operation == _OPEN:
                self._answer(unique, struct.pack("<QII", 0, 0, 0))
            case _ if operation in {_RELEASE, _FLUSH, _DESTROY}:
                self._answer(unique, b"")
            case _:
                self._answer(unique, b"", errno.ENOSYS)
        return True

    def _settings(self, offered: bytes) -> bytes:
        readahead, flags = struct.unpack_from("<8xII", offered)
        flags &= _ASYNC_READ | _MAX_PAGES
        limits = (_BACKGROUND, _BACKGROUND, _WRITE_BYTES, 1, MIB // os.sysconf("SC_PAGESIZE"))
        return struct.pack("<IIIIHHIIHH28x", *_VERSION, readahead, flags, *limits, 0)

    def _attributes(self) -> bytes:
        valid, blocks, mode = 3600, -(-self._size // 512), stat.S_IFREG | 0o444
        times = (0,) * 6
        owner = (os.getuid(), os.getgid())
        return struct.pack("<QII6Q10I", valid, 0, 0, 1, self._size, blocks, *times, mode, 1, *owner, 0, 4096, 0)

    def _answer(self, unique: int, body: bytes, error: int = 0) -> None:
        with suppress(FileNotFoundError):  # who asked has been interrupted
            os.writev(self._device, [struct.pack("<IiQ", 16 + len(body), -error, unique), body])


def _mounted(target: Path) -> int:
    """Put a file that is served through the returned descriptor in the place of an existing one."""
    device = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={device},rootmode={stat.S_IFREG:o},user_id={os.getuid()},group_id={os.getgid()}"
    flags = _READ_ONLY | _NO_SUID | _NO_DEVICES
    if _libc.mount(b"lambda-llm", os.fsencode(target), b"fuse.lambda-llm", flags, options.encode()):
        number = ctypes.get_errno()
        os.close(device)
        raise OSError(number, os.strerror(number), str(target))
    return device


def _unmount(target: Path) -> None:
    _libc.umount2(os.fsencode(target), _DETACH)


def main() -> None:
    """Serve until the file is unmounted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("target", type=Path, help="an existing file, which is hidden meanwhile")
    parser.add_argument("--latency", type=float, required=True, metavar="SECONDS")
    parser.add_argument("--bandwidth", type=float, required=True, metavar="BYTES", help="per second")
    parser.add_argument("--chunk", type=int, required=True, metavar="BYTES")
    given = parser.parse_args()
    # When the parent dies, the file goes with it, and who still reads gets an error instead of waiting forever.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    _libc.prctl(_PARENT_DEATH_SIGNAL, signal.SIGTERM)
    try:
        file = os.open(given.file, os.O_RDONLY | os.O_CLOEXEC)
        device = _mounted(given.target)
    except OSError as error:
        sys.exit(str(error))
    try:
        print("serving", flush=True)
        Server(device, file, Link(given.latency, given.bandwidth), given.chunk).serve()
    finally:
        _unmount(given.target)


if __name__ == "__main__":
    main()
