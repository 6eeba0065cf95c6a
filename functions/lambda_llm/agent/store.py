"""Where an agent's documents and large results are: content-addressed, below the prefix of one tenant."""

import hashlib
import re
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from lambda_llm.agent.errors import AgentError, BadReferenceError, TooLargeError
from lambda_llm.agent.references import Reference
from lambda_llm.aws.s3_client import redirect_once
from lambda_llm.aws.s3_uri import parse_object, parse_prefix

TENANT: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""A tenant is one folder of the state, and never leaves it."""

CONNECT_SECONDS: Final = 5
READ_SECONDS: Final = 30
ATTEMPTS: Final = 4
"""Of each request; botocore waits between them."""

DOCUMENT_BYTES: Final = 64 * 1024 * 1024
"""Most bytes of one content: it passes through the function's memory."""


class S3Store:
    """A tenant's content below a prefix in S3. Thread-safe.

    Encryption and expiry are the bucket's; its lifecycle rule must keep content longer than an execution may last.
    """

    def __init__(self, uri: str, tenant: str, client: Any = None) -> None:
        """Validate the address; no request is sent.

        Args:
            uri: `s3://bucket/prefix/`.
            tenant: of `TENANT`.
            client: of S3; by default one that retries.

        Raises:
            S3URIError: `uri` has a different form.
            AgentError: `tenant` has.
        """
        self._bucket, prefix = parse_prefix(uri)
        self._prefix = prefix + folder_of(tenant)
        self._client = client or _s3()

    def put(self, content: bytes, kind: str) -> Reference:
        """See `Store.put`."""
        reference = _reference(f"s3://{self._bucket}/{self._prefix}", content, kind)
        try:
            self._client.put_object(
                Bucket=self._bucket,
                Key=self._prefix + reference.sha256,
                Body=content,
                ContentType=kind,
                ChecksumAlgorithm="SHA256",
            )
        except (ClientError, BotoCoreError) as error:
            raise AgentError(f"{len(content):,} bytes could not be stored: {_why(error)}.") from error
        return reference

    def get(self, reference: Reference, most: int) -> bytes:
        """See `Store.get`."""
        bucket, key = _address(reference)
        if bucket != self._bucket or key != self._prefix + reference.sha256:
            raise _foreign(reference)
        _fits(reference, most)
        try:
            with self._client.get_object(Bucket=bucket, Key=key)["Body"] as body:
                content: bytes = body.read(reference.size + 1)
        except ClientError as error:
            if error.response["Error"].get("Code") in {"NoSuchKey", "404", "InvalidObjectState"}:
                raise _missing(reference) from None
            raise AgentError(f"{reference.uri} can't be read: {_why(error)}.") from error
        except (BotoCoreError, OSError) as error:
            raise AgentError(f"{reference.uri} can't be read: {_why(error)}.") from error
        return _verified(reference, content)


class FolderStore:
    """A tenant's content in a folder, for agents on a laptop."""

    def __init__(self, folder: Path, tenant: str) -> None:
        """Create the tenant's folder; raises AgentError if the name is no tenant's."""
        self._folder = (folder / folder_of(tenant)).resolve()
        self._folder.mkdir(parents=True, exist_ok=True)

    def put(self, content: bytes, kind: str) -> Reference:
        """See `Store.put`."""
        reference = _reference(self._folder.as_uri() + "/", content, kind)
        with tempfile.NamedTemporaryFile(dir=self._folder, delete=False) as file:
            file.write(content)
        Path(file.name).replace(self._folder / reference.sha256)
        return reference

    def get(self, reference: Reference, most: int) -> bytes:
        """See `Store.get`."""
        path = self._folder / reference.sha256
        if reference.uri != path.as_uri():
            raise _foreign(reference)
        _fits(reference, most)
        try:
            with path.open("rb") as file:
                content = file.read(reference.size + 1)
        except FileNotFoundError:
            raise _missing(reference) from None
        return _verified(reference, content)


@lru_cache(maxsize=1)
def _s3() -> Any:
    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
    )
    client = boto3.client("s3", config=config)
    redirect_once(client)
    return client


def folder_of(tenant: str) -> str:
    """A tenant's folder in the state, with a slash at its end; raises AgentError if the name is no tenant's."""
    if not TENANT.fullmatch(tenant):
        raise AgentError("A tenant's name has 1 to 64 letters, digits, hyphens or underscores.")
    return f"{tenant}/"


def _reference(prefix: str, content: bytes, kind: str) -> Reference:
    if len(content) > DOCUMENT_BYTES:
        raise TooLargeError(f"Content of {len(content):,} bytes is not stored: at most {DOCUMENT_BYTES:,} are.")
    digest = hashlib.sha256(content).hexdigest()
    return Reference(f"{prefix}{digest}", digest, len(content), kind)


def _address(reference: Reference) -> tuple[str, str]:
    try:
        return parse_object(reference.uri)
    except Exception as error:
        raise _foreign(reference) from error


def _fits(reference: Reference, most: int) -> None:
    if reference.size > most:
        raise TooLargeError(f"{reference.uri} has {reference.size:,} bytes, and at most {most:,} are read here.")


def _verified(reference: Reference, content: bytes) -> bytes:
    if len(content) != reference.size or hashlib.sha256(content).hexdigest() != reference.sha256:
        raise BadReferenceError(f"What {reference.uri} points to was changed: its size or SHA-256 differs.")
    return content


def _foreign(reference: Reference) -> BadReferenceError:
    return BadReferenceError(f"{reference.uri[:200]} is no reference to this execution's state.")


def _missing(reference: Reference) -> BadReferenceError:
    return BadReferenceError(f"What {reference.uri} points to is missing: it expired, or was deleted.")


def _why(error: Exception) -> str:
    if isinstance(error, ClientError):
        return str(error.response["Error"].get("Code", "unknown"))
    return type(error).__name__
