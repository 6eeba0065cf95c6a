"""Durable executions without AWS: the testing runner, with a client that enforces what the service does.

The runner alone takes steps of 10 MB, names in any script and any number of operations, on which AWS fails an
execution.
"""
# ruff: noqa: SLF001 - the runner has no public place for another client, and leaves its event loop open

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aws_durable_execution_sdk_python.lambda_service import (
    CheckpointOutput,
    ErrorObject,
    OperationAction,
    OperationType,
    OperationUpdate,
    StateOutput,
)
from aws_durable_execution_sdk_python_testing import DurableFunctionTestRunner
from aws_durable_execution_sdk_python_testing.executor import Executor

from lambda_llm import limits
from lambda_llm.agent.agent import Agent
from lambda_llm.agent.durable import Surroundings, handler
from lambda_llm.agent.store import FolderStore

FUNCTION = "inference:live"
ERROR_BYTES = 32_768
"""Most bytes of an operation's error, as the testing runner enforces it."""

AT = 1_764_000_000
"""Unix time at which scripted answers are made."""

Request = Mapping[str, Any]
Script = Callable[[Request], Any]


class LimitError(Exception):
    """What the service would have refused."""


class KilledError(Exception):
    """The process died here."""


@dataclass
class Kill:
    """Dies at a checkpoint: before it is recorded, or after, when the answer is lost."""

    name: str
    action: OperationAction
    after: bool
    done: bool = False


