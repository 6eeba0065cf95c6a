"""From a model reference to verified bytes in memory: the order of requests and checks."""

import logging
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from lambda_llm.gguf.errors import about
from lambda_llm.gguf.header import HEADER_MAX_BYTES, Header, IncompleteError, parse_header
from lambda_llm.gguf.memory_plan import MemoryPlan, plan_memory
from lambda_llm.gguf.options import ModelOptions
from lambda_llm.gguf.runnable import check_runnable
from lambda_llm.limits import MIB
from lambda_llm.loading.budget import Budget
from lambda_llm.loading.download import Download, Progress, check_size, check_verifiable, download
from lambda_llm.loading.interrupts import uninterrupted
from lambda_llm.loading.memory_file import MemoryFile
from lambda_llm.loading.sources.base import Description, ModelReference, Source
from lambda_llm.loading.sources.registry import open_source

logger = logging.getLogger(__name__)

HEAD_BYTES: Final = 1 * MIB
"""Size of the first read. Most of a header is the vocabulary, so each further read is eight times as large."""

SECONDS: Final = 120
"""Default time budget."""


@dataclass(frozen=True)
class Inspection:
    """What is known of a model before it is loaded."""

    reference: ModelReference
    described: Description
    header: Header


@dataclass(frozen=True)
class Loaded:
    """A verified model in memory.

    Attributes:
        inspection: reference, description and header.
        plan: how much memory it needs, and how to open it.
        download: statistics.
        file: sealed; its owner closes it.
    """

    inspection: Inspection
    plan: MemoryPlan
    download: Download
    file: MemoryFile


def inspect(reference: ModelReference, *, seconds: float = SECONDS) -> Inspection:
    """Read a model's header and nothing else.

    Args:
        reference: the model.
        seconds: time budget.

    Raises:
        LoadError: why it can't be read.
    """
    with Budget(seconds, reference.uri) as budget:
        source = open_source(reference, budget)
        try:
            described = source.describe()
            check_size(reference, described)
            _, header = _read_header(source, described, budget)
        finally:
            with uninterrupted():
                source.close()
    return Inspection(reference, described, header)


def load(
    reference: ModelReference,
    *,
    options: ModelOptions,
    memory: int,
    seconds: float = SECONDS,
    progress: Progress | None = None,
    pinned_tokens: int = 0,
    pinned_states: int = 0,
) -> Loaded:
    """Load a model into memory and verify it, or raise and leave nothing behind.

    Args:
        reference: the model and its pins.
        options: how it will be opened, which determines how much memory it needs.
        memory: bytes that may be used in total.
        seconds: time budget.
        progress: called with bytes done and bytes in total.
        pinned_tokens: see `plan_memory`.
        pinned_states: see `plan_memory`.

    Raises:
        LoadError: one class per cause; see `lambda_llm.loading.errors`.
    """
    with ExitStack() as cleanup:  # closes the file unless the load succeeds
        with Budget(seconds, reference.uri) as budget:
            source = open_source(reference, budget)
            try:
                described = source.describe()
                check_size(reference, described)
                check_verifiable(reference, described, source)
                head, header = _read_header(source, described, budget)
                with about(reference.uri):
                    plan = plan_memory(
                        header,
                        described.size,
                        options,
                        memory=memory,
                        pinned_tokens=pinned_tokens,
                        pinned_states=pinned_states,
                    )
                    plan.require()
                file, stats = _fill(
                    cleanup, source, head, described, sha256=reference.sha256, budget=budget, progress=progress
                )
            finally:
                with uninterrupted():
                    source.close()
        rate = stats.size / 1e9 / max(stats.seconds, 1e-9)
        logger.info(
            "loaded %s: %d bytes in %.2f s (%.2f GB/s), %d retries, verified by %s",
            reference.uri,
            stats.size,
            stats.seconds,
            rate,
            stats.retries,
            " and ".join(stats.checksums) or "nothing but its header: a local file",
            extra={
                "uri": reference.uri,
                "version_id": described.version_id,
                "bytes": stats.size,
                "seconds": round(stats.seconds, 3),
                "gb_per_second": round(rate, 3),
                "retries": stats.retries,
                "checksums": list(stats.checksums),
            },
        )
        cleanup.pop_all()
        return Loaded(Inspection(reference, described, header), plan, stats, file)


def _fill(
    cleanup: ExitStack,
    source: Source,
    head: bytes,
    described: Description,
    *,
    sha256: str | None,
    budget: Budget,
    progress: Progress | None,
) -> tuple[MemoryFile, Download]:
    with uninterrupted():
        file = cleanup.enter_context(MemoryFile(described.size))
    stats = download(source, file, have=head, described=described, sha256=sha256, budget=budget, progress=progress)
    file.seal()
    return file, stats


def _read_header(source: Source, described: Description, budget: Budget) -> tuple[bytes, Header]:
    """Read from the start until the header is complete, and check it; returns the bytes read and the header."""
    wanted = HEAD_BYTES
    head = bytearray()

    def add(piece: bytes) -> None:
        head.extend(piece)
        budget.check()

    while True:
        source.read(len(head), min(wanted, described.size), add)
        try:
            with about(source.uri):
                header = parse_header(head, described.size, budget.check)
                check_runnable(header, head)
                return bytes(head), header
        except IncompleteError:
            wanted = min(8 * wanted, HEADER_MAX_BYTES)
