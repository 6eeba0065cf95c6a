"""Why a model file can't be used."""

from collections.abc import Iterator
from contextlib import contextmanager

from lambda_llm.errors import LoadError


class NotGGUFError(LoadError):
    """The file is not a GGUF file, or its header is damaged."""


class CorruptError(LoadError):
    """The bytes are not the ones that were stored: the file is truncated, damaged or another one."""


class UnsupportedModelError(LoadError):
    """A valid GGUF file that this version of llama.cpp, or this package, can't run."""


class DoesNotFitError(LoadError):
    """The model, at the configured context length, needs more memory than there is."""


@contextmanager
def about(address: str) -> Iterator[None]:
    """Add the model's address to every `LoadError` raised inside that has none.

    Args:
        address: `s3://bucket/key` or a path.
    """
    try:
        yield
    except LoadError as error:
        error.address = error.address or address
        raise
