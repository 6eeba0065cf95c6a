"""The package's server as a process of its own, started and watched as the Lambda Web Adapter does it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from lambda_llm.loading.push import Pushed, push
from lambda_llm.web.adapter import AFTER_PATH, BEFORE_PATH, PORT
from scripts.demo import MODEL
from scripts.local_aws.server import LocalAWS
from scripts.local_aws.server import local_aws as run_local_aws

ROOT = Path(__file__).parents[2]
SERVE = ROOT / "functions/bin/serve"
LIMIT_SECONDS = 120
BEFORE, AFTER = "/snapshot/before", "/snapshot/after"
SYSTEM_PROMPT = "You are a terse assistant for questions about AWS Lambda."


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=LIMIT_SECONDS).close()
    except ConnectionRefusedError:
        return False
    return True


def until(condition: Callable[[], Any]) -> Any:
    """What `condition` gives, as soon as that is something."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while not (result := condition()):
        assert time.monotonic() < deadline, f"nothing after {LIMIT_SECONDS} s"
        time.sleep(0.01)
    return result


@dataclass
class Server:
    """A server process; `log` is what it wrote to standard error."""

    process: subprocess.Popen[bytes] | subprocess.Popen[str]
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def lines(self) -> list[dict[str, Any]]:
        """The log, each line of which must be a JSON object; without the lines of figures."""
        return [line for line in self._written() if "message" in line]

    def figures(self) -> list[dict[str, Any]]:
        """The lines of figures."""
        return [line for line in self._written() if "message" not in line]

    def _written(self) -> list[dict[str, Any]]:
        ended, _, _ = self.log.read_text().rpartition("\n")  # the last one may be in the middle of its writing
        return [json.loads(line) for line in ended.splitlines()]

    def health(self) -> dict[str, Any]:
        answer: dict[str, Any] = httpx2.get(f"{self.url}/health", timeout=LIMIT_SECONDS).raise_for_status().json()
        return answer

    def requests(self) -> dict[str, int]:
        """The counts of `/health`."""
        counts: dict[str, int] = self.health()["requests"]
        return counts

    def settled(self) -> dict[str, int]:
        """The same, once nobody is being answered: what earlier tests left behind is counted by then."""

        def idle() -> dict[str, int] | None:
            counts = self.requests()
            return counts if counts["active"] == 0 else None

        counts: dict[str, int] = until(idle)
        return counts

    def ready(self) -> bool:
        """The adapter's look at the readiness check."""
        assert self.process.poll() is None, self.log.read_text()
        try:
            return bool(200 <= httpx2.get(f"{self.url}/health", timeout=LIMIT_SECONDS).status_code < 400)
        except httpx2.ConnectError:
            return False


@contextmanager
def started(folder: Path, environment: Mapping[str, str], program: Path = SERVE) -> Iterator[Server]:
    """Start a program with the command line that Lambda gives to AWS_LAMBDA_EXEC_WRAPPER, and end it behind."""
    port = free_port()
    given = {"LAMBDA_LLM_THREADS": "1", BEFORE_PATH: BEFORE, AFTER_PATH: AFTER, PORT: str(port)}
    log = folder / f"serve-{port}.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [program, sys.executable, "/var/runtime/bootstrap.py"],
            env={**given, **environment},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        ) as process,
    ):
        try:
            yield Server(process, port, log)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(LIMIT_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


@contextmanager
def serving(folder: Path, environment: Mapping[str, str], program: Path = SERVE) -> Iterator[Server]:
    """The same, ready."""
    with started(folder, environment, program) as server:
        until(server.ready)
        yield server


@pytest.fixture(scope="session")
def local_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAWS]:
    """One local AWS for the whole run: `endpoint`, and `environment` for whatever is to talk to it.

    It keeps what it is given until the end, so each test makes buckets and names of its own.
    """
    with run_local_aws(tmp_path_factory.mktemp("local-aws")) as running:
        yield running


@pytest.fixture(scope="session")
def pushed(local_aws: LocalAWS) -> Pushed:
    """The demo model in the local AWS's S3, as `lambda-llm push` leaves it."""
    local_aws.make_bucket("served-models")
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name, value in local_aws.environment.items():
            monkeypatch.setenv(name, value)
        return push(MODEL, "s3://served-models/demo.gguf")


@pytest.fixture(scope="session")
def pinned(local_aws: LocalAWS, pushed: Pushed) -> dict[str, str]:
    """An environment in which a server loads the demo model from S3, held to its version and its SHA-256."""
    assert pushed.version_id
    return {
        **local_aws.environment,
        "LAMBDA_LLM_MODEL": pushed.uri,
        "LAMBDA_LLM_MODEL_VERSION_ID": pushed.version_id,
        "LAMBDA_LLM_MODEL_SHA256": pushed.sha256,
        "LAMBDA_LLM_SYSTEM_PROMPT": SYSTEM_PROMPT,
    }


@pytest.fixture(scope="session")
def demo_server(pinned: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The demo model, served from S3."""
    with serving(tmp_path_factory.mktemp("demo-server"), pinned) as server:
        yield server


@pytest.fixture(scope="session")
def endless_server(endless_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The endless model, served from its file."""
    environment = {**os.environ, "LAMBDA_LLM_MODEL": str(endless_model)}
    with serving(tmp_path_factory.mktemp("endless-server"), environment) as server:
        yield server


@contextmanager
def raw_request(server: Server, method: str, path: str, body: Any) -> Iterator[socket.socket]:
    """Send a request and give the connection, which nobody reads; leaving the context is how the client leaves."""
    content = json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with closing(socket.create_connection(("127.0.0.1", server.port), timeout=LIMIT_SECONDS)) as connection:
        connection.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        yield connection
