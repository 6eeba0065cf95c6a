"""Numbers as people read them."""

import pytest

from lambda_llm.limits import MEMORY_MB, MIB
from lambda_llm.units import checksum, megabytes, printable


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


@pytest.mark.parametrize(
    ("text", "line", "lines"),
    [
        ("\x1b]0;x\x07name", "]0;xname", "]0;xname"),
        ("a\x1b[2Jb\x9b1mc\x7f\x00", "a[2Jb1mc", "a[2Jb1mc"),
        ("one\ntwo\tthree\r", "one two three ", "one\ntwo\tthree"),
        ("abc\u202edef\u2066\u2028", "abcdef", "abcdef"),
        ("caf\xe9 \U0001f468\u200d\U0001f469 \u65e5\u672c", *["caf\xe9 \U0001f468\u200d\U0001f469 \u65e5\u672c"] * 2),
        ("\ud800", "\ufffd", "\ufffd"),
    ],
)
def test_a_terminal_is_never_told_what_to_do(text: str, line: str, lines: str) -> None:
    assert printable(text) == line
    assert printable(text, lines=True) == lines
