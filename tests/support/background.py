"""Background responses between real queues, buckets and tables, with functions that die wherever a test wants."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from lambda_llm.aws import clients
from lambda_llm.aws.tenant_folder import tenant_folder
from lambda_llm.router.background import Background
from lambda_llm.router.budget import Amount, Limits, Window
from lambda_llm.router.ledger import Ledger
from lambda_llm.router.results import Results
from lambda_llm.router.settings import Identity, Settings
from lambda_llm.router.worker import Function
from scripts.local_aws.server import LocalAWS
from support.event_streams import JSON, Answer

BODY: dict[str, Any] = {"model": "chat", "input": "a secret question", "background": True, "max_output_tokens": 50}
USAGE = {
    "input_tokens": 12,
    "input_tokens_details": {"cache_write_tokens": 0, "cached_tokens": 0},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 17,
}
SECONDS = 900.0
"""That a function has left when it gets a message."""


def answered(text: str = "Hi", **more: Any) -> Answer:
    """What a server answers with."""
    part = {"type": "output_text", "text": text, "annotations": []}
    message = {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [part]}
    response = {"id": "resp_theirs", "object": "response", "created_at": 1, "status": "completed", "model": "theirs"}
    fields = {"output": [message], "usage": USAGE, "background": False, "store": False, "error": None}
    return Answer([json.dumps({**response, **fields, **more}).encode()], headers=JSON)


def refused(status: int, **headers: str) -> Answer:
    """What a server refuses with."""
    return Answer([b'{"error": {"code": "so_it_is", "message": "no"}}'], status, {**JSON, **headers})


class KilledError(BaseException):
    """The process is dead."""


class Fate:
    """What becomes of a process: its calls of AWS are counted, and one of them may be its last.

    Attributes:
        calls: names of the calls and their arguments, in order.
        dies_at: number of the last call; None: it lives.
        done: whether that call is still made.
        meanwhile: what happens before a call, by its number.
    """

    def __init__(
        self,
        dies_at: int | None = None,
        *,
        done: bool = False,
        meanwhile: Mapping[int, Callable[[], object]] | None = None,
    ) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.dies_at = dies_at
        self.done = done
        self.meanwhile = dict(meanwhile or {})
        self._dead = False
        self._lock = threading.Lock()

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.calls]

    def of(self, name: str) -> list[dict[str, Any]]:
        """Arguments of the calls of a name."""
        return [arguments for each, arguments in self.calls if each == name]

    def call(self, name: str, function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        with self._lock:
            number = len(self.calls)
            if self._dead:
                raise KilledError
            self.calls.append((name, arguments))
            self._dead = number == self.dies_at
            if self._dead and not self.done:
                raise KilledError
        if (first := self.meanwhile.pop(number, None)) is not None:
            first()
        result = function(**arguments)
        if self._dead:
            if name == "get_object":
                result["Body"].close()
            raise KilledError
        return result


class Mortal:
    """A client of AWS in the hands of fate."""

    def __init__(self, client: Any, fate: Fate) -> None:
        self._client = client
        self._fate = fate

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._client, name)
        return lambda **arguments: self._fate.call(name, function, arguments)


class Stage:
    """Everything that there is of background responses.

    Attributes:
        now: the time, for all.
        configuration: file with the configuration.
    """

    def __init__(self, made: Mapping[str, Any], table: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_800_000_000.0
        self.configuration = folder / "router.json"
        self.bucket = f"results-{uuid4().hex}"
        self._made = made
        self.s3, self.sqs = made["s3"], made["sqs"]
        self.s3.create_bucket(Bucket=self.bucket)
        self.s3.put_bucket_versioning(Bucket=self.bucket, VersioningConfiguration={"Status": "Enabled"})
        self.queue = self.sqs.create_queue(QueueName=f"background-{uuid4().hex}")["QueueUrl"]
        self.settings = Settings(
            str(self.configuration), table, Identity.IAM, f"s3://{self.bucket}/results/", self.queue
        )
        self.ledger = Ledger(table, made["dynamodb"])
        self._monkeypatch = monkeypatch
        self.tenant = f"tenant-{uuid4().hex}"
        self.other = f"tenant-{uuid4().hex}"

    def configure(self, url: str, **changes: Any) -> None:
        """One server of responses, and the tenant's rights."""
        backend = {
            "kind": "openai_http",
            "place": "account",
            "url": url,
            "model": "theirs",
            "auth": {"kind": "none"},
            "context": 8192,
            "features": ["reasoning", "tools"],
            "operations": ["/v1/responses"],
            "price": {"input": 1, "output": 5},
        }
        tenants = {"*": {"models": ["*"]}, self.tenant: {"models": ["*"], **changes}}
        models = {"chat": {"backends": ["server"]}}
        written = {"version": 1, "backends": {"server": backend}, "models": models, "tenants": tenants}
        self.configuration.write_text(json.dumps(written))

    def function(self, fate: Fate | None = None, poll_seconds: float = 60.0) -> Function:
        """A new process of the worker."""
        with self._clients(fate):
            return Function(self.settings, lambda: self.now, poll_seconds)

    def background(self, fate: Fate | None = None) -> Background:
        """A new process of the front door."""
        made = self.function(fate)
        client = Mortal(self.sqs, fate) if fate else self.sqs
        return Background(self.results(fate), self.queue, client, lambda: made.router, lambda: self.now)

    def results(self, fate: Fate | None = None) -> Results:
        return Results(str(self.settings.results), Mortal(self.s3, fate) if fate else self.s3)

    def submit(self, key: str | None = None, fate: Fate | None = None, **changes: Any) -> dict[str, Any]:
        return asyncio.run(self.background(fate).submit(self.tenant, BODY | changes, key))

    def get(self, response_id: str) -> dict[str, Any]:
        return asyncio.run(self.background().get(self.tenant, response_id))

    def cancel(self, response_id: str) -> dict[str, Any]:
        return asyncio.run(self.background().cancel(self.tenant, response_id))

    def received(self) -> list[dict[str, Any]]:
        """The messages in the queue, as Lambda gets them; they don't come again by themselves."""
        records = []
        while messages := self.sqs.receive_message(
            QueueUrl=self.queue, MaxNumberOfMessages=10, VisibilityTimeout=3600
        ).get("Messages"):
            records += [
                {
                    "messageId": each["MessageId"],
                    "receiptHandle": each["ReceiptHandle"],
                    "body": each["Body"],
                    "attributes": {"ApproximateReceiveCount": "1"},
                }
                for each in messages
            ]
        return records

    def deliver(
        self, records: list[dict[str, Any]], receives: int = 1, function: Function | None = None
    ) -> list[dict[str, Any]]:
        """Have a function handle records; returns those that come again, as the others are deleted."""
        for record in records:
            record["attributes"] = {"ApproximateReceiveCount": str(receives)}
        answer = (function or self.function()).handle({"Records": records}, SECONDS)
        failed = {each["itemIdentifier"] for each in answer["batchItemFailures"]}
        for record in records:
            if record["messageId"] not in failed:
                self.sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=record["receiptHandle"])
        return [record for record in records if record["messageId"] in failed]

    def until_done(self, records: list[dict[str, Any]], receives: int = 1) -> int:
        """Deliver again what comes again, each time after all who worked have ended; returns how often in all."""
        while records:
            self.now += SECONDS + 1
            records = self.deliver(records, receives)
            receives += 1
        return receives - 1

    def spent(self, tenant: str | None = None) -> tuple[Amount, Amount]:
        """What a tenant has spent in this month, and what is reserved."""
        standing = self.ledger.left(tenant or self.tenant, Limits(), self.now)[Window.MONTH]
        return standing.spent, standing.reserved

    def objects(self, tenant: str | None = None) -> list[str]:
        """What is in S3 of a tenant."""
        folder = f"results/{tenant_folder(tenant or self.tenant)}"
        listed = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=folder)
        return [each["Key"] for each in listed.get("Contents", [])]

    def erase(self) -> None:
        """Delete every version of what the tenant has."""
        for page in self.s3.get_paginator("list_object_versions").paginate(Bucket=self.bucket):
            for each in (*page.get("Versions", []), *page.get("DeleteMarkers", [])):
                self.s3.delete_object(Bucket=self.bucket, Key=each["Key"], VersionId=each["VersionId"])

    @contextmanager
    def _clients(self, fate: Fate | None) -> Iterator[None]:
        """The package gets these clients."""
        with self._monkeypatch.context() as patch:
            made = self._made
            patch.setattr(clients, "create", lambda name, **_: Mortal(made[name], fate) if fate else made[name])
            yield


PRICE = Amount(17, 12 * 1 + 5 * 5)
"""What an answer of `answered` is charged with."""


@contextmanager
def clients_of(aws: LocalAWS) -> Iterator[dict[str, Any]]:
    """Clients of what a stage is made of."""
    with ExitStack() as stack:
        yield {each: stack.enter_context(closing(aws.client(each))) for each in ("s3", "sqs", "dynamodb")}
