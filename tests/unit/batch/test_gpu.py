"""The program beside a server in a job's container: as a process, with a server as a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lambda_llm.batch import gpu, index
from lambda_llm.batch.errors import SettingsError
from lambda_llm.batch.gpu import Job
from lambda_llm.batch_store import layout
from scripts.local_aws.server import LocalAWS
from support.batches import World, configuration, line
from support.servers import free_port

GPU = {
    "kind": "gpu",
    "queue": "arn:aws:batch:us-east-1:123456789012:job-queue/spot",
    "definition": "arn:aws:batch:us-east-1:123456789012:job-definition/vllm:1",
    "model": "theirs",
    "hourly": 0.8,
    "prefill": 20_000,
    "decode": 4_000,
    "parallel": 4,
}
SERVER = '''
"""Answers with what it is asked; dies of what a test says, as of a prompt that a server can't stand."""
import json, os, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("content-length", "0"); self.end_headers()
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        text = asked["messages"][0]["content"]
        if text in sys.argv[2:]:
            os._exit(7)
        answer = json.dumps({"model": asked["model"], "choices": [{"message": {"content": text}}]}).encode()
        self.send_response(200); self.send_header("content-length", str(len(answer))); self.end_headers()
        self.wfile.write(answer)
    def log_message(self, *_):
        pass

ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
'''
IDS = [f"r{number}" for number in range(30)]


@pytest.fixture
def server(tmp_path: Path) -> Path:
    path = tmp_path / "server.py"
    path.write_text(SERVER)
    return path


def begun(world: World, ids: list[str] = IDS) -> tuple[Any, dict[str, Any]]:
    """A batch and its plan."""
    world.settings = configuration(gpu=GPU)
    world.now = time.time()
    world.storage.put(layout.CONFIGURATION, world.settings.model_dump_json().encode())
    batch = world.created(b"".join(line(each, each) for each in ids))
    return batch, world.index(batch)


def job(world: World, local_aws: LocalAWS, batch: Any, number: int, server: Path, *deadly: str) -> Any:
    """Run a job of the array to its end."""
    port = free_port()
    variables = {
        "LAMBDA_LLM_BATCH_STORE": world.uri,
        gpu.TENANT: world.tenant,
        gpu.BATCH: batch.id,
        gpu.INDEX: str(number),
        gpu.SERVER: f"http://127.0.0.1:{port}",
        "PATH": os.environ["PATH"],
    }
    aws = {name: value for name, value in local_aws.environment.items() if name.startswith("AWS_")}
    command = [sys.executable, "-m", "lambda_llm.batch.gpu", "--", sys.executable, str(server), str(port), *deadly]
    return subprocess.run(command, env={**aws, **variables}, capture_output=True, text=True, check=False, timeout=120)


def test_a_job_answers_its_part(world: World, local_aws: LocalAWS, server: Path) -> None:
    batch, plan = begun(world)
    assert plan["step"] == "array"
    named = {"queue": GPU["queue"], "definition": GPU["definition"], "name": batch.id}
    assert plan["job"] == {**named, "seconds": 24 * 3600 + index.JOB_SECONDS}
    assert plan["parts"]["count"] == 2  # the least of an array
    for number in range(2):
        done = job(world, local_aws, batch, number, server)
        assert done.returncode == 0, done.stderr
    world.finalize(batch)
    assert world.record(batch).batch.status == "completed"
    found = world.outputs(batch)
    assert [each["custom_id"] for each in found] == IDS
    assert {each["response"]["body"]["model"] for each in found} == {"theirs"}


def test_what_requests_may_cost_is_what_the_starts_of_servers_leave(world: World) -> None:
    world.settings = configuration(gpu={**GPU, "instances": 3, "start_seconds": 400})
    batch = world.created(b"".join(line(each, each) for each in IDS), max_dollars=1.0)
    parts = world.parts(world.index(batch))
    assert len(parts) == 3
    assert sum(part.dollars or 0.0 for part in parts) == pytest.approx(1.0 - 3 * 400 / 3600 * GPU["hourly"])  # type: ignore[operator]


def test_no_server_is_started_for_a_part_that_needs_no_answers(
    world: World, local_aws: LocalAWS, server: Path, tmp_path: Path
) -> None:
    """A server that starts is minutes of an instance: of each part of a batch that was cancelled or resumed."""
    batch, _ = begun(world)
    assert job(world, local_aws, batch, 0, server).returncode == 0
    marks = [*world.storage.names(layout.counts(batch.id))]
    for mark in marks:
        world.s3.delete_object(Bucket=world.bucket, Key=world.storage.prefix + mark)
    missing = tmp_path / "missing.py"
    assert job(world, local_aws, batch, 0, missing).returncode == 0
    assert [*world.storage.names(layout.counts(batch.id))] == marks
    cancelled, _ = begun(world)
    world.batches().cancel(world.tenant, cancelled.id)
    assert job(world, local_aws, cancelled, 0, missing).returncode == 0


def test_a_server_that_does_not_want_to_end_is_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    monkeypatch.setattr(gpu, "_END_SECONDS", 0.1)
    monkeypatch.setattr(gpu, "_answers", lambda _: ready.exists())
    program = "import pathlib, signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    program += "pathlib.Path(sys.argv[1]).touch(); time.sleep(600)"
    with gpu.served([sys.executable, "-c", program, str(ready)], "") as process:
        assert process.poll() is None
    assert process.returncode == -signal.SIGKILL


def test_a_record_that_kills_the_server_twice_is_given_up(world: World, local_aws: LocalAWS, server: Path) -> None:
    batch, _ = begun(world)
    turns = []
    for _ in range(6):
        done = job(world, local_aws, batch, 0, server, "r7")
        turns.append(done.returncode)
        if done.returncode == 0:
            break
        assert "The server ended with status 7 while it was asked." in done.stderr
    assert turns == [1, 1, 1, 0]
    world.finalize(batch)
    assert [each["custom_id"] for each in world.errors(batch)] == ["r7"]
    assert [each["custom_id"] for each in world.outputs(batch)] == [each for each in IDS if each != "r7"]


def test_a_server_that_does_not_start_is_told(world: World, local_aws: LocalAWS, tmp_path: Path) -> None:
    batch, _ = begun(world)
    broken = tmp_path / "broken.py"
    broken.write_text("raise SystemExit(3)")
    done = job(world, local_aws, batch, 0, broken)
    assert done.returncode == 1
    assert json.loads(done.stderr.splitlines()[-1])["message"] == "The server ended with status 3 before it answered."


def test_the_program_needs_a_server() -> None:
    assert gpu.main(["--"]) == 2


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({gpu.TENANT: ""}, f"{gpu.TENANT} is not set"),
        ({gpu.BATCH: ""}, f"{gpu.BATCH} is not set"),
        ({gpu.INDEX: "x"}, f"{gpu.INDEX} is 'x'"),
        ({"LAMBDA_LLM_BATCH_STORE": ""}, "LAMBDA_LLM_BATCH_STORE is not set"),
    ],
)
def test_an_environment_that_is_none(changes: dict[str, str], match: str) -> None:
    whole = {"LAMBDA_LLM_BATCH_STORE": "s3://batches/", gpu.TENANT: "acme", gpu.BATCH: "b", gpu.INDEX: "3"}
    assert Job.read(whole) == Job("s3://batches/", "acme", "b", 3, "http://127.0.0.1:8000")
    with pytest.raises(SettingsError, match=match):
        Job.read({**whole, **changes})
