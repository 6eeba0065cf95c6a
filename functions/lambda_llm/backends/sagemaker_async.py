"""An asynchronous endpoint of SageMaker: it queues requests, and may have no instance while there are none.

Its answers are in S3, which is asked until one is there or the deadline has come. So it is for requests that can wait:
those in the background, and others that are not streamed. What the container at `/invocations` speaks is OpenAI's API.

A request that has been sent is computed to its end, as SageMaker can't be told to stop; how long it may wait and take
is bounded by the deadline. Request and answer are deleted from S3 once the answer was read; a lifecycle rule must
delete what nobody read any more.

The role needs `sagemaker:InvokeEndpointAsync` on the endpoint; `s3:GetObject` and `s3:DeleteObject` below the
endpoint's output and failure paths, with `s3:ListBucket` on the bucket, without which S3 does not tell what is not
there yet from what is forbidden; and `s3:PutObject` and `s3:DeleteObject` below `inputs`, from where the endpoint's own
role reads.

Sources: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpointAsync.html,
    https://docs.aws.amazon.com/sagemaker/latest/dg/async-inference.html
"""

import asyncio
import hashlib
import json
import logging
import math
import secrets
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import httpx2

from lambda_llm.aws import clients
from lambda_llm.aws.errors import S3URIError
from lambda_llm.aws.s3_client import close
from lambda_llm.aws.s3_uri import parse_object, parse_prefix
from lambda_llm.backends.contract import Chunk, Operation, Request
from lambda_llm.backends.errors import BackendError, Kind
from lambda_llm.backends.http import ANSWER_BYTES_MAX, ERROR_BYTES_MAX, HTTP, says_too_long
from lambda_llm.backends.openai_http import sent, whole

INLINE_BYTES: Final = 128_000
"""Longest request that goes along with the call; a longer one is put into S3."""

TAKES_SECONDS: Final = range(1, 3600 + 1)
"""That a request may be computed for: `InvocationTimeoutSeconds`."""

WAITS_SECONDS: Final = range(60, 21_600 + 1)
"""That a request may wait in the endpoint's queue: `RequestTTLSeconds`."""

POLL_SECONDS: Final = 2.0
"""How often S3 is asked for the answer."""

READ_SECONDS: Final = 10
_ID_LENGTH: Final = 64
"""Longest `InferenceId`."""

_NOT_YET: Final = frozenset({"NoSuchKey", "404"})

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AsyncEndpoint:
    """Which endpoint, and what it may be asked.

    Attributes:
        name: of the endpoint.
        region: that it and its buckets are in.
        inputs: `s3://bucket/prefix/` for requests of more than `INLINE_BYTES`; None: they are refused.
        operations: that the container has at `/invocations`.
    """

    name: str
    region: str
    inputs: str | None = None
    operations: frozenset[Operation] = frozenset({Operation.CHAT})


