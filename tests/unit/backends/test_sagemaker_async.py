"""Asynchronous endpoints of SageMaker, between a service that botocore's model checks and a real S3."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any
from uuid import uuid4

import pytest

from lambda_llm.aws.errors import S3URIError
from lambda_llm.backends.contract import Operation, Usage, opened
from lambda_llm.backends.errors import BackendError, Kind
from lambda_llm.backends.sagemaker_async import INLINE_BYTES, AsyncEndpoint, SageMakerAsync
from scripts.local_aws.server import REGION, LocalAWS
from support.aws_service import AWSService, ServiceError, aws_service
from support.backends import HELLO, as_botocore_sends, asking, chunks, failure, signed
from support.event_streams import Answer, answering

WHOLE = json.dumps({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2}}).encode()
LONG = {**HELLO, "messages": [{"role": "user", "content": "x" * INLINE_BYTES}]}


class Queue:
    """An endpoint, and its bucket.

    Attributes:
        answer: that the container gives, or None: it never does.
        failed: what it fails with.
        says_failures: whether it says where failures will be.
        seen: requests that the container got.
        reached: whether it got one.
    """

    def __init__(self, s3: Any) -> None:
        self.s3 = s3
        self.bucket = f"async-{uuid4().hex}"
        s3.create_bucket(Bucket=self.bucket)
        self.answer: bytes | None = WHOLE
        self.failed: bytes | None = None
        self.says_failures = True
        self.seen: list[Any] = []
        self.reached = threading.Event()
        self.service = AWSService("sagemaker-runtime", {"InvokeEndpointAsync": self.invoked})

    @property
    def inputs(self) -> str:
        return f"s3://{self.bucket}/in/"

    def invoked(self, given: dict[str, Any]) -> dict[str, Any]:
        if (body := given.get("Body")) is None:
            key = given["InputLocation"].removeprefix(f"s3://{self.bucket}/")
            body = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        self.seen.append(json.loads(body))
        self.reached.set()
        for folder, content in (("out", self.answer), ("failed", self.failed)):
            if content is not None:
                self.s3.put_object(Bucket=self.bucket, Key=f"{folder}/1", Body=content)
        told = {"InferenceId": given["InferenceId"], "OutputLocation": f"s3://{self.bucket}/out/1"}
        return {**told, **({"FailureLocation": f"s3://{self.bucket}/failed/1"} if self.says_failures else {})}

    def left(self) -> list[str]:
        """What is in the bucket."""
        return [each["Key"] for each in self.s3.list_objects_v2(Bucket=self.bucket).get("Contents", [])]


@pytest.fixture(scope="module")
def s3(local_aws: LocalAWS) -> Iterator[Any]:
    with closing(local_aws.client("s3")) as s3:
        yield s3


@pytest.fixture(autouse=True)
def _aws(local_aws: LocalAWS, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in local_aws.environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)


@pytest.fixture
def queue(s3: Any) -> Queue:
    return Queue(s3)


def backend(url: str, inputs: str | None = None, **more: Any) -> SageMakerAsync:
    endpoint = AsyncEndpoint("gpu", REGION, inputs, **more)
    return SageMakerAsync("later", url, endpoint, "ours", auth=signed("sagemaker"), poll_seconds=0.01)


@contextmanager
def asked(queue: Queue, *, inputs: bool = True) -> Iterator[SageMakerAsync]:
    with aws_service(queue.service) as service:
        yield backend(service.url, queue.inputs if inputs else None)


async def test_an_answer_is_read_where_it_is_said_to_be_and_deleted(queue: Queue) -> None:
    with asked(queue, inputs=False) as later:
        [chunk] = await chunks(later, asking(seed=3, seconds=100))
    assert (json.loads(chunk.data), chunk.usage) == (json.loads(WHOLE), Usage(9, 2))
    assert queue.seen == [HELLO | {"model": "ours", "seed": 3}]
    [given] = queue.service.of("InvokeEndpointAsync")
    assert (given["EndpointName"], given["InferenceId"], given["ContentType"]) == ("gpu", "an-id", "application/json")
    assert {given["RequestTTLSeconds"], given["InvocationTimeoutSeconds"]} <= {99, 100}
    assert queue.left() == []


async def test_a_long_request_goes_through_s3_and_is_deleted(queue: Queue) -> None:
    with asked(queue) as later:
        assert len(await chunks(later, asking(LONG))) == 1
    assert queue.seen == [LONG | {"model": "ours"}]
    [given] = queue.service.of("InvokeEndpointAsync")
    assert given["InputLocation"].startswith(queue.inputs)
    assert "Body" not in given
    assert queue.left() == []


async def test_the_longest_that_goes_along_and_one_byte_more(queue: Queue) -> None:
    empty = len(json.dumps({**HELLO, "model": "ours", "messages": [{"role": "user", "content": ""}]}))
    with asked(queue, inputs=False) as later:
        for more in (0, 1):
            content = "x" * (INLINE_BYTES - empty + more)
            request = asking({**HELLO, "messages": [{"role": "user", "content": content}]})
            if not more:
                assert len(await chunks(later, request)) == 1
                continue
            failed = await failure(later, request)
            assert failed.kind is Kind.TOO_LONG
            assert f"takes requests of at most 128,000 bytes, and this one has {INLINE_BYTES + 1:,}" in str(failed)
    assert len(queue.seen) == 1


@pytest.mark.parametrize("inputs", [False, True])
async def test_the_request_is_what_botocore_sends(s3: Any, *, inputs: bool) -> None:
    body = {**(LONG if inputs else HELLO), "model": "ours"}
    queue = Queue(s3)
    s3.put_object(Bucket=queue.bucket, Key="out/1", Body=WHOLE)
    told = Answer([b"{}"], 202, {"x-amzn-sagemaker-outputlocation": f"s3://{queue.bucket}/out/1"})
    with answering(told) as server:
        await chunks(backend(server.url, queue.inputs), asking(body, seconds=10_000))
    [request] = server.asked
    location = request.headers.get("x-amzn-sagemaker-inputlocation")
    path, headers, content = as_botocore_sends(
        "sagemaker-runtime",
        "invoke_endpoint_async",
        EndpointName="gpu",
        ContentType="application/json",
        InferenceId="an-id",
        RequestTTLSeconds=10_000,
        InvocationTimeoutSeconds=3600,
        **({"InputLocation": location} if inputs else {"Body": json.dumps(body).encode()}),
    )
    assert request.path == path
    assert request.body == (b"" if inputs else content)
    assert {name: value for name, value in request.headers.items() if name.startswith("x-amzn-")} == headers
    assert "/eu-central-1/sagemaker/aws4_request" in request.headers["authorization"]


@pytest.mark.parametrize(("request_id", "sent"), [("x" * 64, "x" * 64), ("a b", "a_b"), ("x" * 65, None), ("", None)])
async def test_any_id_of_a_request_can_be_sent(queue: Queue, request_id: str, sent: str | None) -> None:
    request = asking()
    with asked(queue) as later:
        await chunks(later, type(request)(request.operation, request.body, request.deadline, request_id))
    [given] = queue.service.of("InvokeEndpointAsync")
    assert given["InferenceId"] == sent or (sent is None and len(given["InferenceId"]) == 64)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"Received server error (500) from primary with a secret", Kind.BROKEN),
        (b'{"error": {"code": "context_length_exceeded"}}', Kind.TOO_LONG),
    ],
)
async def test_a_failure_is_read_and_not_repeated(queue: Queue, content: bytes, kind: Kind) -> None:
    queue.answer, queue.failed = None, content
    with asked(queue) as later:
        failed = await failure(later, asking(LONG))
    assert (failed.kind, "secret" in str(failed)) == (kind, False)
    assert queue.left() == []


@pytest.mark.parametrize("says_failures", [False, True])
async def test_an_answer_that_does_not_come_is_waited_for_until_the_deadline(
    queue: Queue, *, says_failures: bool
) -> None:
    queue.answer, queue.says_failures = None, says_failures
    request = asking(LONG, seconds=30)

    def too_late(given: dict[str, Any]) -> dict[str, Any]:
        object.__setattr__(request, "deadline", time.monotonic())
        return queue.invoked(given)

    queue.service.operations["InvokeEndpointAsync"] = too_late
    with asked(queue) as later:
        failed = await failure(later, request)
    assert failed.kind is Kind.TIMEOUT
    [given] = queue.service.of("InvokeEndpointAsync")
    assert given["RequestTTLSeconds"] == 60, "the least that there is"
    assert given["InvocationTimeoutSeconds"] <= 30
    assert queue.left() == [], "and the request is not read any more"


async def test_a_client_that_leaves_takes_its_request_along(queue: Queue) -> None:
    queue.answer = None
    with asked(queue) as later:
        asking_it = asyncio.create_task(chunks(later, asking(LONG)))
        assert await asyncio.to_thread(queue.reached.wait, 60)
        asking_it.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking_it
    assert queue.left() == []


@pytest.mark.parametrize("content", [b"no JSON", b'{"error": {"message": "no"}}'])
async def test_an_answer_that_is_none(queue: Queue, content: bytes) -> None:
    queue.answer = content
    with asked(queue) as later:
        assert (await failure(later, asking())).kind is Kind.BROKEN


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ServiceUnavailable", Kind.UNAVAILABLE),
        ("InternalFailure", Kind.UNAVAILABLE),
        ("ValidationError", Kind.INVALID),
    ],
)
async def test_a_refusal_of_the_service(queue: Queue, name: str, kind: Kind) -> None:
    def refuse(_: dict[str, Any]) -> None:
        raise ServiceError(name)

    queue.service.operations["InvokeEndpointAsync"] = refuse
    with asked(queue) as later:
        assert (await failure(later, asking(LONG))).kind is kind
    assert queue.left() == []


@pytest.mark.parametrize("place", ["", "https://example.com/1", "s3://bucket"])
async def test_a_place_that_is_none(place: str) -> None:
    with answering(Answer([b"{}"], 202, {"x-amzn-sagemaker-outputlocation": place})) as server:
        assert (await failure(backend(server.url), asking())).kind is Kind.BROKEN


async def test_buckets_that_can_t_be_used_are_told(queue: Queue) -> None:
    def gone(given: dict[str, Any]) -> dict[str, Any]:
        return queue.invoked(given) | {"OutputLocation": "s3://no-such-bucket-1/out/1"}

    queue.service.operations["InvokeEndpointAsync"] = gone
    with asked(queue) as later:
        failed = await failure(later, asking())
    assert failed.kind is Kind.FORBIDDEN
    assert "in the bucket no-such-bucket-1 can't be used (get_object: NoSuchBucket)" in str(failed)
    with aws_service(queue.service) as service:
        failed = await failure(backend(service.url, "s3://no-such-bucket-1/in/"), asking(LONG))
    assert "(put_object: NoSuchBucket)" in str(failed)
    with pytest.raises(S3URIError):
        backend("", "in/")


async def test_the_next_request_after_closing_connects_again(queue: Queue) -> None:
    with asked(queue) as later:
        for _ in range(2):
            assert len(await chunks(later, asking())) == 1  # and closes it


def test_what_it_has() -> None:
    later: Callable[..., str | None] = backend("").unsupported
    assert later(asking(seed=3)) is None
    assert later(asking(stream=True)) == "stream"
    assert later(asking(operation=Operation.RESPONSES)) == "/v1/responses"
    assert backend("", operations=frozenset({Operation.RESPONSES})).unsupported(asking()) == "/v1/chat/completions"


async def test_an_error_knows_that_nothing_was_answered(queue: Queue) -> None:
    queue.answer, queue.failed = None, b"no"
    with asked(queue) as later:
        with pytest.raises(BackendError) as failed:
            async with opened(later, asking()) as answer:
                await anext(answer)
        await later.close()
    assert not failed.value.started
