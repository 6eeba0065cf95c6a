"""The line of a part: one for each invocation that works on it, however that ends."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from lambda_llm.batch.config import Backend
from lambda_llm.batch.errors import BatchFailedError
from lambda_llm.batch.pieces import Tally
from lambda_llm.batch.plan import Part
from lambda_llm.batch_store.records import Record
from lambda_llm.cost.this_function import dollars
from lambda_llm.telemetry import emf
from lambda_llm.telemetry.lines import BATCH_PART


@dataclass
class Worked:
    """What an invocation has done.

    Attributes:
        step: what comes next; None: it has not come that far.
        tally: of the records that it has ended.
    """

    step: str | None = None
    tally: Tally = field(default_factory=Tally)

    def ended(self, tally: Tally) -> None:
        """Take what a worker says at its end."""
        self.tally = tally


@contextmanager
def worked(record: Record, backend: Backend, part: Part) -> Iterator[Worked]:
    """Write the line at the end of the context, of what it then says.

    Args:
        record: of the batch.
        backend: that answers it.
        part: of it.
    """
    done, began = Worked(), time.monotonic()
    error: str | None = None
    try:
        yield done
    except BaseException as failure:
        error = failure.code if isinstance(failure, BatchFailedError) else type(failure).__name__
        raise
    finally:
        seconds = time.monotonic() - began
        emf.write(
            BATCH_PART,
            Records=done.tally.records,
            RecordErrors=done.tally.failed,
            InputTokens=done.tally.input_tokens,
            OutputTokens=done.tally.output_tokens,
            Dollars=done.tally.dollars,
            batch=record.batch.id,
            part=part.part,
            tenant=record.tenant,
            model=record.batch.model,
            backend=record.backend,
            backend_kind=backend.kind,
            status="failed" if error else done.step,
            error=error,
            seconds=seconds,
            own_dollars=dollars(seconds),
        )
