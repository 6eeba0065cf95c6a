"""Inputs: what is refused and how it is told, and how an input of any size becomes parts."""

import json
from typing import Any

import pytest

from lambda_llm.batch import index
from lambda_llm.batch.errors import BatchFailedError
from lambda_llm.batch_store import layout
from lambda_llm.batch_store.records import Rights
from lambda_llm.openai_types.batches import BatchError
from support.batches import URL, World, configuration, function, line

GOOD = line("a") + line("b")


def failed(world: World, content: bytes, **changes: Any) -> list[BatchError]:
    """The errors with which a batch fails."""
    batch = world.created(content, **changes)
    assert world.index(batch)["step"] == "end"
    found = world.record(batch).batch
    assert found.status == "failed"
    assert found.failed_at == int(world.now)
    assert found.errors is not None
    return found.errors.data


@pytest.mark.parametrize(
    ("content", "code", "number", "param"),
    [
        (b"", "empty_file", None, None),
        (b"\n \n", "empty_file", None, None),
        (GOOD + b"{", "invalid_json_line", 3, None),
        (GOOD + b"[1]\n", "invalid_json_line", 3, None),
        (GOOD + b'{"a": NaN}\n', "invalid_json_line", 3, None),
        (GOOD + b"\xff\xfe\n", "invalid_json_line", 3, None),
        (GOOD + b'{"custom_id": "c"}\n', "missing_required_parameter", 3, "method"),
        (GOOD + line("c").replace(b"POST", b"GET"), "invalid_request", 3, "method"),
        (GOOD + line("c").replace(b'"c"', b"7"), "invalid_request", 3, "custom_id"),
        (line("c").replace(b'"method"', b'"extra": 1, "method"'), "invalid_request", 1, "extra"),
        (GOOD + line("c", url="/v1/embeddings"), "mismatched_endpoint", 3, "url"),
        (GOOD + line("c", model="other"), "mismatched_model", 3, "body.model"),
        (line("c", model="other"), "model_not_found", 1, "body.model"),
        (line("c", model=None), "model_not_found", 1, "body.model"),
        (GOOD + line("c", stream=True), "unsupported_parameter", 3, "body.stream"),
        (GOOD + b"\n" + line("b"), "duplicate_custom_id", 4, "custom_id"),
    ],
)
def test_what_is_no_request_is_told_by_its_line(
    world: World, content: bytes, code: str, number: int | None, param: str | None
) -> None:
    (error,) = failed(world, content)
    assert (error.code, error.line, error.param) == (code, number, param)
    assert error.message.endswith(".")


