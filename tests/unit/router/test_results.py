"""Background responses in S3: what is written on which condition, and what its refusals mean."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from lambda_llm.router.errors import ResultsError
from lambda_llm.router.results import Job, Results, Run, Stored
from scripts.local_aws.server import LocalAWS
from support.background import clients_of

JOB = Job("resp_1", "acme", "resp_1-a", "d1", 10, 20, {"input": "Hello"}, None, {"id": "resp_1", "status": "queued"})


class Between:
    """A client of S3 with something between it and S3, at each PutObject."""

    def __init__(self, client: Any, put: Callable[[Callable[..., Any], dict[str, Any]], Any]) -> None:
        self._client = client
        self._put = put

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._client, name)
        return (lambda **given: self._put(function, given)) if name == "put_object" else function


@pytest.fixture(scope="module")
def s3(local_aws: LocalAWS) -> Iterator[Any]:
    with clients_of(local_aws) as made:
        yield made["s3"]


@pytest.fixture
def uri(s3: Any) -> str:
    bucket = f"results-{uuid4().hex}"
    s3.create_bucket(Bucket=bucket)
    return f"s3://{bucket}/results/"


def created(results: Results, job: Job = JOB) -> Stored:
    stored = results.create(job)
    assert stored is not None
    return stored


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "so it is"}}, "PutObject")


def test_what_is_written_is_read(s3: Any, uri: str) -> None:
    """Every field of it, in every state."""
    results = Results(uri, s3)
    assert results.read("acme", "resp_1") is None
    stored = created(results)
    states = (JOB.running(Run("r", 15.5)), JOB.queued(), JOB.end(status="completed", output=[]))
    for job in states:
        changed = results.replace(stored, job)
        assert changed == results.read("acme", "resp_1") == Stored(job, changed.etag if changed else "")
        assert changed is not None
        assert (results.changed(stored), results.changed(changed)) == (True, False)
        stored = changed
    assert [(job.ended, job.request is None, job.run is None) for job in states] == [
        (False, False, False),
        (False, False, True),
        (True, True, True),
    ]
    assert results.read("another", "resp_1") is None


def test_of_two_changes_of_one_state_only_the_first_happens(s3: Any, uri: str) -> None:
    results = Results(uri, s3)
    stored = created(results)
    assert results.create(replace(JOB, digest="d2")) is None
    first = results.replace(stored, JOB.running(Run("first", 1)))
    assert results.replace(stored, JOB.running(Run("second", 1))) is None
    assert results.read("acme", "resp_1") == first


def test_what_was_erased_is_not_changed(s3: Any, uri: str) -> None:
    results = Results(uri, s3)
    stored = created(results)
    for each in s3.list_objects_v2(Bucket=uri.split("/")[2])["Contents"]:
        s3.delete_object(Bucket=uri.split("/")[2], Key=each["Key"])
    assert results.changed(stored)
    assert results.replace(stored, JOB.queued()) is None
    assert results.read("acme", "resp_1") is None


def test_a_write_that_the_client_tries_again_is_its_own(s3: Any, uri: str) -> None:
    """The first attempt was heard, but not its answer: the second finds what it wants to write."""

    def twice(put: Callable[..., Any], given: dict[str, Any]) -> Any:
        put(**given)
        return put(**given)

    results = Results(uri, Between(s3, twice))
    stored = created(results)
    changed = results.replace(stored, JOB.running(Run("r", 1)))
    assert changed is not None
    assert Results(uri, s3).read("acme", "resp_1") == changed


def test_while_s3_is_busy_with_another_change_it_is_tried_again(s3: Any, uri: str) -> None:
    tried: list[None] = []

    def busy(put: Callable[..., Any], given: dict[str, Any]) -> Any:
        tried.append(None)
        if len(tried) < 3:
            raise refusal("ConditionalRequestConflict")
        return put(**given)

    assert created(Results(uri, Between(s3, busy))) == Results(uri, s3).read("acme", "resp_1")
    assert len(tried) == 3


@pytest.mark.parametrize(
    "failure", [refusal("AccessDenied"), refusal("ConditionalRequestConflict"), ReadTimeoutError(endpoint_url="s3")]
)
def test_what_s3_refuses_is_one_sentence(s3: Any, uri: str, failure: Exception) -> None:
    def fail(_put: Callable[..., Any], _given: dict[str, Any]) -> Any:
        raise failure

    results = Results(uri, Between(s3, fail))
    with pytest.raises(ResultsError, match=r"can't be read or written .*: check the address, and that the role may"):
        results.create(JOB)


@pytest.mark.parametrize("content", [b"no JSON", b"[]", b"{}", b'{"version": 2, "run": null}'])
def test_what_another_has_written_is_not_read(s3: Any, uri: str, content: bytes) -> None:
    results = Results(uri, s3)
    created(results)
    bucket = uri.split("/")[2]
    [found] = s3.list_objects_v2(Bucket=bucket)["Contents"]
    s3.put_object(Bucket=bucket, Key=found["Key"], Body=content)
    with pytest.raises(ResultsError, match="is none that this version of the router has written"):
        results.read("acme", "resp_1")


def test_a_response_in_another_tenants_folder_is_not_read(s3: Any, uri: str) -> None:
    """Even if somebody has copied it there."""
    results = Results(uri, s3)
    created(results)
    bucket = uri.split("/")[2]
    [mine] = s3.list_objects_v2(Bucket=bucket)["Contents"]
    created(results, replace(JOB, tenant="another"))
    [theirs] = [each for each in s3.list_objects_v2(Bucket=bucket)["Contents"] if each["Key"] != mine["Key"]]
    s3.copy_object(Bucket=bucket, Key=theirs["Key"], CopySource={"Bucket": bucket, "Key": mine["Key"]})
    with pytest.raises(ResultsError):
        results.read("another", "resp_1")
