"""Whole batches: every record once, in order, with exact counts, whatever happens to workers, S3 and the model."""

import random
from collections.abc import Collection
from typing import Any

import pytest

from lambda_llm.backends.errors import Kind
from support.batches import Faults, World, line, raising

IDS = [f"r{number}" for number in range(300)]


def content(ids: list[str]) -> bytes:
    return b"".join(line(each, f"text {each}") for each in ids)


def require_whole(world: World, batch: Any, ids: list[str], failed: Collection[str] = ()) -> None:
    """Every id once, in order, in the right file, with counts that agree."""
    record = world.record(batch)
    outputs, errors = world.outputs(batch), world.errors(batch)
    assert [each["custom_id"] for each in outputs] == [each for each in ids if each not in failed]
    assert [each["custom_id"] for each in errors] == [each for each in ids if each in failed]
    counts = record.batch.request_counts
    assert (counts.total, counts.completed, counts.failed) == (len(ids), len(ids) - len(failed), len(failed))
    for each in outputs:
        body = each["response"]["body"]
        assert body["choices"][0]["message"]["content"] == f"You said text {each['custom_id']}"
    made = [each["id"] for each in (*outputs, *errors)]
    assert len(set(made)) == len(made)


def test_a_batch_is_answered(world: World) -> None:
    batch = world.created(content(IDS))
    record = world.run(batch)
    assert (record.batch.status, record.batch.model, record.backend) == ("completed", "chat", "ours")
    require_whole(world, batch, IDS)
    usage = record.batch.usage
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (900, 600, 1500)
    assert usage.input_tokens_details.cached_tokens == 300
    assert record.batch.error_file_id is None
    assert max(world.model.asked.values()) == 1


@pytest.mark.parametrize("seed", range(12))
def test_workers_die_s3_fails_and_the_model_has_no_room(world: World, seed: int) -> None:
    """By a seeded schedule."""
    drawn = random.Random(seed)  # noqa: S311 - a schedule
    kinds = [Kind.THROTTLED, Kind.UNAVAILABLE, Kind.WAKING, Kind.TIMEOUT, Kind.BROKEN]
    for each in drawn.sample(IDS, 40):
        world.model.fates[f"text {each}"] = raising(drawn.choice(kinds), 1)
    refused = set(drawn.sample(IDS, 10))
    for each in refused:
        world.model.fates[f"text {each}"] = raising(drawn.choice([Kind.INVALID, Kind.TOO_LONG, Kind.BLOCKED]))
    batch = world.created(content(IDS))
    faults = Faults(world.s3, seed, kills=0.04, errors=0.1)
    record = world.run(batch, faults)
    while record.batch.status == "failed":
        world.batches().resume(world.tenant, batch.id)
        record = world.run(batch, faults)
    assert record.batch.status == "completed"
    # By chance a record may be in hand twice when its worker dies.
    lost = {each["custom_id"] for each in world.errors(batch) if (each["error"] or {}).get("code") == "worker_lost"}
    assert len(lost) <= faults.killed // 2
    require_whole(world, batch, IDS, refused | lost)
    assert faults.killed + faults.refused > 0
