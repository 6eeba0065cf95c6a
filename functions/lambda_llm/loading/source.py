"""Where a model lies, and how ranges of it are read: an object in S3, or a file."""

import base64
import os
import socket
import stat
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Protocol, TypeVar, cast
from urllib.parse import unquote, urlsplit

import boto3
import tenacity
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ReadTimeoutError,
    ResponseStreamingError,
    SSOError,
    TokenRetrievalError,
)
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from lambda_llm.loading.budget import Budget
from lambda_llm.loading.errors import (
    ChangedError,
    CorruptError,
    ForbiddenError,
    InvalidReferenceError,
    LoadError,
    NotFoundError,
    UnavailableError,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

READ_BYTES: Final = 1024 * 1024
"""How much is read between two looks at the clock, the progress and the other threads."""

ATTEMPTS: Final = 6
"""How often one range is tried without getting on; each `READ_BYTES` that arrive start the count anew."""

SOCKET_SECONDS: Final = 10
"""How long a connection may be silent before it counts as stalled."""

CONNECTIONS: Final = 16
"""How many connections are kept open at most."""

_RETRYABLE_CODES: Final = frozenset({"SlowDown", "RequestTimeout", "RequestTimeTooSkewed", "InternalError"})
_CREDENTIAL_CODES: Final = frozenset(
    {"ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch", "TokenRefreshRequired"}
)
_CREDENTIAL_ERRORS: Final = (
    NoCredentialsError,
    PartialCredentialsError,
    CredentialRetrievalError,
    SSOError,
    TokenRetrievalError,
)
# botocore translates some of urllib3's errors, but not those of TLS.
_CONNECTION_ERRORS: Final = (HTTPClientError, ReadTimeoutError, ResponseStreamingError, HTTPError)
_CLIENT_ERRORS: Final = (ClientError, BotoCoreError, ResponseParserError, ValueError)


@dataclass(frozen=True)
class ModelReference:
    """Which bytes exactly are meant; what is None is not pinned.

    Attributes:
        uri: `s3://bucket/key`, `file:///path` or a path.
        version_id: version of the S3 object.
        size: bytes.
        sha256: of the whole file, 64 hex digits.
    """

    uri: str
    version_id: str | None = None
    size: int | None = None
    sha256: str | None = None

    @property
    def name(self) -> str:
        """The file's own name without folder and ending."""
        return self.uri.rstrip("/").rpartition("/")[2].removesuffix(".gguf")


@dataclass(frozen=True)
class Description:
    """What the store says of the object before any of it is read.

    Attributes:
        size: bytes.
        crc64nvme: of the whole object, or None where the store keeps none.
        version_id: version of the S3 object, or None in a bucket without versions.
    """

    size: int
    crc64nvme: int | None = None
    version_id: str | None = None


T = TypeVar("T")

OnChunk = Callable[[memoryview], None]
"""Is shown each run of bytes right after it arrived; what it raises ends the read."""


class Source(Protocol):
    """Readable ranges of one immutable object. Safe to use from several threads."""

    uri: str
    ranged: bool
    """False once the store has answered a range with the whole object: then read it in one piece."""

    def describe(self) -> Description:
        """Ask for size, version and checksum, and hold every later read to that answer."""
        ...

    def read(self, start: int, into: memoryview, on_chunk: OnChunk) -> int:
        """Fill `into` with the bytes from `start` on; returns how many retries that took."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...


def open_source(reference: ModelReference, budget: Budget) -> Source:
    """Choose by the form of the reference; nothing is contacted yet.

    Args:
        reference: what to read.
        budget: ends retries when it is over.

    Raises:
        InvalidReferenceError: the reference is none of the known forms.
    """
    try:
        parts = urlsplit(reference.uri)
    except ValueError as error:
        raise InvalidReferenceError(
            f"{reference.uri!r} can't be understood ({error}): give s3://BUCKET/KEY, file:///PATH or a path."
        ) from None
    if parts.scheme == "s3":
        return S3Source(*s3_location(reference.uri), reference.version_id, budget)
    if parts.scheme == "file":
        if parts.netloc not in {"", "localhost"}:
            raise InvalidReferenceError(
                f"{reference.uri!r} names a host: write file:///PATH with three slashes for a file here."
            )
        return FileSource(Path(unquote(parts.path)))
    if "://" in reference.uri:
        raise InvalidReferenceError(
            f"{reference.uri!r} has the unknown scheme {parts.scheme!r}: give s3://BUCKET/KEY, file:///PATH or a path."
        )
    return FileSource(Path(reference.uri))


def s3_location(uri: str) -> tuple[str, str]:
    """Bucket and key of `s3://bucket/key`; a key may hold any character.

    Raises:
        InvalidReferenceError: it is of another form, or one of the two is missing.
    """
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not bucket or not key:
        raise InvalidReferenceError(f"{uri!r} names no object in S3: write s3://BUCKET/KEY.")
    return bucket, key


class S3Source:
    """One version of an S3 object. Endpoint, region and credentials come from where botocore finds them."""

    def __init__(self, bucket: str, key: str, version_id: str | None, budget: Budget) -> None:
        """Prepare a client; nothing is contacted yet.

        Raises:
            ForbiddenError: no region is configured.
        """
        self.uri = f"s3://{bucket}/{key}"
        self.ranged = True
        self._bucket = bucket
        self._key = key
        self._version_id = version_id
        self._pinned = version_id is not None
        self._etag = ""
        self._size = 0
        self._budget = budget
        self._lines = _Lines()
        budget.at_stop(self._lines.cut)
        try:
            self._client: S3Client = boto3.Session().client(
                "s3",
                config=Config(
                    # The one place that retries is `_Retries`: it knows the time budget, and how far a body came.
                    retries={"mode": "standard", "total_max_attempts": 1},
                    connect_timeout=min(SOCKET_SECONDS, budget.seconds),
                    read_timeout=min(SOCKET_SECONDS, budget.seconds),
                    max_pool_connections=CONNECTIONS,
                    response_checksum_validation="when_required",
                ),
            )
        except (NoRegionError, BotoCoreError, ValueError) as error:
            raise ForbiddenError(
                f"No S3 client for {self.uri} ({error}): set AWS_REGION and credentials, as for the AWS command line."
            ) from error

    def describe(self) -> Description:
        """See `Source.describe`.

        Raises:
            NotFoundError, ForbiddenError, UnavailableError: as S3 answers.
        """
        retries = _Retries(self._budget)
        answer = retries(self._head)
        try:
            self._etag, self._size = answer["ETag"], _not_negative(answer["ContentLength"])
            checksum = answer.get("ChecksumCRC64NVME") if answer.get("ChecksumType") != "COMPOSITE" else None
            crc64nvme = _from_base64(checksum) if checksum else None
        except (KeyError, ValueError) as error:
            raise UnavailableError(
                f"S3 describes {self.uri} in a way that makes no sense ({error}): check the endpoint."
            ) from error
        if not self._pinned:
            found = answer.get("VersionId")
            self._version_id = None if found == "null" else found  # null: from before the bucket had versions
        return Description(size=self._size, crc64nvme=crc64nvme, version_id=self._version_id)

    def read(self, start: int, into: memoryview, on_chunk: OnChunk) -> int:
        """See `Source.read`.

        Raises:
            ChangedError: the object was replaced after `describe`.
            CorruptError: S3 sent a different range or fewer bytes than it announced, time after time.
            NotFoundError, ForbiddenError, UnavailableError: as S3 answers.
        """
        retries = _Retries(self._budget)
        filled = 0

        def one_try() -> None:
            nonlocal filled
            with into[filled:] as rest, closing(self._fill(start + filled, rest)) as counts:
                for count in counts:
                    with into[filled : filled + count] as chunk:
                        on_chunk(chunk)
                    filled += count
                    retries.in_a_row = 0

        retries(one_try)
        return retries.total

    def close(self) -> None:
        """See `Source.close`."""
        _close_pools(self._client)
        self._client.close()

    def _where(self) -> str:
        return f"{self.uri} (version {self._version_id})" if self._version_id else self.uri

    def _version(self) -> dict[str, Any]:
        return {"VersionId": self._version_id} if self._version_id else {}

    def _head(self) -> Any:
        try:
            return self._client.head_object(
                Bucket=self._bucket, Key=self._key, ChecksumMode="ENABLED", **self._version()
            )
        except ClientError as error:
            # A HEAD has no body, so its 403 and 404 name no cause: let a GET of the first byte name it.
            if error.response["ResponseMetadata"]["HTTPStatusCode"] not in {400, 403, 404}:
                raise self._explained(error) from error
        except _CLIENT_ERRORS as error:
            raise self._explained(error) from error
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._key, Range="bytes=0-0", **self._version())
        except _CLIENT_ERRORS as error:
            raise self._explained(error) from error
        answer["Body"].close()
        raise UnavailableError(f"S3 refuses to describe {self.uri} but lets it be read: try again.")

    def _fill(self, start: int, into: memoryview) -> Generator[int, None, None]:
        """One GET; yields how many bytes each read added to `into`."""
        last = start + len(into) - 1
        try:
            answer = self._client.get_object(
                Bucket=self._bucket,
                Key=self._key,
                Range=f"bytes={start}-{last}",
                IfMatch=self._etag,
                **self._version(),
            )
        except _CLIENT_ERRORS as error:
            raise self._explained(error, start, last) from error
        body = answer["Body"]
        filled = 0
        try:
            with body as raw, self._lines.listed(raw):
                if answer["ResponseMetadata"]["HTTPStatusCode"] == HTTPStatus.OK:
                    # HTTP lets a server ignore Range; S3 itself does not, look-alikes do.
                    self.ranged = False
                    self._skip(body, start)
                elif answer.get("ContentRange") != f"bytes {start}-{last}/{self._size}":
                    raise _RetryError(
                        CorruptError(
                            f"S3 was asked for bytes {start}-{last} of {self.uri} and sent "
                            f"{answer.get('ContentRange')!r}: something between here and S3 alters answers."
                        )
                    )
                while filled < len(into):
                    with into[filled : filled + READ_BYTES] as piece:
                        count = body.readinto(cast("IO[bytes]", piece))
                    if count == 0:
                        raise self._short(start + filled, last)
                    filled += count
                    yield count
        except _CONNECTION_ERRORS as error:
            raise self._explained(error, start, last) from error
        except BotoCoreError as error:  # botocore's own check of Content-Length
            raise self._short(start + filled, last) from error

    def _skip(self, body: Any, count: int) -> None:
        skipped = 0
        while skipped < count:
            more = len(body.read(min(count - skipped, READ_BYTES)))
            if more == 0:
                raise self._short(skipped, self._size - 1)
            skipped += more

    def _short(self, at: int, last: int) -> "_RetryError":
        return _RetryError(
            CorruptError(
                f"S3 ended {self.uri} at byte {at} instead of {last + 1}, time after time: the object or the "
                "connection is damaged; push the model again or check the network."
            )
        )

    def _explained(self, error: Exception, start: int = 0, last: int = 0) -> Exception:
        """Turn botocore's error into one that names the object, the cause and the remedy."""
        if isinstance(error, ClientError):
            return self._refused(error, start, last)
        where = self._where()
        if isinstance(error, _CREDENTIAL_ERRORS):
            return ForbiddenError(f"There are no credentials to read {where} ({error}): configure AWS credentials.")
        if isinstance(error, ParamValidationError):
            return InvalidReferenceError(f"{self.uri!r} can't name an object in S3 ({error.kwargs['report']}).")
        if isinstance(error, BotoCoreError | HTTPError):
            return _RetryError(
                UnavailableError(
                    f"S3 can't be reached for {where}, bytes {start}-{last} ({error}): check the network and the "
                    "endpoint, then try again."
                )
            )
        return _RetryError(
            UnavailableError(f"What S3 answers for {where} makes no sense ({error}): check the endpoint.")
        )

    def _refused(self, error: ClientError, start: int, last: int) -> Exception:  # noqa: PLR0911 - one a cause
        where = self._where()
        code = error.response["Error"].get("Code", "")
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        detail = f"{status} {code}: {error.response['Error'].get('Message', '')}".rstrip(": ")
        if code == "NoSuchBucket":
            return NotFoundError(f"There is no bucket {self._bucket!r}: check the name and the region.")
        if code == "NoSuchVersion" or (code == "InvalidArgument" and self._version_id):
            return NotFoundError(f"{self.uri} has no version {self._version_id!r}: pin one that exists.")
        if status in {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}:  # 405: a delete marker
            return NotFoundError(f"There is no object {where}: check the key, or push the model first.")
        if code in _CREDENTIAL_CODES:
            return ForbiddenError(f"The credentials for {where} are not valid ({detail}): renew them.")
        if status == HTTPStatus.PRECONDITION_FAILED:
            return ChangedError(f"{where} was replaced while it was being read: load it again, and pin its version.")
        if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return ChangedError(f"{where} is shorter than {last + 1:,} bytes, which it had at first: load it again.")
        if (
            status >= HTTPStatus.INTERNAL_SERVER_ERROR
            or status == HTTPStatus.TOO_MANY_REQUESTS
            or code in _RETRYABLE_CODES
        ):
            return _RetryError(
                UnavailableError(f"S3 could not serve {where}, bytes {start}-{last} ({detail}): try again later.")
            )
        return ForbiddenError(
            f"S3 does not allow to read {where} ({detail}): the role needs s3:GetObject (and s3:GetObjectVersion "
            "for a pinned version) on it, and kms:Decrypt on its key; without s3:ListBucket a missing key looks "
            "the same."
        )


class _Lines:
    """The connections on which bytes are arriving, so that they can be cut.

    A connection's own timeout is about silence; a body that drips would outlast any time budget.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._cut = False

    @contextmanager
    def listed(self, answer: Any) -> Iterator[None]:
        """Have the connection of urllib3's `answer` cut if that becomes necessary inside the context."""
        if answer.closed:  # it has no body
            yield
            return
        with socket.socket(fileno=os.dup(answer.fileno())) as line:  # its own descriptor: never that of another file
            with self._lock:
                self._open.add(line)
            try:
                if self._cut:
                    self.cut()
                yield
            finally:
                with self._lock:
                    self._open.remove(line)

    def cut(self) -> None:
        """End every connection, whatever waits for its bytes gets none."""
        with self._lock:
            self._cut = True
            for line in self._open:
                with suppress(OSError):  # the other end may have been quicker
                    line.shutdown(socket.SHUT_RDWR)


class FileSource:
    """A file of this machine."""

    def __init__(self, path: Path) -> None:
        self.uri = str(path)
        self.ranged = True
        self._path = path
        self._fd = -1

    def describe(self) -> Description:
        """See `Source.describe`.

        Raises:
            NotFoundError, ForbiddenError: as the system answers.
        """
        try:
            # Without O_NONBLOCK a named pipe would make this wait for somebody to write into it.
            self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError):
            raise NotFoundError(f"There is no file {self.uri}: check the path.") from None
        except PermissionError:
            raise ForbiddenError(f"{self.uri} may not be read by this user: change its permissions.") from None
        except (OSError, ValueError) as error:
            raise NotFoundError(f"{self.uri!r} can't be opened ({error}): check the path.") from None
        if not stat.S_ISREG(os.fstat(self._fd).st_mode):
            self.close()
            raise NotFoundError(f"{self.uri} is no regular file: name the .gguf file itself.")
        self._stamp = self._state()
        return Description(size=os.fstat(self._fd).st_size)

    def read(self, start: int, into: memoryview, on_chunk: OnChunk) -> int:
        """See `Source.read`.

        Raises:
            ChangedError: the file was written to after `describe`.
            UnavailableError: the system could not read it.
        """
        filled = 0
        try:
            while filled < len(into):
                with into[filled : filled + READ_BYTES] as piece:
                    count = os.preadv(self._fd, [piece], start + filled)
                if count == 0:
                    break
                with into[filled : filled + count] as chunk:
                    on_chunk(chunk)
                filled += count
            unchanged = self._state() == self._stamp
        except OSError as error:
            raise UnavailableError(f"{self.uri} can't be read at byte {start + filled:,} ({error}).") from error
        if filled < len(into) or not unchanged:
            raise ChangedError(f"{self.uri} was changed while it was being read: load it again.")
        return 0

    def close(self) -> None:
        """See `Source.close`."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _state(self) -> tuple[int, int]:
        status = os.fstat(self._fd)
        return status.st_size, status.st_mtime_ns


def _close_pools(client: Any) -> None:
    """Close a client's idle connections now.

    Its own `close` leaves that to urllib3, and urllib3 2 does it when a pool becomes garbage, which any error of the
    pool that is still remembered puts off.
    """
    session = getattr(getattr(client, "_endpoint", None), "http_session", None)
    for manager in (getattr(session, "_manager", None), *getattr(session, "_proxy_managers", {}).values()):
        pools = getattr(manager, "pools", {})
        for key in list(pools.keys()):
            pools[key].close()


def _not_negative(number: int) -> int:
    if number < 0:
        raise ValueError(f"its size is {number}")
    return number


def _from_base64(checksum: str) -> int:
    """A CRC64 as S3 writes it."""
    try:
        raw = base64.b64decode(checksum, validate=True)
    except ValueError:
        raw = b""
    if len(raw) != 8:  # noqa: PLR2004 - 64 bits
        raise ValueError(f"its checksum is {checksum!r}")
    return int.from_bytes(raw)


class _RetryError(Exception):
    """Worth another try; carries what to say when there is none left."""

    def __init__(self, explained: LoadError) -> None:
        super().__init__(str(explained))
        self.explained = explained


class _Retries:
    """Calls a function until it succeeds, with jitter, at most `ATTEMPTS` times without progress."""

    def __init__(self, budget: Budget) -> None:
        self.in_a_row = 0
        self.total = 0
        self._budget = budget

    def __call__(self, function: Callable[[], T]) -> T:
        """Call `function`; its `_RetryError` is tried again, everything else passes through."""

        def one_try() -> T:
            self._budget.check()
            return function()

        return tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_RetryError),
            stop=lambda _: self.in_a_row >= ATTEMPTS - 1 or self._budget.stopped.is_set(),
            wait=tenacity.wait_random_exponential(multiplier=0.1, max=5),
            sleep=tenacity.sleep_using_event(self._budget.stopped),
            before_sleep=self._count,
            retry_error_callback=self._give_up,
        )(one_try)

    def _count(self, _: tenacity.RetryCallState) -> None:
        self.in_a_row += 1
        self.total += 1

    def _give_up(self, state: tenacity.RetryCallState) -> Any:
        self._budget.check()
        error = state.outcome.exception() if state.outcome else None
        raise error.explained if isinstance(error, _RetryError) else AssertionError from error
