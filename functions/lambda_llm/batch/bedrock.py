"""A part answered by a batch job of Bedrock: written as its input, waited for, and put in order again.

Source: https://docs.aws.amazon.com/bedrock/latest/userguide/batch-inference.html
"""

import hashlib
import json
import logging
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from botocore.exceptions import BotoCoreError, ClientError

from lambda_llm.backends.contract import Operation, Request
from lambda_llm.backends.converse_answer import ConverseAnswer
from lambda_llm.backends.converse_request import ConverseOptions, UnsupportedFieldError, converse_request
from lambda_llm.backends.errors import STATUSES, BackendError, Kind
from lambda_llm.backends.http import HTTP
from lambda_llm.backends.tokens import bounded, output_tokens
from lambda_llm.batch.config import BedrockBackend
from lambda_llm.batch.errors import BatchFailedError
from lambda_llm.batch.finalize import MISSING
from lambda_llm.batch.lines import Raw, answered, custom_id_of, not_answered, parse, refused, split
from lambda_llm.batch.output import Output, Progress
from lambda_llm.batch.pieces import Chain, Done, Tally
from lambda_llm.batch.plan import Part
from lambda_llm.batch.storage import Storage
from lambda_llm.batch.worker import SAVE_RECORDS
from lambda_llm.batch_store import layout
from lambda_llm.batch_store.records import Record, Source

POLL_SECONDS: Final = 300
"""Between two looks at a job, which takes minutes to hours. Each is nine events of an execution, which has 25,000 at
most, and a job may take a week.
Source: https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html"""

LATE_SECONDS: Final = 3600
"""After the end of a batch's window, in which a job that was stopped has ended."""

_INPUT: Final = "input.jsonl"
_OPTIONS: Final = ConverseOptions()

_ENDED: Final = frozenset({"Completed", "PartiallyCompleted", "Expired"})
"""Statuses of jobs that have ended by themselves, the last two because their time was over.
Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_GetModelInvocationJob.html"""

_RUNNING: Final = frozenset({"Submitted", "Validating", "Scheduled", "InProgress", "Stopping"})
_LATER: Final = frozenset({"ThrottlingException", "InternalServerException", "ServiceQuotaExceededException"})
"""Errors after which the same call may succeed: a quota limits the jobs at once."""

logger = logging.getLogger(__name__)

Step = Literal["done", "wait"]


