"""`lambda-llm agent` over AWS's local runner: run, watched, answered from another terminal, stopped, and killed."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lambda_llm.agent.definition import find
from lambda_llm.agent.executions import Executions
from lambda_llm.cli.agent_local import LocalService, durable_service, free_port, local_service
from scripts import ROOT
from support.durable import called, refused, said, until
from support.model_server import model_server

AGENT = """
from lambda_llm.agent.agent import Agent
from lambda_llm.agent.tools.functions import tool
from lambda_llm.agent.tools.human import ask_human, wait

@tool("none")
def look(city: str) -> dict[str, int]:
    "Look."
    return {"degrees": 21}

agent = Agent("You act.", "demo", (look, ask_human(), wait()))
patient = Agent("You act.", "demo", (look, ask_human(), wait()), denial="continue")
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("agent") / "an_agent.py"
    path.write_text(AGENT)
    return path


def command(*arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "lambda_llm.cli", "agent", *arguments],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        env={name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
    )
    assert done.returncode == status, done.stderr + done.stdout
    return done


@contextmanager
def service(file: Path, folder: Path, *script: Any, agent: str = "agent") -> Iterator[LocalService]:
    with (
        model_server(*script) as (url, _),
        local_service(find(f"{file}:{agent}"), url, folder, skip_waits=True) as running,
    ):
        yield running


def test_a_run_is_shown_as_it_goes_and_its_answer_is_the_exit_status(file: Path, tmp_path: Path) -> None:
    script = [called("look", {"city": "Paris"}), called("wait", {"days": 3}), said("It is 21 degrees.")]
    with model_server(*script) as (url, requests):
        arguments = ("run", str(file), "How warm is it?", "--inference", url, "--skip-waits", "--state", str(tmp_path))
        shown = command(*arguments)
    assert len(requests) == 3
    text = shown.stdout
    assert re.search(r"think-1 .*look\(\{\"city\": \"Paris\"\}\)", text), text
    assert re.search(r"act-2-0 .*look \{\"degrees\": 21\}", text)
    assert re.search(r"wait-4 .*3\.0 d .*259,200 seconds", text)
    assert re.search(r"status +answered", text)
    assert re.search(r"answer +It is 21 degrees\.", text)
    assert "--endpoint http://127.0.0.1:" in shown.stderr


def test_an_agent_that_fails_is_an_exit_status_too(file: Path, tmp_path: Path) -> None:
    with model_server(refused(404, "model_not_found")) as (url, _):
        arguments = ("run", str(file), "How warm is it?", "--inference", url, "--json", "--state", str(tmp_path))
        told = json.loads(command(*arguments, status=1).stdout)
    assert told["status"] == "failed:model"
    assert told["answer"] == "The model's server answered with status 404 (model_not_found)."


def test_a_question_is_found_and_approved_from_another_terminal(file: Path, tmp_path: Path) -> None:
    question = called("ask_human", {"question": "Shall I?"})
    with service(file, tmp_path, question, said("Done.")) as running:
        arn = running.start("Do it.", "asks-1")
        endpoint = ("--endpoint", running.url)
        until(lambda: bool(running.executions.read(arn).questions))
        listed = json.loads(command("list", *endpoint, "--waiting", "--json").stdout)["executions"]
        assert [(one["arn"], one["status"], one["questions"]) for one in listed] == [
            (arn, "RUNNING", [{"name": "ask-2", "text": "Shall I?"}])
        ]
        assert "Shall I?" in command("show", arn, *endpoint).stdout
        assert "ask-2: Shall I?" in command("list", *endpoint).stdout
        refused_ = command("approve", arn, "--question", "ask-9", *endpoint, status=1)
        assert "asks nothing now" in refused_.stderr
        approved = command("approve", arn, "--comment", "go on", "--by", "an owner", *endpoint)
        assert approved.stdout == "Approved ask-2 as an owner: Shall I?\n"
        until(lambda: not running.executions.running(arn))
        told = json.loads(command("show", arn, "--json", "--follow", *endpoint).stdout)
    assert (told["status"], told["answer"]) == ("answered", "Done.")
    (asked,) = [entry for entry in told["entries"] if entry["kind"] == "ask"]
    assert (asked["status"], asked["by"], asked["text"]) == ("approved", "an owner", "Shall I? - go on")
    assert told["operations"] == 6
    assert told["tokens"] == 30
    assert told["dollars"] > 0


