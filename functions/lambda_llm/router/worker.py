"""Answers background responses: `handle` is the function of an SQS event source mapping.

A message names a response and has nothing of it. It may come twice, a worker may die anywhere, and a response may be
cancelled or erased at any time. There is one answer and one charge all the same:

- A worker claims the response in S3 until its own function must have ended, and nobody else answers until then.
- It writes the answer on the condition that the response is as it claimed it: what was cancelled stays so, what was
  erased does not come back, and a worker that others took for dead changes nothing.
- All attempts have one id in the ledger, which charges it once. One that dies after the charge and before the answer is
  written is followed by another that is free for the tenant.

A message stays in the queue, and comes again after a while, as long as the backends have no room. After `RECEIVES_MAX`
attempts the response fails. The mapping must have `ReportBatchItemFailures`; the queue's visibility timeout must be
longer than the function's, its dead letter queue must take messages only after more than `RECEIVES_MAX` receives, and
the role needs `sqs:ChangeMessageVisibility` beside what Lambda needs.

Sources: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html,
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
"""

import asyncio
import json
import logging
import os
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, NoReturn

from lambda_llm.aws import clients
from lambda_llm.backends.contract import Operation
from lambda_llm.backends.errors import BackendError, Kind
from lambda_llm.errors import LambdaLLMError
from lambda_llm.limits import TIMEOUT_MAX_SECONDS
from lambda_llm.router.background import failed, too_late
from lambda_llm.router.budget import BudgetError
from lambda_llm.router.build import backends, guardrails, providers
from lambda_llm.router.config import Configuration
from lambda_llm.router.dispatch import Dispatcher
from lambda_llm.router.errors import NoBackendError, NotConfiguredError, ResultsError
from lambda_llm.router.ledger import Ledger, LedgerError
from lambda_llm.router.live import REFRESH_SECONDS
from lambda_llm.router.request_line import RequestLine
from lambda_llm.router.results import ENDED, Job, Results, Run, Stored
from lambda_llm.router.secrets import Secrets
from lambda_llm.router.service import Router
from lambda_llm.router.settings import Settings
from lambda_llm.router.source import Reloading, source
from lambda_llm.telemetry import emf, process, spans
from lambda_llm.telemetry.context import correlated, plain_id
from lambda_llm.telemetry.lines import ROUTER_INIT
from lambda_llm.telemetry.propagation import FLUSH_SECONDS, continued

RECEIVES_MAX: Final = 5
"""How often a message is received for an attempt to answer."""

MARGIN_SECONDS: Final = 15.0
"""Of the function's time, what is left for charging and writing once an answer has ended or was given up."""

WORTH_SECONDS: Final = 15.0
"""Least time for an answer; with less, the message waits for another invocation."""

POLL_SECONDS: Final = 2.0
"""How often a worker looks whether its response was cancelled."""

WAIT_SECONDS: Final = 30.0
"""Until a message comes again after a failure, at first; twice as long each time, up to `TIMEOUT_MAX_SECONDS`."""

_TURNS: Final = 3
"""How often a worker tries to claim a response that others change."""

_NO_ROOM: Final = frozenset({Kind.THROTTLED, Kind.UNAVAILABLE, Kind.WAKING})
"""What may be over when the message comes again."""

_CODES: Final[Mapping[Kind, str]] = {
    **dict.fromkeys((Kind.THROTTLED, Kind.WAKING), "rate_limit_exceeded"),
    **dict.fromkeys((Kind.INVALID, Kind.TOO_LONG, Kind.UNSUPPORTED, Kind.BLOCKED), "invalid_prompt"),
}
"""OpenAI's codes for failures; the others are `server_error`."""

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)


@dataclass(frozen=True)
class Reference:
    """What a message names.

    Attributes:
        tenant: whose response.
        id: of it.
        receives: how often the message was received, this time included.
    """

    tenant: str
    id: str
    receives: int


