"""One environment's life behind the web adapter: init, readiness, snapshot hooks, and refusals to start."""

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from lambda_llm.engine.engine import Engine
from support.answers import EXPECTED, user
from support.chat import PATH
from support.credentials import AUTHORIZATION, SECRET, container_credentials, in_memory
from support.gate import Gate
from support.servers import (
    AFTER,
    BEFORE,
    LIMIT_SECONDS,
    SYSTEM_PROMPT,
    Server,
    listening,
    serving,
    started,
    until,
)


def chat(server: Server, *messages: dict[str, str]) -> dict[str, Any]:
    body = {"model": "lambda-llm-demo", "messages": messages, "temperature": 0}
    answer: dict[str, Any] = httpx2.post(f"{server.url}{PATH}", json=body, timeout=LIMIT_SECONDS).json()
    return answer


# -- init -------------------------------------------------------------------------------------------


def test_the_server_listens_only_when_the_model_is_ready(
    pinned: dict[str, str], gate: Gate, tmp_path: Path, engine: Engine
) -> None:
    with started(tmp_path, pinned | {"AWS_ENDPOINT_URL": gate.endpoint}) as server:
        assert gate.reached.wait(LIMIT_SECONDS)
        assert not listening(server.port)
        gate.open.set()
        until(server.ready)
        first = chat(server, {"role": "system", "content": SYSTEM_PROMPT}, user("What is a token?"))
        cached = first["usage"]["prompt_tokens_details"]["cached_tokens"]
        assert cached >= len(engine.model.tokenize(SYSTEM_PROMPT, add_special=False)), (
            "the first request waits for its own words"
        )
        (loaded,) = [line["message"] for line in server.lines() if line["message"].startswith("loaded ")]
        assert "verified by CRC64NVME and SHA-256" in loaded
        assert any(line["message"].startswith("ready: ") for line in server.lines())
    assert server.process.returncode == -signal.SIGTERM


def test_a_server_in_the_midst_of_an_answer_ends_when_told_to(endless_model: Path, tmp_path: Path) -> None:
    with serving(tmp_path, {**os.environ, "LAMBDA_LLM_MODEL": str(endless_model)}) as server:
        body = {"model": "endless", "messages": [user("Hello")], "temperature": 0, "stream": True}
        with httpx2.stream("POST", f"{server.url}{PATH}", json=body, timeout=LIMIT_SECONDS) as response:
            lines = response.iter_lines()
            assert next(lines)
            server.process.terminate()
            *_, last = (line for line in lines if line)
        assert json.loads(last.removeprefix("data: "))["error"]["code"] == "server_stopping"
        assert server.process.wait(LIMIT_SECONDS) == -signal.SIGTERM
        assert {line["level"] for line in server.lines()} == {"INFO"}


@contextmanager
def refused(folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """The one sentence with which a start ends, without ever having listened."""
    with started(folder, environment) as server:
        seen: list[bool] = []

        def ended() -> bool:
            seen.append(listening(server.port))
            return server.process.poll() is not None

        until(ended)
        assert server.process.returncode == 1
        assert not any(seen)
        errors = [line for line in server.lines() if line["level"] == "ERROR"]
        (error,) = errors
        assert "exception" not in error
        yield error["message"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"LAMBDA_LLM_MODEL_SHA256": "0" * 64}, "is damaged or was swapped: its SHA-256 is"),
        ({"LAMBDA_LLM_MODEL_SIZE": "1"}, "it is a different file"),
        ({"LAMBDA_LLM_MODEL_VERSION_ID": "none-such"}, "has no version 'none-such'"),
        ({"LAMBDA_LLM_MODEL": "s3://served-models/missing.gguf"}, "missing.gguf"),
        ({"LAMBDA_LLM_MODEL": ""}, "LAMBDA_LLM_MODEL can't be used"),
        ({"LAMBDA_LLM_CONTEXT": "4096"}, "set LAMBDA_LLM_CONTEXT to 2048 or less"),
        ({"LAMBDA_LLM_CONTEXT": "32"}, "leaves no room for a response"),
        ({"LAMBDA_LLM_MEMORY_MB": "64"}, "does not fit"),
        ({"AWS_LAMBDA_FUNCTION_NAME": "llm", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512"}, "memory is 512 MB instead"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "LAMBDA_LLM_LOAD_SECONDS": "1"}, "s3://served-models/demo.gguf"),
    ],
    ids=["sha256", "size", "version", "key", "no model", "context", "system prompt", "memory", "invariant", "network"],
)
def test_a_server_that_can_t_serve_never_listens_and_says_why_in_a_line(
    pinned: dict[str, str], tmp_path: Path, changes: dict[str, str], says: str
) -> None:
    # A version is of one object only.
    unpinned = {"LAMBDA_LLM_MODEL_VERSION_ID"} if "LAMBDA_LLM_MODEL" in changes else set()
    environment = {name: value for name, value in (pinned | changes).items() if name not in unpinned}
    with refused(tmp_path, environment) as sentence:
        assert says in sentence


