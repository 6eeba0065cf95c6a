"""Zips as `archive.write` writes them, and no others: file after file, then their directory, and nothing else.

A zip describes each file twice, before its content and in the directory at the end, and readers differ in which one
they believe. `zipfile` accepts prefixes, gaps, comments and contradictions; what is checked before it is deployed must
be the same zip to every reader.

Source: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
"""

import stat
import struct
import unicodedata
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from lambda_llm.packaging.errors import PackageError
from lambda_llm.units import megabytes

_END: Final = struct.Struct("<4s4H2IH")  # signature, disks, entries, size and offset of the directory, comment length
_CENTRAL: Final = struct.Struct("<4sH26s3H2I")  # signature, made by, shared, lengths …, attributes, offset
_LOCAL: Final = struct.Struct("<4s26s")  # signature, shared
_SHARED: Final = struct.Struct(
    "<5H3I2H"
)  # version, flags, method, time, date, CRC-32, sizes, lengths of name and extra

_STORED, _DEFLATED = 0, 8
_UTF8: Final = 0x800
_UNIX: Final = 3
_MANY: Final = 0xFFFF
"""In place of the number of files: it is in a further record, for more of them."""

_NAME_BYTES: Final = 255
_PATH_BYTES: Final = 4096
"""Of a file's or folder's name, and of a whole path: Linux takes no longer ones."""


@dataclass(frozen=True)
class Entry:
    """A file in a zip.

    Attributes:
        name: its path, with slashes.
        mode: its permissions.
        size: of its content in bytes, as declared.
        method: 0 (stored) or 8 (deflated).
        crc: CRC-32 of its content, as declared.
        zipped: its content as it is in the zip.
    """

    name: str
    mode: int
    size: int
    method: int
    crc: int
    zipped: memoryview


