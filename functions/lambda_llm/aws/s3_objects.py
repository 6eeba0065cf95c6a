"""Small objects under one prefix of an S3 bucket: written whole, read whole, with short timeouts."""

import secrets
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from lambda_llm.aws.errors import StorageError, StorageForbiddenError
from lambda_llm.aws.s3_client import close, redirect_once
from lambda_llm.aws.s3_uri import parse_prefix

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CONNECT_SECONDS: Final = 1
READ_SECONDS: Final = 2
"""Silence after which S3 counts as unavailable. It responds within tens of milliseconds, and callers can continue
without it."""

CONNECTIONS: Final = 16
"""Most connections in the pool."""

_ERRORS: Final = (ClientError, BotoCoreError, HTTPError, ValueError)


class S3Objects:
    """Objects by name. Thread-safe; no request is sent before the first use.

    Encryption is the bucket's default; objects expire by the bucket's lifecycle rules.
    """

    def __init__(self, uri: str) -> None:
        """Validate the address.

        Args:
            uri: `s3://bucket/prefix/`; the prefix may be empty.

        Raises:
            S3URIError: it has a different form.
        """
        self._bucket, self._prefix = parse_prefix(uri)
        self.uri = f"s3://{self._bucket}/{self._prefix}"
        self._lock = threading.Lock()
        self._client: S3Client | None = None
        # Parsing botocore's service model takes a quarter of a second; it has no state that goes stale.
        self._descriptions = botocore.session.Session().get_component("data_loader")

    def get(self, name: str, most: int) -> bytes | None:
        """An object's bytes, or None if it does not exist or a lifecycle rule has archived it.

        Args:
            name: below the prefix.
            most: size limit in bytes; a larger object is an error.

        Raises:
            StorageError: the request failed, or the object is too large.
        """
        try:
            response = self._ready().get_object(Bucket=self._bucket, Key=self._prefix + name)
            with response["Body"] as body:
                if response["ContentLength"] > most:
                    raise StorageError(f"an object has {response['ContentLength']:,} bytes, more than {most:,}")
                return body.read()
        except ClientError as error:
            if error.response["Error"].get("Code") in {"NoSuchKey", "InvalidObjectState"}:  # the latter: archived
                return None
            raise StorageError(str(error)) from error
        except _ERRORS as error:
            raise StorageError(str(error)) from error

    def put(self, name: str, parts: Sequence[bytes | bytearray | memoryview]) -> None:
        """Write an object atomically.

        Raises:
            StorageError: it was not written.
        """
        try:
            self._ready().put_object(Bucket=self._bucket, Key=self._prefix + name, Body=b"".join(parts))
        except _ERRORS as error:
            raise StorageError(str(error)) from error

    def check(self) -> None:
        """Verify that objects can be written, and that a missing one is distinguishable from a forbidden one.

        Raises:
            StorageForbiddenError: they can't; the text has S3's error and the permissions that are needed.
        """
        try:
            self.get(secrets.token_hex(32), 0)
            self.put("writable", [b""])
        except StorageError as error:
            raise StorageForbiddenError(
                f"Sessions can't be stored in {self.uri} ({error}): the role needs s3:GetObject and s3:PutObject below "
                "it, s3:ListBucket on the bucket, and use of its KMS key; or unset LAMBDA_LLM_SESSIONS."
            ) from error

    def before_snapshot(self) -> None:
        """Close every connection and drop the credentials."""
        with self._lock:
            if self._client is not None:
                close(self._client)
                self._client = None

    def after_restore(self) -> None:
        """Make a client with the credentials of this environment; no request is sent."""
        self._ready()

    close = before_snapshot

    def _ready(self) -> "S3Client":
        with self._lock:
            if self._client is None:
                session = botocore.session.Session()
                session.register_component("data_loader", self._descriptions)
                self._client = boto3.Session(botocore_session=session).client(
                    "s3",
                    config=Config(
                        retries={"mode": "standard", "total_max_attempts": 1},
                        connect_timeout=CONNECT_SECONDS,
                        read_timeout=READ_SECONDS,
                        max_pool_connections=CONNECTIONS,
                        # Callers store a checksum of their own; S3 still verifies what it receives.
                        response_checksum_validation="when_required",
                    ),
                )
                redirect_once(self._client)
            return self._client
