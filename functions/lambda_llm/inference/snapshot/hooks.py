"""The snapshot hooks: one pair for both front doors.

Source: https://docs.aws.amazon.com/lambda/latest/dg/snapstart-runtime-hooks.html
"""

import gc
import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from lambda_llm.engine.context import Context
from lambda_llm.engine.weight_order import Region, weights_in_order
from lambda_llm.inference.snapshot import cpu
from lambda_llm.inference.snapshot.memory import trim_heap, wipe
from lambda_llm.inference.snapshot.prefetch import Prefetch, other_memory
from lambda_llm.telemetry import spans
from lambda_llm.web.entropy import reseed

logger = logging.getLogger(__name__)


class Resource(Protocol):
    """State of a running process that must not be in a snapshot: connections, credentials, buffers."""

    def before_snapshot(self) -> None:
        """Close connections, drop credentials, flush buffers. An exception fails the init."""
        ...

    def after_restore(self) -> None:
        """Reopen, without waiting: all hooks share a few seconds. An exception fails the restore."""
        ...


class SnapshotHooks:
    """Both hooks of one warm model.

    The loader has closed its connections and dropped its credentials once the model is loaded; anything else that has
    such state is a `Resource`.

    Attributes:
        prefetch: reads memory pages since the last restore; None before the first.
    """

    def __init__(
        self,
        context: Context,
        resources: Sequence[Resource] = (),
        restored: Callable[[float], None] | None = None,
    ) -> None:
        """Take what goes through a snapshot.

        Args:
            context: of the warm model.
            resources: closed before a snapshot and taken up again behind it.
            restored: told at the end of a restore how many seconds it took; None: nobody is.
        """
        self.prefetch: Prefetch | None = None
        self._restored = restored
        self._context = context
        self._resources = resources
        self._features = cpu.features()
        self._weights: list[Region] = []

    def before_snapshot(self) -> None:
        """Record CPU features and the order in which a token needs the weights; drop state that would go stale.

        Raises:
            Exception: from a resource.
        """
        self._features = cpu.features()
        with self._context.lock:
            self._weights = weights_in_order(self._context)
        for resource in self._resources:
            resource.before_snapshot()
        spans.close()
        gc.collect()
        wipe()
        trim_heap()
        logger.info("ready for the snapshot, taken on a CPU with %s", ", ".join(sorted(self._features)))
        _flush(logging.getLogger())

    def after_restore(self) -> None:
        """Check the CPU, reseed, reopen resources, and start to prefetch memory pages.

        The prefetch runs concurrently with the first request, which is faster than waiting for it here: its threads
        wait while others compute, and the request needs the pages in the same order.

        Raises:
            CPUChangedError: this CPU lacks features that the loaded kernels use.
            Exception: from a resource.
        """
        began = time.monotonic()
        cpu.require(self._features, cpu.features())
        reseed()
        self.prefetch = Prefetch(self._weights, other_memory(self._weights))
        for resource in self._resources:
            resource.after_restore()
        seconds = time.monotonic() - began
        logger.info("restored in %.3f s; pages are being read", seconds)
        spans.record("restore", time.time() - seconds, time.time())
        if self._restored is not None:
            self._restored(seconds)


def _flush(root: logging.Logger) -> None:
    """Flush log handlers: buffered lines would be written by every restored environment, with stale timestamps."""
    for name in [None, *root.manager.loggerDict]:
        for handler in logging.getLogger(name).handlers:
            handler.flush()