def test_what_is_denied_or_stopped_ends_as_that(file: Path, tmp_path: Path) -> None:
    question = called("ask_human", {"question": "Shall I?"})
    with service(file, tmp_path, question) as running:
        endpoint = ("--endpoint", running.url)
        denied, stopped = running.start("Do it.", "denied-1"), running.start("Do it.", "stopped-1")
        for arn in (denied, stopped):
            until(lambda arn=arn: bool(running.executions.read(arn).questions))  # type: ignore[misc]
        told = json.loads(command("deny", denied, "--comment", "too dear", "--json", *endpoint).stdout)
        assert (told["question"], told["action"]) == ("ask-2", "deny")
        assert "Stopped" in command("stop", stopped, "--reason", "wrong task", *endpoint).stdout
        until(lambda: not running.executions.running(denied) and not running.executions.running(stopped))
        assert running.executions.read(denied).status == "denied"
        assert running.executions.read(denied).answer == "A human denied it (too dear)."
        assert running.executions.read(stopped).status == "STOPPED"
        assert "does not exist" in command("show", "no/such", *endpoint, status=1).stderr


def test_what_can_t_be_run_is_one_sentence(file: Path, tmp_path: Path) -> None:
    for arguments, why in (
        (("run", str(tmp_path / "gone.py"), "x"), "is no file"),
        (("run", str(file)), "There is no task"),
        (("run", f"{file}:nobody", "x"), "has no Agent named nobody"),
        (("show", "x", "--endpoint", "http://127.0.0.1:1"), "Lambda can't be asked"),
        (("approve", "x", "--content", "{", "--endpoint", "http://127.0.0.1:1"), "--content is no JSON"),
    ):
        told = command(*arguments, status=1)
        assert why in told.stderr
        assert "Traceback" not in told.stderr


WORKER = """
import os, signal, socket, sys
from pathlib import Path
import uvicorn
from lambda_llm.agent.agent import Agent
from lambda_llm.agent.durable import Surroundings, handler
from lambda_llm.agent.executions import Executions
from lambda_llm.agent.store import FolderStore
from lambda_llm.agent.tools.functions import tool
from lambda_llm.cli.agent_local import AGENT, INFERENCE, forwarding, invocable

port, service, model, folder = int(sys.argv[1]), sys.argv[2], sys.argv[3], Path(sys.argv[4])

def done(name):
    with (folder / name).open("a") as file:
        file.write("x")
        file.flush()
        os.fsync(file.fileno())
    if (folder / f"{name}-dies").exists():
        (folder / f"{name}-dies").unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"done": name}

@tool("idempotent")
def put() -> dict[str, str]:
    "Put."
    return done("put")

@tool("once")
def pay() -> dict[str, str]:
    "Pay."
    return done("pay")

agent = Agent("You act.", "demo", (put, pay))
client = Executions(service).client
run = handler(agent, Surroundings(lambda tenant: FolderStore(folder, tenant), INFERENCE, client=client))
app = invocable({AGENT: run, INFERENCE: forwarding(model)})
uvicorn.run(app, host="127.0.0.1", port=port, log_level="critical", lifespan="off")
"""


def test_a_process_that_is_killed_in_the_middle_of_its_work_goes_on_in_another(tmp_path: Path) -> None:
    """SIGKILL inside an idempotent call, and inside one that must not happen twice."""
    for name in ("put", "pay"):
        (tmp_path / f"{name}-dies").touch()
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    port, at = free_port(), free_port()
    with model_server(called("put", {}), called("pay", {}), said("Done.")) as (url, requests):
        workers: list[subprocess.Popen[bytes]] = []

        def started() -> None:
            arguments = [str(at), f"http://127.0.0.1:{port}", url, str(tmp_path)]
            workers.append(subprocess.Popen([sys.executable, str(script), *arguments], cwd=ROOT))

        started()
        with durable_service(port, f"http://127.0.0.1:{at}", tmp_path, skip_waits=True):
            running = LocalService(f"http://127.0.0.1:{port}", Executions(f"http://127.0.0.1:{port}"))
            try:
                arn = running.start("Do it.", "killed-1")
                end = time.monotonic() + 80
                while running.executions.running(arn):
                    assert time.monotonic() < end, "it never ended"
                    if workers[-1].poll() is not None:
                        started()
                    time.sleep(0.05)
                shown = running.executions.read(arn)
            finally:
                workers[-1].kill()
                ended = [worker.wait(20) for worker in workers]
    assert (shown.status, shown.answer) == ("answered", "Done.")
    assert ended[:2] == [-signal.SIGKILL, -signal.SIGKILL]
    assert (tmp_path / "put").read_text() == "xx"
    assert (tmp_path / "pay").read_text() == "x"
    results = [json.loads(one["content"]) for one in requests[-1]["messages"] if one["role"] == "tool"]
    assert results == [{"done": "put"}, {"unknown": "The call was interrupted."}]
