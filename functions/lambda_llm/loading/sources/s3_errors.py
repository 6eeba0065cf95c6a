"""Errors of S3, and of the network to it, as one sentence that names object, bytes and remedy."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    EndpointProviderError,
    MissingDependencyException,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    SSOError,
    TokenRetrievalError,
    UnknownRegionError,
    UnsupportedS3AccesspointConfigurationError,
    UnsupportedS3ArnError,
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

_THROTTLED: Final = frozenset({"SlowDown", "Throttling", "RequestLimitExceeded", "TooManyRequests", "LimitExceeded"})
_RETRYABLE: Final = _THROTTLED | {"RequestTimeout", "InternalError", "OperationAborted"}
_CLOCK_CODES: Final = frozenset({"RequestTimeTooSkewed", "RequestExpired"})
_CREDENTIAL_CODES: Final = frozenset(
    {"ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch", "TokenRefreshRequired"}
)
_REGION_CODES: Final = frozenset({"PermanentRedirect", "TemporaryRedirect", "IllegalLocationConstraint"})
_KMS: Final = {
    "Disabled": "is disabled: enable it",
    "KMSInvalidState": "can't be used in its state, such as pending deletion: cancel its deletion and enable it",
    "NotFound": "does not exist, or not any more: what it encrypted can't be read",
    "InvalidKeyUsage": "is not for encryption: use a symmetric one",
    "KeyUnavailable": "is not available: try again later, and check its key store",
}
"""What is wrong with a key, by the code that S3 passes on from KMS without `KMS.` and `Exception`.
Source: https://docs.aws.amazon.com/kms/latest/APIReference/API_Decrypt.html#API_Decrypt_Errors"""

