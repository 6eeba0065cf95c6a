"""A store of files and batches between a real bucket and real state machines."""

import json
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from uuid import uuid4

import pytest

from lambda_llm.aws import clients
from lambda_llm.batch_store.batches import Batches
from lambda_llm.batch_store.files import Files
from lambda_llm.batch_store.records import Rights
from lambda_llm.openai_types.batches import BatchRequest
from scripts.local_aws.server import ACCOUNT, LocalAWS

LINES = b'{"custom_id": "1", "method": "POST", "url": "/v1/embeddings", "body": {"model": "m", "input": "a"}}\n'
RIGHTS = Rights(models=("m",), place="account")
SECONDS = 30.0
"""Longest time that a test waits for an execution to end."""

ENDS = {"Type": "Pass", "End": True}
STAYS = {"Type": "Wait", "Seconds": 3600, "End": True}


class Place:
    """A store of its own, and a machine.

    Attributes:
        now: the time, for all.
        tenant: one of its own.
    """

    def __init__(self, s3: Any, states: Any, state: dict[str, Any], prefix: str) -> None:
        self.now = 1_800_000_000.0
        self.tenant, self.other = f"tenant-{uuid4().hex}", f"tenant-{uuid4().hex}"
        self.s3, self.states = s3, states
        self.bucket = f"store-{uuid4().hex}"
        s3.create_bucket(Bucket=self.bucket)
        self.prefix = prefix
        self.uri = f"s3://{self.bucket}/{prefix}"
        self.machine: str = states.create_state_machine(
            name=f"batch-{uuid4().hex}",
            definition=json.dumps({"StartAt": "Only", "States": {"Only": state}}),
            roleArn=f"arn:aws:iam::{ACCOUNT}:role/batch",
        )["stateMachineArn"]

    @property
    def files(self) -> Files:
        """A new process's."""
        return Files(self.uri, self.s3, lambda: self.now)

    def batches(self, s3: Any = None, states: Any = None) -> Batches:
        """A new process's."""
        return Batches(self.uri, s3 or self.s3, states or self.states, self.machine, lambda: self.now)

    def uploaded(self, content: bytes = LINES, name: str = "in.jsonl") -> str:
        """Id of a new file."""
        self.now += 1
        return self.files.create(self.tenant, content, name, "batch").id

    def request(self, **changes: Any) -> BatchRequest:
        """For a batch of a new file."""
        given = {"endpoint": "/v1/embeddings", "completion_window": "24h", **changes}
        if "input_file_id" not in given:
            given["input_file_id"] = self.uploaded()
        return BatchRequest.model_validate(given)

    def executions(self) -> dict[str, dict[str, Any]]:
        """What was started: input and status of each, by name."""
        found = self.states.list_executions(stateMachineArn=self.machine)["executions"]
        described = [self.states.describe_execution(executionArn=each["executionArn"]) for each in found]
        return {each["name"]: {"input": json.loads(each["input"]), "status": each["status"]} for each in described}

    def until_ended(self, name: str) -> None:
        """Wait for an execution."""
        until = time.monotonic() + SECONDS
        while self.executions()[name]["status"] == "RUNNING":
            assert time.monotonic() < until
            time.sleep(0.05)

    def keys(self, folder: str) -> list[str]:
        """Keys below a prefix of the store, without the store's."""
        listed = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=self.prefix + folder)
        return [each["Key"].removeprefix(self.prefix) for each in listed.get("Contents", [])]

    def put(self, key: str, content: bytes = b"", **given: Any) -> None:
        """Write an object of the store."""
        self.s3.put_object(Bucket=self.bucket, Key=self.prefix + key, Body=content, **given)


@contextmanager
def clients_of(aws: LocalAWS) -> Iterator[tuple[Any, Any]]:
    """Clients of S3 and of Step Functions, as the router has them."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name, value in aws.environment.items():
            if name.startswith("AWS_"):
                monkeypatch.setenv(name, value)
        s3, states = clients.create("s3", signs_urls=True, connections=20), clients.create("stepfunctions")
    with closing(s3), closing(states):
        yield s3, states
