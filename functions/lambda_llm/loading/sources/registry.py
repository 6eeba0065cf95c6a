"""Maps the scheme of a reference to the source that reads it."""

from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from lambda_llm.loading.budget import Budget
from lambda_llm.loading.errors import InvalidReferenceError
from lambda_llm.loading.sources.base import ModelReference, Source
from lambda_llm.loading.sources.file import open_file
from lambda_llm.loading.sources.s3 import open_s3

Opener = Callable[[ModelReference, Budget], Source]
"""Prepares a source without any request. Every wait of the source ends when the budget does."""

_OPENERS: Final[dict[str, Opener]] = {"s3": open_s3, "file": open_file}


def register(scheme: str, opener: Opener) -> None:
    """Add a scheme, or replace how a known one is read.

    Args:
        scheme: as in `scheme://…`, in lower case.
        opener: makes the source.
    """
    _OPENERS[scheme] = opener


def is_reference(text: str) -> bool:
    """Whether a text is a URI of a registered scheme, and nothing else."""
    scheme, separator, _ = text.partition("://")
    return bool(separator) and scheme in _OPENERS and len(text.split()) == 1


def open_source(reference: ModelReference, budget: Budget) -> Source:
    """Prepare the source for a reference, without any request. A reference without `://` is a path.

    Args:
        reference: the model or text to read.
        budget: ends every wait when it expires.

    Raises:
        InvalidReferenceError: the scheme is unknown, or the reference does not have its scheme's form.
        ForbiddenError: the AWS configuration of this machine can't be used.
    """
    try:
        scheme = urlsplit(reference.uri).scheme
    except ValueError as error:
        raise InvalidReferenceError(
            f"{reference.uri!r} can't be parsed ({error}): give s3://BUCKET/KEY, file:///PATH or a path."
        ) from None
    if scheme in _OPENERS:
        return _OPENERS[scheme](reference, budget)
    if "://" in reference.uri:
        raise InvalidReferenceError(
            f"{reference.uri!r} has the unknown scheme {scheme!r}: give s3://BUCKET/KEY, file:///PATH or a path."
        )
    return open_file(reference, budget)
