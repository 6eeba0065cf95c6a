"""Why a model could not be brought into memory: one class a cause, one sentence each."""

from lambda_llm.errors import LambdaLLMError


class LoadError(LambdaLLMError):
    """The model was not loaded and nothing of it was kept."""


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


class CorruptError(LoadError):
    """The bytes are not those that were stored: truncated, flipped or swapped."""


class UnverifiableError(LoadError):
    """There is no checksum to hold the bytes against."""


class NotGGUFError(LoadError):
    """The file is not a GGUF file, or its header is damaged."""


class UnsupportedModelError(LoadError):
    """A proper GGUF file which this version of llama.cpp, or this package, can't run."""


class DoesNotFitError(LoadError):
    """The model, with the context asked for, needs more memory than there is."""


class OutOfTimeError(LoadError):
    """The time budget ran out before the model was in memory."""
