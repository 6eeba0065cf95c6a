"""Fill memory with an object in parallel, and verify it on the way."""

import hashlib
import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Final

from awscrt.checksums import combine_crc64nvme, crc64nvme

from lambda_llm.limits import MIB
from lambda_llm.loading.budget import Budget, StoppedError
from lambda_llm.loading.errors import ChangedError, CorruptError, LoadError, UnverifiableError
from lambda_llm.loading.source import CONNECTIONS, Description, FileSource, ModelReference, Source

logger = logging.getLogger(__name__)

PART_BYTES: Final = 8 * MIB
"""Bytes one worker asks for at a time: large against a request's latency, small against a model."""

Progress = Callable[[int, int], None]
"""Is told bytes done and bytes in all, from the thread that called, some ten times a second."""


@dataclass(frozen=True)
class Download:
    """What a finished and verified download took.

    Attributes:
        size: bytes.
        seconds: wall-clock time.
        retries: requests that had to be sent again.
        checksums: what the bytes were held against: `CRC64NVME`, `SHA-256`, or neither for a local file.
    """

    size: int
    seconds: float
    retries: int
    checksums: tuple[str, ...]


def check_size(reference: ModelReference, described: Description) -> None:
    """Refuse an object whose size alone shows that it is not the one that is meant.

    Raises:
        ChangedError: the size differs from the pinned one.
        CorruptError: the object is empty.
    """
    if described.size == 0:
        raise CorruptError(f"{reference.uri} is empty: upload the model again.")
    if reference.size is not None and reference.size != described.size:
        raise ChangedError(
            f"{reference.uri} has {described.size:,} bytes, but {reference.size:,} are pinned: it is another file; "
            "correct the pin or the object."
        )


def check_verifiable(reference: ModelReference, described: Description, source: Source) -> None:
    """Refuse an object which nothing could tell from a damaged one.

    Raises:
        UnverifiableError: S3 keeps no checksum of the whole object and none is pinned.
    """
    if described.crc64nvme is None and reference.sha256 is None and not isinstance(source, FileSource):
        raise UnverifiableError(
            f"S3 keeps no CRC64NVME checksum of the whole of {source.uri} and no SHA-256 is pinned, so it can't be "
            "verified: upload it with `lambda-llm push`, or set LAMBDA_LLM_MODEL_SHA256."
        )


def download(
    source: Source,
    into: memoryview,
    *,
    have: bytes,
    described: Description,
    sha256: str | None,
    budget: Budget,
    progress: Progress | None = None,
) -> Download:
    """Fill `into` with the whole object and compare its checksums.

    Each part is read straight into its own place; no two workers share a position or a buffer. CRC64NVME is
    computed part by part and combined, SHA-256 follows over finished parts while later ones arrive.

    Args:
        source: described already.
        into: as many bytes as the object has.
        have: the object's first bytes, read before.
        described: size and checksum to hold the bytes against.
        sha256: 64 hex digits to hold the bytes against, or None.
        budget: running already; is stopped when any part fails.
        progress: called with bytes done and in all.

    Raises:
        CorruptError: a checksum differs.
        LoadError: whatever ended a part first.
    """
    started = time.monotonic()
    into[: len(have)] = have
    parts = _parts(len(have), described.size, in_one=not source.ranged)
    workers = [_Worker(source, into, start, end, budget) for start, end in parts]
    crc = crc64nvme(have)
    sha = hashlib.sha256(have) if sha256 else None
    with ThreadPoolExecutor(min(CONNECTIONS, max(4, 2 * (os.cpu_count() or 1))), "lambda-llm-load") as pool:
        futures = [pool.submit(worker.run) for worker in workers]
        try:
            for worker, future in zip(workers, futures, strict=True):
                while not future.done():
                    _raise_first(wait(futures, timeout=0.1, return_when=FIRST_EXCEPTION).done)
                    if progress:
                        progress(len(have) + sum(each.done for each in workers), described.size)
                    budget.check()
                future.result()
                crc = combine_crc64nvme(crc, worker.crc, worker.end - worker.start)
                if sha:
                    with into[worker.start : worker.end] as part:
                        sha.update(part)
        except BaseException as error:
            budget.stop()
            pool.shutdown(wait=True, cancel_futures=True)
            if isinstance(error, LoadError):  # nothing takes the place of Ctrl-C
                _raise_first(set(futures))
            raise
    if progress:
        progress(described.size, described.size)
    if described.crc64nvme is not None and crc != described.crc64nvme:
        raise CorruptError(_differs(source, "CRC64NVME", f"{described.crc64nvme:016x}", f"{crc:016x}"))
    if sha and sha256 and sha.hexdigest() != sha256.lower():
        raise CorruptError(_differs(source, "SHA-256", sha256.lower(), sha.hexdigest()))
    return Download(
        size=described.size,
        seconds=time.monotonic() - started,
        retries=sum(worker.retries for worker in workers),
        checksums=(
            *(["CRC64NVME"] if described.crc64nvme is not None else []),
            *(["SHA-256"] if sha else []),
        ),
    )


class _Worker:
    """Reads one part; its numbers are read by the thread that waits."""

    def __init__(self, source: Source, into: memoryview, start: int, end: int, budget: Budget) -> None:
        self.start = start
        self.end = end
        self.done = 0
        self.crc = 0
        self.retries = 0
        self._source = source
        self._into = into
        self._budget = budget

    def run(self) -> None:
        self._budget.check()
        with self._into[self.start : self.end] as part:
            self.retries = self._source.read(self.start, part, self._arrived)

    def _arrived(self, chunk: memoryview) -> None:
        self.crc = crc64nvme(chunk, self.crc)
        self.done += len(chunk)
        self._budget.check()


def _parts(start: int, end: int, *, in_one: bool) -> list[tuple[int, int]]:
    step = end - start if in_one else PART_BYTES
    return [(at, min(at + step, end)) for at in range(start, end, max(step, 1))]


def _raise_first(futures: "set[Future[None]]") -> None:
    """Raise the cause, not what followed from it."""
    errors = [future.exception() for future in futures if future.done() and not future.cancelled()]
    for error in errors:
        if error is not None and not isinstance(error, StoppedError):
            raise error


def _differs(source: Source, kind: str, expected: str, found: str) -> str:
    return (
        f"{source.uri} is damaged or was swapped: its {kind} is {found}, expected {expected}; upload the model "
        "again, or correct the pin."
    )
