"""A load with settings that suit a small model, so that a test names only what it is about."""

from typing import Any

from lambda_llm.gguf.options import ModelOptions
from lambda_llm.limits import MIB
from lambda_llm.loading.load import Loaded, load
from lambda_llm.loading.sources.base import ModelReference

MEMORY = 1_000_000_000
PART = 4 * MIB
"""Of the fixture `parts_of_one_size`; what the loader itself takes depends on the machine."""


def load_model(
    uri: str, *, version_id: str | None = None, size: int | None = None, sha256: str | None = None, **changes: Any
) -> Loaded:
    """`load` of `uri` with these pins; `changes` are the other arguments of `load`."""
    given: dict[str, Any] = {"options": ModelOptions(context_length=256), "memory": MEMORY, "seconds": 30}
    return load(ModelReference(uri, version_id, size, sha256), **(given | changes))


def content(loaded: Loaded) -> bytes:
    """The bytes that were loaded, read as llama.cpp does: by the path; the file is closed afterwards."""
    with loaded.file as file, open(file.path, "rb") as opened:  # noqa: PTH123 - as a C library would
        return opened.read()
