"""The handler under Lambda's own Python runtime client, through init, snapshot, restore and invocations."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from support.answers import EXPECTED, QUESTION, user
from support.runtime_api import RuntimeAPI
from support.servers import LIMIT_SECONDS

CLIENT = ["-m", "awslambdaric", "lambda_llm.inference.handler.handle"]
ON_A_LESSER_CPU = """
import runpy, sys
from lambda_llm.inference.snapshot import cpu
looks = iter([{"sve"}, {"sve"}, set()])
cpu.features = lambda: frozenset(next(looks))
sys.argv = ["awslambdaric", "lambda_llm.inference.handler.handle"]
runpy.run_module("awslambdaric", run_name="__main__")
"""
"""The runtime client, on a CPU that has lost a feature at the third look, which is the one after the restore."""


@contextmanager
def runtime(
    folder: Path, environment: dict[str, str], program: list[str]
) -> Iterator[tuple[RuntimeAPI, subprocess.Popen[bytes], Path]]:
    """A version with SnapStart that is being published: `program` as Lambda starts it."""
    log = folder / "function.log"
    with RuntimeAPI() as api, log.open("wb") as output:
        given = {
            "AWS_LAMBDA_RUNTIME_API": api.address,
            "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start",
            "AWS_LAMBDA_FUNCTION_NAME": "llm",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "10240",
            "LAMBDA_LLM_THREADS": "1",
        }
        with subprocess.Popen(
            [sys.executable, *program], env=given | environment, stdout=output, stderr=output
        ) as process:
            try:
                yield api, process, log
            finally:
                process.kill()


def asked(**changes: Any) -> dict[str, Any]:
    return {"model": "lambda-llm-demo", "messages": [user(QUESTION)], "temperature": 0} | changes


def test_a_published_version_is_snapshotted_restored_and_invoked(pinned: dict[str, str], tmp_path: Path) -> None:
    with runtime(tmp_path, pinned, CLIENT) as (api, process, log):
        assert api.snapshot.wait(LIMIT_SECONDS), log.read_text()
        assert "ready for the snapshot, taken on a CPU with" in log.read_text()
        assert not api.asked_for_events.is_set()
        (connection,) = psutil.Process(process.pid).net_connections()
        assert "{}:{}".format(*connection.raddr) == api.address, "but for the runtime's own, none is open"
        api.restore.set()
        assert api.asked_for_events.wait(LIMIT_SECONDS), log.read_text()
        assert "restored in " in log.read_text()
        first = api.invoke(asked())
        assert first.path == "/invocation/id-1/response"
        assert EXPECTED in first.body["choices"][0]["message"]["content"]
        refused = api.invoke(asked(model="gpt-5"))
        assert refused.path == "/invocation/id-1/response", "a refusal is an answer, not a failed invocation"
        assert refused.body["error"]["code"] == "model_not_found"
        event = {
            "version": "2.0",
            "rawPath": "/health",
            "headers": {},
            "requestContext": {"http": {"method": "GET", "path": "/health", "sourceIp": "192.0.2.1"}},
        }
        health = api.invoke(event)
        assert health.body["statusCode"] == 200
        assert json.loads(health.body["body"])["requests"]["completed"] == 1
        assert process.poll() is None


def test_a_restore_on_a_lesser_cpu_is_reported_and_ends_the_environment(pinned: dict[str, str], tmp_path: Path) -> None:
    with runtime(tmp_path, pinned, ["-c", ON_A_LESSER_CPU]) as (api, process, log):
        api.restore.set()
        report = api.report()
        assert report.path == "/restore/error", log.read_text()
        assert report.headers["lambda-runtime-function-error-type"] == "Runtime.AfterRestoreError"
        assert report.body["errorType"] == "CPUChangedError"
        assert "The snapshot was taken on a CPU with sve, which this one lacks" in report.body["errorMessage"]
        assert process.wait(LIMIT_SECONDS) == 65
        assert not api.asked_for_events.is_set()


@pytest.mark.parametrize(
    ("changes", "kind", "says"),
    [
        ({"LAMBDA_LLM_MODEL_SHA256": "0" * 64}, "CorruptError", "its SHA-256 is"),
        ({"AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand"}, "InvariantError", "instead of 'snap-start'"),
        ({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512"}, "InvariantError", "memory is 512 MB instead of 10240"),
    ],
)
def test_an_init_that_fails_is_reported_with_its_sentence(
    pinned: dict[str, str], tmp_path: Path, changes: dict[str, str], kind: str, says: str
) -> None:
    with runtime(tmp_path, pinned | changes, CLIENT) as (api, process, log):
        report = api.report()
        assert report.path == "/init/error", log.read_text()
        assert report.body["errorType"] == kind
        assert says in report.body["errorMessage"]
        assert process.wait(LIMIT_SECONDS) == 1
        assert not api.snapshot.is_set()
