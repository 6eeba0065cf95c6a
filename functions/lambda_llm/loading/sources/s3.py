"""An object in S3."""

import base64
import dataclasses
import re
from collections.abc import Generator
from contextlib import closing
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, IncompleteReadError

from lambda_llm.aws.errors import S3URIError
from lambda_llm.aws.s3_client import redirect_once
from lambda_llm.aws.s3_uri import parse_object
from lambda_llm.loading.budget import Budget
from lambda_llm.loading.errors import ForbiddenError, InvalidReferenceError, UnavailableError, no_descriptor
from lambda_llm.loading.retries import Retries, RetryError
from lambda_llm.loading.sources.base import CONNECTIONS, PIECE_BYTES, Deliver, Description, ModelReference
from lambda_llm.loading.sources.connections import Connections
from lambda_llm.loading.sources.s3_errors import CLIENT_ERRORS, Request, ended_early, explained, other_range

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SOCKET_SECONDS: Final = 10
"""Silence after which a connection counts as stalled."""


_COMPOSITE: Final = re.compile(r"[A-Za-z0-9+/=]+-\d+")
"""A checksum of checksums and the number of parts.
Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html"""


def open_s3(reference: ModelReference, budget: Budget) -> "S3Source":
    """The source of an `s3://bucket/key` reference.

    Raises:
        InvalidReferenceError: bucket or key is missing.
        ForbiddenError: the AWS configuration can't be used.
        TooManyFilesError: no descriptor is left to read it.
    """
    return S3Source(*object_location(reference.uri), reference.version_id, budget)


def object_location(uri: str) -> tuple[str, str]:
    """Bucket and key of `s3://bucket/key`.

    Raises:
        InvalidReferenceError: it has a different form.
    """
    try:
        return parse_object(uri)
    except S3URIError as error:
        raise InvalidReferenceError(str(error)) from None


