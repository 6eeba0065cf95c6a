"""Download an object into memory in parallel, and verify it while it arrives."""

import functools
import hashlib
import math
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final

from awscrt.checksums import combine_crc64nvme, crc64nvme

from lambda_llm.errors import LoadError
from lambda_llm.gguf.errors import CorruptError, DoesNotFitError
from lambda_llm.limits import MIB
from lambda_llm.loading.budget import Budget, StoppedError
from lambda_llm.loading.errors import ChangedError, UnverifiableError
from lambda_llm.loading.interrupts import uninterrupted
from lambda_llm.loading.memory_file import MemoryFile
from lambda_llm.loading.sources.base import CONNECTIONS, PIECE_BYTES, Description, ModelReference, Source

PART_BYTES_MAX: Final = 64 * MIB
"""Most bytes that one worker requests at a time: enough that a request's CPU time does not matter. A broken part
resumes where it broke."""

PART_BYTES_MIN: Final = 16 * MIB
"""Part size at the end of an object: its transfer still takes long compared with a request's latency."""

CONNECTIONS_MIN: Final = 4
"""A single connection does not saturate a network that has latency, however few the CPUs."""

PROGRESS_SECONDS: Final = 0.1
"""Between two progress reports."""

HASH_PIECES: Final = 4
"""Hashed between two checks of the parts: about 5 ms."""

Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in total, on the calling thread, about ten times a second."""


@dataclass(frozen=True)
class Download:
    """Statistics of a finished and verified download.

    Attributes:
        size: bytes.
        seconds: wall-clock time.
        retries: requests that were sent again.
        checksums: what the bytes were verified against: `CRC64NVME`, `SHA-256`, or neither for a local file.
    """

    size: int
    seconds: float
    retries: int
    checksums: tuple[str, ...]


def check_size(reference: ModelReference, described: Description) -> None:
    """Refuse an object whose size alone shows that it is the wrong one.

    Raises:
        ChangedError: the size differs from the pinned one.
        CorruptError: the object is empty.
    """
    if described.size == 0:
        raise CorruptError(f"{reference.uri} is empty: upload the model again.")
    if reference.size is not None and reference.size != described.size:
        raise ChangedError(
            f"{reference.uri} has {described.size:,} bytes, but {reference.size:,} are pinned: it is a different file; "
            "correct the pin or the object."
        )


def check_verifiable(reference: ModelReference, described: Description, source: Source) -> None:
    """Refuse an object that can't be verified.

    Raises:
        UnverifiableError: S3 has no checksum of the whole object and none is pinned.
    """
    if source.needs_checksum and described.crc64nvme is None and reference.sha256 is None:
        raise UnverifiableError(
            f"S3 has no CRC64NVME checksum of the whole of {source.uri} and no SHA-256 is pinned, so it can't be "
            "verified: upload it with `lambda-llm push`, or set LAMBDA_LLM_MODEL_SHA256."
        )


def download(
    source: Source,
    file: MemoryFile,
    *,
    have: bytes,
    described: Description,
    sha256: str | None,
    budget: Budget,
    progress: Progress | None = None,
) -> Download:
    """Download the whole object into `file` and verify its checksums.

    Each piece is written straight to its offset; no two workers share a position or a buffer. CRC64NVME is computed per
    part as pieces arrive, and combined; SHA-256 runs over the contiguous prefix while the rest arrives.

    Args:
        source: after its `describe`.
        file: of the object's size.
        have: the object's first bytes, which have been read already.
        described: size and checksum to verify against.
        sha256: 64 hex digits to verify against, or None.
        budget: already running; stopped when any part fails.
        progress: called with bytes done and in total.

    Raises:
        CorruptError: a checksum differs.
        LoadError: the first failure of a part.
    """
    started = time.monotonic()
    checked = described.crc64nvme is not None
    beginning = _Part(0, len(have), checked=checked)
    beginning.arrived(have, file)
    workers = connections()
    spans = parts(len(have), described.size, workers, in_one=not source.ranged)
    all_parts = [beginning, *(_Part(start, end, checked=checked) for start, end in spans)]
    sha = _Hash(file, all_parts) if sha256 else None
    with uninterrupted() as interruptible, ThreadPoolExecutor(workers, "lambda-llm-load") as pool:
        futures: set[Future[None]] = set()
        try:
            for part in all_parts[1:]:
                futures.add(_submit(pool, part, source, file, budget))
            _supervise(futures, all_parts, sha, budget, progress, interruptible)
        except BaseException as error:
            budget.stop()
            pool.shutdown(wait=True, cancel_futures=True)
            if isinstance(error, LoadError):  # Ctrl-C is never replaced by another error
                _raise_first(futures)
            raise
    if progress:
        progress(described.size, described.size)
    if checked:
        crc = functools.reduce(lambda crc, part: combine_crc64nvme(crc, part.crc, part.size), all_parts, 0)
        if crc != described.crc64nvme:
            raise CorruptError(_mismatch(source, "CRC64NVME", f"{described.crc64nvme:016x}", f"{crc:016x}"))
    if sha and sha256 and sha.hexdigest() != sha256.lower():
        raise CorruptError(_mismatch(source, "SHA-256", sha256.lower(), sha.hexdigest()))
    return Download(
        size=described.size,
        seconds=time.monotonic() - started,
        retries=sum(part.retries for part in all_parts),
        checksums=(
            *(["CRC64NVME"] if checked else []),
            *(["SHA-256"] if sha else []),
        ),
    )


def connections() -> int:
    """How many parts are read concurrently: enough to saturate the CPUs, or the network of a Lambda function."""
    return min(CONNECTIONS, max(CONNECTIONS_MIN, 2 * (os.cpu_count() or 1)))


def parts(start: int, end: int, workers: int, *, in_one: bool = False) -> list[tuple[int, int]]:
    """Split a range: large parts first, for few requests, then smaller ones, so that all workers finish together.

    Args:
        start: first byte.
        end: byte after the last.
        workers: how many parts are read concurrently.
        in_one: do not split.
    """
    spans = []
    while start < end:
        step = end - start if in_one else min(max((end - start) // (2 * workers), PART_BYTES_MIN), PART_BYTES_MAX)
        spans.append((start, min(start + step, end)))
        start += step
    return spans


class _Part:
    """A byte range that is being downloaded; the supervising thread reads its counters."""

    def __init__(self, start: int, end: int, *, checked: bool) -> None:
        self.start = start
        self.size = end - start
        self.done = 0
        self.crc = 0
        self.retries = 0
        self._checked = checked

    @property
    def complete(self) -> bool:
        return self.done == self.size

    def run(self, source: Source, file: MemoryFile, budget: Budget) -> None:
        def deliver(piece: bytes) -> None:
            self.arrived(piece, file)
            budget.check()

        budget.check()
        try:
            self.retries = source.read(self.start, self.start + self.size, deliver)
        except MemoryError as error:
            raise DoesNotFitError(
                f"Memory ran out while {source.uri} was being loaded: give the process more memory, or use a smaller "
                "quantization of the model."
            ) from error

    def arrived(self, piece: bytes, file: MemoryFile) -> None:
        if self._checked:
            self.crc = crc64nvme(piece, self.crc)
        file.write(piece, self.start + self.done)
        self.done += len(piece)


class _Hash:
    """SHA-256 over the file in order, as far as it has arrived without a gap."""

    def __init__(self, file: MemoryFile, ordered: Sequence[_Part]) -> None:
        self._sha = hashlib.sha256()
        self._file = file
        self._parts = ordered
        self._at = 0
        self._first = 0

    @property
    def unhashed(self) -> int:
        """Bytes that have arrived without a gap and are not hashed yet."""
        while self._first < len(self._parts) - 1 and self._parts[self._first].complete:
            self._first += 1
        part = self._parts[self._first]
        return part.start + part.done - self._at

    def follow(self) -> None:
        """Hash up to `HASH_PIECES` of them."""
        for _ in range(HASH_PIECES):
            piece = self._file.read(self._at, min(self.unhashed, PIECE_BYTES))
            self._sha.update(piece)
            self._at += len(piece)

    def hexdigest(self) -> str:
        return self._sha.hexdigest()


def _submit(pool: ThreadPoolExecutor, part: _Part, source: Source, file: MemoryFile, budget: Budget) -> "Future[None]":
    try:
        return pool.submit(part.run, source, file, budget)
    except RuntimeError as error:  # raised when the system refuses a thread
        raise DoesNotFitError(
            f"No thread could be started to read {source.uri} ({error}): give the process more memory, or raise its "
            "thread limit."
        ) from error


def _supervise(
    futures: "set[Future[None]]",
    all_parts: Sequence[_Part],
    sha: _Hash | None,
    budget: Budget,
    progress: Progress | None,
    interruptible: Callable[[], AbstractContextManager[None]],
) -> None:
    """Wait for all parts: raise the first failure, report progress, hash."""
    size = sum(part.size for part in all_parts)
    pending, reported = futures, -math.inf
    while pending or (sha and sha.unhashed):
        busy = sha is not None and sha.unhashed > 0
        with interruptible():
            done, pending = wait(pending, timeout=0 if busy else PROGRESS_SECONDS, return_when=FIRST_EXCEPTION)
        _raise_first(done)
        if progress and time.monotonic() - reported >= PROGRESS_SECONDS:
            reported = time.monotonic()
            progress(sum(part.done for part in all_parts), size)
        budget.check()
        if sha:
            sha.follow()


def _raise_first(futures: "set[Future[None]]") -> None:
    """Raise the original failure, not a `StoppedError` that followed from it."""
    errors = [future.exception() for future in futures if future.done() and not future.cancelled()]
    for error in errors:
        if error is not None and not isinstance(error, StoppedError):
            raise error


def _mismatch(source: Source, kind: str, expected: str, found: str) -> str:
    return (
        f"{source.uri} is damaged or was swapped: its {kind} is {found}, expected {expected}; upload the model "
        "again, or correct the pin."
    )
