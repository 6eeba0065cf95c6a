"""Small objects of S3 that are changed on a condition only: each change names the state that it follows.

Of two changes of one state at once only one happens, and nothing comes back that was deleted.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
"""

from typing import Any, Final

from lambda_llm.aws.errors import StorageError

_TURNS: Final = 3
"""How often a change is tried while S3 is busy with another one."""

_GONE: Final = frozenset({"NoSuchKey", "404", "NotFound"})
_CHANGED: Final = frozenset({"PreconditionFailed", "412"})
_BUSY: Final = frozenset({"ConditionalRequestConflict", "409"})


class ConditionalObjects:
    """Objects of one bucket. Thread-safe; each call waits for S3."""

    def __init__(self, bucket: str, client: Any) -> None:
        """Take the place; no request is sent.

        Args:
            bucket: its name.
            client: of S3.
        """
        self._bucket = bucket
        self._client = client

    def get(self, key: str) -> tuple[bytes, str] | None:
        """An object's content and ETag; None: there is none.

        Raises:
            StorageError: S3 does not answer, or refuses.
        """
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - the client has imported it

        try:
            found = self._client.get_object(Bucket=self._bucket, Key=key)
            return found["Body"].read(), found["ETag"]
        except ClientError as error:
            if _code(error) in _GONE:
                return None
            raise StorageError(str(error)) from error
        except (BotoCoreError, OSError) as error:
            raise StorageError(str(error)) from error

    def etag(self, key: str) -> str | None:
        """An object's ETag; None: there is none.

        Raises:
            StorageError: S3 does not answer, or refuses.
        """
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - the client has imported it

        try:
            etag: str = self._client.head_object(Bucket=self._bucket, Key=key)["ETag"]
        except ClientError as error:
            if _code(error) in _GONE:
                return None
            raise StorageError(str(error)) from error
        except BotoCoreError as error:
            raise StorageError(str(error)) from error
        return etag

    def put(self, key: str, content: bytes, etag: str | None) -> str | None:
        """Write JSON.

        Args:
            key: of the object.
            content: of it.
            etag: of the state that it follows; None: there must be no such object.

        Returns:
            The new ETag; None: somebody else has changed, made or deleted it, and it was not touched.

        Raises:
            StorageError: it is not known whether it was written.
        """
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - the client has imported it

        condition = {"IfNoneMatch": "*"} if etag is None else {"IfMatch": etag}
        for turn in range(_TURNS):
            try:
                written: str = self._client.put_object(
                    Bucket=self._bucket, Key=key, Body=content, ContentType="application/json", **condition
                )["ETag"]
            except ClientError as error:
                code = _code(error)
                if code in _BUSY and turn + 1 < _TURNS:
                    continue
                if code in _GONE:
                    return None
                if code not in _CHANGED:
                    raise StorageError(str(error)) from error
                # The client tries again what it got no answer to, and then finds what it has written itself.
                found = self.get(key)
                return found[1] if found is not None and found[0] == content else None
            except BotoCoreError as error:
                raise StorageError(str(error)) from error
            return written
        return None


def _code(error: Any) -> str:
    return str(error.response["Error"].get("Code"))
