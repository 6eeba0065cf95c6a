"""A durable service on this machine: agents run as on Lambda, without an account.

The service is AWS's local runner, with its executions in a file; what it invokes, the agent and the model, is served
here on loopback under Lambda's own paths.
"""

import json
import os
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lambda_llm.agent.agent import Agent
from lambda_llm.agent.durable import Streamed, Surroundings, handler
from lambda_llm.agent.executions import Executions
from lambda_llm.agent.store import FolderStore
from lambda_llm.agent.tools.tool import Store
from lambda_llm.errors import LambdaLLMError
from lambda_llm.limits import DURABLE_EXECUTION_SECONDS

AGENT: Final = "agent"
INFERENCE: Final = "inference"
HOST: Final = "127.0.0.1"
REGION: Final = "us-east-1"
ACCOUNT: Final = "000000000000"
ANSWER_SECONDS: Final = 900
READY_SECONDS: Final = 20
INVOKED: Final = "/2015-03-31/functions/{name}/invocations"
"""Path of Lambda's Invoke. Source: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html"""


class LocalServiceError(LambdaLLMError):
    """The local durable service can't be started, or refused an execution."""


@dataclass(frozen=True)
class LocalService:
    """A running one.

    Attributes:
        url: endpoint of its API, which is Lambda's.
        executions: of it.
    """

    url: str
    executions: Executions

    def start(self, task: str, name: str, tenant: str | None = None) -> str:
        """Start an execution of the agent; returns its ARN."""
        given = {
            "AccountId": ACCOUNT,
            "FunctionName": AGENT,
            "FunctionQualifier": "$LATEST",
            "ExecutionName": name,
            "ExecutionTimeoutSeconds": DURABLE_EXECUTION_SECONDS,
            "ExecutionRetentionPeriodDays": 1,
            "InvocationId": str(uuid.uuid4()),
            "Input": json.dumps({"task": task} | ({"tenant": tenant} if tenant else {})),
        }
        answer = httpx2.post(f"{self.url}/start-durable-execution", json=given, timeout=READY_SECONDS)
        if answer.is_error:
            raise LocalServiceError(f"The local durable service refused the execution: {answer.text[:300]}")
        return str(answer.json()["ExecutionArn"])


