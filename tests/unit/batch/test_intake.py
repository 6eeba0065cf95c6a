"""Uploads that start batches: each once, however often EventBridge or the schedule tells of it."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from lambda_llm.backends.contract import Operation
from lambda_llm.batch.errors import BatchConfigurationError
from lambda_llm.batch.intake import Intake
from lambda_llm.batch.storage import Storage
from lambda_llm.batch.survey import survey
from lambda_llm.batch_store import layout
from lambda_llm.batch_store.errors import StoreError
from support.batches import World, line


def intake(world: World) -> Intake:
    return Intake(world.storage, world.batches(), world.settings)


def event(world: World, name: str, bucket: str | None = None) -> dict[str, Any]:
    """As EventBridge has it."""
    detail = {"bucket": {"name": bucket or world.bucket}, "object": {"key": world.storage.prefix + name}}
    return {"detail-type": "Object Created", "source": "aws.s3", "detail": detail}


def test_an_upload_becomes_a_batch_once(world: World) -> None:
    name = layout.INBOX + "monday.jsonl"
    world.storage.put(name, line("a") + line("b"))
    (batch_id,) = intake(world).uploaded(event(world, name))
    assert intake(world).uploaded(event(world, name)) == [batch_id]
    assert intake(world).scheduled() == [batch_id]
    assert world.states.started == [batch_id]
    batch = world.batches().get("acme", batch_id)
    assert (batch.endpoint, batch.metadata) == ("/v1/chat/completions", {"inbox": "monday.jsonl"})
    assert world.run(batch).batch.status == "completed"
    assert [each["custom_id"] for each in world.outputs(batch)] == ["a", "b"]


def test_another_upload_of_the_same_name_is_another_batch(world: World) -> None:
    name = layout.INBOX + "monday.jsonl"
    world.storage.put(name, line("a"))
    first = intake(world).scheduled()
    world.storage.put(name, line("b"))
    assert intake(world).scheduled() != first
    assert len(world.states.started) == 2


def test_an_upload_costs_no_more_than_the_inbox_allows(world: World) -> None:
    world.settings = world.settings.model_copy(update={"inbox_dollars": 0.5})
    world.storage.put(layout.INBOX + "a.jsonl", line("a"))
    (batch_id,) = intake(world).scheduled()
    assert world.batches().read("acme", batch_id).record.max_dollars == 0.5


def test_the_endpoint_is_that_of_the_first_line(world: World) -> None:
    world.storage.put(layout.INBOX + "e.jsonl", b"\n" + line("a", url="/v1/embeddings"))
    (batch_id,) = intake(world).scheduled()
    assert world.batches().get("acme", batch_id).endpoint == "/v1/embeddings"


def test_a_model_may_have_an_endpoint_that_batches_have_not(world: World) -> None:
    chat = world.settings.models["chat"]
    operations = (Operation.MESSAGES, *chat.operations)
    world.settings = world.settings.model_copy(
        update={"models": {"chat": chat.model_copy(update={"operations": operations})}}
    )
    world.storage.put(layout.INBOX + "m.jsonl", line("a", url="/v1/messages"))
    (batch_id,) = intake(world).scheduled()
    batch = world.batches().get("acme", batch_id)
    world.index(batch)
    errors = world.record(batch).batch.errors
    assert errors is not None
    assert [each.code for each in errors.data] == ["mismatched_endpoint"]
    survey_errors = survey([line("a", url="/v1/messages")], world.settings).errors
    assert [each.code for each in survey_errors] == ["mismatched_endpoint"]


def test_an_upload_that_can_not_be_read_does_not_hold_up_the_others(world: World) -> None:
    for name in "abc":
        world.storage.put(f"{layout.INBOX}{name}.jsonl", line(name))

    class Locked:
        """S3, of which one object is in an archive."""

        def __getattr__(self, name: str) -> Any:
            return getattr(world.s3, name)

        def get_object(self, **given: Any) -> Any:
            if given["Key"].endswith("a.jsonl"):
                raise ClientError({"Error": {"Code": "InvalidObjectState", "Message": "It is archived."}}, "GetObject")
            return world.s3.get_object(**given)

    with pytest.raises(StoreError, match=r"1 uploads .*'inbox/a.jsonl' the first.* 2 could"):
        Intake(Storage(world.uri, Locked()), world.batches(), world.settings).scheduled()
    assert len(world.states.started) == 2


@pytest.mark.parametrize("content", [b"", b"no JSON\n", b"\n\n"])
def test_what_is_no_input_becomes_a_batch_that_says_so(world: World, content: bytes) -> None:
    world.storage.put(layout.INBOX + "bad.jsonl", content)
    (batch_id,) = intake(world).scheduled()
    batch = world.batches().get("acme", batch_id)
    world.index(batch)
    assert world.record(batch).batch.status == "failed"


def test_what_is_no_upload_is_left_alone(world: World) -> None:
    world.storage.put(layout.INBOX + "folder/", b"")
    assert intake(world).scheduled() == []
    assert intake(world).uploaded(event(world, layout.INBOX + "gone.jsonl")) == []
    assert intake(world).uploaded(event(world, layout.FILES + "x.jsonl")) == []
    assert intake(world).uploaded(event(world, layout.INBOX + "x.jsonl", "another-bucket")) == []


def test_a_store_without_an_inbox(world: World) -> None:
    world.settings = world.settings.model_copy(update={"inbox": None})
    world.storage.put(layout.INBOX + "a.jsonl", line("a"))
    with pytest.raises(BatchConfigurationError, match="no inbox"):
        intake(world).scheduled()