class S3Source:
    """One version of an S3 object. Endpoint, region and credentials come from botocore's configuration."""

    def __init__(self, bucket: str, key: str, version_id: str | None, budget: Budget) -> None:
        """Prepare a client, without any request.

        Raises:
            ForbiddenError: the AWS configuration can't be used.
            TooManyFilesError: no descriptor is left to read it.
        """
        self.ranged = True
        self.needs_checksum = True
        self._object = Request(bucket, key, version_id)
        self.uri = self._object.uri
        self._pinned = version_id is not None
        self._etag = ""
        self._size = 0
        self._budget = budget
        self._connections = Connections(budget)
        try:
            self._client: S3Client = boto3.Session().client(
                "s3",
                config=Config(
                    # Only `Retries` retries: it knows the time budget, and how much of a body has arrived.
                    retries={"mode": "standard", "total_max_attempts": 1},
                    connect_timeout=SOCKET_SECONDS,
                    read_timeout=SOCKET_SECONDS,
                    max_pool_connections=CONNECTIONS,
                    response_checksum_validation="when_required",
                ),
            )
        except (BotoCoreError, ValueError, OSError) as error:
            raise no_descriptor(error, f"to read the AWS configuration for {self.uri}") or ForbiddenError(
                f"No S3 client for {self.uri} ({error}): set AWS_DEFAULT_REGION and credentials, as for the AWS CLI."
            ) from error
        redirect_once(self._client)
        self._connections.watch(self._client)

    def describe(self) -> Description:
        """See `Source.describe`.

        Raises:
            NotFoundError, ForbiddenError, UnavailableError, TooManyFilesError: by S3's or the system's error.
        """
        response = Retries(self._budget)(self._head)
        try:
            self._etag, self._size = response["ETag"], _not_negative(response["ContentLength"])
            crc64nvme = _of_the_whole_object(response.get("ChecksumCRC64NVME"), response.get("ChecksumType"))
        except (KeyError, ValueError) as error:
            raise UnavailableError(f"S3's metadata of {self.uri} is invalid ({error}): check the endpoint.") from error
        if not self._pinned:
            found = response.get("VersionId")
            # null: written before versioning was enabled
            self._object = dataclasses.replace(self._object, version_id=None if found == "null" else found)
        key = response.get("SSEKMSKeyId", "")
        return Description(
            size=self._size,
            crc64nvme=crc64nvme,
            version_id=self._object.version_id,
            kms_key_arn=key if key.startswith("arn:") else None,
        )

    def read(self, start: int, end: int, deliver: Deliver) -> int:
        """See `Source.read`.

        Raises:
            ChangedError: the object was replaced after `describe`.
            CorruptError: in every attempt S3 sent a different range, or fewer bytes than announced.
            NotFoundError, ForbiddenError, UnavailableError, TooManyFilesError: by S3's or the system's error.
        """
        retries = Retries(self._budget)
        at = start

        def attempt() -> None:
            nonlocal at
            with closing(self._pieces(at, end)) as pieces:
                for piece in pieces:
                    at += len(piece)
                    deliver(piece)
                    del piece  # before the next one is allocated
                    retries.progressed()

        retries(attempt)
        return retries.total

    def close(self) -> None:
        """See `Source.close`."""
        self._connections.close()
        self._client.close()

    def _parameters(self) -> dict[str, Any]:
        version = {"VersionId": self._object.version_id} if self._object.version_id else {}
        return {"Bucket": self._object.bucket, "Key": self._object.key} | version

    def _head(self) -> Any:
        try:
            return self._client.head_object(ChecksumMode="ENABLED", **self._parameters())
        except ClientError as error:
            # The response to a HEAD has no body, so its 403 and 404 carry no error code; a GET of the first byte does.
            if error.response["ResponseMetadata"]["HTTPStatusCode"] not in {400, 403, 404}:
                raise explained(error, self._object) from error
        except CLIENT_ERRORS as error:
            raise explained(error, self._object) from error
        try:
            response = self._client.get_object(Range="bytes=0-0", **self._parameters())
        except CLIENT_ERRORS as error:
            raise explained(error, self._object) from error
        response["Body"].close()
        raise RetryError(UnavailableError(f"S3 refuses HEAD on {self.uri} but allows GET: try again."))

    def _pieces(self, start: int, end: int) -> Generator[bytes, None, None]:
        """One GET, its body piece by piece."""
        request = dataclasses.replace(self._object, span=(start, end - 1))
        at = start
        try:
            response = self._client.get_object(
                Range=f"bytes={start}-{end - 1}", IfMatch=self._etag, **self._parameters()
            )
            body = response["Body"]
            with body:
                if response["ResponseMetadata"]["HTTPStatusCode"] == HTTPStatus.OK:
                    # HTTP lets a server ignore Range: S3 does not, some S3-compatible stores do.
                    self.ranged = False
                    at = 0
                elif response.get("ContentRange") != f"bytes {start}-{end - 1}/{self._size}":
                    raise other_range(request, response.get("ContentRange"))
                while at < end:
                    piece = body.read(min((start if at < start else end) - at, PIECE_BYTES))
                    if not piece:
                        raise ended_early(request, at)
                    at += len(piece)
                    if at > start:
                        yield piece
                    del piece  # before the next one is allocated
        except IncompleteReadError as error:  # botocore's check of Content-Length
            raise ended_early(request, at) from error
        except CLIENT_ERRORS as error:
            raise explained(error, request) from error


def _not_negative(number: int) -> int:
    if number < 0:
        raise ValueError(f"its size is {number}")
    return number


def _of_the_whole_object(checksum: str | None, kind: str | None) -> int | None:
    """Parse a CRC64 in S3's notation; None where there is none, or one of the checksums of an upload's parts.

    S3 marks the latter by its type. Some S3-compatible stores don't, but all append the number of parts.
    """
    if not checksum or kind == "COMPOSITE" or _COMPOSITE.fullmatch(checksum):
        return None
    try:
        raw = base64.b64decode(checksum, validate=True)
    except ValueError:
        raw = b""
    if len(raw) != 8:  # noqa: PLR2004 - 64 bits
        raise ValueError(f"its checksum is {checksum!r}")
    return int.from_bytes(raw)
