"""Why a model could not be brought into memory: one class a cause, one sentence each."""

import errno

from lambda_llm.errors import LoadError


class InvalidReferenceError(LoadError):
    """The model reference is not of a form that this package reads."""


class NotFoundError(LoadError):
    """The bucket, the key, the version or the file does not exist."""


class ForbiddenError(LoadError):
    """The credentials are missing, expired, or don't allow to read the object."""


class ChangedError(LoadError):
    """The object is not, or is no longer, the one that was asked for."""


class UnavailableError(LoadError):
    """The store did not answer properly, also after retries."""


class UnverifiableError(LoadError):
    """There is no checksum to hold the bytes against."""


class OutOfTimeError(LoadError):
    """The time budget ran out before the model was in memory."""


class TooManyFilesError(LoadError):
    """The process, or the whole system, has no file descriptor left."""


def root_cause(error: BaseException) -> OSError | None:
    """What the system itself said, beneath what the libraries between made of it."""
    found: OSError | None = None
    beneath: BaseException | None = error
    while beneath is not None:
        if isinstance(beneath, OSError) and beneath.errno is not None:
            found = beneath
        beneath = beneath.__cause__ or beneath.__context__
    return found


def no_descriptor(error: BaseException, purpose: str) -> TooManyFilesError | None:
    """The error to raise when a lack of file descriptors is behind `error`, else None.

    Args:
        error: what a library or the system raised.
        purpose: what the descriptor was for.
    """
    cause = root_cause(error)
    if cause is None or cause.errno not in {errno.EMFILE, errno.ENFILE}:
        return None
    return TooManyFilesError(
        f"No file descriptor is left {purpose} ({cause.strerror}): close what holds them, or raise the limit "
        "(`ulimit -n`)."
    )
