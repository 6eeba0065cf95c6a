"""The first step of a batch: every line of its input is checked once, and ranges of lines become parts.

An input of any size: what does not fit into one invocation is handed on to the next, in the store.
"""

import logging
import time
from collections.abc import Callable
from typing import Any, Final, Literal

from pydantic import BaseModel, Field

from lambda_llm.backends.contract import Operation
from lambda_llm.batch import estimate
from lambda_llm.batch.config import Backend, BedrockBackend, Configuration, GPUBackend
from lambda_llm.batch.errors import BatchFailedError
from lambda_llm.batch.lines import LineError, Raw, parse, split
from lambda_llm.batch.plan import Part, fitting, records_of_unit
from lambda_llm.batch.rules import Rules, require_new
from lambda_llm.batch.seen import Seen, hash_of
from lambda_llm.batch.storage import BLOCK_BYTES, Storage
from lambda_llm.batch_store import layout
from lambda_llm.batch_store.batches import Batches, Stored
from lambda_llm.batch_store.records import Option, Record
from lambda_llm.openai_types.batches import BatchError, BatchErrors, RequestCounts

JOB_SECONDS: Final = 600
"""After the window, in which a job has ended by itself; what has not begun by then never will."""

ERRORS_MAX: Final = 100
"""Of a file that are told; the rest is not looked for."""

MARGIN_SECONDS: Final = 90.0
"""Before the end of an invocation at which it hands on: it writes eight bytes for each record."""

EMPTY: Final = BatchError(code="empty_file", message="The file has no request: write one on each line.")

logger = logging.getLogger(__name__)


class State(BaseModel):
    """How far indexing has come.

    Attributes:
        phase: `read`: lines are checked; `confirm`: ids that seem to be there twice are compared; `done`: there is a
            plan.
        offset: bytes that were read.
        line: lines, blank ones included.
        units: that have ended.
        seen: ids of the lines so far.
        open: the unit that has not; None: the next line begins one.
        repeated: hashes of ids that may be there twice.
        found: lines of such ids.
        model: of the lines; None: there were none.
        errors: the first ones.
        records: in all units.
        options: how they could be answered.
        backend: the option that was chosen.
        plan: what the step returns.
    """

    phase: Literal["read", "confirm", "done"] = "read"
    offset: int = 0
    line: int = 0
    units: list[Part] = Field(default_factory=list)
    seen: int = 0
    open: Part | None = None
    repeated: list[int] = Field(default_factory=list)
    found: dict[str, int] = Field(default_factory=dict)
    model: str | None = None
    errors: list[BatchError] = Field(default_factory=list)
    records: int = 0
    options: tuple[Option, ...] = ()
    backend: str | None = None
    plan: dict[str, Any] | None = None


