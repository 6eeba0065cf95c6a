"""The package for the local AWS: this machine's, true about itself, and presented to Terraform as Lambda's."""

import json
import platform
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from lambda_llm.limits import ARCHITECTURE, PACKAGE_DIRECT_UPLOAD_BYTES, PACKAGE_UNZIPPED_BYTES, RUNTIME
from lambda_llm.packaging import archive
from lambda_llm.packaging.builder import MACHINES
from lambda_llm.packaging.functions import FUNCTIONS
from lambda_llm.packaging.manifest import NAME, beside
from scripts import ROOT
from scripts.demo import MODEL
from scripts.local_aws.package import LocalPackage, local_packages

HERE = {"arm64": "aarch64"}.get(platform.machine(), platform.machine())

KEYS = {"AWS_DEFAULT_REGION": "us-east-1", "LAMBDA_LLM_AUTHORIZER_TABLE": "keys"}
QUEUE = "https://sqs.us-east-1.amazonaws.com/123456789012/queue"
SETTINGS = {
    "inference": {"LAMBDA_LLM_MODEL": str(MODEL)},
    "agent": {
        "AWS_DEFAULT_REGION": "us-east-1",
        "LAMBDA_LLM_AGENT": str(ROOT / "examples/agent/research.py"),
        "LAMBDA_LLM_AGENT_INFERENCE": "arn:aws:lambda:us-east-1:123456789012:function:chat:live",
        "LAMBDA_LLM_STATE": "s3://my-state/state/",
    },
    "batch": {"AWS_DEFAULT_REGION": "us-east-1", "LAMBDA_LLM_BATCH_STORE": "s3://my-batches/"},
    "authorizer": KEYS,
    "authorizer-jwt": KEYS,
    "queue-worker": {
        "AWS_DEFAULT_REGION": "us-east-1",
        "LAMBDA_LLM_QUEUE_FUNCTION": "arn:aws:lambda:us-east-1:123456789012:function:chat:live",
        "LAMBDA_LLM_QUEUE_REQUESTS": QUEUE,
        "LAMBDA_LLM_QUEUE_ANSWERS": QUEUE,
        "LAMBDA_LLM_QUEUE_ANSWER_SECONDS": "300",
        "LAMBDA_LLM_QUEUE_RETRY_SECONDS": "30",
    },
}
"""What a function's init must be given, by the function."""


@pytest.fixture(params=list(FUNCTIONS))
def local(request: pytest.FixtureRequest) -> LocalPackage:
    return local_packages()[request.param]


def test_it_says_what_it_is_for(local: LocalPackage) -> None:
    with zipfile.ZipFile(local.zip) as opened:
        inside = json.loads(opened.read(NAME))
    assert json.loads(beside(local.zip).read_bytes()).items() >= inside.items()
    assert MACHINES[inside["architecture"]] == HERE
    assert inside["runtime"] == f"python{sys.version_info.major}.{sys.version_info.minor}"


def test_terraform_is_shown_what_the_local_aws_plays_and_the_rest_as_it_is(local: LocalPackage) -> None:
    true = json.loads(beside(local.zip).read_bytes())
    shown = json.loads(local.manifest.read_bytes())
    assert shown == {**true, "architecture": ARCHITECTURE, "runtime": RUNTIME}
    assert shown["zip_sha256"] == archive.sha256(local.zip)
    assert shown["zip_bytes"] <= PACKAGE_DIRECT_UPLOAD_BYTES
    assert shown["unzipped_bytes"] <= PACKAGE_UNZIPPED_BYTES


def test_it_is_not_built_again_while_nothing_changed(local: LocalPackage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)  # nothing may be started
    built = local.zip.stat().st_mtime_ns
    assert local in local_packages().values()
    assert local.zip.stat().st_mtime_ns == built


def test_every_module_in_it_can_be_imported_where_nothing_else_is_installed(
    local: LocalPackage, tmp_path: Path
) -> None:
    with zipfile.ZipFile(local.zip) as opened:
        opened.extractall(tmp_path)
    handlers = {function.handler.rpartition(".")[0] for function in FUNCTIONS.values()}
    modules = [path.relative_to(tmp_path) for path in sorted((tmp_path / "lambda_llm").rglob("*.py"))]
    names = [".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in modules]
    # Importing a handler is its function's init: with a model it loads that.
    program = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)"
    # -S: nothing from this environment's own packages; -P: nothing from the working directory.
    done = subprocess.run(
        [sys.executable, "-S", "-P", "-c", program, *names],
        env={
            "PYTHONPATH": str(tmp_path),
            "PATH": "/usr/bin:/bin",
            **SETTINGS.get(json.loads(local.manifest.read_bytes())["function"], {}),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(handlers & set(names)) == 1
