"""A file of any size, written in parts as its content comes, and by several invocations."""

from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import BaseModel, Field

from lambda_llm.batch.storage import Storage
from lambda_llm.batch_store.errors import StoreError

PART_BYTES: Final = 8 * 1024 * 1024
"""Of an upload's first thousand parts; of each further thousand as much more, so that ten thousand are 440 GB.
Source of the limits, 5 MiB to 5 GiB and 10,000 parts: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html"""

_STEP: Final = 1000


class Progress(BaseModel):
    """How far a file has come, for the next invocation.

    Attributes:
        upload: id of its multipart upload; None: there is none yet.
        etags: of the parts that were uploaded, in order.
        size: bytes in them.
        ended: whether everything was uploaded.
    """

    upload: str | None = None
    etags: list[str] = Field(default_factory=list)
    size: int = 0
    ended: bool = False


class LostUploadError(StoreError):
    """S3 has no such upload any more: a lifecycle rule has ended it, or somebody else."""


class Output:
    """See the module."""

    def __init__(self, storage: Storage, name: str, metadata: dict[str, str], progress: Progress, tail: bytes) -> None:
        """Take the file, where an earlier invocation has left it.

        Args:
            storage: the store.
            name: of the object, below the store's prefix.
            metadata: of it.
            progress: as `progress` was at the end of that invocation.
            tail: as `tail` was.
        """
        self._storage = storage
        self._name = name
        self._metadata = metadata
        self.progress = progress
        self._held = bytearray(tail)

    @property
    def tail(self) -> bytes:
        """What is too short for a part."""
        return bytes(self._held)

    @property
    def empty(self) -> bool:
        """Whether nothing was written."""
        return not self._held and not self.progress.size

    def write(self, content: bytes) -> None:
        """Add content.

        Raises:
            StoreError: it could not be uploaded.
        """
        self._held += content
        while len(self._held) >= (size := PART_BYTES * (1 + len(self.progress.etags) // _STEP)):
            self._part(bytes(self._held[:size]))
            del self._held[:size]

    def end(self) -> None:
        """Upload what is left, if there is an upload; the object is not there before `complete`.

        Raises:
            StoreError: it could not be uploaded.
        """
        if self.progress.upload is not None and self._held:
            self._part(self.tail)
            self._held.clear()
        self.progress.ended = True

    def complete(self) -> None:
        """Make the object, unless an earlier attempt has done so.

        Raises:
            StoreError: it could not be made.
        """
        if self.progress.upload is None:
            self._call("put_object", Body=self.tail, Metadata=self._metadata, ContentType="application/jsonl")
            return
        parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(self.progress.etags, 1)]
        try:
            self._storage.client.complete_multipart_upload(
                Bucket=self._storage.bucket,
                Key=self._storage.prefix + self._name,
                UploadId=self.progress.upload,
                MultipartUpload={"Parts": parts},
            )
        except (ClientError, BotoCoreError) as error:
            if not _is_lost(error):
                raise self._error(error) from error
            if not self._storage.exists(self._name):
                raise self._lost() from error

    def _part(self, content: bytes) -> None:
        if self.progress.upload is None:
            made = self._call("create_multipart_upload", Metadata=self._metadata, ContentType="application/jsonl")
            self.progress.upload = str(made["UploadId"])
        number = len(self.progress.etags) + 1
        put = self._call("upload_part", UploadId=self.progress.upload, PartNumber=number, Body=content)
        self.progress.etags.append(str(put["ETag"]))
        self.progress.size += len(content)

    def _call(self, operation: str, **given: Any) -> Any:
        try:
            return getattr(self._storage.client, operation)(
                Bucket=self._storage.bucket, Key=self._storage.prefix + self._name, **given
            )
        except (ClientError, BotoCoreError) as error:
            raise (self._lost() if _is_lost(error) else self._error(error)) from error

    def _lost(self) -> LostUploadError:
        return LostUploadError(f"The upload of {self._name!r} has ended before it was whole: join the batch again.")

    def _error(self, error: Exception) -> StoreError:
        return StoreError(
            f"{self._name!r} in the store {self._storage.uri} can't be written ({error}): check what the role may do."
        )


def _is_lost(error: Exception) -> bool:
    return isinstance(error, ClientError) and error.response["Error"].get("Code") == "NoSuchUpload"
