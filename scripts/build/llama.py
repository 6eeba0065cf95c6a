"""Build llama.cpp's shared libraries from the source package of llama-cpp-python.

Used by the set-up and the packaging, or on its own:

    python -m scripts.build.llama [--arch x86_64|aarch64] [--every-cpu] [--define NAME=VALUE] [--unedited] [--jobs N]

Uses the standard library only: it runs before anything is installed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from scripts import ROOT
from scripts.build.llama_edits import Edit, digest, read_edits
from scripts.build.progress import Progress, SetupError, run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

__all__ = ["SOURCE", "Target", "Toolchain", "build", "find_toolchain", "fingerprint", "libraries", "options"]

BUILD = ROOT / ".build"
NATIVE = ROOT / "native" / "CMakeLists.txt"
SOURCE = BUILD / "llama-cpp-python"
SOURCE_STAMP = ".sha256"
LLAMA_CPP = SOURCE / "vendor" / "llama.cpp"
COMPILER_ENVIRONMENT = BUILD / "compiler"

LINUX_GLIBC = {"x86_64": "2.28", "aarch64": "2.34"}
"""Oldest glibc that zig builds for: Debian 10's, and Amazon Linux 2023's, which is Lambda's."""

ARM_BASELINE = "armv8.2-a+dotprod"
"""Graviton2 and later; Raspberry Pi 5 and later."""

NINJA_STATUS = re.compile(r"\[(\d+)/(\d+)\] (?:.*/)?(\S+)")


@dataclass(frozen=True)
class Target:
    """The machine that the libraries will run on.

    Attributes:
        system: `linux` or `darwin`.
        arch: `x86_64` or `aarch64`.
        every_cpu: one loadable library for each generation of CPUs, selected at run time, instead of one for all.
        defines: further CMake options, each as `NAME=VALUE`; they override this project's.
        edited: with this project's edits of llama.cpp's source.
    """

    system: str
    arch: str
    every_cpu: bool = False
    defines: tuple[str, ...] = ()
    edited: bool = True

    @classmethod
    def host(cls) -> Target:
        """This machine."""
        machine = platform.machine().lower()
        return cls(platform.system().lower(), {"arm64": "aarch64", "amd64": "x86_64"}.get(machine, machine))

    @property
    def name(self) -> str:
        """Name of the build's folder below .build/llama."""
        other = hashlib.sha256("\n".join(self.defines).encode()).hexdigest()[:8] if self.defines else ""
        parts = (self.system, self.arch, "every-cpu" * self.every_cpu, "unedited" * (not self.edited), other)
        return "-".join(filter(None, parts))

    @property
    def edits(self) -> list[Edit]:
        """What is changed in llama.cpp's source before it is compiled."""
        return read_edits() if self.edited else []

    @property
    def suffix(self) -> str:
        """File name suffix of its shared libraries."""
        return ".dylib" if self.system == "darwin" else ".so"


@dataclass(frozen=True)
class Toolchain:
    """Programs that compile for one target.

    Attributes:
        cc: the C compiler.
        cxx: the C++ compiler.
        cmake: CMake.
        ninja: Ninja.
        identity: compiler and version; a change causes a rebuild.
    """

    cc: str
    cxx: str
    cmake: str
    ninja: str
    identity: str


def find_toolchain(
    target: Target, search_path: str | None = None, installed: Path = COMPILER_ENVIRONMENT
) -> Toolchain | None:
    """Find the programs for a target: on PATH first, then in an environment that pip installed them into.

    A target other than this machine is always built with zig, which cross-compiles.

    Args:
        target: what to build for.
        search_path: where to look, in PATH's format; None for PATH itself.
        installed: the environment with the packages of requirements/compiler.txt, if installed.

    Returns:
        The toolchain, or None if something is missing that requirements/compiler.txt would install.
    """
    host_compilers = _is_host(target)
    cmake = _find("cmake", search_path, installed)
    ninja = _find("ninja", search_path, installed)
    cc = shutil.which(os.environ.get("CC", "cc"), path=search_path) if host_compilers else None
    cxx = shutil.which(os.environ.get("CXX", "c++"), path=search_path) if host_compilers else None
    if not (cmake and ninja):
        return None
    if cc and cxx:
        version = subprocess.run([cxx, "--version"], capture_output=True, text=True, check=False)
        return Toolchain(cc, cxx, cmake, ninja, version.stdout.partition("\n")[0])
    zig = next(installed.glob("lib/python*/site-packages/ziglang/zig"), None)
    if zig is None:
        return None
    version = subprocess.run([zig, "version"], capture_output=True, text=True, check=False)
    wrappers = installed / "wrappers" / target.name
    _write_wrappers(wrappers, zig, target)
    return Toolchain(str(wrappers / "cc"), str(wrappers / "c++"), cmake, ninja, f"zig {version.stdout.strip()}")


