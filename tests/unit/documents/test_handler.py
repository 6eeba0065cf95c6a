"""The steps of a run as a state machine takes them, with a real store and a state machine that only begins."""

import io
import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pyarrow.parquet as pq
import pytest

from lambda_llm.batch_store import layout
from lambda_llm.batch_store.batches import Batches
from lambda_llm.documents import handler
from lambda_llm.documents.errors import BatchEndedError, DocumentsSettingsError, PrepareError
from lambda_llm.documents.settings import PREFIX
from lambda_llm.openai_types.batches import BatchError, BatchErrors
from scripts.local_aws.server import LocalAWS
from support.documents import MODEL, TENANT, Stage, answer, numbers, refusal

NOTHING = {"StartAt": "Wait", "States": {"Wait": {"Type": "Succeed"}}}


class Context:
    def get_remaining_time_in_millis(self) -> int:
        return 900_000


@pytest.fixture(scope="module")
def machine(local_aws: LocalAWS) -> Iterator[tuple[str, Any]]:
    with closing(local_aws.client("stepfunctions")) as states:
        role = "arn:aws:iam::123456789012:role/documents"
        made = states.create_state_machine(name="documents-batch", definition=json.dumps(NOTHING), roleArn=role)
        yield made["stateMachineArn"], states


@pytest.fixture
def batches(
    stage: Stage, machine: tuple[str, Any], local_aws: LocalAWS, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Batches]:
    """The store's; and a function in the same store, with settings of its environment."""
    settings = stage.settings
    given = {
        "SOURCE": settings.source,
        "STORE": settings.store,
        "MACHINE": machine[0],
        "TENANT": TENANT,
        "MODEL": MODEL,
        "TARGET": settings.target,
        "SIZE": "80",
    }
    for name, value in given.items():
        monkeypatch.setenv(PREFIX + name, value)
    for name, value in local_aws.environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    handler._function.cache_clear()  # noqa: SLF001 - another environment
    yield Batches(settings.store, stage.s3, machine[1], machine[0])
    handler._function.cache_clear()  # noqa: SLF001


def did(do: str, state: Any, run: str = "r1") -> dict[str, Any]:
    """What the function returns; both ways through JSON."""
    answered = handler.handle(json.loads(json.dumps({"do": do, "run": run, "state": state})), Context())
    returned: dict[str, Any] = json.loads(json.dumps(answered))
    return returned


def until(step: str, do: str, state: Any) -> Any:
    """State once the step comes that is expected; until then the step repeats itself."""
    while (answered := did(do, state))["step"] == do:
        state = answered["state"]
    assert answered["step"] == step
    return answered["state"]


def created(stage: Stage) -> tuple[Any, str]:
    """A run's state with its batch, and the batch's id."""
    stage.put({"a.md": "# One\n\nText.", "b.jsonl": '{"id": "x", "text": "Another text."}', "c.pdf": b"%PDF"})
    running = until("wait", "create", until("create", "prepare", {}))
    return running, running["batch"]


def test_documents_become_rows(stage: Stage, batches: Batches, machine: tuple[str, Any]) -> None:
    running, batch_id = created(stage)
    arn = machine[0].replace(":stateMachine:", ":execution:")
    execution = machine[1].describe_execution(executionArn=f"{arn}:{batch_id}")
    assert json.loads(execution["input"]) == {"tenant": TENANT, "batch": batch_id}
    stored = batches.read(TENANT, batch_id)
    assert (stored.record.batch.endpoint, stored.record.batch.metadata) == ("/v1/embeddings", {"run": "r1"})
    assert stored.record.rights.models == (MODEL,)
    assert did("poll", running) == {"step": "wait", "state": running}

    records = [json.loads(line) for line in stage.content(stored.record.source.key).splitlines()]
    (first, last) = records
    files = {}
    for name, line in (("output_file_id", answer(first)), ("error_file_id", refusal(last, "busy"))):
        files[name] = layout.new_file(1_700_000_000)
        key = f"store/{layout.file(TENANT, files[name])}"
        stage.s3.put_object(Bucket=stage.bucket, Key=key, Body=json.dumps(line).encode() + b"\n")
    assert batches.change(stored, stored.record.with_batch(status="completed", **files))

    told = until("end", "export", until("export", "poll", running))
    assert told["rows"] == 1
    assert told["failed"] == {"busy": 1}
    assert told["documents"]["skipped"] == {".pdf": 1}
    assert stage.keys("out/") == ["out/run=r1/_report.json", "out/run=r1/part-00000.parquet"]
    (row,) = pq.read_table(io.BytesIO(stage.content("out/run=r1/part-00000.parquet"))).to_pylist()
    assert (row["text"], row["vector"]) == ("# One\n\nText.", numbers("# One\n\nText."))


def test_a_batch_is_created_once_however_often_it_is_asked_for(stage: Stage, batches: Batches) -> None:
    running, batch_id = created(stage)
    assert did("create", running["prepared"])["state"]["batch"] == batch_id
    assert [each.id for each in batches.list(TENANT)[0]] == [batch_id]
    other = did("create", running["prepared"], run="r2")["state"]["batch"]
    assert {each.id for each in batches.list(TENANT)[0]} == {batch_id, other}


def test_without_texts_there_is_no_batch(stage: Stage, batches: Batches) -> None:
    stage.put({"c.pdf": b"%PDF"})
    state = until("end", "prepare", {})
    assert state["counts"]["skipped"] == {".pdf": 1}
    assert batches.list(TENANT)[0] == []


def test_a_batch_that_has_failed_says_why(stage: Stage, batches: Batches) -> None:
    running, batch_id = created(stage)
    stored = batches.read(TENANT, batch_id)
    errors = BatchErrors(data=[BatchError(code="too_dear", message="it would cost $5")])
    assert batches.change(stored, stored.record.with_batch(status="failed", errors=errors))
    with pytest.raises(BatchEndedError, match=rf"^The batch {batch_id} has failed \(it would cost \$5\)"):
        did("poll", running)


def test_an_input_that_is_gone_is_told(stage: Stage, batches: Batches) -> None:
    running, _ = created(stage)
    prepared = {**running["prepared"], "input": f"s3://{stage.bucket}/store/gone.jsonl"}
    with pytest.raises(PrepareError, match=r"^The input s3://.*gone.jsonl can't be read"):
        did("create", prepared)
    assert batches.list(TENANT)[0]


@pytest.mark.usefixtures("batches")
def test_a_tokenizer_that_is_gone_is_told(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}TOKENIZER", f"s3://{stage.bucket}/tokenizer.json")
    with pytest.raises(DocumentsSettingsError, match=r"^The tokenizer s3://.*/tokenizer.json can't be read"):
        did("prepare", {})
