"""Shared libraries as small as they can be: headers of ELF around the few tables that are looked at."""

import struct
from collections.abc import Mapping, Sequence

AARCH64, X86_64 = 183, 62
_NULL, _STRTAB, _DYNAMIC, _VERNEED = 0, 3, 6, 0x6FFFFFFE
_NEEDED, _RPATH, _RUNPATH = 1, 15, 29


class _Strings:
    def __init__(self) -> None:
        self.data = b"\0"

    def add(self, text: str) -> int:
        at = len(self.data)
        self.data += text.encode() + b"\0"
        return at


def shared_library(
    machine: int = AARCH64,
    *,
    needed: Sequence[str] = (),
    rpath: str | None = None,
    runpath: str | None = None,
    versions: Mapping[str, Sequence[str]] | None = None,
) -> bytes:
    """A library that needs others, looks for them in folders, and wants versions of their symbols."""
    names, strings = _Strings(), _Strings()
    tags = [(_NEEDED, strings.add(name)) for name in needed]
    tags += [(tag, strings.add(path)) for tag, path in ((_RPATH, rpath), (_RUNPATH, runpath)) if path is not None]
    dynamic = b"".join(struct.pack("<QQ", *tag) for tag in [*tags, (0, 0)])
    wanted = b""
    for index, (file, each) in enumerate((versions or {}).items(), 1):
        size = 16 + 16 * len(each)
        following = 0 if index == len(versions or {}) else size
        wanted += struct.pack("<HHIII", 1, len(each), strings.add(file), 16, following)
        for number, version in enumerate(each, 1):
            wanted += struct.pack("<IHHII", 0, 0, number, strings.add(version), 0 if number == len(each) else 16)
    parts = [(".dynamic", _DYNAMIC, dynamic, 16, 0)]
    if versions:
        parts.append((".gnu.version_r", _VERNEED, wanted, 0, len(versions)))
    parts.append((".dynstr", _STRTAB, strings.data, 0, 0))
    at = {name: names.add(name) for name in [*(name for name, *_ in parts), ".shstrtab"]}
    parts.append((".shstrtab", _STRTAB, names.data, 0, 0))
    link = len(parts) - 1  # of .dynstr: sections count from one
    body, headers = b"", b"\0" * 64
    for name, kind, data, entry, info in parts:
        linked = link if kind in {_DYNAMIC, _VERNEED} else 0
        headers += struct.pack("<IIQQQQIIQQ", at[name], kind, 0, 0, 64 + len(body), len(data), linked, info, 1, entry)
        body += data
    ident = b"\x7fELF\x02\x01\x01" + b"\0" * 9
    fixed = struct.pack(
        "<HHIQQQIHHHHHH", 3, machine, 1, 0, 0, 64 + len(body), 0, 64, 0, 0, 64, len(parts) + 1, len(parts)
    )
    return ident + fixed + body + headers
