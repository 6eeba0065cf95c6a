"""A store's bucket: calls of S3 whose failures are sentences, and lists of names."""

from collections.abc import Iterator
from typing import Any, Final

from lambda_llm.aws.s3_uri import parse_prefix
from lambda_llm.batch_store.errors import StoreError

_GONE: Final = frozenset({"NoSuchKey", "404", "NotFound"})


class GoneError(Exception):
    """There is no such object."""


class StoreBucket:
    """One store. Thread-safe; each call waits for S3."""

    def __init__(self, uri: str, client: Any) -> None:
        """Take the place; no request is sent.

        Args:
            uri: of the store, `s3://bucket/prefix/`.
            client: of S3.

        Raises:
            S3URIError: `uri` has another form.
        """
        self.name, self.prefix = parse_prefix(uri)
        self.client = client

    @property
    def uri(self) -> str:
        """Of the store, with a slash at its end."""
        return f"s3://{self.name}/{self.prefix}"

    def call(self, operation: str, **given: Any) -> dict[str, Any]:
        """Ask S3.

        Args:
            operation: method of the client.
            given: its arguments but for the bucket.

        Raises:
            GoneError: there is no such object.
            StoreError: S3 does not answer, or refuses.
        """
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - the client has imported it

        try:
            answer: dict[str, Any] = getattr(self.client, operation)(Bucket=self.name, **given)
        except ClientError as error:
            if error.response["Error"].get("Code") in _GONE:
                raise GoneError from error
            raise self.error(error) from error
        except BotoCoreError as error:
            raise self.error(error) from error
        return answer

    def names(self, folder: str, after: str | None = None) -> Iterator[str]:
        """Names of objects in ascending order, as they are asked for.

        Args:
            folder: prefix below that of the store; the names are what follows it.
            after: the first name is behind this one.

        Raises:
            StoreError: S3 does not answer, or refuses.
        """
        whole = self.prefix + folder
        more: dict[str, str] = {} if after is None else {"StartAfter": whole + after}
        while True:
            page = self.call("list_objects_v2", Prefix=whole, **more)
            yield from (each["Key"].removeprefix(whole) for each in page.get("Contents", []))
            if not page["IsTruncated"]:
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def error(self, error: Exception) -> StoreError:
        """What to say of a failure."""
        return StoreError(
            f"Files and batches below {self.uri} can't be read or written ({error}): check the address, and what the "
            "role may do below it."
        )
