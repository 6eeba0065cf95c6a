"""Upload a model file to S3 with the checksums by which a later load is verified."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import boto3
from awscrt.checksums import crc64nvme
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import BotoCoreError, ClientError

from lambda_llm.aws.s3_client import close, redirect_once
from lambda_llm.errors import LoadError
from lambda_llm.gguf.errors import CorruptError
from lambda_llm.gguf.memory_plan import MemoryNeeds, memory_needs
from lambda_llm.limits import MIB
from lambda_llm.loading.budget import Budget
from lambda_llm.loading.download import Progress
from lambda_llm.loading.errors import ForbiddenError, NotFoundError, UnavailableError
from lambda_llm.loading.load import inspect
from lambda_llm.loading.retries import RetryError
from lambda_llm.loading.sources.base import ModelReference
from lambda_llm.loading.sources.registry import open_source
from lambda_llm.loading.sources.s3 import object_location
from lambda_llm.loading.sources.s3_errors import CREDENTIAL_ERRORS, described, shared_cause

PART_BYTES: Final = 64 * MIB
"""Larger files are uploaded in parts of this size, several concurrently."""


@dataclass(frozen=True)
class Pushed:
    """The uploaded object.

    Attributes:
        bucket: its bucket.
        key: its key.
        version_id: None in a bucket without versioning.
        size: bytes.
        sha256: 64 hex digits; also in the object's metadata.
        crc64nvme: of the whole file.
        kms_key_arn: ARN of the KMS key that encrypts the object; None with S3's own keys.
        kept_by_store: whether S3 stores that CRC64NVME.
        needs: memory that it needs besides its size.
    """

    bucket: str
    key: str
    version_id: str | None
    size: int
    sha256: str
    crc64nvme: int
    kms_key_arn: str | None
    kept_by_store: bool
    needs: MemoryNeeds

    @property
    def uri(self) -> str:
        """`s3://bucket/key`."""
        return f"s3://{self.bucket}/{self.key}"


def push(file: Path, to: str, progress: Progress | None = None) -> Pushed:
    """Check a file, upload it and compare what S3 stored.

    Args:
        file: a GGUF file.
        to: `s3://bucket/key`.
        progress: called with bytes done and bytes in total, on the uploading threads.

    Raises:
        LoadError: the file is not valid GGUF, S3 refuses the upload, or what S3 stored differs.
    """
    bucket, key = object_location(to)
    inspection = inspect(ModelReference(str(file)))
    size = inspection.described.size
    sha256, crc = _checksums(file)
    done = 0

    def uploaded(count: int) -> None:
        nonlocal done
        done += count
        if progress:
            progress(done, size)

    try:
        client = boto3.Session().client("s3")
        redirect_once(client)
        try:
            client.upload_file(
                str(file),
                bucket,
                key,
                ExtraArgs={"ChecksumAlgorithm": "CRC64NVME", "Metadata": {"sha256": sha256}},
                Config=TransferConfig(multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES),
                Callback=uploaded,
            )
        finally:
            close(client)
    except (ClientError, BotoCoreError, boto3.exceptions.S3UploadFailedError) as error:
        raise _explained(to, bucket, error) from error
    with Budget(60, to) as budget:
        source = open_source(ModelReference(to), budget)
        try:
            described = source.describe()
        finally:
            source.close()
    if described.size != size or described.crc64nvme not in {None, crc}:
        raise CorruptError(f"What S3 stored at {to} differs from {file}: push it again.")
    return Pushed(
        bucket=bucket,
        key=key,
        version_id=described.version_id,
        size=size,
        sha256=sha256,
        crc64nvme=crc,
        kms_key_arn=described.kms_key_arn,
        kept_by_store=described.crc64nvme is not None,
        needs=memory_needs(inspection.header),
    )


def _checksums(file: Path) -> tuple[str, int]:
    sha, crc = hashlib.sha256(), 0
    with file.open("rb") as opened:
        while chunk := opened.read(MIB):
            sha.update(chunk)
            crc = crc64nvme(chunk, crc)
    return sha.hexdigest(), crc


def _explained(to: str, bucket: str, error: Exception) -> LoadError:
    # boto3 keeps only the text of S3's error.
    refused = error if isinstance(error, ClientError) else error.__context__
    if isinstance(refused, ClientError):
        return _refused(to, bucket, refused)
    if isinstance(error, CREDENTIAL_ERRORS):
        return ForbiddenError(f"There are no credentials to write {to} ({error}): configure AWS credentials.")
    return UnavailableError(f"{to} could not be written ({error}): try again.")


def _refused(to: str, bucket: str, error: ClientError) -> LoadError:
    text, code = described(error), error.response["Error"].get("Code", "")
    if code == "NoSuchBucket":
        return NotFoundError(f"There is no bucket {bucket!r}: create it, or check the name and the region.")
    cause = shared_cause(error, to, text)
    if isinstance(cause, RetryError):
        return cause.explained  # boto3 has retried already
    if isinstance(cause, LoadError):
        return cause
    if code == "AccessDenied":
        return ForbiddenError(f"S3 refuses to write {to} ({text}): the credentials need s3:PutObject on it.")
    return UnavailableError(f"{to} could not be written ({text}): try again.")
