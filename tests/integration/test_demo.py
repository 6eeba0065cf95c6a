"""`make demo` from outside: what it prints, how it ends, and that it leaves nothing behind."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from scripts.demo import MODEL, QUESTIONS
from support.answers import LONG_QUESTION
from support.commands import program
from support.modules import TERRAFORM_FROM
from support.servers import LIMIT_SECONDS, ROOT, until

CHANGED = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from scripts import demo
%s
sys.exit(demo.main())
"""
"""The demo with something in it changed."""

ENDLESS = CHANGED % f"demo.QUESTIONS = (({LONG_QUESTION!r}, '100'),) * 100_000"


ROWS = ("model file", "verified by CRC64NVME and SHA-256", "time to first token", "tokens per second", "resident")
UNCHANGED = CHANGED % ""
DEPLOYING = "Applying examples/chat"
"""Printed when Terraform begins."""


@contextmanager
def running(folder: Path, *arguments: object, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """The demo as a process, whose temporary files go to `folder`."""
    with program([sys.executable, *arguments], {**os.environ, "TMPDIR": str(folder), **variables}) as started:
        yield started


def processes(folder: Path) -> list[psutil.Process]:
    """Whatever the demo began, and what that began: all of it has its temporary files below `folder`."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("TMPDIR", "").startswith(str(folder)):
                found.append(process)
    return found


def run(folder: Path, *arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    with running(folder, *arguments, **variables) as process:
        out, err = process.communicate(timeout=3 * LIMIT_SECONDS)  # it sets up, serves and deploys
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.mark.needs("terraform", get=TERRAFORM_FROM)
def test_the_demo_serves_then_deploys_and_shows_what_both_took(tmp_path: Path) -> None:
    done = run(tmp_path, "-m", "scripts.demo")
    assert (done.returncode, done.stderr) == (0, "")
    served, _, deployed = done.stdout.partition(DEPLOYING)
    for question, expected in QUESTIONS:
        _, _, behind = served.partition(question)
        assert expected in behind
    question, expected = QUESTIONS[0]
    command, _, answer = deployed.partition(f"--ask {question!r}")
    assert re.search(r"\$ lambda-llm chat https://\w+\.lambda-url\.us-east-1\.on\.aws/v1 ", command)
    assert expected in answer
    _, _, table = done.stdout.partition("What it took")
    for row in (*ROWS, "deployed with Terraform", "first token of the deployed function"):
        assert row in table
    assert "All answers are right." in table
    assert not processes(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_without_terraform_it_says_what_to_install_and_the_rest_is_shown(tmp_path: Path) -> None:
    done = run(tmp_path, "-m", "scripts.demo", PATH=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert "Left out: the same as a deployed function." in done.stdout
    assert "install terraform from https://developer.hashicorp.com/terraform/install" in done.stdout
    _, _, table = done.stdout.partition("What it took")
    for row in ROWS:
        assert row in table
    assert "deployed" not in table
    assert "All answers are right." in table
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("stage", "number", "program"),
    [
        pytest.param("Starting a local AWS", signal.SIGINT, ENDLESS, id="local AWS, Ctrl-C"),
        pytest.param("Pushed", signal.SIGTERM, ENDLESS, id="server, ended"),
        pytest.param(f"{LONG_QUESTION}\n", signal.SIGINT, ENDLESS, id="answer, Ctrl-C"),
        pytest.param(f"{LONG_QUESTION}\n", signal.SIGTERM, ENDLESS, id="answer, ended"),
        pytest.param(f"{LONG_QUESTION}\n", signal.SIGHUP, ENDLESS, id="answer, terminal closed"),
        pytest.param(
            DEPLOYING,
            signal.SIGTERM,
            UNCHANGED,
            id="Terraform, ended",
            marks=pytest.mark.needs("terraform", get=TERRAFORM_FROM),
        ),
    ],
)
def test_an_interrupted_demo_leaves_neither_processes_nor_files(
    tmp_path: Path, stage: str, number: signal.Signals, program: str
) -> None:
    with running(tmp_path, "-c", program) as demo:
        assert demo.stdout
        shown = iter(demo.stdout.readline, "")
        assert any(stage in line for line in shown)
        assert processes(tmp_path)
        demo.send_signal(number)
        rest, errors = demo.communicate(timeout=LIMIT_SECONDS)
        assert demo.returncode == 130
        assert errors == ""
        assert "Interrupted; everything is stopped and removed." in rest
    until(lambda: not processes(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_answer_fails_the_demo(tmp_path: Path) -> None:
    done = run(tmp_path, "-c", CHANGED % "demo.QUESTIONS = (('Hello', 'something that it never says'),)")
    assert done.returncode == 1
    assert "The demo failed: an answer does not contain 'something that it never says'" in done.stdout
    assert "answers are right" not in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_is_none_fails_the_demo(tmp_path: Path) -> None:
    folder, model = tmp_path / "tmp", tmp_path / "model.gguf"
    folder.mkdir()
    model.write_bytes(MODEL.read_bytes()[:1000])
    done = run(folder, "-c", CHANGED % f"demo.MODEL = Path({str(model)!r})")
    assert done.returncode == 1
    assert "The demo failed: `lambda-llm push` failed with status 1" in done.stdout
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    assert list(folder.iterdir()) == []