@dataclass
class StrictClient:
    """The runner's client behind AWS's limits; it counts what passes, and dies where it is told to."""

    inner: Any
    kills: list[Kill] = field(default_factory=list)
    operations: set[str] = field(default_factory=set)
    written: int = 0
    largest: int = 0
    log: list[tuple[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    steps: set[str] = field(default_factory=set)

    def checkpoint(
        self,
        durable_execution_arn: str,
        checkpoint_token: str,
        updates: list[OperationUpdate],
        client_token: str | None,
    ) -> CheckpointOutput:
        with self.lock:
            for update in updates:
                self._judge(update)
            due = [kill for kill in self.kills if not kill.done and any(_hits(kill, update) for update in updates)]
        for kill in due:
            kill.done = True
            if not kill.after:
                raise KilledError(kill.name)
        output: CheckpointOutput = self.inner.checkpoint(durable_execution_arn, checkpoint_token, updates, client_token)
        if due:
            raise KilledError(due[0].name)
        return output

    def get_execution_state(self, *args: Any, **named: Any) -> StateOutput:
        output: StateOutput = self.inner.get_execution_state(*args, **named)
        return output

    def _judge(self, update: OperationUpdate) -> None:
        self.log.append((str(update.name), update.action.value))
        self.operations.add(update.operation_id)
        if update.operation_type is OperationType.STEP:
            self.steps.add(update.operation_id)
        size = len((update.payload or "").encode())
        most = (
            limits.DURABLE_INVOKE_BYTES
            if update.operation_type is OperationType.CHAINED_INVOKE
            else limits.DURABLE_PAYLOAD_BYTES
        )
        if size > most:
            raise LimitError(f"{update.operation_type.value} of {size:,} bytes")
        if update.error and len(json.dumps(update.error.to_dict()).encode()) > ERROR_BYTES:
            raise LimitError("Error object size must be less than 32768 bytes")
        if update.name and not re.fullmatch(limits.DURABLE_NAME, update.name):
            raise LimitError(f"name {update.name!r}")
        if update.parent_id in self.steps:
            raise LimitError(f"{update.name} is inside a step")
        if len(self.operations) > limits.DURABLE_OPERATIONS:
            raise LimitError("more than 3,000 operations")
        self.largest = max(self.largest, size)
        self.written += size
        if self.written > limits.DURABLE_BYTES:
            raise LimitError("more than 100 MB")


def _hits(kill: Kill, update: OperationUpdate) -> bool:
    return update.name == kill.name and update.action is kill.action


def called(name: str, *calls: Mapping[str, Any], text: str | None = None) -> dict[str, Any]:
    """An answer that calls a tool once for each of its arguments."""
    return completion(
        {
            "content": text,
            "tool_calls": [
                {"id": "call_0", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
                for arguments in calls
            ],
        },
        "tool_calls",
    )


def calls(*named: tuple[str, Any]) -> dict[str, Any]:
    """An answer that calls several tools; arguments that are text are sent as they are."""
    return completion(
        {
            "content": None,
            "tool_calls": [
                {
                    "id": "call_0",
                    "type": "function",
                    "function": {
                        "name": name,
                        "arguments": arguments if isinstance(arguments, str) else json.dumps(arguments),
                    },
                }
                for name, arguments in named
            ],
        },
        "tool_calls",
    )


def said(text: str) -> dict[str, Any]:
    """An answer that is text."""
    return completion({"content": text}, "stop")


def completion(message: Mapping[str, Any], finish: str) -> dict[str, Any]:
    """A chat completion."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": AT,
        "model": "demo",
        "choices": [{"index": 0, "message": {"role": "assistant"} | dict(message), "finish_reason": finish}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
        "timings": {"prompt_ms": 100.0, "predicted_ms": 100.0},
    }


class Raw(str):
    """What inference returns instead of an HTTP response."""

    __slots__ = ()


def refused(status: int, code: str = "error") -> dict[str, Any]:
    """An answer with a status."""
    return {"status": status, "error": {"message": "secret prompt", "code": code, "type": "x"}}


@dataclass
class Model:
    """Inference that follows a script: each entry is an answer, an exception, or a function of the request."""

    script: list[Any]
    requests: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, event: Any, _context: Any) -> Any:
        assert event["rawPath"] == "/v1/chat/completions"
        request = json.loads(event["body"])
        self.requests.append(request)
        answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Raw):
            return str(answer)
        status = answer.pop("status", 200) if "status" in answer else 200
        return {"statusCode": status, "headers": {}, "body": json.dumps(answer), "isBase64Encoded": False}

    def results(self, number: int = -1) -> list[Any]:
        """What the tools' messages of a request say, parsed."""
        messages = self.requests[number]["messages"]
        return [json.loads(one["content"]) for one in messages if one["role"] == "tool"]


@dataclass
class Run:
    """A finished execution."""

    status: str
    result: dict[str, Any] | None
    error: ErrorObject | None
    client: StrictClient
    runner: DurableFunctionTestRunner
    arn: str


class Bench:
    """Runs agents; one execution each."""

    def __init__(self, agent: Agent, model: Callable[[Any, Any], Any], folder: Path, **surroundings: Any) -> None:
        given: dict[str, Any] = {"store": lambda tenant: FolderStore(folder, tenant), "function": FUNCTION}
        self.runner = DurableFunctionTestRunner(
            handler(agent, Surroundings(**(given | surroundings))), poll_interval=0.01
        )
        self.runner.register_function(FUNCTION, model)
        self.client = strict(self.runner)
        self.arn = ""

    def kill(self, name: str, action: str, *, after: bool) -> None:
        """Die when this operation is recorded."""
        self.client.kills.append(Kill(name, OperationAction(action), after))

    def start(self, task: Any = "Do it.", **more: Any) -> None:
        """Begin the execution."""
        self.arn = self.runner.run_async(input=json.dumps({"task": task} | more))

    def callback(self, name: str) -> str:
        """Id of a callback, once the execution waits for it."""
        return self.runner.wait_for_callback(self.arn, name, timeout=30)

    def answer(self, name: str, **answer: Any) -> None:
        """Answer a question."""
        self.runner.send_callback_success(self.callback(name), json.dumps(answer).encode())

    def end(self, seconds: int = 60) -> Run:
        """Wait for the end."""
        result = self.runner.wait_for_result(self.arn, timeout=seconds)
        parsed = json.loads(result.result) if result.result else None
        return Run(result.status.value, parsed, result.error, self.client, self.runner, self.arn)

    def run(self, task: Any = "Do it.", **more: Any) -> Run:
        """The whole execution."""
        self.start(task, **more)
        return self.end()

    def close(self) -> None:
        """Close the runner."""
        close(self.runner)


def strict(runner: DurableFunctionTestRunner) -> StrictClient:
    """Put AWS's limits between a runner's handler and its service."""
    client = StrictClient(runner._service_client)
    runner._invoker.service_client = client  # type: ignore[assignment]
    return client


def close(runner: DurableFunctionTestRunner) -> None:
    """Close a runner, and the event loop that it leaves open."""
    runner._executor.shutdown()
    runner._registry.shutdown()
    scheduler = runner._scheduler
    scheduler.stop()  # type: ignore[no-untyped-call]
    scheduler._thread.join(10)
    scheduler._loop.close()


@contextmanager
def bench(agent: Agent, model: Callable[[Any, Any], Any], folder: Path, **surroundings: Any) -> Iterator[Bench]:
    """A bench that is closed afterwards; retries of invocations don't wait for real."""
    before = Executor.RETRY_BACKOFF_SECONDS
    Executor.RETRY_BACKOFF_SECONDS = 0
    made = Bench(agent, model, folder, **surroundings)
    try:
        yield made
    finally:
        made.close()
        Executor.RETRY_BACKOFF_SECONDS = before


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)
