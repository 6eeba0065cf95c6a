"""Batches of tenants: their records in S3, and their executions in Step Functions.

A record is changed on a condition only (`aws.conditional_objects`), by whoever creates, cancels and resumes a batch and
by the functions that its execution runs.

Roles need `s3:GetObject` and `s3:PutObject` below `batches/`, `s3:PutObject` for `work/*/stop`, `s3:GetObject` below
`files/` and `uploads/`, `s3:ListBucket` for all of these and `work/*/counts/`, and on the state machine
`states:StartExecution`; to resume a batch also `states:DescribeExecution` on its executions.
"""

import builtins
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from lambda_llm.aws.conditional_objects import ConditionalObjects
from lambda_llm.aws.errors import StorageError
from lambda_llm.batch_store import layout, records
from lambda_llm.batch_store.bucket import StoreBucket
from lambda_llm.batch_store.errors import InputError, NoSuchError, StateError, StoreError
from lambda_llm.batch_store.files import READERS, Files
from lambda_llm.batch_store.records import Record, Rights, Source
from lambda_llm.openai_types.batches import ENDED, Batch, BatchError, BatchErrors, BatchRequest, RequestCounts

BROKEN: Final = "broken"
"""Code of a batch's error: its execution could not be started, or has failed."""

PARTS_FAILED: Final = "parts_failed"
"""Code of a batch's error: some of its parts have no answers."""

_TURNS: Final = 10
"""How often a change is tried that others were faster than."""

_COUNTED: Final = frozenset({"in_progress", "cancelling", "finalizing"})
_RECORD: Final = ".json"


@dataclass(frozen=True)
class Stored:
    """A batch in S3.

    Attributes:
        record: it.
        etag: of this state.
    """

    record: Record
    etag: str


