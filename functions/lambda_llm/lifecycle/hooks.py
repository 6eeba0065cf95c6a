"""What happens right before the snapshot and right after a restore: one pair, whichever front door is used.

Source: https://docs.aws.amazon.com/lambda/latest/dg/snapstart-runtime-hooks.html
"""

import gc
import logging
import threading
from typing import Final

from lambda_llm.engine.model import Cancellation, Model
from lambda_llm.lifecycle import cpu
from lambda_llm.lifecycle.warmup import touch
from lambda_llm.limits import RESTORE_SECONDS

logger = logging.getLogger(__name__)

TOUCH_SECONDS: Final = RESTORE_SECONDS / 2
"""How long the restore may spend on reading pages: half of Lambda's limit, the rest is its own."""


class SnapshotHooks:
    """The pair for one warm model.

    There is little to put away: the loader closes its connections and forgets its credentials when the model
    is in memory, and ids and default seeds come from the system's entropy, which is fresh after a restore.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._features = cpu.features()

    def before_snapshot(self) -> None:
        """Record the CPU and leave no garbage to be stored."""
        self._features = cpu.features()
        gc.collect()
        logger.info("ready for the snapshot, taken on a CPU with %s", ", ".join(sorted(self._features)))

    def after_restore(self) -> None:
        """Compare the CPU and read the weights' pages.

        Raises:
            CPUChangedError: this CPU lacks what the loaded code uses.
        """
        cpu.require(self._features, cpu.features())
        cancellation = Cancellation()
        timer = threading.Timer(TOUCH_SECONDS, cancellation.cancel)
        timer.start()
        try:
            complete = touch(self._model, cancellation)
        finally:
            timer.cancel()
        logger.info("restored: %s", "all pages read" if complete else f"pages read for {TOUCH_SECONDS:g} s")
