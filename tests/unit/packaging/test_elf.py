"""Which libraries can be loaded on Lambda."""

import io
from collections.abc import Mapping
from random import Random
from typing import Any

import pytest

from lambda_llm.packaging import elf
from lambda_llm.packaging.elf import NEWEST, SharedLibrary
from lambda_llm.packaging.errors import PackageError
from support.elf import AARCH64, X86_64, shared_library

PATH = "llama_cpp/lib/libllama.so"
PACKAGE = [PATH, "llama_cpp/lib/libggml.so", "numpy.libs/libopenblas-1b7162d6.so"]


def library(
    *needed: str,
    machine: str = "EM_AARCH64",
    search: tuple[str, ...] = ("$ORIGIN",),
    versions: Mapping[str, tuple[int, ...]] = NEWEST,
) -> SharedLibrary:
    return SharedLibrary(PATH, machine, needed, search, versions)


def test_the_header_is_read() -> None:
    data = shared_library(
        needed=["libggml.so", "libc.so.6"],
        rpath="/opt/lib:$ORIGIN",
        runpath="$ORIGIN/../lib",
        versions={
            "libc.so.6": ["GLIBC_2.17", "GLIBC_2.34", "GLIBC_2.4"],
            "libstdc++.so.6": ["GLIBCXX_3.4.9", "GLIBCXX_3.4.21", "CXXABI_1.3", "CXXABI_ARM_1.3.3", "GLIBC_PRIVATE"],
        },
    )
    assert elf.read(PATH, io.BytesIO(data)) == SharedLibrary(
        PATH,
        "EM_AARCH64",
        ("libggml.so", "libc.so.6"),
        ("/opt/lib", "$ORIGIN", "$ORIGIN/../lib"),
        {"GLIBC": (2, 34), "GLIBCXX": (3, 4, 21), "CXXABI": (1, 3)},
    )


def test_a_library_that_needs_nothing_is_read_too() -> None:
    read = elf.read(PATH, io.BytesIO(shared_library(X86_64)))
    assert read == SharedLibrary(PATH, "EM_X86_64", (), (), {})


@pytest.mark.parametrize("length", range(0, 520, 5))
def test_a_truncated_library_is_no_library(length: int) -> None:
    data = shared_library(AARCH64, needed=["libc.so.6"], versions={"libc.so.6": ["GLIBC_2.17"]})
    assert length < len(data)
    with pytest.raises(PackageError, match=r"libllama\.so is not a library for Linux .*: build the package again"):
        elf.read(PATH, io.BytesIO(data[:length]))


def test_a_damaged_header_is_read_or_told_and_never_a_stranger_s_error_or_endless() -> None:
    sound = shared_library(needed=["libggml.so"], runpath="$ORIGIN", versions={"libc.so.6": ["GLIBC_2.34"]})
    random = Random(1)  # noqa: S311 - reproducible
    told = 0
    for _ in range(1000):
        damaged = bytearray(sound)
        for _ in range(random.randint(1, 3)):
            damaged[random.randrange(len(damaged))] = random.choice([0, 1, 0xFF, random.randrange(256)])
        try:
            elf.read(PATH, io.BytesIO(damaged))
        except PackageError:
            told += 1
    assert 50 < told < 500


def test_a_header_that_announces_more_than_a_library_has_is_refused() -> None:
    many = shared_library(needed=[f"lib{number}.so" for number in range(elf.PARTS)])
    with pytest.raises(PackageError, match="more than 4,096 sections, tags or versions"):
        elf.read(PATH, io.BytesIO(many))


@pytest.mark.parametrize("named", [{"needed": ["lib\x1b[2J.so"]}, {"runpath": "/\x9b31m"}])
def test_a_name_that_would_write_to_the_terminal_is_refused(named: dict[str, Any]) -> None:
    with pytest.raises(PackageError, match=r"it names '\S*\\x") as error:
        elf.read(PATH, io.BytesIO(shared_library(**named)))
    assert str(error.value).isprintable()


def test_what_the_package_and_the_system_hold_may_be_needed() -> None:
    system = ("libc.so.6", "libm.so.6", "libstdc++.so.6", "libgcc_s.so.1", "ld-linux-aarch64.so.1", "libpthread.so.0")
    elf.check(library("libggml.so", "libopenblas-1b7162d6.so", *system), "arm64", PACKAGE)


@pytest.mark.parametrize("name", ["libgomp.so.1", "libgfortran.so.5", "libc.so", "libcurl.so.4", "libllama.so.0"])
def test_a_library_that_is_nowhere_is_missed(name: str) -> None:
    with pytest.raises(PackageError, match=f"{PATH} needs {name}, which is neither in the package nor on Lambda"):
        elf.check(library("libc.so.6", name), "arm64", PACKAGE)


@pytest.mark.parametrize(
    ("machine", "architecture"), [("EM_X86_64", "arm64"), ("EM_ARM", "arm64"), ("EM_AARCH64", "x86_64")]
)
def test_a_library_for_another_machine_is_refused(machine: str, architecture: str) -> None:
    with pytest.raises(PackageError, match=f"{PATH} is for {machine}, not for {architecture}"):
        elf.check(library(machine=machine), architecture, PACKAGE)


@pytest.mark.parametrize(
    ("name", "version", "says"),
    [
        ("GLIBC", (2, 35), "needs GLIBC 2.35, but Lambda has 2.34"),
        ("GLIBC", (3, 0), "needs GLIBC 3.0, but Lambda has 2.34"),
        ("GLIBCXX", (3, 4, 30), "needs GLIBCXX 3.4.30, but Lambda has 3.4.29"),
        ("CXXABI", (1, 3, 14), "needs CXXABI 1.3.14, but Lambda has 1.3.13"),
    ],
)
def test_a_symbol_that_the_system_is_too_old_for_is_missed(name: str, version: tuple[int, ...], says: str) -> None:
    with pytest.raises(PackageError, match=f"{PATH} {says}: pin a release"):
        elf.check(library(versions={**NEWEST, name: version}), "arm64", PACKAGE)


@pytest.mark.parametrize("version", [(2, 17), (2, 2, 5), (2, 34)])
def test_older_symbols_are_there(version: tuple[int, ...]) -> None:
    elf.check(library(versions={"GLIBC": version}), "arm64", PACKAGE)


@pytest.mark.parametrize("folder", ["/usr/local/lib", "", "../lib", "/tmp/$ORIGIN"])  # noqa: S108
def test_a_folder_of_the_building_machine_is_refused(folder: str) -> None:
    with pytest.raises(PackageError, match="a folder of the building machine"):
        elf.check(library(search=("$ORIGIN", folder)), "arm64", PACKAGE)


def test_folders_of_the_package_may_be_searched() -> None:
    elf.check(library(search=("$ORIGIN", "$ORIGIN/../../numpy.libs")), "arm64", PACKAGE)
