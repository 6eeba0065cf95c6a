"""Batches between a real bucket and real state machines: what is stored, started, stopped and started again."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from lambda_llm.batch_store import layout
from lambda_llm.batch_store.batches import BROKEN, PARTS_FAILED, Stored
from lambda_llm.batch_store.errors import InputError, NoSuchError, StateError, StoreError
from lambda_llm.openai_types.batches import Batch, BatchError, BatchErrors, RequestCounts, Status
from support.batch_store import RIGHTS, STAYS, Place


@pytest.fixture
def staying(aws: tuple[Any, Any]) -> Place:
    """A store whose executions don't end."""
    return Place(*aws, STAYS, "store/")


class Instead:
    """A client of AWS, one of whose operations is another function, which gets the real one."""

    def __init__(self, client: Any, operation: str, function: Callable[..., Any]) -> None:
        self._client, self._operation, self._function = client, operation, function

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        return (lambda **given: self._function(found, **given)) if name == self._operation else found


def created(place: Place, **changes: Any) -> Batch:
    place.now += 1
    return place.batches().create(place.tenant, place.request(**changes), RIGHTS)


def became(place: Place, batch: Batch, **changes: Any) -> Stored:
    """A batch as a function changes it."""
    stored = place.batches().read(place.tenant, batch.id)
    changed = place.batches().change(stored, stored.record.with_batch(**changes))
    assert changed is not None
    return changed


def failed(code: str) -> BatchErrors:
    return BatchErrors(data=[BatchError(code=code, message="So it is.")])


def test_a_batch_is_stored_and_started_by_its_name(place: Place) -> None:
    file_id = place.uploaded()
    request = place.request(
        input_file_id=file_id,
        completion_window="48h",
        metadata={"for": "a test"},
        output_expires_after={"anchor": "created_at", "seconds": 7200},
        backend="gpu",
        max_dollars=2.5,
    )
    batch = place.batches().create(place.tenant, request, RIGHTS)
    assert batch == Batch(
        id=batch.id,
        endpoint="/v1/embeddings",
        input_file_id=file_id,
        completion_window="48h",
        created_at=int(place.now),
        expires_at=int(place.now) + 48 * 3600,
        metadata={"for": "a test"},
    )
    assert place.batches().get(place.tenant, batch.id) == batch
    record = place.batches().read(place.tenant, batch.id).record
    assert (record.rights, record.source) == (RIGHTS, place.files.source(place.tenant, file_id))
    assert (record.backend, record.max_dollars, record.output_seconds, record.run) == ("gpu", 2.5, 7200, 1)
    place.until_ended(batch.id)
    assert place.executions() == {
        batch.id: {"input": {"tenant": place.tenant, "batch": batch.id}, "status": "SUCCEEDED"}
    }


def test_without_its_input_nothing_is_stored_or_started(place: Place) -> None:
    with pytest.raises(NoSuchError) as caught:
        created(place, input_file_id=layout.new_file(place.now))
    assert caught.value.param == "input_file_id"
    assert place.keys("batches/") == []
    assert place.executions() == {}


