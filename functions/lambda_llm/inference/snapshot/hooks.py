"""What happens right before the snapshot and right after a restore: one pair, whichever front door is used.

Source: https://docs.aws.amazon.com/lambda/latest/dg/snapstart-runtime-hooks.html
"""

import gc
import logging
import time
from collections.abc import Sequence
from typing import Protocol

from lambda_llm.engine.context import Context
from lambda_llm.engine.weight_order import Region, weights_in_order
from lambda_llm.inference.snapshot import cpu
from lambda_llm.inference.snapshot.entropy import reseed
from lambda_llm.inference.snapshot.memory import give_back, wipe
from lambda_llm.inference.snapshot.prefetch import Prefetch, other_memory

logger = logging.getLogger(__name__)


class Resource(Protocol):
    """Something that must not be in a snapshot as it is in a running process: connections, credentials, buffers."""

    def before_snapshot(self) -> None:
        """Close connections, forget credentials, write out what is half written. What it raises fails the init."""
        ...

    def after_restore(self) -> None:
        """Get ready again without waiting for anything: there are seconds for all. What it raises fails the restore."""
        ...


class SnapshotHooks:
    """The pair for one warm model.

    The loader closes its connections and forgets its credentials when the model is in memory; whatever else holds
    something of the kind is a `Resource`.

    Attributes:
        prefetch: reads the memory's pages since the last restore; None before it.
    """

    def __init__(self, context: Context, resources: Sequence[Resource] = ()) -> None:
        self.prefetch: Prefetch | None = None
        self._context = context
        self._resources = resources
        self._features = cpu.features()
        self._weights: list[Region] = []

    def before_snapshot(self) -> None:
        """Record the CPU and the order in which a token needs the weights, and leave nothing behind that would age.

        Raises:
            Exception: whatever a resource raises.
        """
        self._features = cpu.features()
        with self._context.lock:
            self._weights = weights_in_order(self._context)
        for resource in self._resources:
            resource.before_snapshot()
        gc.collect()
        wipe()
        give_back()
        logger.info("ready for the snapshot, taken on a CPU with %s", ", ".join(sorted(self._features)))
        _flush(logging.getLogger())

    def after_restore(self) -> None:
        """Compare the CPU, reseed, make resources ready, and begin to read the memory's pages.

        The reading goes on beside the first request, which is faster than waiting for it here: what computes is not
        what waits, and the request needs the pages in the same order.

        Raises:
            CPUChangedError: this CPU lacks what the loaded code uses.
            Exception: whatever a resource raises.
        """
        began = time.monotonic()
        cpu.require(self._features, cpu.features())
        reseed()
        self.prefetch = Prefetch(self._weights, other_memory(self._weights))
        for resource in self._resources:
            resource.after_restore()
        logger.info("restored in %.3f s; pages are being read", time.monotonic() - began)


def _flush(root: logging.Logger) -> None:
    """Write out what handlers hold back: it would be written by every environment, with a time long past."""
    for name in [None, *root.manager.loggerDict]:
        for handler in logging.getLogger(name).handlers:
            handler.flush()
