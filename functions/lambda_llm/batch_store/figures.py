"""The line of a batch, each time that it changes how it stands."""

import time

from lambda_llm.batch_store.records import Record
from lambda_llm.telemetry import emf
from lambda_llm.telemetry.lines import BATCH


def write(record: Record) -> None:
    """Write where a batch stands now."""
    batch = record.batch
    counts, errors = batch.request_counts, batch.errors.data if batch.errors else ()
    emf.write(
        BATCH,
        batch=batch.id,
        tenant=record.tenant,
        model=batch.model,
        backend_kind=next((each.kind for each in record.options if each.backend == record.backend), None),
        status=batch.status,
        error=errors[0].code if errors else None,
        records=counts.total,
        completed=counts.completed,
        failed=counts.failed,
        seconds=max(0.0, time.time() - batch.created_at),
    )