def test_a_taken_port_ends_the_server(pinned: dict[str, str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with started(tmp_path, pinned | {"AWS_LWA_PORT": port}) as server:
            assert server.process.wait(LIMIT_SECONDS) != 0
            assert any("address already in use" in line["message"] for line in server.lines())


# -- snapshot and restore ---------------------------------------------------------------------------


def test_the_adapter_reaches_both_hooks_and_answers_stay_the_same(demo_server: Server) -> None:
    before = chat(demo_server, user("How much memory does the function get?"))["choices"]
    assert EXPECTED in json.dumps(before)
    for path in (BEFORE, AFTER):
        response = httpx2.post(f"{demo_server.url}{path}", timeout=LIMIT_SECONDS)
        assert (response.status_code, response.content) == (204, b"")
    messages = [line["message"] for line in demo_server.lines()]
    assert any(message.startswith("ready for the snapshot, taken on a CPU with ") for message in messages)
    assert any(message.startswith("restored in ") for message in messages)
    assert chat(demo_server, user("How much memory does the function get?"))["choices"] == before


def test_the_snapshot_has_no_connection_and_no_secret(pinned: dict[str, str], tmp_path: Path) -> None:
    fixed = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}
    environment = {name: value for name, value in pinned.items() if name not in fixed}
    with (
        container_credentials(pinned["AWS_ACCESS_KEY_ID"]) as credentials,
        serving(tmp_path, environment | credentials) as server,
        httpx2.Client(base_url=server.url, timeout=LIMIT_SECONDS) as adapter,
        httpx2.Client(base_url=server.url, timeout=LIMIT_SECONDS) as idle,
    ):
        process = psutil.Process(server.process.pid)

        def connections() -> set[str]:
            return {each.status for each in process.net_connections()}

        assert idle.get("/health").status_code == 200
        assert connections() == {psutil.CONN_LISTEN, psutil.CONN_ESTABLISHED}
        response = adapter.post(BEFORE)
        assert (response.status_code, response.headers["connection"]) == (204, "close")
        until(lambda: connections() == {psutil.CONN_LISTEN})
        assert in_memory(process.pid, AUTHORIZATION)
        assert not in_memory(process.pid, SECRET)
        assert idle.post(AFTER).status_code == 204
        assert EXPECTED in json.dumps(chat(server, user("How much memory does the function get?")))


def test_no_answer_is_dated_by_a_clock_of_before_the_snapshot(demo_server: Server) -> None:
    assert "date" not in httpx2.get(f"{demo_server.url}/health").headers
    now = time.time()
    assert abs(chat(demo_server, user("What is a token?"))["created"] - now) < LIMIT_SECONDS


@pytest.mark.parametrize(
    "path", [AFTER, "/snapshot/%61fter", "/x/../snapshot/after", f"{AFTER}/", f"{AFTER}%0A", f"//{AFTER}"]
)
@pytest.mark.parametrize("header", ["x-amzn-request-context", "x-amzn-lambda-context"])
def test_a_caller_from_outside_reaches_no_hook_however_it_spells_the_path(
    demo_server: Server, path: str, header: str
) -> None:
    before = demo_server.log.read_text().count("restored in")
    # Over a socket of its own: a client would normalize the path.
    with socket.create_connection(("127.0.0.1", demo_server.port), LIMIT_SECONDS) as connection:
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\n{header}: {{}}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode())
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert int(answer.split()[1]) in {403, 404}
    assert demo_server.log.read_text().count("restored in") == before


def test_a_server_that_is_told_no_paths_has_no_hooks(demo_model: Path, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "LAMBDA_LLM_MODEL": str(demo_model),
        "AWS_LWA_SNAPSTART_BEFORE_CHECKPOINT_PATH": "",
        "AWS_LWA_SNAPSTART_AFTER_RESTORE_PATH": "",
    }
    with serving(tmp_path, environment) as server:
        for path in (BEFORE, AFTER):
            assert httpx2.post(f"{server.url}{path}").status_code == 404
