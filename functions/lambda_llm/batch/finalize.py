"""The last step of a batch: its pieces, in order, become the output file and the error file.

Every record of the input is in one of the two, once: what was not answered, because the batch was cancelled or its
window has ended, has a line in the error file. A batch that was not cancelled, has time left and lacks answers is not
joined: it has failed, and can be resumed.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby
from typing import Any, Final, Literal

from pydantic import BaseModel

from lambda_llm.batch.lines import custom_id_of, not_answered, split
from lambda_llm.batch.output import LostUploadError, Output, Progress
from lambda_llm.batch.pieces import Head, Tally
from lambda_llm.batch.plan import Part
from lambda_llm.batch.storage import Storage
from lambda_llm.batch_store import layout
from lambda_llm.batch_store.batches import BROKEN, PARTS_FAILED, Batches, Stored
from lambda_llm.batch_store.errors import StoreError
from lambda_llm.batch_store.files import Files
from lambda_llm.batch_store.records import Record
from lambda_llm.openai_types.batches import (
    ENDED,
    BatchError,
    BatchErrors,
    BatchUsage,
    InputTokensDetails,
    OutputTokensDetails,
    RequestCounts,
)

MARGIN_SECONDS: Final = 60.0
"""Before the end of an invocation at which it hands on."""

READERS: Final = 16
"""Pieces that are read at once."""

Verdict = Literal["completed", "expired", "cancelled"]

MISSING: Final = {
    "expired": ("batch_expired", "The batch's completion window ended before this request was answered."),
    "cancelled": ("batch_cancelled", "The batch was cancelled before this request was answered."),
    "completed": ("not_answered", "This request was not answered."),
}
"""Code and sentence of a request without an answer, by what becomes of its batch."""

logger = logging.getLogger(__name__)


class State(BaseModel):
    """How far joining has come.

    Attributes:
        verdict: what the batch becomes.
        output_id: of the output file.
        error_id: of the error file.
        part: number of the next part.
        tally: of the parts before.
        output: progress of the output file.
        errors: progress of the error file.
    """

    verdict: Verdict
    output_id: str
    error_id: str
    part: int = 0
    tally: Tally = Tally()
    output: Progress = Progress()
    errors: Progress = Progress()


class Finalizer:
    """See the module."""

    def __init__(
        self, storage: Storage, batches: Batches, files: Files, clock: Callable[[], float] = time.time
    ) -> None:
        """Take what it works with; nothing is read.

        Args:
            storage: the store.
            batches: in it.
            files: in it.
            clock: seconds since 1970.
        """
        self._storage = storage
        self._batches = batches
        self._files = files
        self._clock = clock

    def finalize(self, tenant: str, batch_id: str, remaining: Callable[[], float]) -> dict[str, Any]:
        """Join a batch, or a part of it.

        Args:
            tenant: whose batch it is.
            batch_id: of it.
            remaining: seconds that this invocation has left.

        Returns:
            `step`: `finalize` (go on), `end`, or `failed` (answers are missing).

        Raises:
            StoreError: the store does not answer.
        """
        stored = self._batches.read(tenant, batch_id)
        answer = {"tenant": tenant, "batch": batch_id}
        if stored.record.batch.status in ENDED:
            return {"step": "end", **answer}
        parts = self._parts(batch_id)
        state = self._state(batch_id)
        if state is None:
            begun = self._begun(stored, parts)
            if begun is None:
                return {"step": "failed", **answer}
            stored, state = begun
        ended = state.output.ended and state.errors.ended
        try:
            if not ended and not self._joined(stored.record, state, parts, remaining):
                return {"step": "finalize", **answer}
            self._end(stored, state)
        except LostUploadError as error:
            logger.warning("batch %s is joined from its beginning: %s", batch_id, error)
            again = State(verdict=state.verdict, output_id=state.output_id, error_id=state.error_id)
            self._storage.put(layout.final_state(batch_id), again.model_dump_json().encode())
            return {"step": "finalize", **answer}
        return {"step": "end", **answer}

    def broken(self, tenant: str, batch_id: str) -> dict[str, Any]:
        """Mark a batch whose execution can't go on as failed; it can be resumed.

        Raises:
            StoreError: the store does not answer.
        """
        sentence = "A step of the batch failed again and again: look into its execution's log, and resume the batch."
        stored = self._batches.read(tenant, batch_id)
        if stored.record.batch.status not in ENDED:
            self._fail(stored, BROKEN, sentence)
        return {"step": "failed", "tenant": tenant, "batch": batch_id}

    # -- Verdict --------------------------------------------------------------------------------------

    def _parts(self, batch_id: str) -> list[Part]:
        content = self._storage.get(layout.parts(batch_id))
        if content is None:
            raise StoreError(f"The batch {batch_id} has no index: let nobody delete what is below work/ while it runs.")
        return [Part.model_validate_json(line) for line in content.splitlines()]

    def _state(self, batch_id: str) -> State | None:
        content = self._storage.get(layout.final_state(batch_id))
        return None if content is None else State.model_validate_json(content)

    def _begun(self, stored: Stored, parts: list[Part]) -> tuple[Stored, State] | None:
        """What becomes of a batch; None: it has failed."""
        while True:
            record = stored.record
            verdict: Verdict = "completed"
            if record.batch.status == "cancelling":
                verdict = "cancelled"
            elif missing := self._without_answers(record, parts):
                verdict = "expired"
                if self._clock() < record.batch.expires_at:
                    sentence = (
                        f"{missing:,} of {len(parts):,} parts have no answers, though they were tried again and again: "
                        "look into the worker's log, mend what it names, and resume the batch."
                    )
                    self._fail(stored, PARTS_FAILED, sentence)
                    return None
            changed: Stored | None = stored
            if record.batch.status == "in_progress":
                now = int(self._clock())
                changed = self._batches.change(stored, record.with_batch(status="finalizing", finalizing_at=now))
            if changed is None:  # it was cancelled at this moment
                stored = self._batches.read(record.tenant, record.batch.id)
                continue
            state = State(
                verdict=verdict, output_id=layout.new_file(self._clock()), error_id=layout.new_file(self._clock())
            )
            self._storage.put(layout.final_state(record.batch.id), state.model_dump_json().encode())
            return changed, state

    def _without_answers(self, record: Record, parts: list[Part]) -> int:
        """Parts that have not ended."""
        found = map(layout.Mark.read, self._storage.names(layout.counts(record.batch.id)))
        return len(parts) - len({mark.part for mark in found if mark is not None})

    def _fail(self, stored: Stored, code: str, sentence: str) -> None:
        logger.error("batch %s has failed: %s", stored.record.batch.id, sentence)
        errors = BatchErrors(data=[BatchError(code=code, message=sentence)])
        now = int(self._clock())
        self._batches.change_until_ended(
            stored, lambda record: record.with_batch(status="failed", failed_at=now, errors=errors)
        )

    # -- Joining --------------------------------------------------------------------------------------

    def _joined(self, record: Record, state: State, parts: list[Part], remaining: Callable[[], float]) -> bool:
        """Join parts; returns whether all are."""
        with ThreadPoolExecutor(READERS) as pool:
            return self._written(record, state, parts, self._pieces(record.batch.id, state.part, pool), remaining)

    def _written(
        self,
        record: Record,
        state: State,
        parts: list[Part],
        pieces: Iterator[tuple[int, tuple[Head, bytes, bytes]]],
        remaining: Callable[[], float],
    ) -> bool:
        output, errors = self._outputs(record, state)
        waiting = next(pieces, None)
        longest, left = 0.0, remaining()
        for part in parts[state.part :]:
            tally = Tally()
            next_byte = part.first
            while waiting is not None and waiting[0] == part.part:
                head, outputs, failures = waiting[1]
                output.write(outputs)
                errors.write(failures)
                tally += head.tally
                next_byte = head.next_byte
                waiting = next(pieces, None)
            tally += self._missing(record, state.verdict, part, tally.records, next_byte, errors)
            state.tally += tally
            state.part = part.part + 1
            now = remaining()
            longest, left = max(longest, left - now), now
            # A part's answers may be gigabytes, and one that is cut off is joined again from its beginning.
            if left < MARGIN_SECONDS + longest and state.part < len(parts):
                self._hand_on(record.batch.id, state, output, errors)
                return False
        for each in (output, errors):
            if not each.empty:
                each.end()
        self._hand_on(record.batch.id, state, output, errors, ended=True)
        return True

    def _outputs(self, record: Record, state: State) -> tuple[Output, Output]:
        tails = [b"", b""]
        if state.part:  # what is there for another part is of an invocation that did not come to note it
            names = [layout.tail(record.batch.id, kind, state.part) for kind in ("output", "errors")]
            tails = [self._storage.get(name) or b"" for name in names]
        expires_at = None if record.output_seconds is None else int(self._clock()) + record.output_seconds
        made = []
        for kind, file_id, progress, tail in (
            ("output", state.output_id, state.output, tails[0]),
            ("error", state.error_id, state.errors, tails[1]),
        ):
            metadata = self._files.metadata(f"{record.batch.id}_{kind}.jsonl", "batch_output", expires_at)
            made.append(Output(self._storage, layout.file(record.tenant, file_id), metadata, progress, tail))
        return made[0], made[1]

    def _hand_on(self, batch_id: str, state: State, output: Output, errors: Output, *, ended: bool = False) -> None:
        self._storage.put(layout.tail(batch_id, "output", state.part), output.tail)
        self._storage.put(layout.tail(batch_id, "errors", state.part), errors.tail)
        state.output, state.errors = output.progress, errors.progress
        state.output.ended = state.errors.ended = ended
        self._storage.put(layout.final_state(batch_id), state.model_dump_json().encode())

    def _pieces(
        self, batch_id: str, part: int, pool: ThreadPoolExecutor
    ) -> Iterator[tuple[int, tuple[Head, bytes, bytes]]]:
        """Parts' numbers and pieces, in order, from a part on; the next ones are read meanwhile."""
        after = layout.pieces(batch_id, part - 1) + "~" if part else ""
        names = self._storage.names(layout.pieces(batch_id), after)
        waiting: deque[tuple[int, Future[tuple[Head, bytes, bytes]]]] = deque()
        for number, of_part in groupby(names, lambda name: int(name.split("/")[-2])):
            for name in of_part:
                waiting.append((number, pool.submit(self._piece, name)))
                if len(waiting) >= READERS:
                    first, read = waiting.popleft()
                    yield first, read.result()
        while waiting:
            first, read = waiting.popleft()
            yield first, read.result()

    def _piece(self, name: str) -> tuple[Head, bytes, bytes]:
        content = self._storage.get(name)
        if content is None:
            raise StoreError(f"{name} has disappeared: let nobody delete what is below work/ while a batch runs.")
        head, begin = Head.read(content)
        middle = begin + head.output_bytes
        return head, content[begin:middle], content[middle : middle + head.error_bytes]

    def _missing(
        self, record: Record, verdict: Verdict, part: Part, answered: int, next_byte: int, errors: Output
    ) -> Tally:
        """Write an error line for every record of a part that has no answer."""
        if answered >= part.records:
            return Tally()
        code, sentence = MISSING[verdict]
        count = 0
        for raw in split(self._storage.blocks(record.source, next_byte, part.last), next_byte):
            if not raw.blank:
                errors.write(not_answered(custom_id_of(raw.content), code, sentence))
                count += 1
        return Tally(failed=count)

    # -- End ------------------------------------------------------------------------------------------

    def _end(self, stored: Stored, state: State) -> None:
        output, errors = self._outputs(stored.record, state)
        for each in (output, errors):
            if not each.empty:
                each.complete()
        while True:
            now = int(self._clock())
            changed = stored.record.with_batch(
                status=state.verdict,
                output_file_id=None if output.empty else state.output_id,
                error_file_id=None if errors.empty else state.error_id,
                request_counts=RequestCounts(
                    total=state.tally.records, completed=state.tally.completed, failed=state.tally.failed
                ),
                usage=_usage(state.tally),
                **{f"{state.verdict}_at": now},
            )
            if self._batches.change(stored, changed) is not None:
                break
            stored = self._batches.read(stored.record.tenant, stored.record.batch.id)
            if stored.record.batch.status in ENDED:
                return
        logger.info(
            "batch %s is %s",
            stored.record.batch.id,
            state.verdict,
            extra={"completed": state.tally.completed, "failed": state.tally.failed, "dollars": state.tally.dollars},
        )


def _usage(tally: Tally) -> BatchUsage:
    return BatchUsage(
        input_tokens=tally.input_tokens,
        input_tokens_details=InputTokensDetails(cached_tokens=tally.cached_tokens),
        output_tokens=tally.output_tokens,
        output_tokens_details=OutputTokensDetails(reasoning_tokens=tally.reasoning_tokens),
        total_tokens=tally.input_tokens + tally.output_tokens,
    )