class Indexer:
    """See the module."""

    def __init__(
        self,
        storage: Storage,
        batches: Batches,
        configuration: Configuration,
        clock: Callable[[], float] = time.time,
        block_bytes: int = BLOCK_BYTES,
    ) -> None:
        """Take what it works with; nothing is read.

        Args:
            storage: the store.
            batches: in it.
            configuration: of the store.
            clock: seconds since 1970.
            block_bytes: of the input that are read at once; an invocation ends between two of them.
        """
        self._storage = storage
        self._batches = batches
        self._configuration = configuration
        self._clock = clock
        self._block_bytes = block_bytes

    def index(self, tenant: str, batch_id: str, remaining: Callable[[], float]) -> dict[str, Any]:
        """Index a batch, or a part of it.

        Args:
            tenant: whose batch it is.
            batch_id: of it.
            remaining: seconds that this invocation has left.

        Returns:
            `step`: `index` (go on), `map` or `array` (answer the parts), or `end` (the batch has failed, or was
            cancelled); `parts` with `bucket`, `key` and `count`; `concurrency` of the map; `job` of the array.

        Raises:
            StoreError: the store does not answer.
        """
        stored = self._batches.read(tenant, batch_id)
        if stored.record.batch.status == "cancelling" and not self._state(batch_id).plan:
            return self._cancelled(stored)
        if stored.record.batch.status not in ("validating", "in_progress", "cancelling"):
            return self._result(stored.record, "end")
        try:
            state = self._read(stored.record, remaining)
            if state.phase != "done":
                return self._result(stored.record, "index")
            if state.errors:
                return self._failed(stored, state.errors)
            if state.plan is None:
                raise AssertionError(state.phase)
            self._started(stored, state)
        except BatchFailedError as error:
            return self._failed(stored, [BatchError(code=error.code, message=str(error))])
        left = stored.record.batch.expires_at - int(self._clock())
        state.plan["job"]["seconds"] = max(0, left) + JOB_SECONDS
        return state.plan

    # -- Lines ----------------------------------------------------------------------------------------

    def _state(self, batch_id: str) -> State:
        content = self._storage.get(layout.index_state(batch_id))
        return State() if content is None else State.model_validate_json(content)

    def _read(self, record: Record, remaining: Callable[[], float]) -> State:
        batch_id = record.batch.id
        state = self._state(batch_id)
        if state.phase == "read":
            seen = Seen(self._storage.get(layout.seen(batch_id)) or b"") if state.offset else Seen()
            if len(seen) != state.seen:
                # They are those of an invocation that did not come to note how far it was: each id of it would seem to
                # be there twice, and of so many only the first ones are compared.
                state, seen = State(), Seen()
            if not self._check(record, state, seen, remaining):
                state.seen = len(seen)
                self._storage.put(layout.seen(batch_id), seen.written())
                self._hand_on(batch_id, state)
                return state
            state.repeated = [] if state.errors else sorted(seen.twice())[: 10 * ERRORS_MAX]
            state.phase, state.offset, state.line = "confirm", 0, 0
        if state.phase == "confirm":
            if state.repeated and not self._compare(record, state, remaining):
                self._hand_on(batch_id, state)
                return state
            state.phase = "done"
            if not state.errors:
                state.plan = self._plan(record, state)
            self._hand_on(batch_id, state)
        return state

    def _hand_on(self, batch_id: str, state: State) -> None:
        self._storage.put(layout.index_state(batch_id), state.model_dump_json().encode())

    def _check(self, record: Record, state: State, seen: Seen, remaining: Callable[[], float]) -> bool:
        """Check lines; returns whether all are."""
        rules = Rules(record.batch.endpoint, self._configuration, record.rights.models, state.model)
        size, begun = record.source.size, state.offset
        if not size:
            state.errors.append(EMPTY)
            return True
        blocks = self._storage.blocks(record.source, begun, size - 1, self._block_bytes)
        until = begun + self._block_bytes
        try:
            for raw in split(blocks, begun):
                state.line += 1
                start, state.offset = state.offset, raw.after
                if not raw.blank:
                    self._checked(rules, raw, start, state, seen, records_of_unit(size, raw.after / state.line))
                    state.model = rules.model
                if len(state.errors) >= ERRORS_MAX:
                    return True
                if raw.after >= until:
                    until = raw.after + self._block_bytes
                    if remaining() < MARGIN_SECONDS:
                        return False
        except LineError as error:
            state.errors.append(error.told(state.line + 1))
        if state.open is not None:
            state.units.append(state.open)
            state.open = None
        if not state.units and not state.errors:
            state.errors.append(EMPTY)
        return True

    def _checked(self, rules: Rules, raw: Raw, start: int, state: State, seen: Seen, limit: int) -> None:
        try:
            line = parse(raw.content)
            given, answer = rules.check(line)
        except LineError as error:
            state.errors.append(error.told(state.line))
            return
        seen.add(line.custom_id)
        unit = state.open
        if unit is None:
            number = len(state.units)
            before = state.units[-1].record + state.units[-1].records if state.units else 0
            unit = Part(part=number, first=start, last=start, record=before, records=0)
        unit = unit.model_copy(
            update={
                "last": raw.after - 1,
                "records": unit.records + 1,
                "input_tokens": unit.input_tokens + given,
                "output_tokens": unit.output_tokens + answer,
            }
        )
        state.open = unit
        if unit.records >= limit:
            state.units.append(unit)
            state.open = None

    def _compare(self, record: Record, state: State, remaining: Callable[[], float]) -> bool:
        """Compare the ids of which several have one hash; returns whether all were."""
        suspects = set(state.repeated)
        until = state.offset + self._block_bytes
        for raw in split(
            self._storage.blocks(record.source, state.offset, record.source.size - 1, self._block_bytes), state.offset
        ):
            state.line += 1
            state.offset = raw.after
            if raw.blank:
                continue
            custom_id = parse(raw.content).custom_id
            if hash_of(custom_id) in suspects:
                try:
                    require_new(custom_id, state.found)
                    state.found[custom_id] = state.line
                except LineError as error:
                    state.errors.append(error.told(state.line))
            if len(state.errors) >= ERRORS_MAX:
                return True
            if raw.after >= until:
                until = raw.after + self._block_bytes
                if remaining() < MARGIN_SECONDS:
                    return False
        return True

    # -- Parts ----------------------------------------------------------------------------------------

    def _plan(self, record: Record, state: State) -> dict[str, Any]:
        """Choose who answers, and write the index."""
        model = self._configuration.models[str(state.model)]
        totals = _totals(state.units, record.source.size)
        found = estimate.options(model, Operation(record.batch.endpoint), totals, self._wish(record))
        option = estimate.chosen(found)
        if option is None:
            reasons = "; ".join(f"{each.backend} {each.why_not}" for each in found)
            raise BatchFailedError("no_backend", f"Nothing can answer this batch: {reasons}.")
        backend = model.backends[option.backend]
        parts = fitting(
            state.units,
            totals.records,
            estimate.parts_for(backend, totals),
            _shares(record, backend, totals),
            lambda part: estimate.fits(backend, part),
        )
        self._storage.put(
            layout.parts(record.batch.id), b"".join(part.model_dump_json().encode() + b"\n" for part in parts)
        )
        state.units = []  # they are in the index now
        state.records, state.options, state.backend = totals.records, found, option.backend
        result = self._result(record, "array" if isinstance(backend, GPUBackend) else "map")
        result["parts"]["count"] = len(parts)
        result["concurrency"] = len(parts) if isinstance(backend, GPUBackend) else estimate.workers(backend)
        if isinstance(backend, GPUBackend):
            result["parts"]["count"] = max(2, len(parts))  # the least of an array; a job without a part ends at once
            result["job"] |= {"queue": backend.queue, "definition": backend.definition, "name": record.execution}
        return result

    def _wish(self, record: Record) -> estimate.Wish:
        return estimate.Wish(
            record.batch.expires_at - self._clock(), record.rights.place, record.backend, record.max_dollars
        )

    def _result(self, record: Record, step: str) -> dict[str, Any]:
        key = self._storage.prefix + layout.parts(record.batch.id)
        return {
            "step": step,
            "tenant": record.tenant,
            "batch": record.batch.id,
            "parts": {"bucket": self._storage.bucket, "key": key, "count": 0},
            "concurrency": 1,
            "job": {"queue": "", "definition": "", "name": "", "seconds": 0},
        }

    # -- Record ---------------------------------------------------------------------------------------

    def _started(self, stored: Stored, state: State) -> None:
        def begun(record: Record) -> Record:
            counts = RequestCounts(total=state.records)
            changed = record.with_batch(model=state.model, request_counts=counts)
            if record.batch.status == "validating":
                since = record.batch.in_progress_at or int(self._clock())  # a batch that was resumed had begun before
                changed = changed.with_batch(status="in_progress", in_progress_at=since)
            return changed.model_copy(update={"options": state.options, "backend": state.backend})

        self._batches.change_until_ended(stored, begun)

    def _failed(self, stored: Stored, errors: list[BatchError]) -> dict[str, Any]:
        def failed(record: Record) -> Record:
            return record.with_batch(
                status="failed", failed_at=int(self._clock()), errors=BatchErrors(data=errors[:ERRORS_MAX])
            )

        self._batches.change_until_ended(stored, failed)
        logger.info(
            "batch %s has failed: %s", stored.record.batch.id, ", ".join(sorted({each.code for each in errors}))
        )
        return self._result(stored.record, "end")

    def _cancelled(self, stored: Stored) -> dict[str, Any]:
        """Cancelled before anything was answered: there is nothing to join."""
        self._batches.change_until_ended(
            stored, lambda record: record.with_batch(status="cancelled", cancelled_at=int(self._clock()))
        )
        return self._result(stored.record, "end")


def _totals(units: list[Part], size: int) -> estimate.Totals:
    return estimate.Totals(
        sum(unit.records for unit in units),
        size,
        sum(unit.input_tokens for unit in units),
        sum(unit.output_tokens for unit in units),
    )


def _shares(record: Record, backend: Backend, totals: estimate.Totals) -> Callable[[Part], float | None]:
    """What a part may cost: a share of the limit, as its work is a share of the whole."""
    limit = record.max_dollars
    if limit is None or isinstance(backend, BedrockBackend):
        return lambda _: None  # Bedrock's price is that of the estimate, which the limit has let pass
    if isinstance(backend, GPUBackend):
        limit = max(0.0, limit - estimate.starts(backend, totals))  # no request takes this time, and it is paid for
    whole = estimate.seconds_of(backend, totals)
    return lambda part: limit * (estimate.seconds_of(backend, part) / whole if whole else part.records / totals.records)
