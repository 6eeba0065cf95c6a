"""The function behind Lambda's own Python runtime, in a process of its own, and the events that Lambda hands it."""

import asyncio
import base64
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from support.chat import PATH

PROGRAM = """
import json, sys
answers, sys.stdout = sys.stdout, sys.stderr  # where the lines of figures go as well
import snapshot_restore_py
from lambda_llm.inference import handler
from lambda_llm.inference.snapshot import cpu

def hooks(registered):
    for function, arguments, named in registered:
        function(*arguments, **named)
    return len(registered)

def restored_on_a_lesser_cpu():
    real, cpu.features = cpu.features, frozenset
    try:
        hooks(snapshot_restore_py.get_after_restore())
    finally:
        cpu.features = real

actions = {
    "handle": lambda event: handler.handle(event, None),
    "before": lambda _: hooks(snapshot_restore_py.get_before_snapshot()),
    "after": lambda _: hooks(snapshot_restore_py.get_after_restore()),
    "after on a lesser cpu": lambda _: restored_on_a_lesser_cpu(),
}
for line in sys.stdin:
    action, argument = json.loads(line)
    try:
        print(json.dumps({"gave": actions[action](argument)}), file=answers, flush=True)
    except Exception as error:
        print(json.dumps({"raised": [type(error).__name__, str(error)]}), file=answers, flush=True)
"""


class Function:
    """The function's process: one request at a time, as Lambda runs it."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.log = log
        self._process = process

    def do(self, action: str, argument: Any = None) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([action, argument]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, self.log.read_text()
        return json.loads(line)

    def handle(self, event: Any) -> Any:
        return self.do("handle", event)["gave"]


@contextmanager
def started(environment: Mapping[str, str], log: Path) -> Iterator[Function]:
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            env={**environment, "LAMBDA_LLM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        yield Function(process, log)
        assert process.stdin
        process.stdin.close()
        assert process.wait(60) == 0


def function_url_event(body: str | None, *, method: str = "POST", path: str = PATH, encoded: bool = False) -> Any:
    """Payload version 2.0. Source: https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html"""
    event = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {
            "content-type": "application/json",
            "host": "abc.lambda-url.eu-central-1.on.aws",
            "x-forwarded-proto": "https",
            "x-forwarded-port": "443",
            "user-agent": "tests",
        },
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "abc",
            "domainName": "abc.lambda-url.eu-central-1.on.aws",
            "domainPrefix": "abc",
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"},
            "requestId": "id",
            "routeKey": "$default",
            "stage": "$default",
            "time": "12/Mar/2026:19:03:58 +0000",
            "timeEpoch": 1773342238000,
        },
        "isBase64Encoded": encoded,
    }
    return event if body is None else event | {"body": body}


def behind_a_url(function: Function) -> ASGIApp:
    """A Function URL in front of the function, for one client at a time: requests become events."""

    async def answer(request: Request) -> Response:
        body = await request.body()
        event = function_url_event(
            base64.b64encode(body).decode() if body else None,
            method=request.method,
            path=request.url.path,
            encoded=bool(body),
        )
        event["headers"] |= {"content-type": request.headers.get("content-type", "application/json")}
        answered = await asyncio.to_thread(function.handle, event)
        content = answered.get("body", "")
        content = base64.b64decode(content) if answered.get("isBase64Encoded") else content.encode()
        return Response(content, answered["statusCode"], answered.get("headers"))

    return Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])])
