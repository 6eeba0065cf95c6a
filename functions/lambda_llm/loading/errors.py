"""Why a model could not be loaded: one class per cause."""

import errno

from lambda_llm.errors import LoadError


class InvalidReferenceError(LoadError):
    """The model reference has no form that this package can read."""


class NotFoundError(LoadError):
    """The bucket, the key, the version or the file does not exist."""


class ForbiddenError(LoadError):
    """The credentials are missing, expired, or don't allow reading the object."""


class ChangedError(LoadError):
    """The object is not, or is no longer, the one that was requested."""


class UnavailableError(LoadError):
    """The store did not respond properly, even after retries."""


class UnverifiableError(LoadError):
    """There is no checksum to verify the bytes against."""


class OutOfTimeError(LoadError):
    """The time budget expired before the model was loaded."""


class TooManyFilesError(LoadError):
    """The process, or the whole system, has no file descriptor left."""


def root_cause(error: BaseException) -> OSError | None:
    """The operating system's error at the bottom of a chain of library exceptions, or None."""
    found: OSError | None = None
    current: BaseException | None = error
    while current is not None:
        if isinstance(current, OSError) and current.errno is not None:
            found = current
        current = current.__cause__ or current.__context__
    return found


def no_descriptor(error: BaseException, purpose: str) -> TooManyFilesError | None:
    """The error to raise when `error` was caused by a lack of file descriptors, else None.

    Args:
        error: what a library or the system raised.
        purpose: what the descriptor was for.
    """
    cause = root_cause(error)
    if cause is None or cause.errno not in {errno.EMFILE, errno.ENFILE}:
        return None
    return TooManyFilesError(
        f"No file descriptor is left {purpose} ({cause.strerror}): close open files or connections, or raise the "
        "limit (`ulimit -n`)."
    )
