"""Numbers as people read them."""

import pytest

from lambda_llm.limits import MEMORY_MB, MIB
from lambda_llm.units import checksum, megabytes


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0.0 MB"),
        (MIB // 2, "0.5 MB"),
        (99 * MIB, "99.0 MB"),
        (100 * MIB, "100 MB"),
        (MEMORY_MB * MIB, "10,240 MB"),
    ],
)
def test_bytes_are_told_in_lambda_s_megabytes_and_no_more_exactly_than_helps(count: int, text: str) -> None:
    assert megabytes(count) == text


@pytest.mark.parametrize(("crc64", "text"), [(0, "AAAAAAAAAAA="), (1, "AAAAAAAAAAE="), (2**64 - 1, "//////////8=")])
def test_a_checksum_is_written_as_s3_does(crc64: int, text: str) -> None:
    assert checksum(crc64) == text
