"""Numbers and texts formatted for people."""

import base64
from typing import Final

from lambda_llm.limits import MIB


def megabytes(count: int) -> str:
    """Bytes as MB in Lambda's sense: 10,240 MB is 10 GiB."""
    return f"{count / MIB:,.1f} MB" if count < 100 * MIB else f"{count / MIB:,.0f} MB"


def file_size(count: int) -> str:
    """Bytes of a file that may be small: KB below a MB."""
    return megabytes(count) if count >= MIB else f"{count / 1024:,.1f} KB"


def checksum(crc64: int) -> str:
    """A CRC64 in S3's notation: base64 of its eight bytes, big-endian."""
    return base64.b64encode(crc64.to_bytes(8)).decode()


def dollars(value: float) -> str:
    """An amount as people read it: cents only where they matter."""
    if value >= 100:  # noqa: PLR2004 - three digits are enough
        return f"${value:,.0f}"
    return f"${value:,.2f}" if value >= 0.01 or value == 0 else f"${value:.2g}"  # noqa: PLR2004 - a cent


_UNPRINTED: Final = {
    **dict.fromkeys((*range(0x20), *range(0x7F, 0xA0))),  # control characters: a terminal obeys them
    **dict.fromkeys((*range(0x2028, 0x202F), *range(0x2066, 0x206A))),  # separators and changes of direction
    **dict.fromkeys(range(0xD800, 0xE000), "\ufffd"),  # surrogates, which can't be encoded
}
_UNPRINTED_IN_A_LINE: Final = {**_UNPRINTED, **dict.fromkeys(map(ord, "\t\n\r"), " ")}
_UNPRINTED_IN_LINES: Final = {**_UNPRINTED, **{ord(each): each for each in "\t\n"}}


def printable(text: str, *, lines: bool = False) -> str:
    """Text from a model, a file or a server, without what a terminal would obey instead of print.

    Args:
        text: any text, or a piece of one.
        lines: keep tabs and line feeds, which are spaces otherwise.
    """
    return text.translate(_UNPRINTED_IN_LINES if lines else _UNPRINTED_IN_A_LINE)