class Batches:
    """Batches of all tenants. Thread-safe; each call waits for S3 and Step Functions."""

    def __init__(
        self,
        uri: str,
        s3: Any,
        states: Any,
        machine: str,
        clock: Callable[[], float] = time.time,
        changed: Callable[[Record], None] = lambda _: None,
    ) -> None:
        """Take the parts; no request is sent.

        Args:
            uri: of the store, `s3://bucket/prefix/`.
            s3: client of S3.
            states: client of Step Functions.
            machine: ARN of the state machine.
            clock: seconds since 1970.
            changed: told of each batch that now stands otherwise, once it is written.

        Raises:
            S3URIError: `uri` has another form.
        """
        self._bucket = StoreBucket(uri, s3)
        self._objects = ConditionalObjects(self._bucket.name, s3)
        self._files = Files(uri, s3, clock)
        self._states = states
        self._machine = machine
        self._clock = clock
        self._changed = changed

    def create(
        self,
        tenant: str,
        request: BatchRequest,
        rights: Rights,
        *,
        source: Source | None = None,
        batch_id: str | None = None,
    ) -> Batch:
        """Store a batch and start it.

        Args:
            tenant: whose it is.
            request: what is asked for; its `max_dollars` already what the tenant may spend.
            rights: of the tenant.
            source: the input, if it is none of the tenant's files and uploads.
            batch_id: of it, where the same batch must not be created twice: if it is there, it is started if need be,
                and returned. Default: a new one.

        Raises:
            InputError: the input is no file of this tenant that a batch can have.
            NoSuchError: the input is not there.
            StoreError: S3 or Step Functions does not answer, or refuses. A batch that was stored, but could not be
                started, has failed and can be resumed; one with a `batch_id` waits for being created again.
        """
        now = int(self._clock())
        batch = Batch(
            id=batch_id or layout.new_batch(self._clock()),
            endpoint=request.endpoint,
            input_file_id=request.input_file_id,
            completion_window=request.completion_window,
            created_at=now,
            expires_at=now + request.seconds,
            metadata=request.metadata,
        )
        expires = request.output_expires_after
        record = Record(
            tenant=tenant,
            batch=batch,
            source=source or self._files.source(tenant, request.input_file_id),
            rights=rights,
            backend=request.backend,
            max_dollars=request.max_dollars,
            output_seconds=None if expires is None else expires.seconds,
        )
        stored = self._put(record, None)
        if stored is not None:
            self._changed(record)
        else:
            stored = self.read(tenant, batch.id)
            if stored.record.batch.status != "validating":
                return self._counted(stored.record.batch)
        return self._started(stored, fails=batch_id is None)

    def get(self, tenant: str, batch_id: str) -> Batch:
        """A batch, with the counts of this moment.

        Raises:
            NoSuchError: this tenant has none of this id.
            StoreError: S3 does not answer, or refuses.
        """
        return self._counted(self.read(tenant, batch_id).record.batch)

    def dollars(self, batch_id: str) -> float:
        """What the parts of a batch that have ended have cost, in US dollars.

        Raises:
            StoreError: S3 does not answer, or refuses.
        """
        return sum(mark.micro_dollars for mark in self._marks(batch_id)) / 1e6

    def list(self, tenant: str, after: str | None = None, limit: int = 20) -> tuple[list[Batch], bool]:
        """A page of a tenant's batches, newest first.

        Args:
            tenant: whose they are.
            after: id of the last batch of the page before.
            limit: most batches of the page.

        Returns:
            The batches, and whether there are more.

        Raises:
            InputError: `after` is no batch's id.
            StoreError: S3 does not answer, or refuses.
        """
        if after is not None and not layout.is_batch(after):
            raise InputError("after", "after must be the id of a batch, the last one of the page before.")
        names = self._bucket.names(layout.batches(tenant), None if after is None else after + _RECORD)
        ids = filter(layout.is_batch, (each.removesuffix(_RECORD) for each in names))
        page = list(islice(ids, limit + 1))
        with ThreadPoolExecutor(READERS) as pool:
            found = list(pool.map(lambda each: self.get(tenant, each), page[:limit]))
        return found, len(page) > limit

    def cancel(self, tenant: str, batch_id: str) -> Batch:
        """Have a batch stop; within seconds its workers do, and what there is becomes its output.

        Raises:
            NoSuchError: this tenant has none of this id.
            StateError: it has ended, or its output is being written.
            StoreError: S3 does not answer, or refuses; cancel it again.
        """
        for _ in range(_TURNS):
            stored = self.read(tenant, batch_id)
            status = stored.record.batch.status
            if status not in ("validating", "in_progress", "cancelling"):
                raise StateError(f"The batch {batch_id} is {status}: only one that is validating or in progress stops.")
            changed: Stored | None = stored
            if status != "cancelling":
                now = int(self._clock())
                changed = self.change(stored, stored.record.with_batch(status="cancelling", cancelling_at=now))
            if changed is not None:
                self._bucket.call("put_object", Key=self._bucket.prefix + layout.stop(batch_id), Body=b"")
                return self._counted(changed.record.batch)
        raise self._contended(batch_id)

    def resume(self, tenant: str, batch_id: str) -> Batch:
        """Go on with a batch whose execution has failed; answers that are there are kept.

        A batch that was being cancelled goes on with that.

        Raises:
            NoSuchError: this tenant has none of this id.
            StateError: it runs, has completed, or failed for its input.
            StoreError: S3 or Step Functions does not answer, or refuses.
        """
        for _ in range(_TURNS):
            stored = self.read(tenant, batch_id)
            self._require_failed(stored.record)
            batch = stored.record.batch
            # Its workers find the mark of the cancellation, whatever has failed since.
            cancelled = batch.status == "cancelling" or batch.cancelling_at is not None
            status = "cancelling" if cancelled else "validating"
            again = stored.record.with_batch(status=status, errors=None, failed_at=None, finalizing_at=None)
            changed = self.change(stored, again.model_copy(update={"run": stored.record.run + 1}))
            if changed is not None:
                return self._started(changed)
        raise self._contended(batch_id)

    def read(self, tenant: str, batch_id: str) -> Stored:
        """A batch's record.

        Raises:
            NoSuchError: this tenant has none of this id.
            StoreError: S3 does not answer, or refuses.
        """
        found = None
        if layout.is_batch(batch_id):
            try:
                found = self._objects.get(self._key(tenant, batch_id))
            except StorageError as error:
                raise self._bucket.error(error) from error
        if found is None:
            raise NoSuchError("batch_id", f"There is no batch {batch_id!r} of this tenant: list those that there are.")
        content, etag = found
        return Stored(records.read(content, tenant, batch_id), etag)

    def change(self, stored: Stored, record: Record) -> Stored | None:
        """Change a record; None: somebody else has changed it, and it was not touched.

        Raises:
            StoreError: it is not known whether it was changed.
        """
        changed = self._put(record, stored.etag)
        if changed is not None and record.batch.status != stored.record.batch.status:
            self._changed(record)
        return changed

    def change_until_ended(self, stored: Stored, change: Callable[[Record], Record]) -> None:
        """Change a record, whoever else changes it meanwhile; one that has ended stays as it is.

        Args:
            stored: the record.
            change: makes the new one of the one that is there.

        Raises:
            StoreError: it is not known whether it was changed.
        """
        while stored.record.batch.status not in ENDED:
            if self.change(stored, change(stored.record)) is not None:
                return
            stored = self.read(stored.record.tenant, stored.record.batch.id)

    def _put(self, record: Record, etag: str | None) -> Stored | None:
        try:
            written = self._objects.put(self._key(record.tenant, record.batch.id), record.written(), etag)
        except StorageError as error:
            raise self._bucket.error(error) from error
        return None if written is None else Stored(record, written)

    def _started(self, stored: Stored, *, fails: bool = True) -> Batch:
        """Start a batch's execution, which is the same however often it is started; else the batch fails."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - the client has imported it

        record = stored.record
        given = json.dumps({"tenant": record.tenant, "batch": record.batch.id})
        try:
            self._states.start_execution(stateMachineArn=self._machine, name=record.execution, input=given)
        except self._states.exceptions.ExecutionAlreadyExists:  # it was, by an attempt that was not answered
            return self._counted(record.batch)
        except (ClientError, BotoCoreError) as error:
            sentence = (
                f"The batch {record.batch.id} could not be started ({error}): check that the role may use "
                f"states:StartExecution on {self._machine}, and resume the batch or create it again."
            )
            if fails:
                errors = BatchErrors(data=[BatchError(code=BROKEN, message=sentence)])
                self.change(stored, record.with_batch(status="failed", failed_at=int(self._clock()), errors=errors))
            raise StoreError(sentence) from error
        return self._counted(record.batch)

    def _require_failed(self, record: Record) -> None:
        batch = record.batch
        if batch.status == "failed":
            codes = {each.code for each in (batch.errors.data if batch.errors else ())}
            if not codes & {BROKEN, PARTS_FAILED}:
                raise StateError(f"The batch {batch.id} failed for its input: correct it and create another batch.")
        elif batch.status in ENDED:
            raise StateError(f"The batch {batch.id} is {batch.status}: create another one instead of resuming it.")
        elif self._runs(record):
            raise StateError(f"The batch {batch.id} is running: wait for its end.")

    def _runs(self, record: Record) -> bool:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - the client has imported it

        execution = f"{self._machine.replace(':stateMachine:', ':execution:')}:{record.execution}"
        try:
            status: str = self._states.describe_execution(executionArn=execution)["status"]
        except self._states.exceptions.ExecutionDoesNotExist:
            return False
        except (ClientError, BotoCoreError) as error:
            raise StoreError(
                f"It is not known whether the batch {record.batch.id} runs ({error}): check that the role may use "
                "states:DescribeExecution on its executions."
            ) from error
        return status in ("RUNNING", "PENDING_REDRIVE")

    def _counted(self, batch: Batch) -> Batch:
        """A batch with the counts of the parts that have ended, while it has none of its own."""
        if batch.status not in _COUNTED:
            return batch
        marks = self._marks(batch.id)
        counts = RequestCounts(
            total=batch.request_counts.total,
            completed=sum(mark.completed for mark in marks),
            failed=sum(mark.failed for mark in marks),
        )
        return batch.model_copy(update={"request_counts": counts})

    def _marks(self, batch_id: str) -> builtins.list[layout.Mark]:
        found = map(layout.Mark.read, self._bucket.names(layout.counts(batch_id)))
        return [mark for mark in found if mark is not None]

    def _key(self, tenant: str, batch_id: str) -> str:
        return self._bucket.prefix + layout.batch(tenant, batch_id)

    def _contended(self, batch_id: str) -> StoreError:
        return StoreError(f"The batch {batch_id} changes too often to be changed: try again.")
