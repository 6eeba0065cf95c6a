"""Whether shared libraries can be loaded on Lambda."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePosixPath
from typing import IO, Any, Final, TypeVar

from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection

from lambda_llm.packaging.errors import PackageError

NEWEST: Final = {"GLIBC": (2, 34), "GLIBCXX": (3, 4, 29), "CXXABI": (1, 3, 13)}
"""Versions of symbols in the C library and in GCC 11's C++ library: those of Amazon Linux 2023, which the managed
runtime is based on.
Source: https://docs.aws.amazon.com/linux/al2023/ug/compare-with-al2.html and
https://gcc.gnu.org/onlinedocs/libstdc++/manual/abi.html"""

SYSTEM_LIBRARIES: Final = re.compile(
    r"(libc|libm|libdl|librt|libpthread|libutil|libgcc_s|libstdc\+\+|libz)\.so\.\d+|ld-linux-(aarch64|x86-64)\.so\.\d"
)
"""Libraries of the runtime's operating system; all others must be in the package."""

MACHINES: Final = {"arm64": "EM_AARCH64", "x86_64": "EM_X86_64"}
"""ELF's names for what Lambda calls an architecture."""

_VERSION: Final = re.compile(rf"({'|'.join(NEWEST)})_(\d+(?:\.\d+)*)")


PARTS: Final = 4096
"""Most sections, dynamic tags and symbol versions of a library."""

T = TypeVar("T")


@dataclass(frozen=True)
class SharedLibrary:
    """A library's header.

    Attributes:
        path: inside the package.
        machine: for example `EM_AARCH64`.
        needed: names of the libraries that it links.
        search: its RPATH and RUNPATH, split.
        versions: the newest symbol versions that it needs, by the keys of `NEWEST`.
    """

    path: str
    machine: str
    needed: tuple[str, ...]
    search: tuple[str, ...]
    versions: Mapping[str, tuple[int, ...]]


def read(path: str, file: IO[bytes]) -> SharedLibrary:
    """Read a library's header.

    Args:
        path: inside the package.
        file: seekable.

    Raises:
        PackageError: it is not an ELF file.
    """
    try:
        elf = ELFFile(file)
        sections: list[Any] = _few(elf.get_section(number) for number in range(elf.num_sections()))
        tags: list[Any] = _few(tag for part in sections if isinstance(part, DynamicSection) for tag in part.iter_tags())
        needs = [part for part in sections if isinstance(part, GNUVerNeedSection)]
        versions = _few(version.name for part in needs for _, needed in part.iter_versions() for version in needed)
    except Exception as error:  # elftools raises whatever a damaged header leads it to
        raise PackageError(f"{path} is not a library for Linux ({error!r}): build the package again.") from error
    kinds = ("DT_NEEDED", "DT_RPATH", "DT_RUNPATH")
    by_kind = {kind: [tag for tag in tags if tag.entry.d_tag == kind] for kind in kinds}
    search = [tag.rpath for tag in by_kind["DT_RPATH"]] + [tag.runpath for tag in by_kind["DT_RUNPATH"]]
    needed = tuple(tag.needed for tag in by_kind["DT_NEEDED"])
    if strange := [text for text in (*needed, *search) if not text.isprintable()]:
        raise PackageError(f"{path} is not a library for Linux (it names {strange[0]!r}): build the package again.")
    newest: dict[str, tuple[int, ...]] = {}
    for match in filter(None, map(_VERSION.fullmatch, versions)):
        number = tuple(map(int, match[2].split(".")))
        newest[match[1]] = max(number, newest.get(match[1], number))
    return SharedLibrary(
        path,
        elf.header.e_machine,
        needed,
        tuple(folder for each in search for folder in each.split(":")),
        newest,
    )


def _few(parts: Iterable[T]) -> list[T]:
    """A list of what a real library has a few of, and a damaged header announces billions of."""
    found = list(islice(parts, PARTS + 1))
    if len(found) > PARTS:
        raise ELFError(f"more than {PARTS:,} sections, tags or versions")
    return found


def check(library: SharedLibrary, architecture: str, package: Collection[str]) -> None:
    """Return if the library can be loaded on Lambda.

    Args:
        library: a library of the package.
        architecture: Lambda's name: `arm64` or `x86_64`.
        package: paths of every file in the package.

    Raises:
        PackageError: what is wrong with it.
    """
    if library.machine != MACHINES[architecture]:
        raise PackageError(f"{library.path} is for {library.machine}, not for {architecture}: build it again.")
    for name, version in library.versions.items():
        if version > NEWEST[name]:
            raise PackageError(
                f"{library.path} needs {name} {dotted(version)}, but Lambda has {dotted(NEWEST[name])}: pin a release "
                "of it that is built for an older system."
            )
    foreign = [each for each in library.search if not each.startswith("$ORIGIN")]
    if foreign:
        raise PackageError(f"{library.path} looks for libraries in {foreign[0]!r}, a folder of the building machine.")
    own = {PurePosixPath(path).name for path in package}
    for name in library.needed:
        if name not in own and not SYSTEM_LIBRARIES.fullmatch(name):
            raise PackageError(f"{library.path} needs {name}, which is neither in the package nor on Lambda.")


def dotted(version: Iterable[int]) -> str:
    """A version with dots."""
    return ".".join(map(str, version))
