"""Batches on the local AWS, with the real state machine and the functions' zip, while processes die and S3 fails.

A hundred thousand records are `make long`.
"""

from collections.abc import Iterator

import pytest

from lambda_llm.openai_types.batches import RequestCounts
from scripts.batch_soak import Outcome, look, texts, written
from scripts.local_aws.batches import TENANT, Faults, Stand, line, stand
from support.servers import until

RECORDS = 2_000
SEED = 18
SECONDS = 180.0
"""Longest time that a test waits for a batch."""

FAULTS = Faults(SEED, kills=0.002, s3_errors=0.01, moods=0.02)


@pytest.fixture(scope="module")
def running() -> Iterator[Stand]:
    with stand(FAULTS, decode=0.5) as made:
        yield made


def test_every_record_is_there_once_and_in_order_whatever_fails(running: Stand) -> None:
    batch = running.ended(running.create(written(RECORDS, SEED)).id, SECONDS)
    outcome = Outcome(RECORDS)
    look(running, batch, texts(RECORDS, SEED), outcome)
    assert outcome.failures == []
    assert batch.errors is None
    assert (batch.model, batch.output_file_id is None, batch.error_file_id is None) == ("chat", False, False)
    assert batch.in_progress_at is not None
    assert batch.finalizing_at is not None
    assert batch.completed_at is not None
    # Otherwise this test would prove nothing:
    assert outcome.killed > 6  # which the records that kill take along
    assert outcome.s3_errors > 0
    assert outcome.repeated > 0
    assert outcome.errors["worker_lost"] == 2
    assert outcome.errors["content_policy"] > 5
    assert outcome.parts > 20


def test_a_batch_that_is_cancelled_keeps_what_was_answered(running: Stand) -> None:
    names = [f"slow-{number}" for number in range(800)]
    created = running.create(b"".join(line(name, f"slow {number}") for number, name in enumerate(names)))
    until(lambda: running.batches.get(TENANT, created.id).request_counts.completed)
    assert running.batches.cancel(TENANT, created.id).status == "cancelling"
    batch = running.ended(created.id, SECONDS)
    assert batch.status == "cancelled"
    assert batch.cancelling_at is not None
    assert batch.cancelled_at is not None
    answered = [each["custom_id"] for each in running.lines(batch.output_file_id)]
    errors = list(running.lines(batch.error_file_id))
    unanswered = [each["custom_id"] for each in errors]
    assert {each["error"]["code"] for each in errors} == {"batch_cancelled"}
    assert answered
    assert [each for each in names if each in set(answered)] == answered
    assert [each for each in names if each not in set(answered)] == unanswered
    counts = RequestCounts(total=len(names), completed=len(answered), failed=len(unanswered))
    assert batch.request_counts == counts
    assert running.settled(batch.id) == "SUCCEEDED"


def test_a_batch_whose_model_is_missing_fails_is_mended_and_goes_on(running: Stand) -> None:
    running.configure(chat={}, later={"concurrency": 1, "parallel": 1})
    created = running.create(line("0", "word 0", "later"))
    failed = running.ended(created.id, SECONDS)
    assert failed.status == "failed"
    assert failed.errors is not None
    assert [each.code for each in failed.errors.data] == ["parts_failed"]
    assert running.settled(created.id) == "FAILED"
    running.make_model("later", running.variables)
    assert running.batches.resume(TENANT, created.id).status == "validating"
    batch = running.ended(created.id, SECONDS)
    assert (batch.status, batch.errors) == ("completed", None)
    assert batch.request_counts == RequestCounts(total=1, completed=1, failed=0)
    assert [each["custom_id"] for each in running.lines(batch.output_file_id)] == ["0"]
    assert running.settled(f"{created.id}-r2") == "SUCCEEDED"
