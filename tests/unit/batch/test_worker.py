"""Workers: what is saved when, what ends a part early, and what a record comes to."""

import json
import threading
from typing import Any

import pytest

from lambda_llm.backends.errors import Kind
from lambda_llm.batch import worker
from lambda_llm.batch.config import Configuration
from lambda_llm.batch.errors import BatchFailedError
from lambda_llm.batch.pieces import Head
from lambda_llm.batch.plan import Part
from lambda_llm.batch_store import layout
from support.batches import KilledError, World, configuration, function, line, raising

IDS = [f"r{number}" for number in range(40)]


def begun(world: World, ids: list[str] = IDS, **changes: Any) -> tuple[Any, Part]:
    """A batch of one part."""
    batch = world.created(b"".join(line(each, each) for each in ids), **changes)
    parts = world.parts(world.index(batch))
    whole = parts[0].model_copy(update={"last": parts[-1].last, "records": len(ids)})
    if parts[0].dollars is not None:
        whole = whole.model_copy(update={"dollars": sum(part.dollars or 0 for part in parts)})
    written = whole.model_dump_json().encode()
    world.storage.put(layout.parts(batch.id), written)
    return batch, whole


def pieces(world: World, batch: Any) -> list[Head]:
    """Heads of all pieces, in order."""
    names = world.storage.names(layout.pieces(batch.id))
    return [Head.read(world.storage.get(name) or b"")[0] for name in names]


def errors_of(world: World, batch: Any) -> dict[str, Any]:
    world.finalize(batch)
    return {each["custom_id"]: each for each in world.errors(batch)}


def test_answers_are_saved_as_they_come(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "SAVE_RECORDS", 16)
    batch, part = begun(world)
    assert world.work(batch, part) == "done"
    heads = pieces(world, batch)
    assert [(head.first, head.next) for head in heads] == [(0, 16), (16, 32), (32, 40)]
    assert heads[-1].so_far.completed == len(IDS)
    assert heads[-1].so_far.dollars == pytest.approx(len(IDS) * 0.001)
    assert list(world.storage.names(layout.counts(batch.id))) == [layout.Mark(0, 40, 0, 40_000).key(batch.id)]


def test_a_part_that_has_ended_is_asked_for_nothing(world: World) -> None:
    batch, part = begun(world)
    world.work(batch, part)
    asked = dict(world.model.asked)
    assert world.work(batch, part) == "done"
    assert dict(world.model.asked) == asked


def test_an_invocation_without_time_hands_on(world: World) -> None:
    """In the order of the input, whoever is faster."""
    world.model.seconds = 0.05
    batch, part = begun(world)
    turns = 1
    while world.work(batch, part, remaining=worker.MARGIN_SECONDS + 0.2) == "again":
        turns += 1
    assert turns > 1
    world.finalize(batch)
    assert [each["custom_id"] for each in world.outputs(batch)] == IDS


def test_a_record_for_which_an_invocation_is_not_enough_ends(world: World) -> None:
    world.model.seconds = 30
    batch, part = begun(world, ["slow", "too"])
    remaining = worker.MARGIN_SECONDS + 0.2
    assert world.work(batch, part, remaining=remaining) == "again"
    world.model.seconds = 0
    assert world.work(batch, part) == "done"
    errors = errors_of(world, batch)
    assert list(errors) == ["slow"]
    assert errors["slow"]["error"]["code"] == "timeout"


def test_one_that_waits_for_room_does_not(world: World) -> None:
    batch, part = begun(world, ["a"])
    world.model.fates["a"] = raising(Kind.THROTTLED)
    assert world.work(batch, part, remaining=worker.MARGIN_SECONDS + 0.2) == "again"
    assert pieces(world, batch) == []
    world.model.fates.clear()
    assert world.work(batch, part) == "done"
    assert errors_of(world, batch) == {}


@pytest.mark.parametrize(
    ("kind", "status", "code", "asked"),
    [
        (Kind.INVALID, 400, "invalid_value", 1),
        (Kind.TOO_LONG, 400, "context_length_exceeded", 1),
        (Kind.BLOCKED, 400, "content_filter", 1),
        (Kind.UNAVAILABLE, 503, "unavailable", 4),
        (Kind.BROKEN, 502, "backend_failed", 3),
        (Kind.TIMEOUT, 504, "deadline_exceeded", 2),
    ],
)
def test_what_a_backend_refuses_is_a_line_of_the_error_file(
    world: World, kind: Kind, status: int, code: str, asked: int
) -> None:
    world.model.fates["r3"] = raising(kind)
    batch, part = begun(world)
    assert world.work(batch, part) == "done"
    error = errors_of(world, batch)["r3"]
    assert error["error"] is None
    assert error["response"]["status_code"] == status
    assert error["response"]["body"]["error"]["code"] == code
    assert error["response"]["request_id"] == f"{batch.id}-3"
    assert world.model.asked["r3"] == asked


def test_what_no_record_could_pass_ends_the_work_and_keeps_what_is_there(world: World) -> None:
    world.model.fates["r20"] = raising(Kind.FORBIDDEN)
    batch, part = begun(world)
    with pytest.raises(BatchFailedError, match="does not want to"):
        world.work(batch, part)
    assert [head.next for head in pieces(world, batch)] == [20]
    world.model.fates.clear()
    assert world.work(batch, part) == "done"
    assert world.model.asked["r19"] == 1


