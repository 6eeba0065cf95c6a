"""Where the configuration is, read again while the router runs: a wrong one never replaces a right one."""

import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from lambda_llm.aws import clients
from lambda_llm.aws.s3_uri import parse_object
from lambda_llm.limits import APPCONFIG_BYTES
from lambda_llm.router.config import Configuration, digest, parse
from lambda_llm.router.errors import ConfigurationError, SourceError

logger = logging.getLogger(__name__)


class Source(Protocol):
    """Where a configuration is.

    Attributes:
        address: for people.
    """

    address: str

    def read(self) -> bytes | None:
        """The content, if it is another one than that of the last call; None: it is the same.

        Raises:
            SourceError: it can't be read.
        """

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""


class FileSource:
    """A file of this machine."""

    def __init__(self, path: Path) -> None:
        """Take the path."""
        self.address = str(path)
        self._path = path
        self._last: bytes | None = None

    def read(self) -> bytes | None:
        """See `Source`."""
        try:
            content = self._path.read_bytes()
        except OSError as error:
            raise SourceError(f"The configuration {self.address} can't be read ({error.strerror}).") from error
        if content == self._last:
            return None
        self._last = content
        return content

    def close(self) -> None:
        """See `Source`: there are none."""


class S3Source:
    """An object in S3; the role needs `s3:GetObject` for it."""

    def __init__(self, uri: str, client: Any = None) -> None:
        """Take the address.

        Args:
            uri: `s3://bucket/key`.
            client: of S3; default: made when it is needed.

        Raises:
            S3URIError: it has another form.
        """
        self._bucket, self._key = parse_object(uri)
        self.address = uri
        self._client = client
        self._etag: str | None = None

    def read(self) -> bytes | None:
        """See `Source`."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        self._client = self._client or clients.create("s3")
        known = {} if self._etag is None else {"IfNoneMatch": self._etag}
        try:
            found = self._client.get_object(Bucket=self._bucket, Key=self._key, **known)
            content: bytes = found["Body"].read(APPCONFIG_BYTES + 1)
        except ClientError as error:
            if error.response["Error"].get("Code") in {"304", "NotModified"}:
                return None
            raise SourceError(_sentence(self.address, error)) from error
        except BotoCoreError as error:
            raise SourceError(_sentence(self.address, error)) from error
        self._etag = found["ETag"]
        return content

    def close(self) -> None:
        """See `Source`."""
        if self._client is not None:
            self._client.close()


class AppConfigSource:
    """A profile of AppConfig, with its own way to roll a configuration out.

    The role needs `appconfig:StartConfigurationSession` and `appconfig:GetLatestConfiguration` for it.
    """

    def __init__(self, uri: str, client: Any = None) -> None:
        """Take the address.

        Args:
            uri: `appconfig://application/environment/profile`, by names or ids.
            client: of AppConfig's data; default: made when it is needed.

        Raises:
            SourceError: it has another form.
        """
        parts = uri.removeprefix("appconfig://").split("/")
        if not uri.startswith("appconfig://") or len(parts) != 3 or not all(parts):  # noqa: PLR2004
            raise SourceError(f"{uri!r} is no address of AppConfig: write appconfig://application/environment/profile.")
        self.address = uri
        self._parts = parts
        self._client = client
        self._token: str | None = None

    def read(self) -> bytes | None:
        """See `Source`."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        self._client = self._client or clients.create("appconfigdata")
        try:
            if self._token is None:
                application, environment, profile = self._parts
                self._token = self._client.start_configuration_session(
                    ApplicationIdentifier=application,
                    EnvironmentIdentifier=environment,
                    ConfigurationProfileIdentifier=profile,
                )["InitialConfigurationToken"]
            token, self._token = self._token, None  # each is good for one call, and after a failure for none
            found = self._client.get_latest_configuration(ConfigurationToken=token)
            content: bytes = found["Configuration"].read()
        except (ClientError, BotoCoreError) as error:
            raise SourceError(_sentence(self.address, error)) from error
        self._token = found["NextPollConfigurationToken"]
        return content or None

    def close(self) -> None:
        """See `Source`."""
        if self._client is not None:
            self._client.close()


def source(address: str) -> Source:
    """The source that an address names: `s3://…`, `appconfig://…`, or a path.

    Raises:
        SourceError, S3URIError: it has another form.
    """
    if address.startswith("s3://"):
        return S3Source(address)
    return AppConfigSource(address) if address.startswith("appconfig://") else FileSource(Path(address))


class Reloading:
    """A configuration that is read again from time to time.

    Attributes:
        current: the last right one.
        digest: of its content.
    """

    current: Configuration
    digest: str

    def __init__(self, where: Source, clock: Callable[[], float] = time.time) -> None:
        """Read the first one.

        Args:
            where: it is.
            clock: seconds since 1970: that of the process may stand still while Lambda has frozen it.

        Raises:
            SourceError: it can't be read.
            ConfigurationError: it can't be used.
        """
        self._source = where
        self._clock = clock
        content = where.read()
        if content is None:
            raise SourceError(f"The configuration {where.address} is empty.")
        self.current, self.digest = parse(content), digest(content)
        self._asked = clock()

    @property
    def age(self) -> float:
        """Seconds since the source has said whether there is another one; without end if the clock was set back."""
        seconds = self._clock() - self._asked
        return seconds if seconds >= 0 else math.inf

    def expire(self) -> None:
        """Let it be older than any time: nobody knows for how long a snapshot is kept."""
        self._asked = -math.inf

    def refresh(self) -> bool:
        """Ask for another one, and take it if it can be used; whether there is one now.

        One that can't be read or used is logged, and changes nothing.
        """
        try:
            content = self._source.read()
            if content is None:
                return False
            found = parse(content)
        except (SourceError, ConfigurationError) as error:
            logger.error(  # noqa: TRY400 - the message is complete
                "the configuration %s stays in use: %s", self.digest, error
            )
            return False
        finally:
            self._asked = self._clock()  # not before: until then, whoever needs a young one waits
        self.current, self.digest = found, digest(content)
        logger.info("the configuration %s is in use", self.digest)
        return True

    def close(self) -> None:
        """Close the connections to the source."""
        self._source.close()


def _sentence(address: str, error: Exception) -> str:
    return f"The configuration {address} can't be read ({error}): check its address and the role's rights."
