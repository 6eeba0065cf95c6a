"""The store under functions: what is written once, and what S3's failures become."""

from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.response import IncompleteReadError  # type: ignore[attr-defined]  # botocore's stubs leave it out

from lambda_llm.batch.errors import BatchConfigurationError, BatchFailedError, SettingsError
from lambda_llm.batch.seen import Seen
from lambda_llm.batch.settings import configuration_of, store_of
from lambda_llm.batch.storage import Storage
from lambda_llm.batch_store.errors import StoreError
from lambda_llm.batch_store.records import Source
from support.batches import World


class Failing:
    """A client of S3 one of whose calls fails so often."""

    def __init__(self, client: Any, name: str, error: Exception, times: int, *, done: bool = False) -> None:
        self._client, self._name, self._error, self._times, self._done = client, name, error, times, done

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._client, name)

        def called(**given: Any) -> Any:
            if name == self._name and self._times:
                self._times -= 1
                if self._done:
                    function(**given)
                raise self._error
            return function(**given)

        return called


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "so it is"}}, "Operation")


def test_what_is_there_is_not_overwritten(world: World) -> None:
    assert world.storage.put_once("a", b"1")
    assert world.storage.put_once("a", b"1")
    assert not world.storage.put_once("a", b"2")
    assert world.storage.get("a") == b"1"
    world.storage.put("a", b"2")
    assert world.storage.get("a") == b"2"


def test_a_write_whose_answer_was_lost_is_known_again(world: World) -> None:
    """botocore tries it again, and then finds what it has written itself."""
    lost = Failing(world.s3, "put_object", refusal("PreconditionFailed"), 1, done=True)
    assert Storage(world.uri, lost).put_once("a", b"1")


def test_a_race_is_run_again(world: World) -> None:
    racing = Failing(world.s3, "put_object", refusal("ConditionalRequestConflict"), 2)
    assert Storage(world.uri, racing).put_once("a", b"1")


def test_ranges(world: World) -> None:
    world.storage.put("a", b"0123456789")
    assert world.storage.get("a", 2, 4) == b"234"
    assert world.storage.get("a", 8) == b"89"
    assert world.storage.get("a", 10, 20) == b""
    assert world.storage.get("nothing", 0, 4) is None


def test_names_are_in_order_from_one_on(world: World) -> None:
    for name in ("b/2", "b/1", "c", "a"):
        world.storage.put(name, b"")
    assert list(world.storage.names("")) == ["a", "b/1", "b/2", "c"]
    assert list(world.storage.names("b/", "b/1")) == ["b/2"]


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda storage: storage.get("a"), "get_object"),
        (lambda storage: storage.put("a", b""), "put_object"),
        (lambda storage: storage.put_once("a", b""), "put_object"),
        (lambda storage: storage.exists("a"), "head_object"),
    ],
)
@pytest.mark.parametrize("error", [refusal("AccessDenied"), ReadTimeoutError(endpoint_url="s3")])
def test_a_failure_names_the_store(world: World, call: Any, name: str, error: Exception) -> None:
    failing = Storage(world.uri, Failing(world.s3, name, error, 100))
    with pytest.raises(StoreError, match=f"'a' in the store {world.uri} can't be read or written"):
        call(failing)


def test_a_body_that_breaks_off_is_read_again(world: World) -> None:
    world.storage.put("a", b"0123456789")
    broken = IncompleteReadError(actual_bytes=3, expected_bytes=10)
    assert Storage(world.uri, Failing(world.s3, "get_object", broken, 2)).get("a") == b"0123456789"


def test_blocks_are_the_input_and_nothing_else(world: World) -> None:
    world.storage.put("a", b"0123456789")
    head = world.storage.head("a")
    assert head is not None
    source = Source(bucket=world.bucket, key=world.storage.prefix + "a", etag=head.etag, size=head.size)
    assert list(world.storage.blocks(source, 2, 8, size=3)) == [b"234", b"567", b"8"]
    world.storage.put("a", b"9876543210")
    with pytest.raises(BatchFailedError, match="changed or deleted"):
        list(world.storage.blocks(source, 0, 9))


def test_ids_that_come_twice() -> None:
    seen = Seen()
    for number in range(1000):
        seen.add(f"r{number}")
    assert not seen.twice()
    later = Seen(seen.written())
    later.add("r7")
    assert len(later.twice()) == 1


@pytest.mark.parametrize("given", [{}, {"LAMBDA_LLM_BATCH_STORE": ""}])
def test_a_function_without_a_store(given: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="LAMBDA_LLM_BATCH_STORE is not set"):
        store_of(given)


def test_a_store_without_a_configuration(world: World) -> None:
    with pytest.raises(BatchConfigurationError, match=r"has no configuration\.json"):
        configuration_of(world.storage)