class StrictZip:
    """A zip in memory.

    Attributes:
        path: of the zip.
        data: its bytes.
        entries: its files by name.
    """

    def __init__(self, path: Path, limit: int) -> None:
        """Read the directory and compare it with what is before each file; no content is unzipped.

        Args:
            path: of the zip.
            limit: most bytes that the zip, and that all files unzipped, may have.

        Raises:
            PackageError: the first problem found.
        """
        self.path = path
        self.data = self._read(limit)
        count, directory = self._end()
        entries = []
        at, begins = directory, 0
        for _ in range(count):
            entry, at, begins = self._entry(at, begins)
            entries.append(entry)
        if begins != directory or at != len(self.data) - _END.size:
            raise self._malformed("has bytes that belong to no file")
        self._check_names(entries)
        self.entries = {entry.name: entry for entry in entries}
        total = sum(entry.size for entry in entries)
        if total > limit:
            raise PackageError(f"{path} has {megabytes(total)} unzipped, Lambda takes {megabytes(limit)} with layers.")

    def content(self, name: str) -> bytes:
        """Unzip a file: never more than its declared size.

        Raises:
            PackageError: its content is damaged, or has another size than declared.
        """
        entry = self.entries[name]
        content, complete = bytes(entry.zipped), True
        if entry.method == _DEFLATED:
            inflate = zlib.decompressobj(-zlib.MAX_WBITS)
            try:
                content = inflate.decompress(entry.zipped, entry.size + 1)
            except zlib.error as error:
                raise self._malformed(f"has a damaged {name!r} ({error})") from error
            complete = inflate.eof and not inflate.unused_data
        if not complete or len(content) != entry.size:
            raise self._malformed(f"declares {entry.size:,} bytes for {name!r}, whose content has another size")
        if zlib.crc32(content) != entry.crc:
            raise self._malformed(f"has a damaged {name!r} (another checksum than declared)")
        return content

    def _read(self, limit: int) -> bytes:
        if not self.path.exists():
            raise PackageError(f"There is no file {self.path}: build it with `lambda-llm package`.")
        if not self.path.is_file():
            raise self._malformed("is no regular file")
        try:
            with self.path.open("rb") as file:
                data = file.read(limit + 1)
        except OSError as error:
            raise self._malformed(f"can't be read ({error.strerror})") from error
        if len(data) > limit:
            raise PackageError(f"{self.path} is larger than {megabytes(limit)}, all that Lambda takes unzipped.")
        return data

    def _end(self) -> tuple[int, int]:
        """How many files there are, and where the directory begins."""
        end = len(self.data) - _END.size
        if end < 0 or self.data[end : end + 4] != b"PK\5\6":
            raise self._malformed("does not end with a zip's end, without a comment or further bytes")
        _, disk, first, here, count, size, directory, comment = _END.unpack_from(self.data, end)
        if comment or (disk, first, here) != (0, 0, count) or count == _MANY:
            raise self._malformed("is split, has a comment, or is in the format for more than 65,534 files")
        if directory + size != end:
            raise self._malformed("has bytes before its first file or around its directory")
        return count, directory

    def _entry(self, at: int, begins: int) -> tuple[Entry, int, int]:
        """The entry at `at` of the directory, whose file must begin at `begins`; and where the next ones must be."""
        try:
            signature, made, shared, comment, disk, _, attributes, offset = _CENTRAL.unpack_from(self.data, at)
            local, repeated = _LOCAL.unpack_from(self.data, begins)
        except struct.error:
            raise self._malformed("ends within its directory") from None
        _, flags, method, _, _, crc, zipped, size, length, extra = _SHARED.unpack(shared)
        next_at = at + _CENTRAL.size + length
        starts = begins + _LOCAL.size + length
        raw = self.data[next_at - length : next_at]
        name = self._name(raw, flags)
        if (signature, local) != (b"PK\1\2", b"PK\3\4") or offset != begins:
            raise self._malformed(f"does not have {name!r} right behind the file before it")
        if repeated != shared or self.data[starts - length : starts] != raw:
            raise self._malformed(f"describes {name!r} differently in its directory and before its content")
        if extra or comment or disk or flags & ~_UTF8 or made >> 8 != _UNIX or method not in {_STORED, _DEFLATED}:
            raise self._malformed(f"has {name!r} in a form that `lambda-llm package` never writes")
        mode = attributes >> 16
        if not stat.S_ISREG(mode) or stat.S_IMODE(mode) & ~0o777 or attributes & 0xFFFF:
            raise self._malformed(f"has {name!r}, which is no regular file with plain permissions")
        content = memoryview(self.data)[starts : starts + zipped]
        return Entry(name, stat.S_IMODE(mode), size, method, crc, content), next_at, starts + zipped

    def _name(self, raw: bytes, flags: int) -> str:
        """A path that means the same file, below the folder it is unzipped to, on every system."""
        try:
            name = raw.decode("utf-8" if flags & _UTF8 else "ascii")
        except UnicodeDecodeError:
            raise self._malformed(f"has a file name that is not marked as UTF-8, or is none ({raw[:80]!r})") from None
        parts = name.split("/")
        if (
            not name.isprintable()
            or unicodedata.normalize("NFC", name) != name
            or any(character in name for character in '\\:*?"<>|')
            or any(part in {"", ".", ".."} or part[-1] in ". " for part in parts)
            or any(len(part.encode()) > _NAME_BYTES for part in parts)
            or len(raw) > _PATH_BYTES
        ):
            raise self._malformed(f"has a file with the unsafe name {name[:80]!r}")
        return name

    def _check_names(self, entries: list[Entry]) -> None:
        """Raise where two names are one on some system, or one is the folder of another."""
        files: dict[str, str] = {}
        for entry in entries:
            folded = _folded(entry.name)
            if entry.name == files.get(folded):
                raise self._malformed(f"has {entry.name!r} twice")
            if folded in files:
                raise self._malformed(f"has {files[folded]!r} and {entry.name!r}, which are one file on some systems")
            files[folded] = entry.name
        for entry in entries:
            for folder in PurePosixPath(_folded(entry.name)).parents:
                if str(folder) in files:
                    raise self._malformed(f"has {files[str(folder)]!r} both as a file and as a folder")

    def _malformed(self, how: str) -> PackageError:
        return PackageError(f"{self.path} is not a valid zip of lambda-llm: it {how}; build it again.")


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
