"""The store as a batch's functions use it: objects read, written once, and inputs streamed.

Requests that fail for reasons of S3 or of the network are tried again by botocore, and here where a body breaks off.
What then still fails is a `StoreError`: the invocation ends, and Step Functions starts another one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from lambda_llm.aws import clients
from lambda_llm.aws.s3_uri import parse_prefix
from lambda_llm.batch.errors import BatchFailedError
from lambda_llm.batch_store.errors import StoreError
from lambda_llm.batch_store.records import Source

ATTEMPTS: Final = 8
"""Of each request, by botocore: S3 asks to slow down while a prefix grows."""

READ_SECONDS: Final = 20
CONNECTIONS: Final = 32

BLOCK_BYTES: Final = 8 * 1024 * 1024
"""That are read at once: a connection that breaks costs no more."""

_BODY_ATTEMPTS: Final = 5

_MISSING: Final = frozenset({"NoSuchKey", "404", "NotFound"})
_THERE: Final = frozenset({"PreconditionFailed", "412"})
_RACE: Final = frozenset({"ConditionalRequestConflict", "409"})


def s3_client() -> Any:
    """A client that tries again for as long as S3 may be busy."""
    return clients.create("s3", read_seconds=READ_SECONDS, attempts=ATTEMPTS, connections=CONNECTIONS)


@dataclass(frozen=True)
class Head:
    """What S3 knows of an object.

    Attributes:
        etag: of its content.
        size: in bytes.
        modified: when it was written, in seconds since 1970.
    """

    etag: str
    size: int
    modified: float


class Storage:
    """See the module. Thread-safe."""

    def __init__(self, uri: str, client: Any) -> None:
        """Take the place; no request is sent.

        Args:
            uri: `s3://bucket/prefix/`.
            client: of S3: `s3_client`.

        Raises:
            S3URIError: `uri` has another form.
        """
        self.bucket, self.prefix = parse_prefix(uri)
        self.uri = f"s3://{self.bucket}/{self.prefix}"
        self.client = client

    def get(self, name: str, first: int = 0, last: int | None = None) -> bytes | None:
        """An object's bytes, or a range of them; None: it is not there.

        Args:
            name: below the prefix.
            first: number of the first byte.
            last: of the last one; an object may have fewer.

        Raises:
            StoreError: S3 does not answer, or refuses.
        """
        ranged = {} if last is None and not first else {"Range": f"bytes={first}-{'' if last is None else last}"}
        try:
            return self._body(self.bucket, self.prefix + name, ranged)
        except ClientError as error:
            if _code(error) in _MISSING:
                return None
            if _code(error) in {"InvalidRange", "416"}:
                return b""
            raise self._error(name, error) from error
        except (BotoCoreError, OSError) as error:
            raise self._error(name, error) from error

    def put(self, name: str, content: bytes) -> None:
        """Write an object, whether it is there or not.

        Raises:
            StoreError: it is not known whether it was written.
        """
        self._put(name, content, {})

    def put_once(self, name: str, content: bytes) -> bool:
        """Write an object unless it is there; returns whether what is there then is this content.

        Raises:
            StoreError: it is not known whether it was written.
        """
        while True:
            code = self._put(name, content, {"IfNoneMatch": "*"})
            if code is None:
                return True
            if code in _RACE:
                continue  # another writer was at it, and may have failed
            # The client tries again what it got no answer to, and then finds what it has written itself.
            return self.get(name) == content

    def head(self, name: str) -> Head | None:
        """What S3 knows of an object; None: it is not there.

        Raises:
            StoreError: S3 does not answer, or refuses.
        """
        try:
            found = self.client.head_object(Bucket=self.bucket, Key=self.prefix + name)
        except ClientError as error:
            if _code(error) in _MISSING:
                return None
            raise self._error(name, error) from error
        except BotoCoreError as error:
            raise self._error(name, error) from error
        return Head(found["ETag"], found["ContentLength"], found["LastModified"].timestamp())

    def exists(self, name: str) -> bool:
        """Whether an object is there.

        Raises:
            StoreError: S3 does not answer, or refuses.
        """
        return self.head(name) is not None

    def names(self, prefix: str, after: str = "") -> Iterator[str]:
        """Names of all objects below a prefix, in S3's order.

        Args:
            prefix: below the store's own.
            after: a name, behind which they begin.

        Raises:
            StoreError: S3 does not answer, or refuses.
        """
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=self.prefix + prefix, StartAfter=self.prefix + after if after else ""
        )
        try:
            for page in pages:
                for each in page.get("Contents", []):
                    yield each["Key"][len(self.prefix) :]
        except (ClientError, BotoCoreError) as error:
            raise self._error(prefix, error) from error

    def blocks(self, source: Source, first: int, last: int, size: int = BLOCK_BYTES) -> Iterator[bytes]:
        """A range of an input.

        Args:
            source: the input, which must be what it was.
            first: number of the first byte.
            last: of the last one.
            size: of a block in bytes.

        Raises:
            BatchFailedError: the input has changed or was deleted.
            StoreError: S3 does not answer, or refuses.
        """
        for start in range(first, last + 1, size):
            yield self._block(source, start, min(last, start + size - 1))

    def _block(self, source: Source, first: int, last: int) -> bytes:
        try:
            return self._body(source.bucket, source.key, {"Range": f"bytes={first}-{last}", "IfMatch": source.etag})
        except ClientError as error:
            if _code(error) in _THERE | _MISSING:
                raise BatchFailedError(
                    "input_changed",
                    "The input file was changed or deleted after the batch was created: create the batch again.",
                ) from error
            raise self._error(source.key, error) from error
        except (BotoCoreError, OSError) as error:
            raise self._error(source.key, error) from error

    def _body(self, bucket: str, key: str, more: dict[str, str]) -> bytes:
        """All of a response, however often its connection breaks."""
        tries = Retrying(
            stop=stop_after_attempt(_BODY_ATTEMPTS),
            wait=wait_random_exponential(multiplier=0.1, max=5),
            retry=retry_if_exception_type((BotoCoreError, OSError)),
            reraise=True,
        )
        for attempt in tries:
            with attempt:
                content: bytes = self.client.get_object(Bucket=bucket, Key=key, **more)["Body"].read()
        return content

    def _put(self, name: str, content: bytes, condition: dict[str, str]) -> str | None:
        """Code with which a condition was refused; None: it was written."""
        try:
            self.client.put_object(Bucket=self.bucket, Key=self.prefix + name, Body=content, **condition)
        except ClientError as error:
            if condition and _code(error) in _THERE | _RACE:
                return _code(error)
            raise self._error(name, error) from error
        except BotoCoreError as error:
            raise self._error(name, error) from error
        return None

    def _error(self, name: str, error: Exception) -> StoreError:
        return StoreError(
            f"{name!r} in the store {self.uri} can't be read or written ({error}): check that the bucket is there and "
            "that the role may use it."
        )


def _code(error: Any) -> str:
    return str(error.response["Error"].get("Code"))