def test_the_same_batch_is_created_once(place: Place) -> None:
    """As an event may come twice, and a function be killed between storing and starting."""
    request, batch_id = place.request(), layout.new_batch(place.now, "0123456789abcdef")
    source = place.files.source(place.tenant, request.input_file_id)

    def killed(_real: Any, **_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        place.batches(states=Instead(place.states, "start_execution", killed)).create(
            place.tenant, request, RIGHTS, source=source, batch_id=batch_id
        )
    assert place.executions() == {}
    first = place.batches().create(place.tenant, request, RIGHTS, source=source, batch_id=batch_id)
    place.now += 10
    second = place.batches().create(place.tenant, request, RIGHTS, source=source, batch_id=batch_id)
    assert first == second == place.batches().get(place.tenant, batch_id)
    became(place, first, status="completed")
    assert place.batches().create(place.tenant, request, RIGHTS, batch_id=batch_id).status == "completed"
    assert list(place.executions()) == [batch_id]


FAILURES = [
    ClientError({"Error": {"Code": "AccessDeniedException", "Message": "so it is"}}, "StartExecution"),
    ReadTimeoutError(endpoint_url="states"),
]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda each: type(each).__name__)
def test_what_can_t_be_started_has_failed_and_can_be_resumed(place: Place, failure: Exception) -> None:
    def refuse(_real: Any, **_: Any) -> None:
        raise failure

    with pytest.raises(StoreError, match=r"could not be started .* resume the batch or create it again"):
        place.batches(states=Instead(place.states, "start_execution", refuse)).create(
            place.tenant, place.request(), RIGHTS
        )
    ((batch,), more) = place.batches().list(place.tenant)
    assert (more, batch.status, batch.failed_at) == (False, "failed", int(place.now))
    assert batch.errors is not None
    assert [each.code for each in batch.errors.data] == [BROKEN]
    assert place.executions() == {}
    assert place.batches().resume(place.tenant, batch.id).status == "validating"
    assert list(place.executions()) == [f"{batch.id}-r2"]


def test_what_can_be_created_again_waits_for_that(place: Place) -> None:
    def refuse(_real: Any, **_: Any) -> None:
        raise FAILURES[0]

    request, batch_id = place.request(), layout.new_batch(place.now)
    batches = place.batches(states=Instead(place.states, "start_execution", refuse))
    for _ in range(2):
        with pytest.raises(StoreError, match="create it again"):
            batches.create(place.tenant, request, RIGHTS, batch_id=batch_id)
        assert place.batches().get(place.tenant, batch_id).status == "validating"
    assert place.batches().create(place.tenant, request, RIGHTS, batch_id=batch_id).status == "validating"
    assert list(place.executions()) == [batch_id]


def test_an_execution_that_was_started_without_an_answer_is_the_batch_s(place: Place) -> None:
    def twice(real: Any, **given: Any) -> Any:
        real(**given)
        place.until_ended(given["name"])
        return real(**given)

    states = Instead(place.states, "start_execution", twice)
    batch = place.batches(states=states).create(place.tenant, place.request(), RIGHTS)
    assert (batch.status, list(place.executions())) == ("validating", [batch.id])


def test_a_batch_is_its_tenant_s(place: Place) -> None:
    batch = created(place)
    batches = place.batches()
    for tenant, batch_id in ((place.other, batch.id), (place.tenant, layout.new_batch(place.now)), (place.tenant, "x")):
        for call in (batches.get, batches.cancel, batches.resume, batches.read):
            with pytest.raises(NoSuchError, match="There is no batch") as caught:
                call(tenant, batch_id)
            assert caught.value.param == "batch_id"
    assert batches.list(place.other) == ([], False)
    # Even if somebody has copied it there.
    mine = batches.read(place.tenant, batch.id).record
    place.put(layout.batch(place.other, batch.id), mine.written())
    with pytest.raises(StoreError):
        batches.get(place.other, batch.id)


def test_pages_have_the_newest_first(place: Place) -> None:
    ids = [created(place).id for _ in range(5)][::-1]
    place.put(layout.batches(place.tenant) + "notes.txt")
    batches = place.batches()
    assert [[each.id for each in batches.list(place.tenant, limit=n)[0]] for n in (2, 5)] == [ids[:2], ids]
    assert [batches.list(place.tenant, limit=n)[1] for n in (2, 4, 5, 6)] == [True, True, False, False]
    page, more = batches.list(place.tenant, after=ids[1], limit=2)
    assert ([each.id for each in page], more) == (ids[2:4], True)
    page, more = batches.list(place.tenant, after=ids[3], limit=2)
    assert ([each.id for each in page], more) == (ids[4:], False)
    with pytest.raises(InputError, match="after must be the id of a batch"):
        batches.list(place.tenant, after="file-1")


