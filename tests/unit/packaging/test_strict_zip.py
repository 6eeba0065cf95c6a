"""A zip that two readers could understand differently, or that is more than its files, is refused before it is read."""

import os
import stat
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest

from lambda_llm.limits import MIB
from lambda_llm.packaging import archive
from lambda_llm.packaging.errors import PackageError
from lambda_llm.packaging.strict_zip import StrictZip

LIMIT = 1 * MIB
FILES = {"bin/serve": b"#!/bin/sh\n", "a.txt": b"text " * 100, "é/ü.txt": b"", "lambda_llm/__init__.py": b"x"}
REGULAR = (stat.S_IFREG | 0o644) << 16
END = 22
CENTRAL = 46
LOCAL = 30


def written(*entries: tuple[str, bytes], attributes: int = REGULAR, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip with any names, also ones that no file can have."""
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        for name, data in entries:
            entry = zipfile.ZipInfo("placeholder")
            entry.filename = entry.orig_filename = name
            entry.external_attr, entry.create_system = attributes, 3
            opened.writestr(entry, data, method)
    return file.getvalue()


def raw(content: bytes, name: bytes = b"a", *, zipped: bytes | None = None, **changes: int) -> bytes:
    """A zip of one file, field by field."""
    zipped = content if zipped is None else zipped
    fields = {"version": 20, "flags": 0, "method": 0, "time": 0, "date": 33, "crc": zlib.crc32(content)}
    fields |= {"zipped": len(zipped), "size": len(content)}
    fields |= changes
    shared = struct.pack("<5H3I2H", *fields.values(), len(name), 0)
    local = b"PK\3\4" + shared + name + zipped
    directory = b"PK\1\2" + struct.pack("<H", 0x314) + shared + struct.pack("<3H2I", 0, 0, 0, REGULAR, 0) + name
    return local + directory + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(directory), len(local), 0)


def deflated(data: bytes) -> bytes:
    compress = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return compress.compress(data) + compress.flush()


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[bytes], StrictZip]:
    def open_it(data: bytes) -> StrictZip:
        path = tmp_path / "some.zip"
        path.write_bytes(data)
        return StrictZip(path, LIMIT)

    return open_it


@pytest.fixture
def sound(tmp_path: Path) -> bytes:
    folder = tmp_path / "folder"
    for name, data in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    archive.write(folder, tmp_path / "sound.zip")
    return (tmp_path / "sound.zip").read_bytes()


Opened = Callable[[bytes], StrictZip]


def refused(opened: Opened, data: bytes) -> str:
    with pytest.raises(PackageError) as error:
        opened(data)
    said = str(error.value)
    assert said.isprintable()
    return said


def test_what_the_builder_writes_is_read_back(opened: Opened, sound: bytes) -> None:
    read = opened(sound)
    assert {name: read.content(name) for name in read.entries} == FILES
    assert {entry.mode for entry in read.entries.values()} == {0o644}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_both_methods_are_read(opened: Opened, method: int) -> None:
    assert opened(written(("a", b"x" * 1000), method=method)).content("a") == b"x" * 1000


def test_a_zip_without_files_is_read(opened: Opened) -> None:
    assert opened(written()).entries == {}


# -- bytes around the files -------------------------------------------------------------------------


def shifted(data: bytes, by: int) -> bytes:
    """The zip behind `by` bytes, with every offset corrected, as for a self-extracting program."""
    file = BytesIO(data)
    with zipfile.ZipFile(file) as read:
        offsets = [entry.header_offset for entry in read.infolist()]
        start = read.start_dir
    moved = bytearray(data)
    at = start
    for offset in offsets:
        name, extra, comment = struct.unpack_from("<3H", data, at + 28)
        struct.pack_into("<I", moved, at + 42, offset + by)
        at += CENTRAL + name + extra + comment
    struct.pack_into("<I", moved, len(data) - 6, start + by)
    return b"#" * by + bytes(moved)


def with_comment(data: bytes, comment: bytes) -> bytes:
    return data[:-2] + struct.pack("<H", len(comment)) + comment


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda data: b"#!/bin/sh\n" + data, id="prefix"),
        pytest.param(lambda data: shifted(data, 10), id="prefix, offsets corrected"),
        pytest.param(lambda data: data + b"\0", id="a byte behind"),
        pytest.param(lambda data: data + data, id="twice"),
        pytest.param(lambda data: with_comment(data, b"hello"), id="comment"),
        pytest.param(lambda data: with_comment(data, data[-END:]), id="an end as the comment"),
        pytest.param(lambda data: data[:-END] + b"gap" + data[-END:], id="gap before the end"),
        pytest.param(lambda data: data[:-1], id="cut"),
        pytest.param(lambda data: data[:END], id="the first bytes"),
        pytest.param(lambda data: data[-END:], id="the end alone"),
        pytest.param(lambda _: b"", id="empty"),
        pytest.param(lambda _: b"PK\5\6", id="four bytes"),
    ],
)
def test_bytes_that_belong_to_no_file_are_refused(
    opened: Opened, sound: bytes, change: Callable[[bytes], bytes]
) -> None:
    assert zipfile.is_zipfile(BytesIO(sound))
    assert "is not a valid zip" in refused(opened, change(sound))


def test_bytes_between_the_files_are_refused(opened: Opened) -> None:
    one = raw(b"x")
    local = one[: LOCAL + 2]
    gap = b"payload"
    directory = one[LOCAL + 2 : -END]
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(directory), len(local) + len(gap), 0)
    data = local + gap + directory + end
    with zipfile.ZipFile(BytesIO(data)) as read:
        assert read.read("a") == b"x", "zipfile sees nothing wrong"
    assert "has bytes that belong to no file" in refused(opened, data)


def test_files_that_overlap_are_refused(opened: Opened) -> None:
    """The bomb by David Fifield: many entries that share one compressed content."""
    content = deflated(b"\0" * 100_000)
    local = raw(b"\0" * 100_000, zipped=content, method=8)[: LOCAL + 1 + len(content)]
    entry = raw(b"\0" * 100_000, zipped=content, method=8)[len(local) : -END]
    data = local + entry * 8 + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 8, 8, len(entry) * 8, len(local), 0)
    assert "right behind the file before it" in refused(opened, data)


# -- how large it is --------------------------------------------------------------------------------


def test_what_is_too_large_is_refused_before_it_is_unzipped(opened: Opened) -> None:
    bomb = written(*((f"{number}", b"\0" * LIMIT) for number in range(64)))
    assert len(bomb) < LIMIT / 8
    tracemalloc.start()
    try:
        said = refused(opened, bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "has 64.0 MB unzipped, Lambda takes 1.0 MB with layers" in said
    assert peak < 2 * LIMIT


@pytest.mark.parametrize("declared", [0, 10, 99_999, 100_001])
def test_a_size_that_is_not_the_content_s_is_refused(opened: Opened, declared: int) -> None:
    data = raw(b"\0" * 100_000, zipped=deflated(b"\0" * 100_000), method=8, size=declared)
    with pytest.raises(PackageError, match=f"declares {declared:,} bytes for 'a', whose content has another size"):
        opened(data).content("a")


def test_a_stored_file_of_another_size_is_refused(opened: Opened) -> None:
    with pytest.raises(PackageError, match="declares 3 bytes for 'a'"):
        opened(raw(b"12345", size=3)).content("a")


def test_bytes_behind_the_deflated_content_are_refused(opened: Opened) -> None:
    data = raw(b"text", zipped=deflated(b"text") + b"payload", method=8)
    with pytest.raises(PackageError, match="another size"):
        opened(data).content("a")


@pytest.mark.parametrize("zipped", [b"", b"\xff\xff", deflated(b"text")[:-2]])
def test_a_content_that_can_t_be_unzipped_is_refused(opened: Opened, zipped: bytes) -> None:
    with pytest.raises(PackageError, match=r"some\.zip is not a valid zip of lambda-llm: it .*'a'"):
        opened(raw(b"text", zipped=zipped, method=8)).content("a")


def test_another_content_is_refused(opened: Opened) -> None:
    with pytest.raises(PackageError, match="has a damaged 'a' \\(another checksum"):
        opened(raw(b"text", zipped=b"tent")).content("a")


def test_a_file_that_ends_behind_the_directory_is_refused(opened: Opened) -> None:
    data = bytearray(raw(b"x"))
    for at in (18, LOCAL + 2 + 20):  # its zipped size, both times
        struct.pack_into("<I", data, at, 2**32 - 1)
    assert "has bytes that belong to no file" in refused(opened, bytes(data))


def test_a_zip_larger_than_the_limit_is_not_read(opened: Opened) -> None:
    assert "is larger than 1.0 MB" in refused(opened, b"\0" * (LIMIT + 1))


# -- names and kinds of files -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd", "../a", "a/../b", "a/..", "..", ".", "./a", "a//b", "a/", "", "//server/share/a", "a\\b",
        "..\\a", "C:/a", "C:a", "a:stream", "a\0.txt", "a\nb", "a\x1b[2J", "a\x7f", "a\u202etxt.exe", "a\u200b",
        "e\u0301", "a. ", "a.", "a ", "folder./a", 'a"b', "a*", "a?", "a<b", "a|b", "x" * 256,
        "/".join(["x" * 200] * 21),
    ],
)  # fmt: skip
def test_a_name_that_is_unsafe_anywhere_is_refused(opened: Opened, name: str) -> None:
    assert "with the unsafe name" in refused(opened, written((name, b"")))


@pytest.mark.parametrize(
    "name", ["a b.txt", ".hidden", "a..b", "...a", "x" * 255, "日本/語.txt", "a'b", "a,b;c=d@e%20~+"]
)
def test_a_name_that_is_only_unusual_is_read(opened: Opened, name: str) -> None:
    assert opened(written((name, b"x"))).content(name) == b"x"


@pytest.mark.parametrize("name", [b"\xe9", b"caf\xc3\xa9"])
def test_a_name_in_an_encoding_that_is_not_told_is_refused(opened: Opened, name: bytes) -> None:
    assert "not marked as UTF-8" in refused(opened, raw(b"x", name))


def test_a_name_that_is_marked_as_utf_8_and_is_none_is_refused(opened: Opened) -> None:
    assert "not marked as UTF-8, or is none" in refused(opened, raw(b"x", b"\xe9", flags=0x800))


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("a", "a"), "has 'a' twice"),
        (("a", "b", "A"), "has 'a' and 'A', which are one file"),
        (("straße", "STRASSE"), "which are one file"),
        (("\ufb01le", "file"), "which are one file"),
        (("lib/a", "LIB/A"), "which are one file"),
        (("a", "a/b"), "has 'a' both as a file and as a folder"),
        (("x/y/z", "X"), "has 'X' both as a file and as a folder"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_names_for_one_file_are_refused(opened: Opened, names: tuple[str, ...], says: str) -> None:
    assert says in refused(opened, written(*((name, b"") for name in names)))


@pytest.mark.parametrize(
    "attributes",
    [
        pytest.param((stat.S_IFLNK | 0o777) << 16, id="symlink"),
        pytest.param((stat.S_IFDIR | 0o755) << 16 | 0x10, id="folder"),
        pytest.param((stat.S_IFREG | 0o644) << 16 | 0x10, id="folder for DOS"),
        pytest.param((stat.S_IFCHR | 0o644) << 16, id="device"),
        pytest.param((stat.S_IFBLK | 0o644) << 16, id="block device"),
        pytest.param((stat.S_IFIFO | 0o644) << 16, id="pipe"),
        pytest.param((stat.S_IFSOCK | 0o644) << 16, id="socket"),
        pytest.param((stat.S_IFREG | 0o4755) << 16, id="setuid"),
        pytest.param((stat.S_IFREG | 0o2755) << 16, id="setgid"),
        pytest.param(0, id="nothing"),
    ],
)
def test_anything_but_a_regular_file_is_refused(opened: Opened, attributes: int) -> None:
    assert "has 'a', which is no regular file" in refused(opened, written(("a", b"b"), attributes=attributes))


# -- two descriptions of one file -------------------------------------------------------------------


@pytest.mark.parametrize("at", [4, 6, 8, 10, 12, 14, 18, 22, LOCAL])
def test_a_header_that_contradicts_the_directory_is_refused(opened: Opened, at: int) -> None:
    data = bytearray(raw(b"x"))
    data[at] ^= 1
    assert "describes 'a' differently" in refused(opened, bytes(data))


@pytest.mark.parametrize("at", [26, 28])
def test_lengths_that_contradict_the_directory_are_refused(opened: Opened, at: int) -> None:
    data = bytearray(raw(b"x"))
    data[at] ^= 1
    assert "describes 'a' differently" in refused(opened, bytes(data))


@pytest.mark.parametrize("flags", [1, 8, 0x20, 0x40, 0x2000])
def test_what_is_encrypted_or_streamed_is_refused(opened: Opened, flags: int) -> None:
    assert "in a form that" in refused(opened, raw(b"x", flags=flags))


@pytest.mark.parametrize("method", [1, 9, 12, 14, 93, 99])
def test_another_compression_is_refused(opened: Opened, method: int) -> None:
    assert "in a form that" in refused(opened, raw(b"x", method=method))


def test_extra_fields_and_comments_are_refused(opened: Opened) -> None:
    for field in ("extra", "comment"):
        file = BytesIO()
        with zipfile.ZipFile(file, "w") as read:
            entry = zipfile.ZipInfo("a")
            entry.external_attr = REGULAR
            setattr(entry, field, struct.pack("<HH", 0x7075, 0))
            read.writestr(entry, b"x")
        assert "is not a valid zip" in refused(opened, file.getvalue())


@pytest.mark.parametrize(
    ("at", "value"),
    [(4, 1), (6, 1), (8, 2), (10, 2), (12, 0), (12, 2**32 - 1), (16, 0), (16, 2**32 - 1)],
)
def test_an_end_that_contradicts_the_directory_is_refused(opened: Opened, at: int, value: int) -> None:
    data = bytearray(raw(b"x"))
    struct.pack_into("<H" if at < 12 else "<I", data, len(data) - END + at, value)
    assert "is not a valid zip" in refused(opened, bytes(data))


def test_a_count_that_is_elsewhere_is_refused(opened: Opened) -> None:
    data = bytearray(raw(b"x"))
    struct.pack_into("<HH", data, len(data) - END + 8, 0xFFFF, 0xFFFF)
    assert "more than 65,534 files" in refused(opened, bytes(data))


def test_fewer_files_than_there_are_is_refused(opened: Opened, sound: bytes) -> None:
    data = bytearray(sound)
    struct.pack_into("<HH", data, len(data) - END + 8, 3, 3)
    assert "has bytes that belong to no file" in refused(opened, bytes(data))


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.zip")
    with pytest.raises(PackageError, match="it is no regular file"):
        StrictZip(tmp_path / "pipe.zip", LIMIT)
