"""Errors of S3, and of the network to it, as one sentence that names object, bytes and remedy."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    SSOError,
    TokenRetrievalError,
)
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from lambda_llm.gguf.errors import CorruptError
from lambda_llm.loading.errors import (
    ChangedError,
    ForbiddenError,
    InvalidReferenceError,
    NotFoundError,
    UnavailableError,
    no_descriptor,
    root_cause,
)
from lambda_llm.loading.retries import RetryError

CLIENT_ERRORS: Final = (ClientError, BotoCoreError, ResponseParserError, HTTPError, ValueError, OSError)
"""Everything that botocore raises for a request, or while the body of a response is read."""

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


@dataclass(frozen=True)
class Request:
    """A request for an object.

    Attributes:
        bucket: name of the bucket.
        key: of the object.
        version_id: of the object, or None.
        span: first and last byte, or None for a request without a range.
    """

    bucket: str
    key: str
    version_id: str | None
    span: tuple[int, int] | None = None

    @property
    def uri(self) -> str:
        """The object's address."""
        return f"s3://{self.bucket}/{self.key}"

    @property
    def object(self) -> str:
        """The object in words."""
        return f"{self.uri} (version {self.version_id})" if self.version_id else self.uri

    @property
    def all(self) -> str:
        """Object and bytes in words."""
        return f"{self.object}, bytes {self.span[0]}-{self.span[1]}" if self.span else self.object


def explained(error: Exception, request: Request) -> Exception:
    """The error to raise instead of one of `CLIENT_ERRORS`: a `LoadError`, or a `RetryError` around one."""
    if isinstance(error, ClientError):
        return _refused(error, request)
    if isinstance(error, _CREDENTIAL_ERRORS):
        return ForbiddenError(
            f"There are no credentials to read {request.object} ({error}): configure AWS credentials."
        )
    if isinstance(error, ParamValidationError):
        return InvalidReferenceError(f"{request.uri!r} can't name an object in S3 ({error.kwargs['report']}).")
    if lacking := no_descriptor(error, f"for a connection to S3, which {request.all} needs"):
        return RetryError(lacking)
    if isinstance(error, BotoCoreError | HTTPError | OSError):
        cause = root_cause(error)
        detail = f"{error}: {cause.strerror}" if cause and cause.strerror and cause is not error else str(error)
        return RetryError(
            UnavailableError(
                f"S3 can't be reached for {request.all} ({detail}): check the network and the endpoint, then try again."
            )
        )
    return RetryError(UnavailableError(f"S3's response for {request.all} is invalid ({error}): check the endpoint."))


def ended_early(request: Request, at: int) -> RetryError:
    """The body of a response had fewer bytes than requested."""
    last = request.span[1] if request.span else 0
    return RetryError(
        CorruptError(
            f"S3 ended {request.uri} at byte {at} instead of {last + 1} in every attempt: the object or the connection "
            "is damaged; push the model again or check the network."
        )
    )


def other_range(request: Request, found: object) -> RetryError:
    """The response announces a different range than the requested one."""
    first, last = request.span or (0, 0)
    return RetryError(
        CorruptError(
            f"Bytes {first}-{last} of {request.uri} were requested, but {found!r} was sent: check the endpoint, and "
            "for a proxy that alters responses."
        )
    )


def _refused(error: ClientError, request: Request) -> Exception:  # noqa: PLR0911 - one per cause
    where = request.object
    code = error.response["Error"].get("Code", "")
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    detail = f"{status} {code}: {error.response['Error'].get('Message', '')}".rstrip(": ")
    if request.span:
        detail += f", requested bytes {request.span[0]}-{request.span[1]}"
    if code == "NoSuchBucket":
        return NotFoundError(f"There is no bucket {request.bucket!r}: check the name and the region.")
    if code == "NoSuchVersion" or (code == "InvalidArgument" and request.version_id):
        return NotFoundError(f"{request.uri} has no version {request.version_id!r}: pin one that exists.")
    if status in {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}:  # 405: a delete marker
        return NotFoundError(f"There is no object {request.object}: check the key, or push the model first.")
    if code in _CREDENTIAL_CODES:
        return ForbiddenError(f"The credentials for {where} are not valid ({detail}): renew them.")
    if status == HTTPStatus.PRECONDITION_FAILED:
        return ChangedError(
            f"{where} was replaced while it was being read ({detail}): load it again, and pin its version."
        )
    if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        return ChangedError(f"{where} is shorter than it was at first ({detail}): load it again, and pin its version.")
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS or code in _RETRYABLE_CODES:
        return RetryError(UnavailableError(f"S3 could not serve {where} ({detail}): try again later."))
    return ForbiddenError(
        f"S3 does not allow reading {where} ({detail}): the role needs s3:GetObject (and s3:GetObjectVersion "
        "for a pinned version) on it, and kms:Decrypt on its key; without s3:ListBucket a missing key looks "
        "the same."
    )