@contextmanager
def local_service(
    agent: Agent,
    inference: str,
    folder: Path,
    *,
    skip_waits: bool = False,
    streamed: Streamed | None = None,
    store: Callable[[str], Store] | None = None,
) -> Iterator[LocalService]:
    """Run the service while the context lasts.

    Args:
        agent: to run.
        inference: URL of a server of OpenAI's API, such as `lambda-llm serve`.
        folder: for executions, documents and large results.
        skip_waits: whether waits end at once; the history has their real lengths.
        streamed: asks the model instead, while the orchestrator stays awake.
        store: makes the store of a tenant; by default a folder of `folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    url = f"http://{HOST}:{port}"
    executions = Executions(url)
    surroundings = Surroundings(
        store=store or (lambda tenant: FolderStore(folder / "state", tenant)),
        function=INFERENCE,
        streamed=streamed,
        client=executions.client,
    )
    app = invocable({AGENT: handler(agent, surroundings), INFERENCE: forwarding(inference)})
    with _serving(app) as endpoint, durable_service(port, endpoint, folder, skip_waits=skip_waits):
        yield LocalService(url, executions)


@contextmanager
def durable_service(port: int, endpoint: str, folder: Path, *, skip_waits: bool) -> Iterator[None]:
    """Run AWS's local runner on a port of loopback, in a process of its own.

    Args:
        port: to listen on.
        endpoint: where it invokes functions.
        folder: of the file with its executions, and of its log.
        skip_waits: whether waits end at once.

    Raises:
        LocalServiceError: it did not start.
    """
    command = [
        *(
            sys.executable,
            "-c",
            "from aws_durable_execution_sdk_python_testing.cli import main; raise SystemExit(main())",
        ),
        *("start-server", "--host", HOST, "--port", str(port), "--log-level", "ERROR"),
        *("--lambda-endpoint", endpoint, "--local-runner-endpoint", f"http://{HOST}:{port}"),
        *("--local-runner-region", REGION, "--store-type", "sqlite", "--store-path", str(folder / "executions.db")),
        *("--invocation-timeout", str(ANSWER_SECONDS), "--skip-time" if skip_waits else "--no-skip-time"),
        *("--function-configs", json.dumps({INFERENCE: {}})),
    ]
    # Its requests to loopback are signed by nobody's credentials; the agent's own tools keep the caller's.
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}
    with (
        (folder / "service.log").open("wb") as log,
        subprocess.Popen(  # noqa: S603 - our own interpreter
            command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        ) as process,
    ):
        try:
            _await(f"http://{HOST}:{port}/health", process)
            yield
        finally:
            process.kill()  # its file survives it; asked to end, it waits for threads that wait for us


def invocable(functions: Mapping[str, Callable[[Any, Any], Any]]) -> Starlette:
    """An application that runs functions under Lambda's Invoke.

    Args:
        functions: handlers by name.
    """

    async def invoke(request: Request) -> Response:
        function = functions.get(request.path_params["name"].partition(":")[0])
        if function is None:
            return Response('{"Type": "User", "Message": "Function not found"}', 404)
        event = json.loads(await request.body() or b"null")
        try:
            result = await run_in_threadpool(function, event, _Context())
        except Exception as error:  # noqa: BLE001 - as Lambda reports it
            failed = {"errorType": type(error).__name__, "errorMessage": str(error)[:1000]}
            return Response(json.dumps(failed), headers={"x-amz-function-error": "Unhandled"})
        return Response(json.dumps(result))

    return Starlette(routes=[Route(INVOKED, invoke, methods=["POST"])])


def forwarding(url: str, auth: httpx2.Auth | None = None) -> Callable[[Any, Any], dict[str, Any]]:
    """A function that is an HTTP server elsewhere.

    Args:
        url: of the server, with or without `/v1`.
        auth: signs the requests.
    """
    client = httpx2.Client(base_url=url.rstrip("/").removesuffix("/v1"), auth=auth, timeout=ANSWER_SECONDS)

    def forward(event: Any, _: Any) -> dict[str, Any]:
        try:
            answer = client.post(event["rawPath"], content=event["body"], headers={"content-type": "application/json"})
        except httpx2.HTTPError as error:
            said = {"error": {"code": "unreachable", "message": f"{url} can't be reached: {type(error).__name__}"}}
            return {"statusCode": 503, "headers": {}, "body": json.dumps(said)}
        return {"statusCode": answer.status_code, "headers": {}, "body": answer.text}

    return forward


class _Context:
    """What the SDK reads of Lambda's context."""

    aws_request_id = "local"
    function_name = AGENT
    function_version = "$LATEST"
    invoked_function_arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{AGENT}"
    tenant_id = None
    memory_limit_in_mb = "1769"
    log_group_name = log_stream_name = ""
    client_context = identity = None

    def get_remaining_time_in_millis(self) -> int:
        return ANSWER_SECONDS * 1000


@contextmanager
def _serving(app: Starlette) -> Iterator[str]:
    with socket.create_server((HOST, 0)) as bound:
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        try:
            yield f"http://{HOST}:{bound.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(READY_SECONDS)


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.create_server((HOST, 0)) as bound:
        port: int = bound.getsockname()[1]
        return port


def _await(url: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + READY_SECONDS
    while process.poll() is None:
        try:
            if httpx2.get(url, timeout=1).is_success:
                return
        except httpx2.HTTPError:
            pass
        if time.monotonic() > end:
            break
        time.sleep(0.02)
    raise LocalServiceError("The local durable service did not start: service.log in its folder says why.")