def test_while_it_runs_its_counts_are_those_of_the_parts_that_have_ended(place: Place) -> None:
    batch = created(place)
    place.put(layout.Mark(0, 40, 10, 2_500_000).key(batch.id))
    place.put(layout.Mark(1, 50, 0, 250_000).key(batch.id))
    place.put(layout.Mark(2, 1, 1, 9).key(layout.new_batch(place.now)))

    def counts() -> list[RequestCounts]:
        listed = place.batches().list(place.tenant)[0][0]
        return [place.batches().get(place.tenant, batch.id).request_counts, listed.request_counts]

    assert counts() == [RequestCounts()] * 2
    became(place, batch, status="in_progress", request_counts=RequestCounts(total=120))
    assert counts() == [RequestCounts(total=120, completed=90, failed=10)] * 2
    assert place.batches().dollars(batch.id) == 2.75
    became(place, batch, status="finalizing")
    assert counts() == [RequestCounts(total=120, completed=90, failed=10)] * 2
    became(place, batch, status="completed", request_counts=RequestCounts(total=120, completed=100, failed=20))
    assert counts() == [RequestCounts(total=120, completed=100, failed=20)] * 2


@pytest.mark.parametrize("status", ["validating", "in_progress"])
def test_a_batch_is_told_to_stop_once(place: Place, status: Status) -> None:
    batch = created(place)
    became(place, batch, status=status, request_counts=RequestCounts(total=3))
    place.now += 5
    cancelled = place.batches().cancel(place.tenant, batch.id)
    assert (cancelled.status, cancelled.cancelling_at) == ("cancelling", int(place.now))
    assert place.keys("work/") == [layout.stop(batch.id)]
    place.now += 5
    assert place.batches().cancel(place.tenant, batch.id) == cancelled


def test_what_was_not_told_is_told_again(place: Place) -> None:
    """The record was changed, and then S3 did not take the marker."""

    def refuse(real: Any, **given: Any) -> Any:
        if given["Key"].endswith("/stop"):
            raise ReadTimeoutError(endpoint_url="s3")
        return real(**given)

    batch = created(place)
    with pytest.raises(StoreError):
        place.batches(s3=Instead(place.s3, "put_object", refuse)).cancel(place.tenant, batch.id)
    assert place.batches().get(place.tenant, batch.id).status == "cancelling"
    assert place.batches().cancel(place.tenant, batch.id).status == "cancelling"
    assert place.keys("work/") == [layout.stop(batch.id)]


@pytest.mark.parametrize("status", ["finalizing", "completed", "failed", "expired", "cancelled"])
def test_what_has_ended_or_ends_is_not_cancelled(place: Place, status: Status) -> None:
    batch = created(place)
    became(place, batch, status=status)
    with pytest.raises(StateError, match=f"is {status}"):
        place.batches().cancel(place.tenant, batch.id)
    assert place.batches().get(place.tenant, batch.id).status == status
    assert place.keys("work/") == []


def test_a_batch_that_goes_on_meanwhile_is_cancelled_as_it_is_then(place: Place) -> None:
    batch = created(place)
    steps: Iterable[dict[str, Any]] = iter([{"status": "in_progress", "model": "m"}])

    def meanwhile(real: Any, **given: Any) -> Any:
        for step in steps:
            became(place, batch, **step)
            break
        return real(**given)

    cancelled = place.batches(s3=Instead(place.s3, "put_object", meanwhile)).cancel(place.tenant, batch.id)
    assert (cancelled.status, cancelled.model) == ("cancelling", "m")