def test_what_no_record_could_pass_is_no_record_s_fault_however_often(world: World) -> None:
    world.model.fates = {each: raising(Kind.NOT_FOUND) for each in IDS}
    batch, part = begun(world)
    for attempt in range(5):
        with pytest.raises(BatchFailedError):
            world.work(batch, part, attempt)
    assert pieces(world, batch) == []
    world.model.fates.clear()
    assert world.work(batch, part, 5) == "done"
    assert errors_of(world, batch) == {}


def test_a_field_that_a_backend_can_not_honour(world: World) -> None:
    batch = world.created(line("a", audio={"voice": "x"}))
    world.run(batch)
    (error,) = world.errors(batch)
    assert error["response"]["body"]["error"]["param"] == "audio"


def test_a_record_that_kills_two_workers_is_given_up(world: World) -> None:
    def kills(_: int) -> None:
        raise KilledError

    world.model.fates["r7"] = kills
    batch, part = begun(world)
    attempt = 0
    while True:
        try:
            step = world.work(batch, part, attempt)
        except KilledError:
            attempt += 1
            continue
        if step == "done":
            break
        attempt = 0
    errors = errors_of(world, batch)
    assert list(errors) == ["r7"]
    assert errors["r7"]["error"]["code"] == "worker_lost"
    assert attempt <= 3
    assert world.model.asked["r7"] == 3
    """Once among others, and twice alone."""


def test_a_careful_worker_works_quickly_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "SAVE_RECORDS", 4)
    monkeypatch.setattr(worker, "AHEAD", 1)
    batch, part = begun(world)
    assert world.work(batch, part, attempt=1) == "again"
    assert [head.tally.records for head in pieces(world, batch)] == [1] * 8
    assert world.work(batch, part) == "done"
    assert [each["custom_id"] for each in (world.finalize(batch), world.outputs(batch))[1]] == IDS


def test_a_worker_that_is_behind_another_goes_on_after_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Step Functions took a worker for lost that was only slow."""
    monkeypatch.setattr(worker, "SAVE_RECORDS", 8)
    batch, part = begun(world)
    once = threading.Event()

    def other(_: int) -> None:
        if not once.is_set():
            once.set()
            thread = threading.Thread(target=world.work, args=(batch, part))
            thread.start()
            thread.join()

    world.model.fates["r5"] = other
    assert world.work(batch, part) == "done"
    world.finalize(batch)
    assert [each["custom_id"] for each in world.outputs(batch)] == IDS
    assert world.model.asked["r39"] == 1
    assert world.model.asked["r0"] == 2


def test_a_cancelled_batch_stops_within_seconds(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "STOP_SECONDS", 0.05)
    world.model.seconds = 0.2
    batch, part = begun(world)

    def cancels(_: int) -> None:
        world.batches().cancel(world.tenant, batch.id)

    world.model.fates["r6"] = cancels
    assert world.work(batch, part) == "done"
    assert world.finalize(batch)["step"] == "end"
    record = world.record(batch)
    assert record.batch.status == "cancelled"
    done = [each["custom_id"] for each in world.outputs(batch)]
    assert 4 <= len(done) < len(IDS)
    assert done == IDS[: len(done)]
    assert [each["custom_id"] for each in world.errors(batch)] == IDS[len(done) :]
    assert {each["error"]["code"] for each in world.errors(batch)} == {"batch_cancelled"}
    assert record.batch.request_counts.total == len(IDS)


def test_nothing_is_asked_after_the_window(world: World) -> None:
    batch, part = begun(world)
    world.now = world.record(batch).batch.expires_at
    assert world.work(batch, part) == "done"
    assert not world.model.asked
    world.finalize(batch)
    record = world.record(batch)
    assert (record.batch.status, record.batch.expired_at) == ("expired", int(world.now))
    assert {each["error"]["code"] for each in world.errors(batch)} == {"batch_expired"}
    assert record.batch.output_file_id is None


def limited() -> Configuration:
    """One request at a time, of a model that is so fast that the estimate is low."""
    return configuration(ours=function(concurrency=1, parallel=1, prefill=10**9, decode=10**9))


def test_a_part_costs_no_more_than_it_may(world: World) -> None:
    """Each request costs a tenth of a cent here, of which the estimate knows less."""
    world.settings = limited()
    batch, part = begun(world, max_dollars=0.0105)
    assert part.dollars == pytest.approx(0.0105)
    assert world.work(batch, part) == "done"
    errors = errors_of(world, batch)
    assert list(errors) == IDS[11:]
    assert {each["error"]["code"] for each in errors.values()} == {"max_dollars"}
    assert sum(head.tally.dollars for head in pieces(world, batch)) == pytest.approx(0.011)


def test_answers_are_no_longer_than_the_limit(world: World) -> None:
    batch = world.created(line("long", max_tokens=500) + line("short", max_tokens=3) + line("none"))
    world.run(batch)
    assert [each["response"]["body"]["max"] for each in world.outputs(batch)] == [16, 3, 16]


def test_a_record_of_ten_megabytes(world: World) -> None:
    text = "x" * (10 * 1024 * 1024)
    batch = world.created(line("big", text) + line("small") + line("too", text))
    world.run(batch)
    found = world.outputs(batch)
    assert [each["custom_id"] for each in found] == ["big", "small", "too"]
    assert json.dumps(found[0]["response"]["body"]).count("x") >= len(text)
