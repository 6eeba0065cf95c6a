"""One record asked of a server: again while it has no room, a few times if it fails, and at a price."""

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

from lambda_llm.backends.contract import Backend, Chunk, Operation, Request, opened
from lambda_llm.backends.errors import STATUSES, BackendError, Kind
from lambda_llm.backends.tokens import bounded, output_tokens
from lambda_llm.batch.errors import BatchFailedError
from lambda_llm.batch.lines import answered, refused
from lambda_llm.batch.pieces import Answer
from lambda_llm.openai_types.batches import BatchLine

PATIENT: Final = frozenset({Kind.THROTTLED, Kind.WAKING})
"""Kinds of failure after which a record waits for as long as its worker does."""

ATTEMPTS: Final[Mapping[Kind, int]] = {Kind.UNAVAILABLE: 4, Kind.BROKEN: 3, Kind.TIMEOUT: 2}
"""How often a record fails in each of these ways before it ends in the error file."""

_OURS: Final = frozenset({Kind.FORBIDDEN, Kind.NOT_FOUND})
"""Kinds that every record would fail with: the batch stops, and goes on once they are mended."""

WAIT_SECONDS_MAX: Final = 30.0

Wait = Callable[[RetryCallState], float]

logger = logging.getLogger(__name__)


@dataclass
class Course:
    """How the asking goes, for whoever has to end it.

    Attributes:
        patient: whether it waits for room, rather than for an answer.
    """

    patient: bool = False


class Asker:
    """Asks one server for the records of a batch."""

    def __init__(
        self,
        backend: Backend,
        operation: Operation,
        *,
        most: int,
        name: str,
        dollars_per_second: float,
        dollars_per_request: float = 0.0,
        wait: Wait | None = None,
        require_alive: Callable[[], None] | None = None,
    ) -> None:
        """Take the server; nothing is asked.

        Args:
            backend: the server.
            operation: of the batch.
            most: tokens of an answer.
            name: of the batch: a record's request id begins with it.
            dollars_per_second: that a request costs while it is answered.
            dollars_per_request: that it costs besides.
            wait: seconds before another attempt; default: random ones, exponentially more.
            require_alive: raises if the server is gone, so that a record is not at fault.
        """
        self._backend = backend
        self._operation = operation
        self._most = most
        self._name = name
        self._second = dollars_per_second
        self._request = dollars_per_request
        self._require_alive = require_alive
        self._wait = wait or wait_random_exponential(multiplier=0.5, max=WAIT_SECONDS_MAX)

    async def ask(self, line: BatchLine, number: int, deadline: float, course: Course) -> Answer:
        """Ask until there is an answer, or a refusal.

        Args:
            line: the record.
            number: of it in the batch.
            deadline: after which nobody waits any more, as `time.monotonic` tells it.
            course: told how it goes.

        Raises:
            BatchFailedError: no record of the batch could be answered.
        """
        request_id = f"{self._name}-{number}"
        most = output_tokens(self._operation, line.body, self._most)
        request = Request(self._operation, bounded(self._operation, line.body, most), deadline, request_id)
        failed: dict[Kind, int] = {}
        spent = 0.0

        async def once() -> Chunk:
            nonlocal spent
            began = time.monotonic()
            try:
                chunk = await self._whole(request)
            except BackendError as error:
                failed[error.kind] = failed.get(error.kind, 0) + 1
                course.patient = error.kind in PATIENT
                if not course.patient:
                    spent += self._price(began)
                raise
            spent += self._price(began)
            return chunk

        def again(error: BaseException) -> bool:
            if not isinstance(error, BackendError):
                return False
            return error.kind in PATIENT or failed.get(error.kind, 0) < ATTEMPTS.get(error.kind, 1)

        try:
            chunk: Chunk = await AsyncRetrying(retry=retry_if_exception(again), wait=self._pause, reraise=True)(once)
        except BackendError as error:
            if self._require_alive is not None:
                self._require_alive()
            if error.kind in _OURS:
                raise BatchFailedError(STATUSES[error.kind][1], str(error)) from error
            status, code = STATUSES[error.kind]
            logger.info("record %s was not answered: %s", request_id, error.kind)
            told = refused(line.custom_id, request_id, status, code, str(error), error.param)
            return Answer(told, answered=False, dollars=spent)
        return Answer(
            answered(line.custom_id, request_id, chunk.data),
            answered=True,
            usage=chunk.usage,
            reasoning_tokens=_reasoning(chunk.data),
            dollars=spent,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._backend.close()

    async def _whole(self, request: Request) -> Chunk:
        unsupported = self._backend.unsupported(request)
        if unsupported is not None:
            raise BackendError(
                Kind.UNSUPPORTED,
                f"What answers this batch can't honour {unsupported}: leave it out.",
                param=unsupported,
            )
        async with opened(self._backend, request) as chunks:
            return [chunk async for chunk in chunks][-1]

    def _price(self, began: float) -> float:
        return self._second * (time.monotonic() - began) + self._request

    def _pause(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome is not None else None
        said = error.retry_after if isinstance(error, BackendError) else None
        return max(self._wait(state), min(said or 0.0, WAIT_SECONDS_MAX))


def _reasoning(answer: bytes) -> int:
    """Tokens of an answer that its reader does not see; most answers say nothing of any."""
    if b'"reasoning_tokens"' not in answer:
        return 0
    usage: Any = json.loads(answer).get("usage")
    for name in ("completion_tokens_details", "output_tokens_details"):
        details = usage.get(name) if isinstance(usage, dict) else None
        said = details.get("reasoning_tokens") if isinstance(details, dict) else None
        if type(said) is int and said >= 0:
            return said
    return 0
