"""From a reference to the source that can read it, by the reference's scheme."""

from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from lambda_llm.loading.budget import Budget
from lambda_llm.loading.errors import InvalidReferenceError
from lambda_llm.loading.sources.base import ModelReference, Source
from lambda_llm.loading.sources.file import open_file
from lambda_llm.loading.sources.s3 import open_s3

Opener = Callable[[ModelReference, Budget], Source]
"""Prepares a source and contacts nothing yet. Every wait of the source ends when the budget is over."""

_OPENERS: Final[dict[str, Opener]] = {"s3": open_s3, "file": open_file}


def register(scheme: str, opener: Opener) -> None:
    """Let references of one more scheme be read, or of a known one in another way.

    Args:
        scheme: as in `scheme://…`, in lower case.
        opener: gives the source.
    """
    _OPENERS[scheme] = opener


def open_source(reference: ModelReference, budget: Budget) -> Source:
    """Choose by the scheme; nothing is contacted yet. A reference without `://` is a path.

    Args:
        reference: what to read.
        budget: ends every wait when it is over.

    Raises:
        InvalidReferenceError: the scheme is unknown, or the reference is not as its scheme wants it.
        ForbiddenError: the AWS configuration of this machine can't be used.
    """
    try:
        scheme = urlsplit(reference.uri).scheme
    except ValueError as error:
        raise InvalidReferenceError(
            f"{reference.uri!r} can't be understood ({error}): give s3://BUCKET/KEY, file:///PATH or a path."
        ) from None
    if scheme in _OPENERS:
        return _OPENERS[scheme](reference, budget)
    if "://" in reference.uri:
        raise InvalidReferenceError(
            f"{reference.uri!r} has the unknown scheme {scheme!r}: give s3://BUCKET/KEY, file:///PATH or a path."
        )
    return open_file(reference, budget)
