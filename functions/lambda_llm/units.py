"""Numbers formatted for people."""

import base64

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