def options(target: Target) -> dict[str, str]:
    """Choose CMake's options for a target.

    Args:
        target: what to build for.

    Returns:
        Values by option name.
    """
    chosen = {"CMAKE_BUILD_TYPE": "Release", "GGML_NATIVE": "OFF"}
    if not _is_host(target):
        chosen |= {"CMAKE_SYSTEM_NAME": target.system.capitalize(), "CMAKE_SYSTEM_PROCESSOR": target.arch}
    if target.every_cpu:
        chosen |= {"GGML_BACKEND_DL": "ON", "GGML_CPU_ALL_VARIANTS": "ON"}
    elif target.arch == "x86_64":
        # By name, not detected on this machine: some clouds advertise AMX and then crash on it.
        chosen |= dict.fromkeys(("GGML_AVX2", "GGML_FMA", "GGML_F16C", "GGML_BMI2"), "ON")
    elif target.system == "darwin":
        chosen["GGML_NATIVE"] = "ON"
    else:
        chosen["GGML_CPU_ARM_ARCH"] = ARM_BASELINE
    return chosen | {name: value for name, _, value in (each.partition("=") for each in target.defines)}


def fingerprint(
    source_hash: str, toolchain: Toolchain, chosen: Mapping[str, str], native: str, edits: Sequence[Edit]
) -> str:
    """Hash everything that determines the contents of the libraries.

    Args:
        source_hash: SHA-256 of the source package.
        toolchain: what to build with.
        chosen: CMake's options.
        native: the text of native/CMakeLists.txt.
        edits: of the source.

    Returns:
        A hash; a build with an equal one is up to date.
    """
    inputs = [source_hash, toolchain.identity, sorted(chosen.items()), native, digest(edits)]
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()


def libraries(folder: Path) -> list[Path]:
    """List the shared libraries in a folder."""
    return sorted(path for suffix in (".so", ".dylib") for path in folder.glob(f"*{suffix}"))


