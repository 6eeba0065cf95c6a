"""Text given in a setting or by reference: environment variables are too small for long texts."""

from typing import Final

from awscrt.checksums import crc64nvme

from lambda_llm.gguf.errors import CorruptError
from lambda_llm.limits import MIB
from lambda_llm.loading.budget import Budget
from lambda_llm.loading.sources.base import ModelReference
from lambda_llm.loading.sources.registry import is_reference, open_source

TEXT_BYTES: Final = 1 * MIB
"""Longest text: about a quarter of a million tokens, more than any context fits."""


def read_text(text: str, *, seconds: float) -> str:
    """Return `text`, or the UTF-8 text that it refers to.

    Args:
        text: a reference if it is a URI of a registered scheme (`s3://bucket/key`, `file:///path`), else the text.
        seconds: time budget.

    Raises:
        CorruptError: the object is empty, too long, not UTF-8, or does not match S3's checksum.
        LoadError: it can't be read.
    """
    if not is_reference(text):
        return text
    with Budget(seconds, text) as budget:
        source = open_source(ModelReference(text), budget)
        try:
            described = source.describe()
            if not 0 < described.size <= TEXT_BYTES:
                raise CorruptError(
                    f"{text} has {described.size:,} bytes, but a text may have 1 to {TEXT_BYTES:,}: use a shorter one."
                )
            data = bytearray()
            source.read(0, described.size, data.extend)
        finally:
            source.close()
    if described.crc64nvme not in {None, crc64nvme(bytes(data))}:
        raise CorruptError(f"{text} is damaged: its CRC64NVME is not the one that S3 stores; upload it again.")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise CorruptError(f"{text} is not UTF-8 ({error.reason} at byte {error.start}): save it as UTF-8.") from None
