"""A text that a setting holds, or refers to: environment variables are too small for long ones."""

from typing import Final

from awscrt.checksums import crc64nvme

from lambda_llm.gguf.errors import CorruptError
from lambda_llm.limits import MIB
from lambda_llm.loading.budget import Budget
from lambda_llm.loading.sources.base import ModelReference
from lambda_llm.loading.sources.registry import open_source

TEXT_BYTES: Final = 1 * MIB
"""Longest text: a quarter of a million tokens, more than fits beside any context."""

_SCHEMES: Final = ("s3://", "file://")


def read_text(text: str, *, seconds: float) -> str:
    """The text itself, or the UTF-8 text at the address that it is.

    Args:
        text: `s3://bucket/key` or `file:///path` for a reference; anything else stands for itself.
        seconds: time budget.

    Raises:
        CorruptError: the object is empty, too long, no UTF-8, or not what S3's checksum says.
        LoadError: it can't be read.
    """
    if not text.startswith(_SCHEMES) or len(text.split()) != 1:
        return text
    with Budget(seconds, text) as budget:
        source = open_source(ModelReference(text), budget)
        try:
            described = source.describe()
            if not 0 < described.size <= TEXT_BYTES:
                raise CorruptError(
                    f"{text} has {described.size:,} bytes, but a text has 1 to {TEXT_BYTES:,}: name another object."
                )
            data = bytearray()
            source.read(0, described.size, data.extend)
        finally:
            source.close()
    if described.crc64nvme not in {None, crc64nvme(bytes(data))}:
        raise CorruptError(f"{text} is damaged: its CRC64NVME is not the one that S3 keeps; upload it again.")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise CorruptError(f"{text} is no text in UTF-8 ({error.reason} at byte {error.start}): save it so.") from None
