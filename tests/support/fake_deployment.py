"""A deployment on loopback that is right, or wrong in one way: what `lambda-llm verify` must see.

A right one behind a Function URL has environments as Lambda has them: each answers one request at a time, another is
restored for a request that finds none, and one goes on when its client leaves. Its AWS answers through botocore, which
checks the parameters of every call, and its answers are checked against AWS's service model.
"""

import asyncio
import contextlib
import io
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.response import StreamingBody
from botocore.validate import validate_parameters
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from lambda_llm import limits
from lambda_llm.cli.probes.deployment import Deployment, connected
from support.function_url import KEY, REGION, FunctionURL, listening

FUNCTION = "llm"
VERSION = "7"
BUCKET, OBJECT, OBJECT_VERSION = "models", "demo.gguf", "v1"
ROLE = "arn:aws:iam::123456789012:role/llm"
ARN = f"arn:aws:lambda:{REGION}:123456789012:function:{FUNCTION}"
SHORT = 12
"""Tokens of an answer that nothing makes longer."""


@dataclass
class Environment:
    """One environment of the function."""

    id: str
    restored: bool
    began: float = field(default_factory=time.monotonic)
    free_at: float = 0.0
    completed: int = 0


@dataclass
class Fake:
    """The server; its fields are the ways in which it can be wrong.

    Attributes:
        on_lambda: it has environments; otherwise it is one process, as `lambda-llm serve`.
        token_seconds: between two tokens.
        told_seconds: what it says was between them; None: the truth.
        one_piece: the answer is collected before it is sent.
        tells_timings: it knows `timings_per_token`.
        restores: another environment is restored for a request that finds none, not initialized.
        follows: it stops when its client leaves.
        caches: a prompt that it has seen is found.
        health_seconds: that `/health` takes.
        changes: to `/health`, by field.
        own: changes to what `/health` says of the environment.
        status: of every answer of the model.
        breaks_after: tokens after which the connection breaks.
    """

    on_lambda: bool = True
    token_seconds: float = 0.01
    told_seconds: float | None = None
    one_piece: bool = False
    tells_timings: bool = True
    restores: bool = True
    follows: bool = False
    caches: bool = True
    health_seconds: float = 0.0
    changes: dict[str, Any] = field(default_factory=dict)
    own: dict[str, Any] = field(default_factory=dict)
    status: int = 200
    breaks_after: int | None = None
    requests: list[str] = field(default_factory=list)
    reports: dict[str, str] = field(default_factory=dict)
    active: int = 0
    completed: int = 0
    cancelled: int = 0
    seen: set[str] = field(default_factory=set)
    environments: list[Environment] = field(default_factory=lambda: [Environment("0", restored=True)])

    @property
    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/health", self._health),
                Route("/v1/models", self._models),
                Route("/tokenize", self._tokenize, methods=["POST"]),
                Route("/v1/chat/completions", self._chat, methods=["POST"]),
            ]
        )

    def health(self, environment: Environment) -> dict[str, Any]:
        own = {
            "id": environment.id,
            "function": FUNCTION,
            "version": VERSION,
            "initialization": "snap-start",
            "memory_mb": limits.MEMORY_MB,
            "restored": environment.restored,
            "age_seconds": time.monotonic() - environment.began,
        }
        completed = environment.completed if self.on_lambda else self.completed
        said = {
            "status": "ok",
            "worker": "busy" if self.active else "idle",
            "model": "demo",
            "context": 4096,
            "threads": 6,
            "backend": "armv8.6_1",
            "checksums": ["CRC64NVME", "SHA-256"],
            "environment": {**own, **self.own} if self.on_lambda else None,
            "memory": {"resident": 4_000_000_000, "peak": 5_000_000_000, "weights": 3_000_000_000},
            "requests": {"active": self.active, "completed": completed, "cancelled": self.cancelled},
        }
        return {name: value for name, value in {**said, **self.changes}.items() if value != "left out"}

    def _take(self) -> Environment:
        """An environment that is free; if there is none, another one."""
        now = time.monotonic()
        free = next((each for each in self.environments if each.free_at <= now), None)
        if free is None:
            free = Environment(str(len(self.environments)), restored=self.restores)
            self.environments.append(free)
        return free

    async def _health(self, _: Request) -> Response:
        self.requests.append("health")
        await asyncio.sleep(self.health_seconds)
        return JSONResponse(self.health(self._take()))

    async def _models(self, _: Request) -> Response:
        self.requests.append("models")
        return JSONResponse({"object": "list", "data": [{"id": "demo"}]})

    async def _tokenize(self, request: Request) -> Response:
        return JSONResponse({"tokens": list(range(len((await request.json())["content"].split())))})

    async def _chat(self, request: Request) -> Response:
        body = await request.json()
        self.requests.append("chat")
        if self.status != 200:
            return JSONResponse({"error": {"message": "It can't.", "code": "unsupported_model"}}, self.status)
        request_id = f"request-{len(self.requests)}"
        environment, before = self._take(), len(self.environments)
        environment.free_at = float("inf")
        restored = environment.id != "0" and environment.completed == 0 and before > 1
        events = self._events(body, environment, request_id, restored=restored)
        headers = {"x-amzn-requestid": request_id} if self.on_lambda else {}
        if self.one_piece:
            return Response("".join([each async for each in events]), headers=headers, media_type="text/event-stream")
        return StreamingResponse(events, headers=headers, media_type="text/event-stream")

    async def _events(
        self, body: Mapping[str, Any], environment: Environment, request_id: str, *, restored: bool
    ) -> AsyncIterator[str]:
        began = time.monotonic()
        tokens = body["max_tokens"] if "response_format" in body else min(body["max_tokens"], SHORT)
        first = body["messages"][0]["content"]
        cached = len(first.split()) if self.caches and first in self.seen else 1
        self.seen.add(first)
        self.active += 1
        made, first_at = 0, time.monotonic()
        try:
            for made in range(1, tokens + 1):
                self._break_at(made)
                at = time.monotonic() - first_at if self.told_seconds is None else (made - 1) * self.told_seconds
                timings = {
                    "cache_n": cached,
                    "prompt_n": 9,
                    "prompt_ms": 5.0,
                    "predicted_n": made,
                    "predicted_ms": at * 1000,
                }
                yield _event({"choices": [{"index": 0, "delta": {"content": " 1"}}], **self._told(timings)})
                await asyncio.sleep(self.token_seconds)
            yield _event({"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]})
            usage = {
                "prompt_tokens": 64,
                "completion_tokens": tokens,
                "prompt_tokens_details": {"cached_tokens": cached},
            }
            yield _event({"choices": [], "usage": usage}) + "data: [DONE]\n\n"
            self.completed += 1
        except BaseException:
            self.cancelled += 1
            raise
        finally:
            self.active -= 1
            # On Lambda it goes on to its end, which nobody here waits for.
            left = 0.0 if self.follows else (tokens - made) * self.token_seconds
            environment.free_at = time.monotonic() + left
            environment.completed += 1
            self.reports[request_id] = _report(request_id, time.monotonic() - began + left, restored=restored)

    def _break_at(self, made: int) -> None:
        if made == self.breaks_after:
            raise ConnectionError("on purpose")

    def _told(self, timings: dict[str, float]) -> dict[str, Any]:
        return {"timings": timings} if self.tells_timings else {}


def _event(content: Any) -> str:
    return f"data: {json.dumps(content)}\n\n"


def _report(request_id: str, seconds: float, *, restored: bool) -> str:
    line = f"REPORT RequestId: {request_id}\tDuration: {seconds * 1000:.2f} ms\tBilled Duration: 1 ms"
    return f"{line}\tRestore Duration: 812.50 ms\tBilled Restore Duration: 1 ms" if restored else line


Answer = dict[str, Any] | Callable[[Mapping[str, Any]], dict[str, Any]] | tuple[str, str]
"""What an operation answers: a response, what makes one of the parameters, or code and message of an error."""


_SESSION = boto3.Session(region_name=REGION, aws_access_key_id="x", aws_secret_access_key="x")  # noqa: S106 - opens nothing
_CLIENT = boto3.Session.client
_CLIENTS: dict[str, Any] = {}
"""Clients of AWS, which take a quarter of a second each to make."""

_installed: list["FakeAWS"] = []


@dataclass
class FakeAWS:
    """What AWS answers, by operation; tests change it.

    Attributes:
        calls: each operation with its parameters.
    """

    answers: dict[str, Answer]
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Answer the calls of every client from now on."""

        def client(_: Any, service: str, *, config: Any) -> Any:
            if service not in _CLIENTS:
                made: Any = _CLIENT(_SESSION, service, config=config)  # type: ignore[call-overload]  # any service
                # Of the one that is installed then, not now.
                made.meta.events.register("provide-client-params", lambda **of: _installed[-1].called(**of))  # noqa: PLW0108
                made.meta.events.register("before-call", lambda **of: _installed[-1].answered(**of))  # noqa: PLW0108
                _CLIENTS[service] = made
            return _CLIENTS[service]

        monkeypatch.setattr(boto3.Session, "client", client)
        _installed[:] = [self]

    def called(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        self.calls.append((model.name, dict(params)))

    def answered(self, model: Any, **_: Any) -> tuple[Any, dict[str, Any]]:
        answer = self.answers[model.name]
        if isinstance(answer, tuple):
            code, message = answer
            return SimpleNamespace(status_code=400), {
                "Error": {"Code": code, "Message": message},
                "ResponseMetadata": {},
            }
        said = answer(self.calls[-1][1]) if callable(answer) else answer
        validate_parameters({name: value for name, value in said.items() if name != "Payload"}, model.output_shape)
        return SimpleNamespace(status_code=200), said


def configuration(**changes: Any) -> dict[str, Any]:
    """A version's, as the module `inference` makes it."""
    right = {
        "FunctionName": FUNCTION,
        "FunctionArn": f"{ARN}:{VERSION}",
        "Role": ROLE,
        "Runtime": limits.RUNTIME,
        "MemorySize": limits.MEMORY_MB,
        "Architectures": [limits.ARCHITECTURE],
        "PackageType": limits.PACKAGE_TYPE,
        "EphemeralStorage": {"Size": limits.EPHEMERAL_STORAGE_MB},
        "SnapStart": {"ApplyOn": limits.SNAPSTART_APPLY_ON, "OptimizationStatus": "On"},
        "State": "Active",
        "LastUpdateStatus": "Successful",
        "Environment": {
            "Variables": {
                "LAMBDA_LLM_MODEL": f"s3://{BUCKET}/{OBJECT}",
                "LAMBDA_LLM_MODEL_VERSION_ID": OBJECT_VERSION,
            }
        },
        "LoggingConfig": {"LogGroup": "/aws/lambda/own"},
    }
    return {**right, **changes}


def url_config(**changes: Any) -> dict[str, Any]:
    right = {
        "FunctionUrl": f"https://abc.lambda-url.{REGION}.on.aws/",
        "FunctionArn": f"{ARN}:live",
        "AuthType": "AWS_IAM",
        "InvokeMode": "RESPONSE_STREAM",
        "CreationTime": "2026-11-26T00:00:00Z",
        "LastModifiedTime": "2026-11-26T00:00:00Z",
    }
    return {**right, **changes}


def invoked(payload: bytes, *, error: str | None = None) -> dict[str, Any]:
    """The answer of an invocation."""
    body = {"Payload": StreamingBody(io.BytesIO(payload), len(payload)), "ExecutedVersion": VERSION, "StatusCode": 200}
    return body | ({"FunctionError": error} if error else {})


def right_aws(fake: Fake) -> FakeAWS:
    """The AWS of a right deployment."""
    model = f"arn:aws:s3:::{BUCKET}/{OBJECT}"

    def simulated(params: Mapping[str, Any]) -> dict[str, Any]:
        versions = [value for entry in params["ContextEntries"] for value in entry["ContextKeyValues"]]
        allowed = (params["ActionNames"], params["ResourceArns"], versions) == (
            ["s3:GetObjectVersion"],
            [model],
            [OBJECT_VERSION],
        )
        return evaluated(params, allowed=allowed)

    def invoke(params: Mapping[str, Any]) -> dict[str, Any]:
        if params["Qualifier"] == "$LATEST":
            return invoked(b'{"errorMessage": "This Lambda function can\'t serve a model"}', error="Unhandled")
        said = json.dumps(fake.health(fake.environments[0])).encode()
        return invoked(b'{"statusCode": 200, "headers": {}}' + b"\0" * 8 + said)

    def logged(params: Mapping[str, Any]) -> dict[str, Any]:
        found = [line for line in fake.reports.values() if params["filterPattern"].strip('"') in line]
        return {"events": [{"message": line} for line in found]}

    return FakeAWS(
        {
            "ListAliases": {"Aliases": [{"Name": "live", "FunctionVersion": VERSION}]},
            "GetFunctionUrlConfig": url_config(),
            "GetFunctionConfiguration": configuration(),
            "ListProvisionedConcurrencyConfigs": {"ProvisionedConcurrencyConfigs": []},
            "GetPolicy": ("ResourceNotFoundException", "The resource you requested does not exist."),
            "SimulatePrincipalPolicy": simulated,
            "SimulateCustomPolicy": lambda params: evaluated(params, allowed=False),
            "HeadObject": {"ChecksumType": "FULL_OBJECT", "ChecksumCRC64NVME": "AAAAAAAAAAA="},
            "Invoke": invoke,
            "FilterLogEvents": logged,
        }
    )


def evaluated(params: Mapping[str, Any], *, allowed: bool) -> dict[str, Any]:
    decision = "allowed" if allowed else "implicitDeny"
    return {"EvaluationResults": [{"EvalActionName": params["ActionNames"][0], "EvalDecision": decision}]}


@dataclass
class Stage:
    """A fake deployment that is running, and the one who asks it."""

    fake: Fake
    aws: FakeAWS
    deployment: Deployment


Deploy = Callable[..., contextlib.AbstractContextManager[Stage]]


class _Swap:
    """One server for all tests, whose application is the current test's."""

    app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.app is None or scope["type"] != "http":
            raise RuntimeError("there is no deployment now")
        await self.app(scope, receive, send)


@pytest.fixture(scope="session")
def stage_server() -> Iterator[tuple[_Swap, str]]:
    swap = _Swap()
    with listening(swap) as url:
        yield swap, url


@pytest.fixture
def deploy(monkeypatch: pytest.MonkeyPatch, no_aws_of_this_machine: None, stage_server: tuple[_Swap, str]) -> Deploy:
    """Run a fake deployment, with the fields of `Fake`: signed with a Function URL's checks, or as a server."""
    assert no_aws_of_this_machine is None
    for name, value in KEY.environment.items():
        monkeypatch.setenv(name, value)
    swap, url = stage_server

    @contextlib.contextmanager
    def running(*, signed: bool = True, checked: bool = True, **fields: Any) -> Iterator[Stage]:
        fake = Fake(on_lambda=signed, **fields)
        aws = right_aws(fake)
        swap.app = FunctionURL(fake.app, KEY) if signed and checked else fake.app
        with monkeypatch.context() as patched, connected(url, REGION if signed else None) as deployment:
            aws.install(patched)
            yield Stage(fake, aws, deployment)

    return running
