"""The input of a batch, written in pieces over several invocations, each of which may be repeated.

It is an upload in parts, whose numbers say where each belongs: an invocation that is repeated writes the same parts
again. What does not fill a part when an invocation ends waits in an object of its own, until the next one reads it.
"""

from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import BaseModel, ConfigDict

from lambda_llm.aws.s3_uri import parse_prefix
from lambda_llm.batch_store import layout
from lambda_llm.documents.errors import PrepareError
from lambda_llm.limits import S3_PART_BYTES_MIN, S3_PARTS

PART_BYTES: Final = 2 * S3_PART_BYTES_MIN
"""Of a part, at first."""

GROWTH: Final = 500
"""After so many parts they are twice as large, then three times: 10,000 of them have a tebibyte."""

FOLDER: Final = "documents/"
"""Below the tenant's uploads."""


class Progress(BaseModel):
    """How far writing has come.

    Attributes:
        upload: id of the upload; empty: there is none yet.
        parts: that were written.
        rests: objects of what waits that were written; the last one is the one that counts, if there is `rest`.
        rest: bytes of it.
    """

    model_config = ConfigDict(frozen=True)

    upload: str = ""
    parts: int = 0
    rests: int = 0
    rest: int = 0


class InputFile:
    """The input of a run's batch."""

    def __init__(self, s3: Any, store: str, tenant: str, run: str, progress: Progress) -> None:
        """Go on where an invocation has stopped.

        Args:
            s3: client of S3.
            store: `s3://bucket/prefix/` of the batches.
            tenant: whose batch it is.
            run: name of the run, which no other has.
            progress: of it.

        Raises:
            S3URIError: the store's address has another form.
            PrepareError: what waits can't be read.
        """
        self._s3 = s3
        self._bucket, prefix = parse_prefix(store)
        self._key = f"{prefix}{layout.uploads(tenant)}{FOLDER}{run}.jsonl"
        self.uri = f"s3://{self._bucket}/{self._key}"
        self._progress = progress
        self._waiting = bytearray()
        if progress.rest:
            self._waiting += self._call("get_object", Key=self._rest(progress.rests))["Body"].read()

    @property
    def full(self) -> bool:
        """Whether what was added fills a part."""
        return len(self._waiting) >= PART_BYTES * (1 + self._progress.parts // GROWTH)

    def add(self, lines: bytes) -> None:
        """Add lines, each with its end."""
        self._waiting += lines

    def flush(self) -> None:
        """Write what was added as a part, which must be `full`, or the last one.

        Raises:
            PrepareError: S3 refuses, or does not answer; or there would be too many parts.
        """
        progress, number = self._progress, self._progress.parts + 1
        if number > S3_PARTS:
            raise PrepareError("The documents are too many for one batch: give the function a prefix with fewer.")
        upload = progress.upload or self._call("create_multipart_upload")["UploadId"]
        self._call("upload_part", UploadId=upload, PartNumber=number, Body=bytes(self._waiting))
        self._waiting.clear()
        self._progress = progress.model_copy(update={"upload": upload, "parts": number})

    def pause(self) -> Progress:
        """Keep what waits, and return what the next invocation needs.

        Raises:
            PrepareError: S3 refuses, or does not answer.
        """
        progress, rest = self._progress, len(self._waiting)
        if rest:
            # Another object each time: were this invocation repeated, it must find the one that it found before.
            progress = progress.model_copy(update={"rests": progress.rests + 1})
            self._call("put_object", Key=self._rest(progress.rests), Body=bytes(self._waiting))
        return progress.model_copy(update={"rest": rest})

    def close(self) -> Progress:
        """Write the last part. The file is there after `finish`, in an invocation of its own, which may be repeated.

        Raises:
            PrepareError: S3 refuses, or does not answer.
        """
        if self._progress.upload and self._waiting:
            self.flush()
        elif self._waiting:
            self._call("put_object", Body=bytes(self._waiting), ContentType="application/jsonl")
        return self._progress.model_copy(update={"rest": 0})

    def finish(self) -> None:
        """Put the parts together, and delete what has waited.

        Raises:
            PrepareError: S3 refuses, or does not answer.
        """
        progress = self._progress
        if progress.upload:
            try:
                self._complete(progress)
            except PrepareError:
                if not self._there():  # it is, after an invocation that has got so far
                    raise
        for number in range(1, progress.rests + 1):
            self._call("delete_object", Key=self._rest(number))

    def _complete(self, progress: Progress) -> None:
        parts: list[dict[str, Any]] = []
        while len(parts) < progress.parts:
            listed = self._call("list_parts", UploadId=progress.upload, PartNumberMarker=len(parts))
            found = [{"PartNumber": each["PartNumber"], "ETag": each["ETag"]} for each in listed.get("Parts", ())]
            if not found:
                raise PrepareError(f"Parts of {self.uri} are missing: start a new run.")
            parts += found
        self._call(
            "complete_multipart_upload",
            UploadId=progress.upload,
            MultipartUpload={"Parts": parts[: progress.parts]},
        )

    def _there(self) -> bool:
        try:
            self._call("head_object")
        except PrepareError:
            return False
        return True

    def _rest(self, number: int) -> str:
        return f"{self._key}.rest-{number}"

    def _call(self, operation: str, **given: Any) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = getattr(self._s3, operation)(**{"Bucket": self._bucket, "Key": self._key, **given})
        except (ClientError, BotoCoreError) as error:
            raise PrepareError(
                f"{self.uri} can't be written ({error}): check the store's address, and that the role may use "
                "s3:GetObject, s3:PutObject, s3:DeleteObject, s3:AbortMultipartUpload and s3:ListMultipartUploadParts "
                "there."
            ) from error
        return answer