@pytest.mark.parametrize("code", [BROKEN, PARTS_FAILED])
def test_a_failed_execution_is_followed_by_another_one(place: Place, code: str) -> None:
    batch = created(place)
    for run in (2, 3):
        changes = {"status": "failed", "failed_at": 1, "finalizing_at": 1, "in_progress_at": 1, "model": "m"}
        became(place, batch, errors=failed(code), **changes)
        resumed = place.batches().resume(place.tenant, batch.id)
        assert resumed == batch.model_copy(update={"in_progress_at": 1, "model": "m"})
        assert place.batches().read(place.tenant, batch.id).record.run == run
    names = [batch.id, f"{batch.id}-r2", f"{batch.id}-r3"]
    assert sorted(place.executions()) == names
    assert [each["input"] for each in place.executions().values()] == [{"tenant": place.tenant, "batch": batch.id}] * 3


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"status": "failed", "errors": failed("invalid_json_line")}, "failed for its input: correct it"),
        ({"status": "failed"}, "failed for its input: correct it"),
        ({"status": "completed"}, "is completed"),
        ({"status": "expired"}, "is expired"),
        ({"status": "cancelled"}, "is cancelled"),
    ],
)
def test_nothing_else_is_resumed(place: Place, changes: dict[str, Any], sentence: str) -> None:
    batch = created(place)
    place.until_ended(batch.id)
    became(place, batch, **changes)
    with pytest.raises(StateError, match=sentence):
        place.batches().resume(place.tenant, batch.id)
    assert list(place.executions()) == [batch.id]


@pytest.mark.parametrize("status", ["validating", "in_progress", "finalizing", "cancelling"])
def test_what_nobody_runs_any_more_is_resumed_and_what_runs_is_not(
    place: Place, staying: Place, status: Status
) -> None:
    runs = created(staying)
    became(staying, runs, status=status)
    with pytest.raises(StateError, match="is running"):
        staying.batches().resume(staying.tenant, runs.id)
    ended = created(place)
    place.until_ended(ended.id)
    became(place, ended, status=status)
    resumed = place.batches().resume(place.tenant, ended.id)
    assert resumed.status == ("cancelling" if status == "cancelling" else "validating")
    assert sorted(place.executions()) == [ended.id, f"{ended.id}-r2"]


def test_what_was_never_started_is_resumed(place: Place) -> None:
    """Who created it was killed, or its execution is so old that Step Functions has forgotten it."""
    batch = created(place)
    stored = place.batches().read(place.tenant, batch.id)
    unknown = stored.record.model_copy(update={"run": 7})
    assert place.batches().change(stored, unknown) is not None
    assert place.batches().resume(place.tenant, batch.id).status == "validating"
    assert sorted(place.executions()) == [batch.id, f"{batch.id}-r8"]


def test_of_two_changes_of_one_state_only_the_first_happens(place: Place) -> None:
    batches, batch = place.batches(), created(place)
    stored = batches.read(place.tenant, batch.id)
    first = batches.change(stored, stored.record.with_batch(status="in_progress"))
    assert first is not None
    assert batches.change(stored, stored.record.with_batch(status="failed")) is None
    assert batches.read(place.tenant, batch.id) == first
    assert batches.change(replace(first, etag='"0"'), stored.record) is None


def test_what_s3_or_step_functions_refuses_is_one_sentence(place: Place, staying: Place) -> None:
    def refuse(_real: Any, **_: Any) -> Any:
        raise FAILURES[0]

    batch = created(staying)
    for operation in ("get_object", "put_object"):
        batches = staying.batches(s3=Instead(staying.s3, operation, refuse))
        with pytest.raises(StoreError, match=r"^Files and batches below s3://.* can't be read or written"):
            batches.cancel(staying.tenant, batch.id)
    batches = staying.batches(states=Instead(staying.states, "describe_execution", refuse))
    with pytest.raises(StoreError, match="It is not known whether the batch"):
        batches.resume(staying.tenant, batch.id)
    place.put(layout.batch(place.tenant, batch.id), b"{}")
    with pytest.raises(StoreError, match="none that this version has written"):
        place.batches().get(place.tenant, batch.id)