@dataclass(frozen=True)
class BedrockJobs:
    """Answers parts of a batch by jobs.

    Attributes:
        storage: the store.
        record: of the batch.
        backend: of the configuration.
        most: tokens of an answer.
        client: of Bedrock.
        clock: seconds since 1970.
        ended: told what has become of the records that a step has ended, at its end.
    """

    storage: Storage
    record: Record
    backend: BedrockBackend
    most: int
    client: Any
    clock: Callable[[], float] = time.time
    ended: Callable[[Tally], None] = lambda _: None

    def work(self, part: Part) -> Step:
        """Begin a part's job, look at it, or take its answers.

        Args:
            part: of the batch.

        Returns:
            `wait`: look again after `POLL_SECONDS`; `done`: the part has ended, or the batch has.

        Raises:
            BatchFailedError: the job failed as a whole, or may not be made.
            StoreError: the store does not answer.
        """
        chain = Chain(self.storage, self.record.batch.id, part)
        chain.follow()
        try:
            if not chain.whole:
                step = self._step(part, chain)
                if not chain.whole:
                    return step
            chain.mark()
        finally:
            self.ended(chain.mine)
        return "done"

    def _step(self, part: Part, chain: Chain) -> Step:
        """What to do for a part that lacks answers."""
        over = self._over()
        note = self._note(part)
        arn = note.get("arn")
        if arn is None:
            if over is not None:
                return "done"
            if note.get("failed") == self.record.execution:
                # This is another attempt of the same step, and another job would fail likewise.
                raise BatchFailedError("job_failed", note["why"])
            return self._begun(part, chain)
        job = self._asked("get_model_invocation_job", jobIdentifier=arn)
        if job is None or job["status"] in _RUNNING:
            if self.clock() >= self.record.batch.expires_at + LATE_SECONDS:
                return "done"
            if over is not None and job is not None and job["status"] != "Stopping":
                self._asked("stop_model_invocation_job", jobIdentifier=arn)
            return "wait"
        if job["status"] in _ENDED or (job["status"] == "Stopped" and over is not None):
            missing = ("not_answered", "The job has ended without an answer to this request.")
            if over is not None and job["status"] != "Completed":
                missing = MISSING[over]
            self._collect(part, chain, arn, missing)
            return "done"
        if over is not None:
            return "done"
        why = f"The job {arn} of Bedrock is {job['status']}: {job.get('message') or 'see its console'}."
        self._noted(part, failed=self.record.execution, why=why)  # a resumed batch makes another one
        raise BatchFailedError("job_failed", why)

    def _over(self) -> Literal["cancelled", "expired"] | None:
        """What becomes of the batch, if it does not go on."""
        if self.storage.exists(layout.stop(self.record.batch.id)):
            return "cancelled"
        return "expired" if self.clock() >= self.record.batch.expires_at else None

    def _name(self, part: Part, name: str) -> str:
        return layout.jobs(self.record.batch.id, part.part) + name

    def _note(self, part: Part) -> dict[str, str]:
        """What an earlier step has noted of the part's job."""
        content = self.storage.get(self._name(part, "job.json"))
        return {} if content is None else dict(json.loads(content))

    def _noted(self, part: Part, **note: str) -> None:
        self.storage.put(self._name(part, "job.json"), json.dumps(note).encode())

    # -- Input ----------------------------------------------------------------------------------------

    def _begun(self, part: Part, chain: Chain) -> Step:
        """Write the job's input and make the job."""
        written = Output(self.storage, self._name(part, _INPUT), {}, Progress(), b"")
        count = 0
        for number, raw in self._records(part):
            try:
                line = {"recordId": _record_id(number), "modelInput": self._translated(raw)}
            except UnsupportedFieldError:
                continue  # it becomes an error line when the answers are taken
            written.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
            count += 1
        if count < self.backend.records:
            sentence = (
                f"Bedrock takes jobs of {self.backend.records:,} requests or more, and of those beside this one only "
                f"{count:,} can be asked in a job: add some, or choose another backend."
            )
            self._put_in_order(part, chain, iter(()), ("too_few_requests", sentence))
            return "done"
        written.end()
        written.complete()
        folder = f"s3://{self.storage.bucket}/{self.storage.prefix}{layout.jobs(self.record.batch.id, part.part)}"
        name = f"{self.record.execution}-{part.part}".replace("_", "-")
        made = self._asked(
            "create_model_invocation_job",
            jobName=name,
            clientRequestToken=hashlib.sha256(f"{name}-{self.backend.model}".encode()).hexdigest(),
            roleArn=self.backend.role,
            modelId=self.backend.model,
            modelInvocationType="Converse",
            inputDataConfig={"s3InputDataConfig": {"s3Uri": folder + _INPUT, "s3InputFormat": "JSONL"}},
            outputDataConfig={"s3OutputDataConfig": {"s3Uri": folder + "output/"}},
            timeoutDurationInHours=self.backend.hours,
        )
        if made is not None:
            self._noted(part, arn=made["jobArn"])
        return "wait"

    def _records(self, part: Part, first: int = 0, next_byte: int | None = None) -> Iterator[tuple[int, Raw]]:
        start = part.first if next_byte is None else next_byte
        blocks = self.storage.blocks(self.record.source, start, part.last)
        lines = (raw for raw in split(blocks, start) if not raw.blank)
        return enumerate(lines, first)

    def _translated(self, raw: Raw) -> dict[str, Any]:
        """A record's body for Converse, whose batch jobs have no tools; raises UnsupportedFieldError."""
        body = parse(raw.content).body
        if body.get("tools"):
            raise UnsupportedFieldError("tools")
        most = output_tokens(Operation.CHAT, body, self.most)
        return converse_request(bounded(Operation.CHAT, body, most), _OPTIONS)

    # -- Answers --------------------------------------------------------------------------------------

    def _collect(self, part: Part, chain: Chain, arn: str, missing: tuple[str, str]) -> None:
        """Take a job's answers, which come in any order."""
        folder = f"{self._name(part, 'output/')}{arn.rpartition('/')[2]}/"
        self._put_in_order(part, chain, self._answers(folder), missing)

    def _answers(self, folder: str) -> Iterator[dict[str, Any]]:
        for name in self.storage.names(folder):
            if not name.endswith(".out"):
                continue
            head = self.storage.head(name)
            if head is None:
                continue
            key = self.storage.prefix + name
            source = Source(bucket=self.storage.bucket, key=key, etag=head.etag, size=head.size)
            for raw in split(self.storage.blocks(source, 0, source.size - 1)):
                answer = None if raw.blank else json.loads(raw.content)
                if isinstance(answer, dict):
                    yield answer

    def _put_in_order(
        self, part: Part, chain: Chain, answers: Iterator[dict[str, Any]], missing: tuple[str, str]
    ) -> None:
        """Add pieces of the part's records, holding answers only until it is their turn.

        Args:
            part: of the batch.
            chain: its pieces.
            answers: of the job.
            missing: code and sentence of a record without an answer.
        """
        held: dict[int, bytes] = {}
        done: list[Done] = []
        for number, raw in self._records(part, chain.next, chain.next_byte):
            try:
                self._translated(raw)
            except UnsupportedFieldError as error:
                sentence = f"Bedrock's batch jobs can't honour {error}: leave it out, or choose another backend."
                status, code = STATUSES[Kind.UNSUPPORTED]
                line = refused(
                    custom_id_of(raw.content), self._request_id(part, number), status, code, sentence, str(error)
                )
                done.append(Done(line, answered=False, next_byte=raw.after))
            else:
                early = held.pop(number, None)
                found = None if early is None else _unpacked(early)
                while found is None and (answer := next(answers, None)) is not None:
                    place = _number(answer)
                    if place == number:
                        found = answer
                    elif place > number:
                        held[place] = _packed(answer)
                done.append(self._done(part, number, raw, found, missing))
            if len(done) >= SAVE_RECORDS:
                if not chain.add(done):
                    return
                done = []
        if done:
            chain.add(done)

    def _done(self, part: Part, number: int, raw: Raw, found: dict[str, Any] | None, missing: tuple[str, str]) -> Done:
        custom_id, request_id = custom_id_of(raw.content), self._request_id(part, number)
        request = Request(Operation.CHAT, parse(raw.content).body, 0.0, request_id)
        if found is None:
            return Done(not_answered(custom_id, *missing), answered=False, next_byte=raw.after)
        if "error" in found:
            error = found["error"] if isinstance(found["error"], dict) else {}
            code = str(error.get("errorCode") or "refused")
            line = refused(custom_id, request_id, 400, code, "Bedrock's job has refused this request.", None)
            return Done(line, answered=False, next_byte=raw.after)
        try:
            answer = ConverseAnswer(request, self.backend.model, HTTP("bedrock", ""))
            chunk = answer.whole(json.dumps(found.get("modelOutput")).encode())
        except BackendError as error:
            status, code = STATUSES[error.kind]
            line = refused(custom_id, request_id, status, code, str(error), error.param)
            return Done(line, answered=False, next_byte=raw.after)
        usage = chunk.usage
        price = 0.0 if usage is None else usage.input * self.backend.input + usage.output * self.backend.output
        line = answered(custom_id, request_id, chunk.data)
        return Done(line, answered=True, usage=usage, dollars=price / 1e6, next_byte=raw.after)

    def _request_id(self, part: Part, number: int) -> str:
        return f"{self.record.batch.id}-{part.record + number}"

    def _asked(self, operation: str, **given: Any) -> dict[str, Any] | None:
        """Ask Bedrock; None: later."""
        try:
            answer: dict[str, Any] = getattr(self.client, operation)(**given)
        except ClientError as error:
            if error.response["Error"].get("Code") in _LATER:
                logger.info("Bedrock wants to be asked later: %s", error.response["Error"]["Code"])
                return None
            raise BatchFailedError(
                "job_refused", f"Bedrock refuses {operation} ({error}): check the model, the roles and the region."
            ) from error
        except BotoCoreError as error:
            logger.info("Bedrock does not answer: %s", type(error).__name__)
            return None
        return answer


def _record_id(number: int) -> str:
    """Of a record in a job: its number in the part, in the eleven characters that Bedrock has asked for.

    Source: https://docs.aws.amazon.com/bedrock/latest/userguide/batch-inference-data.html
    """
    return f"R{number:010d}"


def _number(answer: dict[str, Any]) -> int:
    found = str(answer.get("recordId", "")).removeprefix("R")
    return int(found) if found.isascii() and found.isdigit() else -1


def _packed(answer: dict[str, Any]) -> bytes:
    """An answer that waits for its turn, without the request, which Bedrock repeats."""
    kept = {name: answer[name] for name in ("error", "modelOutput") if name in answer}
    return zlib.compress(json.dumps(kept).encode(), level=1)


def _unpacked(packed: bytes) -> dict[str, Any]:
    kept: dict[str, Any] = json.loads(zlib.decompress(packed))
    return kept
