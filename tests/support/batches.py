"""A whole batch in this process, on a real bucket: the functions, a model that answers as a test wants, and faults."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

from botocore.exceptions import ClientError, ReadTimeoutError

from lambda_llm.backends.contract import Chunk, Request, Usage
from lambda_llm.backends.errors import BackendError, Kind
from lambda_llm.batch.ask import Asker
from lambda_llm.batch.config import Configuration, parse
from lambda_llm.batch.finalize import Finalizer
from lambda_llm.batch.index import Indexer
from lambda_llm.batch.plan import Part
from lambda_llm.batch.storage import Storage
from lambda_llm.batch.worker import Worker
from lambda_llm.batch_store.batches import Batches
from lambda_llm.batch_store.errors import StoreError
from lambda_llm.batch_store.files import Files
from lambda_llm.batch_store.records import Record, Rights
from lambda_llm.openai_types.batches import Batch, BatchRequest

MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:batches"
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:chat:live"
URL: Final = "/v1/chat/completions"
ATTEMPTS = 12
"""That the state machine makes of a step."""

LONG = 900.0


class KilledError(BaseException):
    """The process is dead."""


def function(**changes: Any) -> dict[str, Any]:
    """A backend of the configuration."""
    fields = {"function": FUNCTION, "region": "us-east-1", "model": "theirs", "prefill": 100, "decode": 10}
    return {"kind": "lambda", **fields, "concurrency": 4, "parallel": 4, **changes}


def configuration(**backends: dict[str, Any]) -> Configuration:
    """Of a store with one model, `chat`."""
    model = {"operations": [URL, "/v1/embeddings"], "max_tokens": 16, "backends": backends or {"ours": function()}}
    fields = {"version": 1, "machine": MACHINE, "models": {"chat": model}, "inbox": "acme"}
    return parse(json.dumps(fields).encode())


def line(custom_id: str, content: str = "Hello", *, url: str = URL, **body: Any) -> bytes:
    """A line of an input."""
    messages = [{"role": "user", "content": content}]
    fields = {
        "custom_id": custom_id,
        "method": "POST",
        "url": url,
        "body": {"model": "chat", "messages": messages, **body},
    }
    return json.dumps(fields).encode() + b"\n"


class States:
    """Step Functions, as far as `Batches` asks it: what was started is noted."""

    class exceptions:  # noqa: N801 - botocore's name
        """See botocore."""

        class ExecutionAlreadyExists(Exception):  # noqa: N818 - botocore's name
            """See botocore."""

        class ExecutionDoesNotExist(Exception):  # noqa: N818 - botocore's name
            """See botocore."""

    def __init__(self) -> None:
        self.started: list[str] = []

    def start_execution(self, **given: Any) -> None:
        """See botocore."""
        if given["name"] in self.started:
            raise self.exceptions.ExecutionAlreadyExists
        self.started.append(given["name"])

    def describe_execution(self, **_: Any) -> dict[str, str]:
        """See botocore."""
        return {"status": "FAILED"}


@dataclass
class Model:
    """A backend that answers with what it was asked, and does to each request what a test wants.

    Attributes:
        fates: what becomes of a request, by its text: an exception to raise, or a function to call.
        asked: how often each text was.
        seconds: that an answer takes.
    """

    fates: dict[str, Callable[[int], None]] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def unsupported(self, request: Request) -> str | None:
        """See `Backend`."""
        return "audio" if request.body.get("audio") else None

    async def open(self, request: Request) -> AsyncGenerator[Chunk]:
        """See `Backend`."""
        text = str(request.body["messages"][0]["content"])
        self.asked[text] += 1
        await asyncio.sleep(self.seconds)
        if text in self.fates:
            self.fates[text](self.asked[text])
        answer = {"choices": [{"message": {"content": f"You said {text}"}}], "max": request.body["max_tokens"]}
        yield Chunk(json.dumps(answer).encode(), usage=Usage(3, 2, 1))

    async def close(self) -> None:
        """See `Backend`."""


def raising(kind: Kind, times: int | None = None) -> Callable[[int], None]:
    """Fails, the first so many times or always."""

    def fails(turn: int) -> None:
        if times is None or turn <= times:
            raise BackendError(kind, "The backend does not want to.")

    return fails


WRITES = frozenset({"put_object", "upload_part", "complete_multipart_upload"})
"""Calls beside which a process may die: what it has only read, nobody else can see."""


class Faults:
    """A client of S3 whose calls fail and whose process dies, by a seeded schedule.

    Attributes:
        killed: how often the process died.
        refused: calls that S3 refused, or whose answer was lost.
    """

    def __init__(self, client: Any, seed: int, kills: float = 0.0, errors: float = 0.0) -> None:
        """Take what goes wrong.

        Args:
            client: of S3.
            seed: of the schedule.
            kills: probability with which a write is a process's last, before or after it was made.
            errors: that a call fails; like botocore, this client tries three times.
        """
        self._client = client
        self._random = random.Random(seed)  # noqa: S311 - a schedule
        self._kills, self._errors = kills, errors
        self.killed = self.refused = 0

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._client, name)
        if name not in WRITES | {"get_object", "head_object"}:
            return function

        def called(**given: Any) -> Any:
            if name in WRITES and self._random.random() < self._kills:
                self.killed += 1
                if self._random.random() < 0.5:
                    function(**given)
                raise KilledError
            for _ in range(3):
                if self._random.random() >= self._errors:
                    return function(**given)
                self.refused += 1
                if self._random.random() < 0.5:
                    function(**given)
                    error: Exception = ReadTimeoutError(endpoint_url="s3")
                else:
                    error = ClientError({"Error": {"Code": "SlowDown", "Message": "Reduce your request rate."}}, name)
            raise error

        return called


@dataclass
class World:
    """A store, its configuration and a model.

    Attributes:
        s3: a client of S3.
        settings: the store's configuration.
        model: that answers.
        now: the time.
    """

    s3: Any
    settings: Configuration = field(default_factory=configuration)
    model: Model = field(default_factory=Model)
    now: float = 1_800_000_000.0
    tenant: str = "acme"
    block_bytes: int = 1 << 20
    bucket: str = field(default_factory=lambda: f"store-{uuid4().hex}")
    states: States = field(default_factory=States)

    def __post_init__(self) -> None:
        self.s3.create_bucket(Bucket=self.bucket)
        self.uri = f"s3://{self.bucket}/batches-of-us/"
        self.storage = Storage(self.uri, self.s3)

    def clock(self) -> float:
        """Seconds since 1970."""
        return self.now

    def batches(self, s3: Any = None) -> Batches:
        """A new process's."""
        return Batches(self.uri, s3 or self.s3, self.states, MACHINE, self.clock)

    def files(self, s3: Any = None) -> Files:
        """A new process's."""
        return Files(self.uri, s3 or self.s3, self.clock)

    def created(self, content: bytes, rights: Rights | None = None, **changes: Any) -> Batch:
        """A new batch of a new file."""
        file = self.files().create(self.tenant, content, "in.jsonl", "batch")
        given = {"input_file_id": file.id, "endpoint": URL, "completion_window": "24h", **changes}
        return self.batches().create(self.tenant, BatchRequest.model_validate(given), rights or Rights())

    def record(self, batch: Batch) -> Record:
        """Of a batch, now."""
        return self.batches().read(self.tenant, batch.id).record

    # -- The steps, as functions have them ------------------------------------------------------------

    def index(self, batch: Batch, s3: Any = None, remaining: float = LONG) -> dict[str, Any]:
        """A call of the index function."""
        storage = Storage(self.uri, s3 or self.s3)
        indexer = Indexer(storage, self.batches(s3), self.settings, self.clock, self.block_bytes)
        return indexer.index(self.tenant, batch.id, lambda: remaining)

    def work(self, batch: Batch, part: Part, attempt: int = 0, s3: Any = None, remaining: float = LONG) -> str:
        """A call of the worker."""
        storage = Storage(self.uri, s3 or self.s3)
        record = self.batches(s3).read(self.tenant, batch.id).record
        backend = self.settings.models["chat"].backends[str(record.backend)]
        asker = Asker(
            self.model,
            next(iter(self.settings.models["chat"].operations)),
            most=16,
            name=batch.id,
            dollars_per_second=0.0,
            dollars_per_request=0.001,
            wait=lambda _: 0.0,
        )
        worker = Worker(storage, record, asker, getattr(backend, "parallel", 4), self.clock)
        return asyncio.run(worker.work(part, attempt, lambda: remaining))

    def finalize(self, batch: Batch, s3: Any = None, remaining: float = LONG) -> dict[str, Any]:
        """A call of the step that joins."""
        finalizer = Finalizer(Storage(self.uri, s3 or self.s3), self.batches(s3), self.files(s3), self.clock)
        return finalizer.finalize(self.tenant, batch.id, lambda: remaining)

    def parts(self, plan: dict[str, Any]) -> list[Part]:
        """Of an index."""
        content = self.s3.get_object(Bucket=plan["parts"]["bucket"], Key=plan["parts"]["key"])["Body"].read()
        return [Part.model_validate_json(each) for each in content.splitlines()]

    # -- The state machine ----------------------------------------------------------------------------

    def run(self, batch: Batch, s3: Any = None, remaining: Callable[[], float] = lambda: LONG) -> Record:
        """The whole batch, as the state machine runs it: a step that fails is tried again."""
        plan = self._until(lambda _: self.index(batch, s3, remaining()), "index")
        if plan["step"] != "end":
            for part in self.parts(plan):
                with suppress(StoreError, KilledError):  # a child that fails is tolerated
                    self._answered(batch, part, s3, remaining)
            self._until(lambda _: self.finalize(batch, s3, remaining()), "finalize")
        return self.record(batch)

    def _answered(self, batch: Batch, part: Part, s3: Any, remaining: Callable[[], float]) -> None:
        self._until(lambda attempt: {"step": self.work(batch, part, attempt, s3, remaining())}, "again")

    def _until(self, step: Callable[[int], dict[str, Any]], again: str) -> dict[str, Any]:
        attempt = 0
        while True:
            try:
                answer = step(attempt)
            except (StoreError, KilledError):
                attempt += 1
                if attempt >= ATTEMPTS:
                    raise
                continue
            if answer["step"] != again:
                return answer
            attempt = 0

    # -- What came of it ------------------------------------------------------------------------------

    def outputs(self, batch: Batch) -> list[dict[str, Any]]:
        """Lines of the output file."""
        return list(self._lines(self.record(batch).batch.output_file_id))

    def errors(self, batch: Batch) -> list[dict[str, Any]]:
        """Lines of the error file."""
        return list(self._lines(self.record(batch).batch.error_file_id))

    def _lines(self, file_id: str | None) -> Iterator[dict[str, Any]]:
        if file_id is not None:
            for each in self.files().open(self.tenant, file_id).read().splitlines():
                yield json.loads(each)