class Worker:
    """Answers the responses that messages name."""

    def __init__(
        self,
        results: Results,
        router: Callable[[], Router],
        clock: Callable[[], float] = time.time,
        poll_seconds: float = POLL_SECONDS,
        *,
        lines: bool = False,
    ) -> None:
        """Take the parts; nothing is asked.

        Args:
            results: where responses are.
            router: gives the router of the current configuration.
            clock: seconds since 1970.
            poll_seconds: how often to look whether a response was cancelled.
            lines: whether each attempt to answer has a line on standard output.
        """
        self._lines = lines
        self._results = results
        self._router = router
        self._clock = clock
        self._poll_seconds = poll_seconds

    async def work(self, reference: Reference, seconds: float) -> float | None:
        """Answer a response, if it still needs an answer.

        Args:
            reference: to it.
            seconds: until this function ends.

        Returns:
            Seconds after which the message must come again; None: it is done with.

        Raises:
            ResultsError: S3 does not answer, or refuses; the message must come again.
        """
        for _ in range(_TURNS):
            stored = await asyncio.to_thread(self._results.read, reference.tenant, reference.id)
            now = self._clock()
            if stored is None or stored.job.ended or now >= stored.job.expires_at:
                return None
            job = stored.job
            if job.run is not None and job.busy(now):
                return job.run.until - now + 1  # another worker answers
            if seconds < MARGIN_SECONDS + WORTH_SECONDS:
                return 1
            if job.overdue(now):
                next_job = too_late(job)
            elif reference.receives > RECEIVES_MAX:
                sentence = f"The request was given up after {RECEIVES_MAX} attempts to answer it: send it again."
                next_job = failed(job, "server_error", sentence)
            else:
                next_job = job.running(Run(secrets.token_hex(8), now + seconds))
            claimed = await asyncio.to_thread(self._results.replace, stored, next_job)
            if claimed is not None:
                return None if next_job.ended else await self._answered(claimed, reference, seconds)
        return self._wait(reference)

    async def _answered(self, claimed: Stored, reference: Reference, seconds: float) -> float | None:
        deadline = time.monotonic() + seconds - MARGIN_SECONDS
        answer = asyncio.create_task(self._answer(claimed.job, deadline))
        watch = asyncio.create_task(self._until_changed(claimed))
        try:
            await asyncio.wait([answer, watch], return_when=asyncio.FIRST_COMPLETED)
        finally:
            watch.cancel()
            if not answer.done():
                answer.cancel()  # the response was cancelled, or erased, or is another worker's
            await asyncio.wait([answer, watch])
        if answer.cancelled():
            return await self._given_up(claimed.job)
        error = answer.exception()
        if error is None:
            ended = answer.result()
        elif isinstance(error, Exception):
            wait = self._wait_after(error, reference)
            if wait is not None:
                # Without a claim, which would keep others from it until this function had to end.
                await asyncio.to_thread(self._results.replace, claimed, claimed.job.queued())
                _log(claimed.job, f"waits for {wait:.0f} s", error)
                return wait
            ended = failed(claimed.job, *_told(error))
            _log(claimed.job, "failed", error)
        else:
            raise error
        written = await asyncio.to_thread(self._results.replace, claimed, ended)
        if written is None:
            return await self._given_up(claimed.job)
        return None

    async def _answer(self, job: Job, deadline: float) -> Job:
        """The response at its end, as the backend says."""
        line = RequestLine(Operation.RESPONSES.value, on=self._lines)
        with line.written():
            answering = self._router().answer(
                Operation.RESPONSES, job.request or {}, job.tenant, job.request_id, deadline, line=line
            )
            async with answering as answer:
                content = b"".join([chunk.data async for chunk in answer.chunks])
                response = json.loads(content)
                if not isinstance(response.get("output"), list):
                    raise BackendError(
                        Kind.BROKEN, f"The answer of the backend {answer.backend!r} is no response: it has no output."
                    )
        status = response.get("status")
        ours = {name: job.response[name] for name in _OURS}
        ended = {**response, **ours, "status": status if status in ENDED - {"cancelled"} else "completed"}
        return job.end(**ended, completed_at=int(self._clock()) if ended["status"] == "completed" else None)

    async def _until_changed(self, stored: Stored) -> None:
        while True:
            await asyncio.sleep(self._poll_seconds)
            with suppress(ResultsError):  # nothing else is lost than time
                if await asyncio.to_thread(self._results.changed, stored):
                    return

    async def _given_up(self, job: Job) -> float | None:
        """After somebody has changed a response that was being answered."""
        stored = await asyncio.to_thread(self._results.read, job.tenant, job.id)
        logger.info("response %s was cancelled, erased or taken over while it was answered", job.id)
        # Who has taken over may die, and then this message is the one that goes on.
        return None if stored is None or stored.job.ended else 1.0

    def _wait_after(self, error: Exception, reference: Reference) -> float | None:
        """Seconds after which an attempt may succeed that has failed now; None: it would fail again."""
        if reference.receives >= RECEIVES_MAX:
            return None
        said: float | None = None
        if isinstance(error, BackendError):
            if error.kind not in _NO_ROOM:
                return None
            said = error.retry_after
        elif isinstance(error, NoBackendError):
            said = error.choice.retry_after
            if said is None:
                return None
        elif isinstance(error, BudgetError):
            said = error.retry_after
            if said is None or said > TIMEOUT_MAX_SECONDS:
                return None
        elif isinstance(error, LambdaLLMError) and not isinstance(error, LedgerError):
            return None
        return min(max(said or 0.0, self._wait(reference)), TIMEOUT_MAX_SECONDS)

    def _wait(self, reference: Reference) -> float:
        return float(min(WAIT_SECONDS * 2.0 ** (reference.receives - 1), TIMEOUT_MAX_SECONDS))


_OURS: Final = ("id", "object", "created_at", "expires_at", "background", "store", "metadata", "model")
"""Fields of a response that are the router's, whatever a backend says."""


