"""`lambda-llm batch`, on a real store; its batches are answered by the functions' parts in this process."""

import io
import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from botocore.response import StreamingBody

from lambda_llm.batch_store import layout
from lambda_llm.batch_store.files import Files
from lambda_llm.cli import batch_shown
from scripts.local_aws.server import ACCOUNT, LocalAWS
from support.batch_store import ENDS, clients_of
from support.batches import World, configuration, function, line
from support.command_line import Run
from support.servers import until

IDS = [f"r{number}" for number in range(40)]


@pytest.fixture(scope="module")
def aws(local_aws: LocalAWS) -> Iterator[tuple[Any, Any]]:
    with clients_of(local_aws) as made:
        yield made


@pytest.fixture
def world(aws: tuple[Any, Any], local_aws: LocalAWS, monkeypatch: pytest.MonkeyPatch) -> World:
    """A store, whose machine ends at once: a test answers for it."""
    s3, states = aws
    for name, value in local_aws.environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    machine = states.create_state_machine(
        name=f"batch-{uuid4().hex}",
        definition=json.dumps({"StartAt": "Only", "States": {"Only": ENDS}}),
        roleArn=f"arn:aws:iam::{ACCOUNT}:role/batch",
    )["stateMachineArn"]
    settings = configuration(slow=function(decode=1.0), fast=function(decode=100.0))
    world = World(s3, settings.model_copy(update={"machine": machine}), now=time.time(), tenant="default")
    world.storage.put(layout.CONFIGURATION, world.settings.model_dump_json().encode())
    monkeypatch.setenv("LAMBDA_LLM_BATCH_STORE", world.uri)
    monkeypatch.setattr(batch_shown, "LOOK_SECONDS", 0.05)
    return world


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "requests.jsonl"
    path.write_bytes(b"".join(line(each, each) for each in IDS))
    return path


def submitted(run: Run, file: Path | str, *more: str) -> dict[str, Any]:
    """A new batch."""
    done = run("batch", "submit", file, "--yes", "--json", *more)
    assert done.status == 0, done.err
    batch: dict[str, Any] = json.loads(done.out)
    return batch


def test_a_file_is_estimated_in_every_way(run: Run, world: World, file: Path) -> None:
    done = run("batch", "estimate", file)
    assert done.status == 0
    assert "40 requests to chat at /v1/chat/completions" in done.err
    assert re.search(r"fast +│ lambda +│ \$[\d.]+ +│ +[\d.]+ +│ chosen", done.err)
    assert re.search(r"slow +│ lambda", done.err)
    assert list(world.storage.names(layout.BATCHES)) == []
    found = json.loads(run("batch", "estimate", file, "--json", "--max-dollars", "0").out)
    assert (found["records"], found["model"]) == (40, "chat")
    assert [option["backend"] for option in found["options"]] == ["fast", "slow"]
    assert all(option["why_not"].startswith("costs up to $") for option in found["options"])


def test_what_is_sent_is_answered_and_fetched(run: Run, world: World, file: Path, tmp_path: Path) -> None:
    batch = submitted(run, file, "--backend", "slow")
    assert (batch["status"], batch["completion_window"]) == ("validating", "24h")
    world.run(world.batches().get("default", batch["id"]))
    done = run("batch", "status", batch["id"])
    assert f"{batch['id']}  completed  /v1/chat/completions  chat" in done.out
    assert "40 answered and 0 failed of 40, $0.04 so far" in done.out
    assert world.record(world.batches().get("default", batch["id"])).backend == "slow"
    output = tmp_path / "answers.jsonl"
    fetched = json.loads(run("batch", "results", batch["id"], "--output", output, "--json").out)
    assert fetched["output"] == str(output)
    assert "errors" not in fetched
    assert [json.loads(each)["custom_id"] for each in output.read_bytes().splitlines()] == IDS
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.jsonl", "requests.jsonl"]


