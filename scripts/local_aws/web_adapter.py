"""Handler of functions with the Lambda Web Adapter on the local AWS: emulates the adapter.

Starts the program in `AWS_LAMBDA_EXEC_WRAPPER`, waits until its readiness check returns a status that the variables
accept, and translates each event of a Function URL, an HTTP API or a REST API to an HTTP request and its response back.
It tells the program the event's `requestContext`, over whatever a caller sent under its header's name. It posts to the
snapshot's paths before the snapshot and after the restore, and rejects requests to them. Unlike the adapter it buffers
the response.

Source: https://github.com/aws/aws-lambda-web-adapter
"""

import base64
import contextlib
import ctypes
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import Any, Final
from urllib.parse import quote, urlencode

ROOT: Final = os.environ["LAMBDA_TASK_ROOT"]
POLL_SECONDS: Final = 0.01
RESPONSE_SECONDS: Final = float(os.environ.get("_LAMBDA_TIMEOUT", "900"))
PARENT_DIES: Final = 1
"""PR_SET_PDEATHSIG of Linux's prctl."""

BEFORE: Final = os.environ.get("AWS_LWA_SNAPSTART_BEFORE_CHECKPOINT_PATH")
AFTER: Final = os.environ.get("AWS_LWA_SNAPSTART_AFTER_RESTORE_PATH")


def _free_port() -> int:
    # The function's configured port would be the same for all of its environments on this machine.
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _die_with_parent() -> None:
    with contextlib.suppress(AttributeError, OSError):  # only Linux has it
        ctypes.CDLL(None).prctl(PARENT_DIES, signal.SIGKILL)


def _forward(last_line: list[str]) -> None:
    for line in _server.stderr or ():
        last_line[:] = [line]
        sys.stderr.write(line)
        sys.stderr.flush()


def _request(method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> tuple[Any, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", _port, timeout=RESPONSE_SECONDS)
    with contextlib.closing(connection):
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response, response.read()


def _ready() -> bool:
    lowest, _, highest = os.environ["AWS_LWA_READINESS_CHECK_HEALTHY_STATUS"].partition("-")
    try:
        response, _ = _request("GET", os.environ["AWS_LWA_READINESS_CHECK_PATH"])
    except OSError:
        return False
    return bool(int(lowest) <= response.status <= int(highest or lowest))


def _hook(path: str | None) -> None:
    if path is None:
        return
    response, body = _request("POST", path)
    if response.status // 100 != 2:  # noqa: PLR2004 - the adapter requires 2xx
        raise RuntimeError(f"{path} returned status {response.status}: {body.decode(errors='replace')}")


def handle(event: Any, _context: Any) -> dict[str, Any]:
    """Respond to one event."""
    context = event.get("requestContext") if isinstance(event, dict) else None
    if not context:
        method, path, query, event = "POST", "/events", "", {"body": json.dumps(event)}
    elif "httpMethod" in event:  # a REST API
        method, path = event["httpMethod"], quote(event["path"])
        query = urlencode(event.get("multiValueQueryStringParameters") or {}, doseq=True)
    else:
        method, path, query = context["http"]["method"], event["rawPath"], event.get("rawQueryString") or ""
    if path in {BEFORE, AFTER}:
        return {"statusCode": 403, "headers": {"content-type": "text/plain"}, "body": "Forbidden"}
    body = event.get("body") or ""
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    headers |= {"x-amzn-request-context": json.dumps(context)}
    headers.pop("content-length", None)
    response, content = _request(
        method,
        f"{path}?{query}" if query else path,
        base64.b64decode(body) if event.get("isBase64Encoded") else body.encode(),
        headers,
    )
    headers = {name.lower(): value for name, value in response.getheaders()}
    return {"statusCode": response.status, "headers": headers, "body": content.decode(), "isBase64Encoded": False}


_port = _free_port()
_server = subprocess.Popen(
    # Python's zipfile drops file modes, so the shell runs the script.
    ["/bin/sh", ROOT + os.environ["AWS_LAMBDA_EXEC_WRAPPER"].removeprefix("/var/task"), sys.executable],
    env={**os.environ, "AWS_LWA_PORT": str(_port)},
    stdin=subprocess.DEVNULL,
    stdout=sys.stderr,
    stderr=subprocess.PIPE,
    text=True,
    preexec_fn=_die_with_parent,  # noqa: PLW1509 - no other thread runs yet
)
_last_line: list[str] = []
_reader = threading.Thread(target=_forward, args=(_last_line,), daemon=True)
_reader.start()
while not _ready():
    if _server.poll() is not None:
        _reader.join()
        raise RuntimeError(f"Runtime exited with status {_server.returncode}: {''.join(_last_line).strip()}")
    time.sleep(POLL_SECONDS)

with contextlib.suppress(ImportError):
    from snapshot_restore_py import register_after_restore, register_before_snapshot

    register_before_snapshot(_hook, BEFORE)
    register_after_restore(_hook, AFTER)