class Function:
    """The function: a worker, and what it needs between two invocations.

    Attributes:
        router: of the configuration in use.
        worker: answers.
    """

    def __init__(
        self, settings: Settings, clock: Callable[[], float] = time.time, poll_seconds: float = POLL_SECONDS
    ) -> None:
        """Read the configuration.

        Args:
            settings: of the function.
            clock: seconds since 1970.
            poll_seconds: see `Worker`.

        Raises:
            NotConfiguredError: there is no place for results, and no queue.
            SourceError, ConfigurationError: the configuration can't be read or used.
            LedgerError: the region is not known.
        """
        if settings.results is None or settings.queue is None:
            raise NotConfiguredError(
                "Nothing is answered in the background: set LAMBDA_LLM_ROUTER_RESULTS and LAMBDA_LLM_ROUTER_QUEUE."
            )
        self._queue = settings.queue
        self._queues = clients.create("sqs")
        self._clock = clock
        self._reloading = Reloading(source(settings.configuration))
        self._secrets = Secrets()
        self._budgets = Ledger.connect(settings.table)
        self.router = self._make(self._reloading.current)
        results = Results(settings.results, clients.create("s3"))
        self.worker = Worker(results, lambda: self.router, clock, poll_seconds, lines=True)

    def handle(self, event: Mapping[str, Any], seconds: float) -> dict[str, list[dict[str, str]]]:
        """Answer the records of an event, at the same time; return those that must come again, as Lambda expects it.

        Args:
            event: of SQS.
            seconds: until the function ends.
        """
        if self._reloading.age >= REFRESH_SECONDS and self._reloading.refresh():
            self.router = self._make(self._reloading.current)
        records: list[dict[str, Any]] = event["Records"]
        again = asyncio.run(self._all(records, seconds))
        for record, wait in zip(records, again, strict=True):
            if wait is not None:
                self._later(record, wait)
        failures = [record["messageId"] for record, wait in zip(records, again, strict=True) if wait is not None]
        return {"batchItemFailures": [{"itemIdentifier": each} for each in failures]}

    def _make(self, configuration: Configuration) -> Router:
        dispatcher = Dispatcher(backends(configuration, self._secrets.key), providers=providers(configuration))
        return Router(configuration, dispatcher, self._budgets, self._clock, guardrails(configuration))

    async def _all(self, records: list[dict[str, Any]], seconds: float) -> list[float | None]:
        try:
            return await asyncio.gather(*(self._one(record, seconds) for record in records))
        finally:
            await self.router.close()  # until the next invocation, with an event loop of its own

    async def _one(self, record: Mapping[str, Any], seconds: float) -> float | None:
        try:
            reference = _reference(record)
            with continued(json.loads(record["body"]), "answer later"):
                return await self.worker.work(reference, seconds)
        except Exception as error:  # noqa: BLE001 - one message must not undo what was done for others
            # Only what this package says itself is known to quote nobody.
            told = error if isinstance(error, LambdaLLMError) else f"unexpectedly, with {type(error).__name__}."
            logger.error("message %s failed: %s", record["messageId"], told)  # noqa: TRY400 - a traceback may quote
            return WAIT_SECONDS

    def _later(self, record: Mapping[str, Any], wait: float) -> None:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - the client has imported it

        try:
            self._queues.change_message_visibility(
                QueueUrl=self._queue, ReceiptHandle=record["receiptHandle"], VisibilityTimeout=max(1, round(wait))
            )
        except (ClientError, BotoCoreError) as error:
            logger.warning("message %s comes again later: %s", record["messageId"], type(error).__name__)


def handle(event: dict[str, Any], context: Any) -> dict[str, list[dict[str, str]]]:
    """Lambda's handler; the first call reads settings and configuration.

    Args:
        event: of SQS.
        context: of Lambda.
    """
    with correlated(lambda_request_id=plain_id(context.aws_request_id)):
        try:
            return _function().handle(event, context.get_remaining_time_in_millis() / 1000)
        finally:
            spans.flush(FLUSH_SECONDS)


@cache
def _function() -> Function:
    spans.configure("router")
    function = Function(Settings.load(os.environ))
    emf.write(ROUTER_INIT, InitSeconds=process.seconds(), resident_bytes=process.resident_bytes())
    return function


def _reference(record: Mapping[str, Any]) -> Reference:
    def wrong() -> NoReturn:
        raise ResultsError("A message names no response: only the router must send messages to its queue.")

    try:
        body = json.loads(record["body"])
        reference = Reference(body["tenant"], body["id"], int(record["attributes"]["ApproximateReceiveCount"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        wrong()
    if not isinstance(reference.tenant, str) or not isinstance(reference.id, str):
        wrong()
    return reference


def _told(error: Exception) -> tuple[str, str]:
    """OpenAI's code and a sentence, for a client."""
    if isinstance(error, BackendError):
        return _CODES.get(error.kind, "server_error"), str(error)
    if isinstance(error, BudgetError):
        return "rate_limit_exceeded", str(error)
    if isinstance(error, LedgerError):
        return "server_error", "Nobody could say what is left of the tenant's budget: send the request again."
    if isinstance(error, LambdaLLMError):
        return "server_error", str(error)
    return "server_error", "The request failed unexpectedly: send it again."


def _log(job: Job, what: str, error: Exception) -> None:
    told = error if isinstance(error, LambdaLLMError) else f"unexpectedly, with {type(error).__name__}"
    logger.warning("response %s of tenant %r %s: %s", job.id, job.tenant, what, told)