_INVALID_ADDRESS: Final = (
    ParamValidationError,
    UnsupportedS3ArnError,
    UnsupportedS3AccesspointConfigurationError,
    EndpointProviderError,
    UnknownRegionError,
    MissingDependencyException,
)
CREDENTIAL_ERRORS: Final = (
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
    if isinstance(error, CREDENTIAL_ERRORS):
        return ForbiddenError(
            f"There are no credentials to read {request.object} ({error}): configure AWS credentials."
        )
    if isinstance(error, _INVALID_ADDRESS):
        why = error.kwargs["report"] if isinstance(error, ParamValidationError) else error
        return InvalidReferenceError(f"{request.uri!r} can't name an object in S3 ({why}).")
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


def shared_cause(error: ClientError, where: str, detail: str) -> Exception | None:
    """The error to raise for a cause that is the same for every request: a `LoadError`, or a `RetryError` around one.

    Args:
        error: S3's.
        where: the object in words.
        detail: `described(error)`, and what else there is to say.

    Returns:
        None for any other cause.
    """
    code, status = _code(error), _status(error)
    # A signature for another region is malformed.
    signed = code == "AuthorizationHeaderMalformed" and "region" in _fields(error).get("Message", "")
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST or _kind(error) in _REGION_CODES or signed:
        region = _region(error)
        elsewhere = ForbiddenError(
            f"{where} is in another region than this client ({detail}): set AWS_DEFAULT_REGION to "
            + (f"{region}, and run the function there." if region else "its bucket's, and run the function there.")
        )
        return RetryError(elsewhere) if code == "TemporaryRedirect" else elsewhere
    if code in _CREDENTIAL_CODES:
        return ForbiddenError(f"The credentials for {where} are not valid ({detail}): renew them.")
    if code in _CLOCK_CODES:
        return RetryError(  # a restored environment's clock may be late for a moment
            ForbiddenError(f"This machine's clock is wrong by more than S3 accepts for {where} ({detail}): set it.")
        )
    return _kms_cause(error, where, detail)


def described(error: ClientError) -> str:
    """Status, code and message of S3's error in one line."""
    message = _fields(error).get("Message", "")
    text = f"{_status(error)} {_code(error)}: {message}"
    return " ".join("".join(each if each.isprintable() else " " for each in text).split()).rstrip(".: ")


def _kms_cause(error: ClientError, where: str, detail: str) -> Exception | None:
    code, message = _code(error), _fields(error).get("Message", "")
    kind = _kind(error)
    if kind in _THROTTLED and "KMS" in code + message:
        return RetryError(
            UnavailableError(
                f"KMS throttles the use of the key of {where} ({detail}): turn on the bucket's S3 Bucket Key and write "
                "the object anew, or raise the account's request quota for KMS."
            )
        )
    if kind in _KMS and (kind != code or "kms" in message.lower()):
        return ForbiddenError(
            f"The KMS key of {where} {_KMS[kind]} ({detail}), or push the model again under another key."
        )
    if code == "AccessDenied" and "kms:" in message:
        return ForbiddenError(
            f"The KMS key of {where} may not be used ({detail}): the role needs kms:Decrypt (to write: "
            "kms:GenerateDataKey too) on it, in its own policy and in the key's."
        )
    return None


def _refused(error: ClientError, request: Request) -> Exception:
    where, code, status = request.object, _code(error), _status(error)
    detail = described(error)
    if request.span:
        detail += f", requested bytes {request.span[0]}-{request.span[1]}"
    if code == "NoSuchBucket":
        return NotFoundError(f"There is no bucket {request.bucket!r}: check the name and the region.")
    if code == "NoSuchVersion" or (code == "InvalidArgument" and request.version_id):
        return NotFoundError(f"{request.uri} has no version {request.version_id!r}: pin one that exists.")
    if known := shared_cause(error, where, detail) or _object_cause(error, where, detail):
        return known
    if (
        status >= HTTPStatus.INTERNAL_SERVER_ERROR
        or status == HTTPStatus.TOO_MANY_REQUESTS
        or _kind(error) in _RETRYABLE
    ):
        return RetryError(UnavailableError(f"S3 could not serve {where} ({detail}): try again later."))
    return ForbiddenError(
        f"S3 does not allow reading {where} ({detail}): the role needs s3:GetObject (and s3:GetObjectVersion "
        "for a pinned version) on it, and kms:Decrypt on its key; without s3:ListBucket a missing key looks "
        "the same, and so does a bucket whose requesters pay: copy the model out of one."
    )


def _object_cause(error: ClientError, where: str, detail: str) -> Exception | None:
    """The error to raise for what the object is, or is not."""
    code, status, fields = _code(error), _status(error), _fields(error)
    if status in {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}:  # 405: a delete marker
        return NotFoundError(f"There is no object {where}: check the key, or push the model first.")
    if status == HTTPStatus.PRECONDITION_FAILED:
        return ChangedError(
            f"{where} was replaced while it was being read ({detail}): load it again, and pin its version."
        )
    if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        return ChangedError(f"{where} is shorter than it was at first ({detail}): load it again, and pin its version.")
    if code == "InvalidObjectState":
        tier = fields.get("AccessTier") or fields.get("StorageClass")
        return UnavailableError(
            f"{where} is archived{f' in {tier}' if tier else ''} ({detail}): restore it (`aws s3api restore-object`) "
            "and wait until that is done, or push the model again, where no lifecycle rule archives it."
        )
    if code == "InvalidRequest" and "server side encryption" in fields.get("Message", "").lower():
        return ForbiddenError(
            f"{where} is encrypted with a key that every request must bring (SSE-C), which is not supported "
            f"({detail}): push the model again, encrypted by S3 or KMS."
        )
    return None


def _code(error: ClientError) -> str:
    return _fields(error).get("Code", "")


def _kind(error: ClientError) -> str:
    """The code without what KMS's have around it."""
    return _code(error).removeprefix("KMS.").removesuffix("Exception")


def _fields(error: ClientError) -> dict[str, str]:
    """Code, message and what else S3's error has; an empty element is None to botocore."""
    fields: Any = error.response["Error"]
    return {name: value or "" for name, value in fields.items()}


def _status(error: ClientError) -> int:
    return error.response["ResponseMetadata"]["HTTPStatusCode"]


def _region(error: ClientError) -> str | None:
    """The bucket's region, if S3 tells."""
    return error.response["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region") or _fields(error).get("Region")
