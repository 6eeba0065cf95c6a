"""The functions of a batch: `handle` dispatches what its state machine, EventBridge and the schedule ask for.

One zip for two functions, whose roles differ: `index` (indexing, joining, uploads) and `worker` (answering).
"""

import asyncio
import logging
import os
from collections.abc import Callable
from functools import cached_property
from typing import Any

from lambda_llm.aws import clients
from lambda_llm.batch import build
from lambda_llm.batch.bedrock import POLL_SECONDS, BedrockJobs
from lambda_llm.batch.config import BedrockBackend, LambdaBackend, Model
from lambda_llm.batch.errors import BatchFailedError
from lambda_llm.batch.figures import worked
from lambda_llm.batch.finalize import Finalizer
from lambda_llm.batch.index import Indexer
from lambda_llm.batch.intake import Intake
from lambda_llm.batch.pieces import Tally
from lambda_llm.batch.plan import Part
from lambda_llm.batch.settings import configuration_of, store_of
from lambda_llm.batch.storage import Storage, s3_client
from lambda_llm.batch.worker import Worker
from lambda_llm.batch_store import figures
from lambda_llm.batch_store.batches import Batches
from lambda_llm.batch_store.files import Files
from lambda_llm.batch_store.records import Record
from lambda_llm.telemetry import logs, spans
from lambda_llm.telemetry.propagation import FLUSH_SECONDS, continued

logger = logging.getLogger(__name__)


class Functions:
    """What both functions work with; an environment makes it once."""

    def __init__(self, uri: str) -> None:
        """Take the store; nothing is read.

        Args:
            uri: of the store.
        """
        self._uri = uri
        self._s3 = s3_client()
        self._storage = Storage(uri, self._s3)

    @cached_property
    def _states(self) -> Any:
        return clients.create("stepfunctions")

    def _batches(self, machine: str) -> Batches:
        return Batches(self._uri, self._s3, self._states, machine, changed=figures.write)

    def index(self, tenant: str, batch: str, remaining: Callable[[], float]) -> dict[str, Any]:
        """See `Indexer`."""
        configuration = configuration_of(self._storage)
        batches = self._batches(configuration.machine)
        return Indexer(self._storage, batches, configuration).index(tenant, batch, remaining)

    def finalize(self, tenant: str, batch: str, remaining: Callable[[], float]) -> dict[str, Any]:
        """See `Finalizer`."""
        return self._finalizer().finalize(tenant, batch, remaining)

    def broken(self, tenant: str, batch: str) -> dict[str, Any]:
        """See `Finalizer`."""
        return self._finalizer().broken(tenant, batch)

    def uploaded(self, event: dict[str, Any]) -> dict[str, Any]:
        """See `Intake`."""
        return {"batches": self._intake().uploaded(event)}

    def scheduled(self) -> dict[str, Any]:
        """See `Intake`."""
        return {"batches": self._intake().scheduled()}

    def work(
        self, tenant: str, batch: str, part: dict[str, Any], attempt: int, remaining: Callable[[], float]
    ) -> dict[str, Any]:
        """Answer a part; returns `step`, which is `done`, `again` or `wait`, and `seconds` to wait."""
        configuration = configuration_of(self._storage)
        record = self._batches(configuration.machine).read(tenant, batch).record
        model, backend = build.chosen(configuration, record)
        read = Part.model_validate(part)
        with worked(record, backend, read) as done:
            if isinstance(backend, BedrockBackend):
                bedrock = clients.create("bedrock", backend.region)
                jobs = BedrockJobs(self._storage, record, backend, model.max_tokens, bedrock, ended=done.ended)
                done.step = jobs.work(read)
            elif isinstance(backend, LambdaBackend):
                done.step = asyncio.run(self._asked(record, model, backend, read, attempt, remaining, done.ended))
            else:
                raise BatchFailedError("no_backend", "Parts for GPUs are answered by jobs, not by this function.")
        seconds = POLL_SECONDS if done.step == "wait" else 0
        return {"step": done.step, "seconds": seconds, "tenant": tenant, "batch": batch, "part": part}

    async def _asked(
        self,
        record: Record,
        model: Model,
        backend: LambdaBackend,
        part: Part,
        attempt: int,
        remaining: Callable[[], float],
        ended: Callable[[Tally], None],
    ) -> str:
        asker = build.function(model, backend, record)
        try:
            parallel = min(backend.parallel, backend.concurrency)
            return await Worker(self._storage, record, asker, parallel, ended=ended).work(part, attempt, remaining)
        finally:
            await asker.close()

    def _finalizer(self) -> Finalizer:
        configuration = configuration_of(self._storage)
        return Finalizer(self._storage, self._batches(configuration.machine), Files(self._uri, self._s3))

    def _intake(self) -> Intake:
        configuration = configuration_of(self._storage)
        return Intake(self._storage, self._batches(configuration.machine), configuration)


logs.configure()
spans.configure("batch")
_functions = Functions(store_of(os.environ))


def handle(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Do what an event asks for; an error makes Step Functions try again."""

    def remaining() -> float:
        milliseconds: int = context.get_remaining_time_in_millis()
        return milliseconds / 1000

    asked = {"request_id": event.get("batch"), **event}
    try:
        with continued(asked, str(event.get("do", "intake")), lambda_request_id=context.aws_request_id):
            return _done(event, remaining)
    finally:
        spans.flush(FLUSH_SECONDS)


def _done(event: dict[str, Any], remaining: Callable[[], float]) -> dict[str, Any]:
    match event:
        case {"do": "index", "tenant": str(tenant), "batch": str(batch)}:
            return _functions.index(tenant, batch, remaining)
        case {"do": "work", "tenant": str(tenant), "batch": str(batch), "part": dict(part)}:
            return _functions.work(tenant, batch, part, int(event.get("attempt", 0)), remaining)
        case {"do": "finalize", "tenant": str(tenant), "batch": str(batch)}:
            return _functions.finalize(tenant, batch, remaining)
        case {"do": "broken", "tenant": str(tenant), "batch": str(batch)}:
            return _functions.broken(tenant, batch)
        case {"do": "intake"}:
            return _functions.scheduled()
        case {"detail-type": "Object Created"}:
            return _functions.uploaded(event)
        case _:
            raise BatchFailedError(
                "unknown_event", "This event is none of a batch: start batches by their state machine."
            )
