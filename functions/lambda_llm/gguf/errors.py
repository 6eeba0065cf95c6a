"""Why a model file can't be used."""

from collections.abc import Iterator
from contextlib import contextmanager

from lambda_llm.errors import LoadError


class NotGGUFError(LoadError):
    """The file is not a GGUF file, or its header is damaged."""


class CorruptError(LoadError):
    """The bytes are not the ones that were stored: truncated, flipped or swapped."""


class UnsupportedModelError(LoadError):
    """A proper GGUF file that this version of llama.cpp, or this package, can't run."""


class DoesNotFitError(LoadError):
    """The model, at the context length that was asked for, needs more memory than there is."""


@contextmanager
def about(address: str) -> Iterator[None]:
    """Name the model in every `LoadError` raised inside that does not name one itself.

    Args:
        address: `s3://bucket/key` or a path.
    """
    try:
        yield
    except LoadError as error:
        error.address = error.address or address
        raise