def test_a_download_that_is_cut_off_is_one_sentence_and_leaves_no_file(
    run: Run, world: World, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = submitted(run, file)
    world.run(world.batches().get("default", batch["id"]))
    monkeypatch.setattr(Files, "open", lambda *_: StreamingBody(io.BytesIO(b"{}"), content_length=1000))
    output = tmp_path / "answers.jsonl"
    done = run("batch", "results", batch["id"], "--output", output)
    assert done.status == 1
    assert "was cut off while it was fetched" in " ".join(done.err.split())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["requests.jsonl"]


def test_it_waits_for_the_end(run: Run, world: World, file: Path) -> None:
    def answer() -> None:
        until(lambda: bool(world.batches().list("default")[0]))
        world.run(world.batches().list("default")[0][0])

    thread = threading.Thread(target=answer)
    thread.start()
    done = run("batch", "submit", file, "--yes", "--wait", "--json")
    thread.join()
    assert done.status == 0
    assert json.loads(done.out)["request_counts"] == {"total": 40, "completed": 40, "failed": 0}


def test_nobody_is_asked_for_a_no(run: Run, world: World, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("typer.confirm", lambda *_, **__: False)
    assert run("batch", "submit", file).status == 1
    assert list(world.storage.names(layout.FILES)) == []


def test_a_file_that_is_wrong_is_not_sent(run: Run, world: World, tmp_path: Path) -> None:
    file = tmp_path / "requests.jsonl"
    file.write_bytes(line("a") + b"{\n" + line("a"))
    done = run("batch", "submit", file, "--yes")
    assert done.status == 1
    assert f"{file}, line 2: This line is no JSON object: write one on each line. (1 more lines are wrong)" in done.err
    file.write_bytes(line("a") + line("b") + line("a"))
    assert "line 3: This custom_id is also that of line 1" in run("batch", "submit", file, "--yes").err
    file.write_bytes(b"")
    assert "The file has no request" in run("batch", "submit", file, "--yes").err
    assert "can't be read (No such file or directory)" in run("batch", "submit", tmp_path / "none", "--yes").err
    assert "--window is '2d'" in run("batch", "submit", file, "--yes", "--window", "2d").err
    assert list(world.storage.names(layout.FILES)) == []


def test_what_is_too_dear_is_not_sent(run: Run, world: World, file: Path) -> None:
    done = run("batch", "submit", file, "--yes", "--max-dollars", "0")
    assert done.status == 1
    assert "Nothing can answer this file (fast costs up to $" in done.err
    assert list(world.storage.names(layout.FILES)) == []


def test_what_is_in_the_store_is_not_uploaded(run: Run, world: World, file: Path) -> None:
    world.storage.put(layout.uploads("default") + "big.jsonl", file.read_bytes())
    uri = f"{world.uri}{layout.uploads('default')}big.jsonl"
    batch = submitted(run, uri)
    assert batch["input_file_id"] == uri
    assert list(world.storage.names(layout.FILES)) == []
    assert "is not in the store" in run("batch", "submit", "s3://elsewhere/big.jsonl", "--yes").err


@pytest.mark.usefixtures("world")
def test_a_batch_is_cancelled_and_listed(run: Run, file: Path) -> None:
    first, second = submitted(run, file)["id"], submitted(run, file)["id"]
    assert json.loads(run("batch", "cancel", second, "--json").out)["status"] == "cancelling"
    listed = json.loads(run("batch", "list", "--json").out)
    assert [batch["id"] for batch in listed["data"]] == [second, first]
    shown = run("batch", "list", "--limit", "1")
    assert second in shown.out
    assert first not in shown.out
    assert "There are more" in shown.err
    assert "no batch" in run("batch", "status", second, "--tenant", "other").err


def test_one_that_failed_goes_on(run: Run, world: World, file: Path) -> None:
    batch_id = submitted(run, file)["id"]
    world.index(world.batches().get("default", batch_id))
    assert world.finalize(world.batches().get("default", batch_id))["step"] == "failed"
    waited = run("batch", "status", batch_id, "--wait")
    assert waited.status == 1
    assert "parts have no answers" in waited.out
    assert f"The batch {batch_id} is failed." in waited.err
    assert "has no results" in run("batch", "results", batch_id).err
    assert json.loads(run("batch", "resume", batch_id, "--json").out)["status"] == "validating"
    world.run(world.batches().get("default", batch_id))
    assert "completed" in run("batch", "status", batch_id, "--wait").out


def test_a_store_that_is_none(run: Run, world: World) -> None:
    assert "has no configuration.json" in run("batch", "list", "--store", f"s3://{world.bucket}/other/").err
    assert "names no prefix in S3" in run("batch", "list", "--store", "store").err