def test_a_line_without_end_is_no_reason_to_fill_the_memory(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lambda_llm.batch.lines.LINE_BYTES_MAX", 1000)
    world.block_bytes = 500
    (error,) = failed(world, line("a") + b"x" * 3000)
    assert (error.code, error.line) == ("line_too_long", 2)


def test_all_errors_are_told_up_to_a_hundred(world: World) -> None:
    errors = failed(world, (b"{\n" + line("a")) * 150)
    assert len(errors) == index.ERRORS_MAX
    assert [error.line for error in errors[:3]] == [1, 3, 5]


def test_a_tenant_has_its_models_alone(world: World) -> None:
    batch = world.created(GOOD, Rights(models=("other",)))
    world.index(batch)
    errors = world.record(batch).batch.errors
    assert errors is not None
    assert errors.data[0].code == "model_not_found"
    assert "chat" not in errors.data[0].message


@pytest.mark.parametrize(
    "content",
    [
        GOOD,
        b"\xef\xbb\xbf" + GOOD,
        GOOD.replace(b"\n", b"\r\n"),
        b"\n\n" + GOOD + b"\n",
        GOOD[:-1],
        line("a") + b"\n  \n" + line("b"),
    ],
    ids=["plain", "bom", "crlf", "blank", "no-end", "between"],
)
def test_forms_of_a_file_make_no_difference(world: World, content: bytes) -> None:
    batch = world.created(content)
    assert world.run(batch).batch.status == "completed"
    assert [each["custom_id"] for each in world.outputs(batch)] == ["a", "b"]


def test_a_hash_that_two_ids_share_is_no_error(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight bytes of a hundred million ids may be the same by chance: the ids decide."""
    monkeypatch.setattr("lambda_llm.batch.seen.hash_of", lambda custom_id: int(custom_id[1:]) % 7)
    monkeypatch.setattr("lambda_llm.batch.index.hash_of", lambda custom_id: int(custom_id[1:]) % 7)
    batch = world.created(b"".join(line(f"r{number}") for number in range(30)))
    assert world.index(batch)["step"] == "map"
    errors = failed(world, b"".join(line(f"r{number}") for number in (*range(30), 3, 20)))
    assert [(error.code, error.line) for error in errors] == [("duplicate_custom_id", 31), ("duplicate_custom_id", 32)]


def test_an_invocation_hands_on_what_it_has_read(world: World) -> None:
    world.block_bytes = 4096
    ids = [f"r{number}" for number in range(200)]
    batch = world.created(b"".join(line(each) for each in ids))
    steps = []
    while (plan := world.index(batch, remaining=index.MARGIN_SECONDS - 1))["step"] == "index":
        steps.append(plan["step"])
    assert len(steps) > 3
    whole = world.created(b"".join(line(each) for each in ids))
    assert [part.model_dump() for part in world.parts(plan)] == [
        part.model_dump() for part in world.parts(world.index(whole))
    ]
    assert world.run(batch).batch.request_counts.completed == len(ids)


def test_duplicates_are_found_across_invocations(world: World) -> None:
    world.block_bytes = 2048
    batch = world.created(b"".join(line(f"r{number % 90}") for number in range(100)))
    while world.index(batch, remaining=0)["step"] == "index":
        pass
    errors = world.record(batch).batch.errors
    assert errors is not None
    assert [error.line for error in errors.data] == list(range(91, 101))


def test_a_duplicate_is_found_behind_ids_that_a_lost_invocation_has_seen(world: World) -> None:
    """It wrote what it had seen, and not how far it was: each id of it seems to be there twice."""
    world.block_bytes = 2048
    ids = [f"r{number}" for number in range(1200)]
    batch = world.created(b"".join(line(each) for each in [*ids, *ids[:50]]))
    assert world.index(batch, remaining=0)["step"] == "index"
    early = world.storage.get(layout.index_state(batch.id))
    while world.index(batch, remaining=0)["step"] == "index":
        later = world.storage.get(layout.index_state(batch.id))
        assert later is not None
        if index.State.model_validate_json(later).line >= 1180:
            break
    assert early is not None
    world.storage.put(layout.index_state(batch.id), early)
    while world.index(batch)["step"] == "index":
        pass
    errors = world.record(batch).batch.errors
    assert errors is not None
    assert [error.line for error in errors.data] == list(range(1201, 1251))


def test_an_input_that_was_changed_is_refused(world: World) -> None:
    batch = world.created(GOOD)
    source = world.record(batch).source
    world.s3.put_object(Bucket=source.bucket, Key=source.key, Body=line("x") + line("y"))
    assert world.index(batch)["step"] == "end"
    errors = world.record(batch).batch.errors
    assert errors is not None
    assert errors.data[0].code == "input_changed"


def test_an_input_that_changes_while_it_is_answered_fails_what_is_left(world: World) -> None:
    batch = world.created(GOOD)
    plan = world.index(batch)
    source = world.record(batch).source
    world.s3.delete_object(Bucket=source.bucket, Key=source.key)
    with pytest.raises(BatchFailedError, match="changed or deleted"):
        world.work(batch, world.parts(plan)[0])


def test_the_plan_is_the_same_when_it_is_asked_for_again(world: World) -> None:
    """As after an answer that Step Functions did not get."""
    batch = world.created(GOOD)
    plan = world.index(batch)
    assert plan == world.index(batch)
    assert (plan["step"], plan["concurrency"], plan["parts"]["count"]) == ("map", 1, 2)
    assert json.dumps(plan)


def test_parts_are_whole_lines_and_all_of_them(world: World) -> None:
    content = b"".join(line(f"r{number}", "x" * (number % 50)) for number in range(500))
    batch = world.created(content)
    parts = world.parts(world.index(batch))
    assert len(parts) > 1
    assert [part.part for part in parts] == list(range(len(parts)))
    assert (parts[0].first, parts[-1].last) == (0, len(content) - 1)
    ids: list[str] = []
    for part in parts:
        lines = [json.loads(each)["custom_id"] for each in content[part.first : part.last + 1].splitlines()]
        assert (part.record, part.records) == (len(ids), len(lines))
        ids += lines
    assert ids == [f"r{number}" for number in range(500)]


def test_a_batch_that_was_cancelled_meanwhile_is_not_begun(world: World) -> None:
    batch = world.created(GOOD)
    world.batches().cancel(world.tenant, batch.id)
    assert world.index(batch)["step"] == "end"
    assert world.record(batch).batch.status == "cancelled"


def test_nothing_can_answer(world: World) -> None:
    (error,) = failed(world, GOOD, max_dollars=0.0)
    assert error.code == "no_backend"
    assert "ours costs up to $" in error.message
    (error,) = failed(world, GOOD, backend="theirs")
    assert "ours is not theirs, which was asked for" in error.message


def test_options_are_kept_and_the_cheapest_is_chosen(world: World) -> None:
    world.settings = configuration(slow=function(decode=1.0), fast=function(decode=100.0))
    batch = world.created(GOOD)
    world.index(batch)
    record = world.record(batch)
    assert record.backend == "fast"
    assert [option.backend for option in record.options] == ["fast", "slow"]
    assert 0 < record.options[0].dollars < record.options[1].dollars
    named = world.created(GOOD, backend="slow")
    world.index(named)
    assert world.record(named).backend == "slow"


def test_the_endpoint_must_be_one_of_the_model(world: World) -> None:
    content = line("a", url="/v1/completions")
    (error,) = failed(world, content, endpoint="/v1/completions")
    assert (error.code, error.line) == ("mismatched_endpoint", 1)
    assert URL not in error.message
