"""Small objects under one prefix of an S3 bucket: written whole, read whole, and never waited for long."""

import secrets
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from lambda_llm.aws.errors import StorageError, StorageForbiddenError
from lambda_llm.aws.s3_uri import parse_prefix

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CONNECT_SECONDS: Final = 1
READ_SECONDS: Final = 2
"""Silence after which S3 counts as out of reach. It answers within some ten milliseconds, and whoever asks can do
without it."""

CONNECTIONS: Final = 16
"""How many connections are kept open at most."""

_ERRORS: Final = (ClientError, BotoCoreError, HTTPError, ValueError)


class S3Objects:
    """Objects by name. Safe to use from several threads; nothing is contacted before the first use.

    Encryption is the bucket's own, by its default; how long objects live is its lifecycle's business.
    """

    def __init__(self, uri: str) -> None:
        """Take an address.

        Args:
            uri: `s3://bucket/prefix/`; the prefix may be empty.

        Raises:
            S3URIError: it is of another form.
        """
        self._bucket, self._prefix = parse_prefix(uri)
        self.uri = f"s3://{self._bucket}/{self._prefix}"
        self._lock = threading.Lock()
        self._client: S3Client | None = None
        # The service's description takes a quarter of a second to read and holds nothing that would age.
        self._descriptions = botocore.session.Session().get_component("data_loader")

    def get(self, name: str, most: int) -> bytes | None:
        """An object's bytes, or None where there is none.

        Args:
            name: after the prefix.
            most: bytes; a larger object is an error.

        Raises:
            StorageError: it can't be told.
        """
        try:
            answer = self._ready().get_object(Bucket=self._bucket, Key=self._prefix + name)
            with answer["Body"] as body:
                if answer["ContentLength"] > most:
                    raise StorageError(f"an object has {answer['ContentLength']:,} bytes, more than {most:,}")
                return body.read()
        except ClientError as error:
            if error.response["Error"].get("Code") == "NoSuchKey":
                return None
            raise StorageError(str(error)) from error
        except _ERRORS as error:
            raise StorageError(str(error)) from error

    def put(self, name: str, parts: Sequence[bytes | bytearray | memoryview]) -> None:
        """Write an object, whole or not at all.

        Raises:
            StorageError: it was not written.
        """
        try:
            self._ready().put_object(Bucket=self._bucket, Key=self._prefix + name, Body=b"".join(parts))
        except _ERRORS as error:
            raise StorageError(str(error)) from error

    def check(self) -> None:
        """Return when objects can be written, and missing ones be told from forbidden ones.

        Raises:
            StorageForbiddenError: they can't, with what S3 says and what it takes.
        """
        try:
            self.get(secrets.token_hex(32), 0)
            self.put("writable", [b""])
        except StorageError as error:
            raise StorageForbiddenError(
                f"Conversations can't be kept in {self.uri} ({error}): the role needs s3:GetObject and s3:PutObject "
                "below it, s3:ListBucket on the bucket, and the use of its key; or leave LAMBDA_LLM_SESSIONS out."
            ) from error

    def before_snapshot(self) -> None:
        """Close every connection and forget the credentials."""
        with self._lock:
            if self._client is not None:
                _close_pools(self._client)
                self._client.close()
                self._client = None

    def after_restore(self) -> None:
        """Be ready for the first use, with the credentials of this environment; nothing is contacted."""
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
                        # Whoever stores has a checksum of its own; S3 still verifies what it receives.
                        response_checksum_validation="when_required",
                    ),
                )
            return self._client


def _close_pools(client: Any) -> None:
    """Close a client's idle connections now; its own `close` leaves that to the garbage collector."""
    session = getattr(getattr(client, "_endpoint", None), "http_session", None)
    pools = getattr(getattr(session, "_manager", None), "pools", {})
    for key in list(pools.keys()):
        pools[key].close()