class SageMakerAsync:
    """See the module."""

    def __init__(
        self,
        name: str,
        url: str,
        endpoint: AsyncEndpoint,
        model: str,
        *,
        auth: httpx2.Auth,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        """Take the address; nothing is sent.

        Args:
            name: of the backend, for errors.
            url: `endpoints.endpoint("runtime.sagemaker", region)`, or that of a VPC endpoint.
            endpoint: that is invoked.
            model: as the container calls it.
            auth: signs each request, for `sagemaker`.
            poll_seconds: how often to ask S3 for the answer.

        Raises:
            S3URIError: `inputs` of the endpoint has another form.
        """
        self._http = HTTP(name, url, auth)
        self._path = f"/endpoints/{quote(endpoint.name, safe='')}/async-invocations"
        self._endpoint = endpoint
        self._inputs = None if endpoint.inputs is None else parse_prefix(endpoint.inputs)
        self._model = model
        self._poll_seconds = poll_seconds
        self._lock = threading.Lock()
        self._client: Any = None

    def unsupported(self, request: Request) -> str | None:
        """See `contract.Backend`: which fields it honours, the container itself says."""
        if request.operation not in self._endpoint.operations:
            return request.operation.value
        return "stream" if request.stream else None

    async def open(self, request: Request) -> AsyncGenerator[Chunk]:
        """See `contract.Backend`; what was sent goes on to its end even if the answer is not waited for."""
        content = json.dumps(sent(request, self._model, {})).encode()
        async with self._input(content) as location:
            output, failure = await self._invoked(request, content, location)
            answer = await self._awaited(request, output, failure)
        yield whole(answer, self._http)

    async def close(self) -> None:
        """See `contract.Backend`."""
        await self._http.close()
        with self._lock:
            if self._client is not None:
                close(self._client)
                self._client = None

    @asynccontextmanager
    async def _input(self, content: bytes) -> AsyncIterator[str | None]:
        """Where the request is, while it is needed; None: it goes along with the call."""
        if len(content) <= INLINE_BYTES:
            yield None
            return
        if self._inputs is None:
            raise BackendError(
                Kind.TOO_LONG,
                f"The backend {self._http.name!r} takes requests of at most {INLINE_BYTES:,} bytes, and this one has "
                f"{len(content):,}: give it a prefix in S3 as `inputs`.",
            )
        bucket, prefix = self._inputs
        place = (bucket, f"{prefix}{secrets.token_hex(16)}.json")
        await self._s3("put_object", place, Body=content, ContentType="application/json")
        try:
            yield f"s3://{place[0]}/{place[1]}"
        finally:
            await self._deleted(place)

    async def _invoked(
        self, request: Request, content: bytes, location: str | None
    ) -> tuple[tuple[str, str], tuple[str, str] | None]:
        """Send a request; where its answer will be, and its failure."""
        left = math.ceil(request.seconds)
        headers = {
            "x-amzn-sagemaker-content-type": "application/json",
            "x-amzn-sagemaker-inference-id": _inference_id(request.id),
            "x-amzn-sagemaker-requestttlseconds": str(_within(left, WAITS_SECONDS)),
            "x-amzn-sagemaker-invocationtimeoutseconds": str(_within(left, TAKES_SECONDS)),
            **({} if location is None else {"x-amzn-sagemaker-inputlocation": location}),
        }
        body = content if location is None else b""
        async with self._http.post(request, self._path, body, headers, HTTPStatus.ACCEPTED) as response:
            output = response.headers.get("x-amzn-sagemaker-outputlocation")
            failure = response.headers.get("x-amzn-sagemaker-failurelocation")
        try:
            return parse_object(output or ""), parse_object(failure) if failure else None
        except S3URIError:
            raise self._http.broken("names no place in S3") from None

    async def _awaited(self, request: Request, output: tuple[str, str], failure: tuple[str, str] | None) -> bytes:
        while True:
            answer = await self._read(output, ANSWER_BYTES_MAX + 1)
            if answer is not None:
                await self._deleted(output)
                if len(answer) > ANSWER_BYTES_MAX:
                    raise self._http.broken(f"is longer than {ANSWER_BYTES_MAX:,} bytes")
                return answer
            failed = None if failure is None else await self._read(failure, ERROR_BYTES_MAX)
            if failed is not None and failure is not None:
                await self._deleted(failure)
                raise self._failed(failed)
            if not request.seconds:
                raise BackendError(Kind.TIMEOUT, f"The backend {self._http.name!r} took too long.")
            await asyncio.sleep(min(self._poll_seconds, request.seconds))

    def _failed(self, content: bytes) -> BackendError:
        if says_too_long(content):
            return BackendError(Kind.TOO_LONG, f"The prompt is too long for the backend {self._http.name!r}.")
        return BackendError(
            Kind.BROKEN, f"The container of the backend {self._http.name!r} failed: the endpoint's log says why."
        )

    async def _read(self, place: tuple[str, str], most: int) -> bytes | None:
        """An object's first bytes; None: it is not there yet."""
        content = await self._s3("get_object", place, most)
        return None if content is None else bytes(content)

    async def _deleted(self, place: tuple[str, str]) -> None:
        """Delete an object; one that stays is the lifecycle rule's."""
        try:
            await self._s3("delete_object", place)
        except BackendError as error:
            logger.warning("an object was not deleted: %s", error)

    async def _s3(self, operation: str, place: tuple[str, str], most: int = 0, **more: Any) -> Any:
        return await asyncio.to_thread(self._asked, operation, place, most, more)

    def _asked(self, operation: str, place: tuple[str, str], most: int, more: Mapping[str, Any]) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - importing does without AWS's SDK

        bucket, key = place
        try:
            answer = getattr(self._ready(), operation)(Bucket=bucket, Key=key, **more)
            if operation != "get_object":
                return None
            with answer["Body"] as body:
                return body.read(most)
        except ClientError as error:
            code = error.response["Error"].get("Code")
            if operation == "get_object" and code in _NOT_YET:
                return None
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            kind = Kind.UNAVAILABLE if status >= HTTPStatus.INTERNAL_SERVER_ERROR else Kind.FORBIDDEN
            raise self._no_storage(kind, f"{operation}: {code}", place) from None
        except (BotoCoreError, OSError) as error:
            raise self._no_storage(Kind.UNAVAILABLE, type(error).__name__, place) from None

    def _no_storage(self, kind: Kind, why: str, place: tuple[str, str]) -> BackendError:
        return BackendError(
            kind,
            f"Requests and answers of the backend {self._http.name!r} in the bucket {place[0]} can't be used ({why}): "
            "check that the role may read, write, delete and list them.",
        )

    def _ready(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = clients.create("s3", self._endpoint.region, read_seconds=READ_SECONDS)
            return self._client


def _within(seconds: int, bounds: range) -> int:
    return max(bounds.start, min(seconds, bounds.stop - 1))


def _inference_id(request_id: str) -> str:
    """The request's id, which the endpoint's log then has too, or a name for one that can't be sent."""
    if 0 < len(request_id) <= _ID_LENGTH and request_id.isascii() and request_id.isprintable():
        return request_id.replace(" ", "_")
    return hashlib.sha256(request_id.encode(errors="replace")).hexdigest()
