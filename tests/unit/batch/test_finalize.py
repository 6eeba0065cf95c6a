"""Joining: verdicts, hand-overs, resuming, and files of any size."""

import json
from typing import Any

import pytest

from lambda_llm.batch import finalize, output
from lambda_llm.batch_store import layout
from lambda_llm.batch_store.errors import StateError, StoreError
from support.batches import World, line

IDS = [f"r{number}" for number in range(60)]


def answered(world: World, ids: list[str] = IDS, **changes: Any) -> Any:
    """A batch whose parts have all ended."""
    batch = world.created(b"".join(line(each, each) for each in ids), **changes)
    for part in world.parts(world.index(batch)):
        world.work(batch, part)
    return batch


def ids_of(lines: list[dict[str, Any]]) -> list[str]:
    return [each["custom_id"] for each in lines]


def test_counts_are_live_while_it_runs(world: World) -> None:
    batch = world.created(b"".join(line(each) for each in IDS))
    parts = world.parts(world.index(batch))
    world.work(batch, parts[0])
    found = world.batches().get(world.tenant, batch.id)
    assert (found.status, found.request_counts.total) == ("in_progress", len(IDS))
    assert found.request_counts.completed == parts[0].records


def test_a_batch_that_lacks_answers_has_failed_and_goes_on(world: World) -> None:
    batch = world.created(b"".join(line(each, each) for each in IDS))
    parts = world.parts(world.index(batch))
    world.work(batch, parts[1])
    assert world.finalize(batch)["step"] == "failed"
    found = world.record(batch).batch
    assert found.status == "failed"
    assert found.errors is not None
    assert found.errors.data[0].code == "parts_failed"
    assert f"{len(parts) - 1} of {len(parts)} parts" in found.errors.data[0].message
    asked = dict(world.model.asked)
    world.batches().resume(world.tenant, batch.id)
    assert world.states.started == [batch.id, f"{batch.id}-r2"]
    assert world.run(batch).batch.status == "completed"
    assert ids_of(world.outputs(batch)) == IDS
    assert all(world.model.asked[each] == 1 for each in asked)
    with pytest.raises(StateError, match="is completed"):
        world.batches().resume(world.tenant, batch.id)


def test_one_that_was_cancelled_or_has_expired_has_not_failed(world: World) -> None:
    cancelled = world.created(b"".join(line(each) for each in IDS))
    parts = world.parts(world.index(cancelled))
    world.work(cancelled, parts[1])
    world.batches().cancel(world.tenant, cancelled.id)
    assert world.batches().get(world.tenant, cancelled.id).status == "cancelling"
    assert world.finalize(cancelled)["step"] == "end"
    found = world.record(cancelled).batch
    assert (found.status, found.cancelled_at) == ("cancelled", int(world.now))
    answered_ids = IDS[parts[1].record : parts[1].record + parts[1].records]
    assert ids_of(world.outputs(cancelled)) == answered_ids
    assert ids_of(world.errors(cancelled)) == [each for each in IDS if each not in answered_ids]
    counts = found.request_counts
    assert (counts.total, counts.completed, counts.failed) == (60, len(answered_ids), 60 - len(answered_ids))


def test_one_that_was_cancelled_and_then_broke_is_cancelled_when_it_is_resumed(world: World) -> None:
    """Its workers would find that it was cancelled, and answer nothing, however often it is resumed."""
    batch = world.created(b"".join(line(each, each) for each in IDS))
    world.work(batch, world.parts(world.index(batch))[0])
    world.batches().cancel(world.tenant, batch.id)
    finalize.Finalizer(world.storage, world.batches(), world.files(), world.clock).broken(world.tenant, batch.id)
    assert world.record(batch).batch.status == "failed"
    assert world.batches().resume(world.tenant, batch.id).status == "cancelling"
    assert world.run(batch).batch.status == "cancelled"
    assert len(world.outputs(batch)) + len(world.errors(batch)) == len(IDS)


def test_one_that_was_answered_in_time_has_not_expired(world: World) -> None:
    batch = answered(world)
    world.now = world.record(batch).batch.expires_at + 1
    assert world.finalize(batch)["step"] == "end"
    assert world.record(batch).batch.status == "completed"


def test_what_is_joined_can_not_be_cancelled(world: World) -> None:
    batch = answered(world)
    world.finalize(batch)
    with pytest.raises(StateError, match="is completed"):
        world.batches().cancel(world.tenant, batch.id)