def build(
    target: Target,
    toolchain: Toolchain,
    *,
    source: Path = SOURCE,
    output: Path = BUILD / "llama",
    jobs: int | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> Path:
    """Build the libraries for a target, unless they are up to date.

    Args:
        target: what to build for.
        toolchain: what to build with.
        source: the unpacked source package of llama-cpp-python.
        output: parent of each target's folder.
        jobs: parallel compiler processes; None for one per CPU.
        report: called with the build's progress, in a few words.

    Returns:
        The folder with the libraries, which find each other in any copy of it.

    Raises:
        SetupError: a step failed.
    """
    folder = output / target.name
    stamp = folder / "stamp"
    chosen = options(target)
    edits = target.edits
    wanted = fingerprint(
        (source / SOURCE_STAMP).read_text(encoding="utf-8"),
        toolchain,
        chosen,
        NATIVE.read_text(encoding="utf-8"),
        edits,
    )
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return folder / "lib"

    shutil.rmtree(folder, ignore_errors=True)
    (folder / "lib").mkdir(parents=True)
    work = folder / "work"
    edited = folder / "source"
    shutil.copytree(source / "vendor" / "llama.cpp", edited, symlinks=True)
    for edit in edits:
        edit.apply(edited)
    environment = os.environ | {
        # llama.cpp reads its version from git, and would read this repository's.
        "GIT_CEILING_DIRECTORIES": str(folder),
        "NINJA_STATUS": "[%f/%t] ",
        "CFLAGS": "",
        "CXXFLAGS": "",
    }
    report("configuring")
    run(
        [
            toolchain.cmake,
            *("-G", "Ninja", "-S", str(NATIVE.parent), "-B", str(work)),
            f"-DCMAKE_MAKE_PROGRAM={toolchain.ninja}",
            f"-DCMAKE_C_COMPILER={toolchain.cc}",
            f"-DCMAKE_CXX_COMPILER={toolchain.cxx}",
            f"-DLLAMA_CPP={edited}",
            *(f"-D{name}={value}" for name, value in chosen.items()),
        ],
        folder / "configure.log",
        lambda _: None,
        "llama.cpp's build could not be configured",
        environment,
    )
    run(
        [toolchain.ninja, "-C", str(work), *(("-j", str(jobs)) if jobs else ()), "llama"],
        folder / "compile.log",
        lambda line: _report_ninja(line, report),
        "llama.cpp did not compile",
        environment,
    )
    for library in libraries(work / "bin"):
        shutil.copy2(library.resolve(), folder / "lib" / library.name)
    # 200 MB of source and objects that only an interrupted build could reuse.
    shutil.rmtree(work)
    shutil.rmtree(edited)
    stamp.write_text(wanted, encoding="utf-8")
    return folder / "lib"


def _is_host(target: Target) -> bool:
    return replace(target, defines=(), edited=True) == Target.host()


def _find(name: str, search_path: str | None, installed: Path) -> str | None:
    return shutil.which(name, path=search_path) or shutil.which(name, path=str(installed / "bin"))


def _report_ninja(line: str, report: Callable[[str], None]) -> None:
    match = NINJA_STATUS.match(line)
    if match:
        finished, total = match.group(1), match.group(2)
        file = line.rsplit("/", 1)[-1].removesuffix(".o")
        report(f"compiling [{finished}/{total}] {file}")


def _write_wrappers(folder: Path, zig: Path, target: Target) -> None:
    """Write `cc` and `c++` wrappers that call zig for a target.

    CMake needs one program per compiler, and llama.cpp spells ARM features as gcc does, which zig rejects.
    """
    folder.mkdir(parents=True, exist_ok=True)
    triple = f"{target.arch}-linux-gnu.{LINUX_GLIBC[target.arch]}" if target.system == "linux" else ""
    fixed = shlex.join([*(["-target", triple] if triple else []), *(["-mcpu=x86_64_v3"] * (target.arch == "x86_64"))])
    for name in ("cc", "c++"):
        text = f"""#!/bin/sh
for argument do
  shift
  case $argument in
    -march=armv*) argument=$(echo "$argument" | sed -e 's/-march=armv/-mcpu=generic+v/' -e 's/\\.\\([0-9]\\)/_\\1/' \\
      -e 's/-a/a/' -e 's/+fp16/+fullfp16/') ;;
  esac
  set -- "$@" "$argument"
done
exec {shlex.quote(str(zig))} {name} {fixed} "$@"
"""
        path = folder / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            path.chmod(0o755)


def _definition(text: str) -> str:
    if not re.fullmatch(r"\w+=.+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=VALUE, such as GGML_OPENMP=ON")
    return text


def main() -> None:
    """Build for one architecture and print the folder of the libraries."""
    parser = argparse.ArgumentParser(
        description="Builds llama.cpp's shared libraries; `make build` prepares all of it."
    )
    parser.add_argument("--arch", choices=["x86_64", "aarch64"], default=Target.host().arch)
    parser.add_argument("--every-cpu", action="store_true", help="loadable libraries for each generation of CPUs")
    parser.add_argument(
        "--define",
        action="append",
        default=[],
        type=_definition,
        metavar="NAME=VALUE",
        help="another CMake option of llama.cpp, for a build of its own to compare with; can be repeated",
    )
    parser.add_argument(
        "--unedited",
        action="store_true",
        help="without the edits of llama.cpp's source in native/edits, in a folder of its own to compare with",
    )
    parser.add_argument(
        "--diff", action="store_true", help="build nothing; print the edits as a diff of llama.cpp, to offer them there"
    )
    parser.add_argument("--jobs", type=int, help="compilers at a time; as many as CPUs if left out")
    given = parser.parse_args()
    target = Target(
        Target.host().system,
        given.arch,
        every_cpu=given.every_cpu,
        defines=tuple(given.define),
        edited=not given.unedited,
    )
    toolchain = find_toolchain(target)
    if toolchain is None or not (SOURCE / SOURCE_STAMP).is_file():
        sys.exit("The compiler or llama.cpp's source is missing: run `make build` first.")
    try:
        if given.diff:
            for edit in target.edits:
                print(f"# {edit.title}\n{textwrap.indent(edit.why, '# ')}{edit.diff(LLAMA_CPP)}")
            return
        with Progress() as progress:
            folder = build(target, toolchain, jobs=given.jobs, report=lambda state: progress.update("llama.cpp", state))
    except SetupError as error:
        sys.exit(str(error))
    print(folder)


if __name__ == "__main__":
    main()
