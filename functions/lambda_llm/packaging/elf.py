"""Shared libraries: whether they can be loaded on Lambda."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, Any, Final

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from lambda_llm.packaging.errors import PackageError

GLIBC_MAX: Final = (2, 34)
"""C library of Amazon Linux 2023, on which the managed runtime stands.
Source: https://docs.aws.amazon.com/linux/al2023/ug/compare-with-al2.html"""

SYSTEM_LIBRARIES: Final = re.compile(
    r"(libc|libm|libdl|librt|libpthread|libutil|libgcc_s|libstdc\+\+|libz)\.so\.\d+|ld-linux-(aarch64|x86-64)\.so\.\d"
)
"""What the runtime's own system holds; everything else must be in the package."""

MACHINES: Final = {"arm64": "EM_AARCH64", "x86_64": "EM_X86_64"}
"""ELF's names for what Lambda calls an architecture."""

_GLIBC: Final = re.compile(r"GLIBC_(\d+)\.(\d+)")


@dataclass(frozen=True)
class SharedLibrary:
    """What the header of one library says.

    Attributes:
        path: inside the package.
        machine: for example `EM_AARCH64`.
        needed: names of the libraries it wants.
        search: where it looks for them first.
        glibc: newest version of the C library that it needs, (0, 0) for none.
    """

    path: str
    machine: str
    needed: tuple[str, ...]
    search: tuple[str, ...]
    glibc: tuple[int, int]


def read(path: str, file: IO[bytes]) -> SharedLibrary:
    """Read a library's header.

    Args:
        path: inside the package.
        file: seekable.

    Raises:
        PackageError: it is no ELF file.
    """
    try:
        elf = ELFFile(file)
        dynamic: list[Any] = list(elf.iter_sections("SHT_DYNAMIC"))
        needs: list[Any] = list(elf.iter_sections("SHT_GNU_verneed"))
        tags = [tag for part in dynamic for tag in part.iter_tags()]
        versions = [version.name for part in needs for _, needed in part.iter_versions() for version in needed]
    except ELFError as error:
        raise PackageError(f"{path} is no library for Linux ({error}): build the package again.") from error
    kinds = ("DT_NEEDED", "DT_RPATH", "DT_RUNPATH")
    by_kind = {kind: [tag for tag in tags if tag.entry.d_tag == kind] for kind in kinds}
    search = [tag.rpath for tag in by_kind["DT_RPATH"]] + [tag.runpath for tag in by_kind["DT_RUNPATH"]]
    found = [(int(match[1]), int(match[2])) for match in map(_GLIBC.fullmatch, versions) if match]
    return SharedLibrary(
        path,
        elf.header.e_machine,
        tuple(tag.needed for tag in by_kind["DT_NEEDED"]),
        tuple(folder for each in search for folder in each.split(":")),
        max(found, default=(0, 0)),
    )


def check(library: SharedLibrary, architecture: str, package: Collection[str]) -> None:
    """Return if the library can be loaded on Lambda.

    Args:
        library: one of the package.
        architecture: Lambda's name: `arm64` or `x86_64`.
        package: paths of every file in the package.

    Raises:
        PackageError: what is wrong with it.
    """
    if library.machine != MACHINES[architecture]:
        raise PackageError(f"{library.path} is for {library.machine}, not for {architecture}: build it again.")
    if library.glibc > GLIBC_MAX:
        raise PackageError(
            f"{library.path} needs GLIBC {library.glibc[0]}.{library.glibc[1]}, but Lambda has "
            f"{GLIBC_MAX[0]}.{GLIBC_MAX[1]}: pin a release of it that is built for an older system."
        )
    foreign = [each for each in library.search if not each.startswith("$ORIGIN")]
    if foreign:
        raise PackageError(f"{library.path} looks for libraries in {foreign[0]!r}, a folder of the building machine.")
    own = {PurePosixPath(path).name for path in package}
    for name in library.needed:
        if name not in own and not SYSTEM_LIBRARIES.fullmatch(name):
            raise PackageError(f"{library.path} needs {name}, which is neither in the package nor on Lambda.")