def test_it_hands_on_at_any_part(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """With files in several parts, and what is too short for one in between."""
    monkeypatch.setattr(output, "PART_BYTES", 5 * 1024 * 1024)
    text = "x" * 300_000
    ids = [f"{each}-{text}" for each in IDS[:40]]
    batch = world.created(b"".join(line(each[:10], each) for each in ids))
    for part in world.parts(world.index(batch)):
        world.work(batch, part)
    turns = 0
    while world.finalize(batch, remaining=finalize.MARGIN_SECONDS - 1)["step"] == "finalize":
        turns += 1
    assert turns > 2
    found = world.outputs(batch)
    assert [each["response"]["body"]["choices"][0]["message"]["content"] for each in found] == [
        f"You said {each}" for each in ids
    ]
    assert world.finalize(batch)["step"] == "end"


def test_an_upload_that_has_ended_meanwhile_is_made_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lifecycle rule ends those of a week: the batch was resumed after that."""
    monkeypatch.setattr(output, "PART_BYTES", 5 * 1024 * 1024)
    batch = world.created(b"".join(line(each, each + "x" * 300_000) for each in IDS[:40]))
    for part in world.parts(world.index(batch)):
        world.work(batch, part)
    while not world.s3.list_multipart_uploads(Bucket=world.bucket).get("Uploads"):
        assert world.finalize(batch, remaining=0)["step"] == "finalize"
    for upload in world.s3.list_multipart_uploads(Bucket=world.bucket)["Uploads"]:
        world.s3.abort_multipart_upload(Bucket=world.bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    assert world.finalize(batch)["step"] == "finalize"
    assert world.finalize(batch)["step"] == "end"
    assert ids_of(world.outputs(batch)) == IDS[:40]


def test_an_answer_that_was_lost_is_given_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The object is made, and the process dies before the record says so."""
    monkeypatch.setattr(output, "PART_BYTES", 5 * 1024 * 1024)
    batch = world.created(b"".join(line(each, each + "x" * 300_000) for each in IDS[:40]))
    for part in world.parts(world.index(batch)):
        world.work(batch, part)

    class Dies:
        def __init__(self, client: Any) -> None:
            self._client = client
            self.done = False

        def __getattr__(self, name: str) -> Any:
            function = getattr(self._client, name)

            def completed(**given: Any) -> Any:
                function(**given)
                self.done = True
                raise StoreError("lost")

            return completed if name == "complete_multipart_upload" and not self.done else function

    dying = Dies(world.s3)
    with pytest.raises(StoreError, match="lost"):
        world.finalize(batch, dying)
    assert world.finalize(batch)["step"] == "end"
    assert ids_of(world.outputs(batch)) == IDS[:40]


def test_outputs_expire_when_they_are_to(world: World) -> None:
    batch = answered(world, output_expires_after={"anchor": "created_at", "seconds": 3600})
    world.finalize(batch)
    file_id = world.record(batch).batch.output_file_id
    assert file_id is not None
    file = world.files().get(world.tenant, file_id)
    assert (file.purpose, file.filename) == ("batch_output", f"{batch.id}_output.jsonl")
    assert file.expires_at == int(world.now) + 3600


def test_a_broken_execution_is_told_and_resumed(world: World) -> None:
    batch = world.created(b"".join(line(each) for each in IDS))
    finalizer = finalize.Finalizer(world.storage, world.batches(), world.files(), world.clock)
    assert finalizer.broken(world.tenant, batch.id)["step"] == "failed"
    errors = world.record(batch).batch.errors
    assert errors is not None
    assert errors.data[0].code == "broken"
    world.batches().resume(world.tenant, batch.id)
    assert world.run(batch).batch.status == "completed"


def test_an_index_that_was_deleted_is_told(world: World) -> None:
    batch = answered(world)
    world.s3.delete_object(Bucket=world.bucket, Key=world.storage.prefix + layout.parts(batch.id))
    with pytest.raises(StoreError, match="has no index"):
        world.finalize(batch)


def test_lines_have_openais_form(world: World) -> None:
    batch = answered(world, ["a"])
    world.finalize(batch)
    (found,) = world.outputs(batch)
    assert set(found) == {"id", "custom_id", "response", "error"}
    assert found["id"].startswith("batch_req_")
    assert found["error"] is None
    assert found["response"]["status_code"] == 200
    assert found["response"]["request_id"] == f"{batch.id}-0"
    assert json.dumps(found)


def test_joining_hands_on_before_a_part_that_takes_as_long_as_the_one_before(world: World) -> None:
    """It would be cut off, and joined from its beginning by each invocation."""
    batch = answered(world)
    parts = [*world.storage.names(layout.counts(batch.id))]
    left = iter(range(900, 0, -450))
    finalizer = finalize.Finalizer(world.storage, world.batches(), world.files(), world.clock)
    assert finalizer.finalize(world.tenant, batch.id, lambda: float(next(left)))["step"] == "finalize"
    state = finalize.State.model_validate_json(world.storage.get(layout.final_state(batch.id)) or b"")
    assert 0 < state.part < len(parts)
    while world.finalize(batch)["step"] == "finalize":
        pass
    assert ids_of(world.outputs(batch)) == IDS
