"""From a reference to the source that can read it."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from lambda_llm.loading.budget import Budget
from lambda_llm.loading.errors import InvalidReferenceError
from lambda_llm.loading.local import FileSource
from lambda_llm.loading.s3 import S3Source
from lambda_llm.loading.source import ModelReference, Source, s3_location


def open_source(reference: ModelReference, budget: Budget) -> Source:
    """Choose by the form of the reference; nothing is contacted yet.

    Args:
        reference: what to read.
        budget: ends every wait when it is over.

    Raises:
        InvalidReferenceError: the reference is none of the known forms.
        ForbiddenError: the AWS configuration of this machine can't be used.
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
