"""Set up this checkout: environment, locked packages, llama.cpp.

    python3 -m scripts.build.bootstrap [demo | test | build | aws-local | checkov | frameworks | strands | lock]

`make demo` and `make test` call it first. Needs Python 3.11 with pip and venv, nothing else; what is already up to
date is kept. Uses the standard library only.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import re
import shutil
import sys
import tarfile
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from scripts import ROOT
from scripts.build import llama as build_llama
from scripts.build.progress import Progress, SetupError, run, stop_all

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Setup", "environment_is_usable", "main"]

BUILD = build_llama.BUILD
VENV = ROOT / ".venv"
REQUIREMENTS = ROOT / "requirements"
LOGS = BUILD / "logs"

TESTED_APART = ("checkov", "frameworks", "strands")
"""Programs that tests run, and that must do without the project's packages or want other versions of them."""

OLDEST_PYTHON = (3, 11)
PIP_DOWNLOADING = re.compile(r"Downloading (?:.*/)?([A-Za-z0-9][\w.]*?)-\d\S* ?(\(.*?\))?")
PIP_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")

WITHOUT_CMAKE = {"SKBUILD_WHEEL_CMAKE": "0"}
"""Makes the build of llama-cpp-python install only its Python files, instead of compiling everything."""

# Skips what nothing here reads. Vocabularies and chat templates stay: tests and benchmarks use them.
UNPACKED = re.compile(r"(?!vendor/llama\.cpp/(?:tools|docs|media|examples|benches)/)")


class Setup:
    """One run of the set-up.

    Args:
        progress: where to report each step.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def demo(self) -> None:
        """Install what `make demo` needs: the package, its command line, llama.cpp, a local AWS."""
        self._project("cli")

    def test(self) -> None:
        """Install what `make test` needs: the same and the test tools."""
        self._project("dev")

    def build(self) -> None:
        """Build llama.cpp's libraries only."""
        self._pip_ready()
        self._native(threading.Event())

    def cross_build(self) -> None:
        """Install what cross-compiling needs: llama.cpp's source, and zig with CMake and Ninja."""
        self._pip_ready()
        self._source()
        self.environment("compiler")

    def environment(self, name: str) -> Path:
        """Prepare a separate environment for the packages of one lock.

        Args:
            name: of the lock below requirements/, and of the environment below .build/.

        Returns:
            The environment's folder.
        """
        self._pip_ready()
        folder = BUILD / name
        if not environment_is_usable(folder):
            create_environment(folder)
        self._install(name, folder)
        return folder

    def _project(self, lock: str) -> None:
        self._pip_ready()
        unpacked = threading.Event()
        with ThreadPoolExecutor(2) as pool:
            # Compiling takes longest, so its download starts first; packages are installed meanwhile.
            native = pool.submit(self._native, unpacked)
            packages = pool.submit(self._packages, lock, unpacked)
            steps: list[Future[Any]] = [native, packages]
            for step in as_completed(steps):
                if step.exception():
                    stop_all()
                    step.result()
        self._link_libraries(native.result())

    def _pip_ready(self) -> None:
        """Create .venv with a pip of a known version: the one bundled with Python may be years old and slow."""
        if not environment_is_usable(VENV):
            create_environment(VENV)
        if not own_pip_works() and not any(VENV.glob("lib/python*/site-packages/pip")):
            run(
                [str(VENV / "bin" / "python"), "-m", "ensurepip"],
                LOGS / "ensurepip.log",
                lambda _: None,
                "pip could not be installed",
            )
        self._install("build", VENV)

    def _packages(self, lock: str, unpacked: threading.Event) -> None:
        self._install(lock, VENV)
        self.environment("aws-local")
        if lock == "dev":
            for name in TESTED_APART:
                self.environment(name)
        unpacked.wait()
        if not (build_llama.SOURCE / build_llama.SOURCE_STAMP).is_file():
            return  # the other thread failed and reports the reason
        source_hash = (build_llama.SOURCE / build_llama.SOURCE_STAMP).read_text(encoding="utf-8")
        # The bindings are pure Python: without CMake they install in a second.
        self._install_folder("llama-cpp-python", build_llama.SOURCE, source_hash)
        project = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
        self._install_folder("lambda-llm", ROOT, project, "--editable")

    def _native(self, unpacked: threading.Event) -> Path:
        try:
            source = self._source()
        finally:
            unpacked.set()
        target = build_llama.Target.host()
        toolchain = build_llama.find_toolchain(target)
        if toolchain is None:
            self.environment("compiler")
            toolchain = build_llama.find_toolchain(target)
        if toolchain is None:
            raise SetupError("No compiler was found, and the one from requirements/compiler.txt does not start.")
        before = time.monotonic()
        lib = build_llama.build(
            target, toolchain, source=source, report=lambda state: self._progress.update("llama.cpp", state)
        )
        if time.monotonic() - before > 1:
            self._progress.done("llama.cpp", f"compiled with {toolchain.identity}")
        return lib

    def _source(self) -> Path:
        """Download and unpack llama-cpp-python's source package, which pip checks against the lock."""
        lock = REQUIREMENTS / "llama.txt"
        wanted = locked_hash(lock.read_text(encoding="utf-8"))
        folder = build_llama.SOURCE
        stamp = folder / build_llama.SOURCE_STAMP
        if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
            return folder
        step = "llama.cpp"
        self._progress.update(step, "downloading its source, 76 MB")
        downloads = BUILD / "downloads"
        shutil.rmtree(downloads, ignore_errors=True)
        command = [str(VENV / "bin" / "python"), "-m", "pip", "download", "--progress-bar", "raw"]
        command += ["--no-deps", "--no-build-isolation", "--require-hashes", "--no-binary", ":all:"]
        run(
            [*command, "--dest", str(downloads), "--requirement", str(lock)],
            LOGS / "llama-download.log",
            lambda line: self._report_pip(step, line),
            "llama.cpp's source could not be downloaded",
            os.environ | WITHOUT_CMAKE,
        )
        self._progress.update(step, "unpacking its source")
        (archive,) = downloads.iterdir()
        shutil.rmtree(folder, ignore_errors=True)
        unpack(archive, folder)
        stamp.write_text(wanted, encoding="utf-8")
        shutil.rmtree(downloads)
        self._progress.done(step, "source unpacked")
        return folder

    def _install(self, name: str, folder: Path) -> None:
        """Install a lock into an environment, unless it is installed already."""
        lock = REQUIREMENTS / f"{name}.txt"
        stamp = folder / f".lock-{name}"
        wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
        if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
            return
        step = f"packages ({name})"
        self._progress.update(step, "starting")
        command = [*pip_install(folder), "--require-hashes", "--requirement", str(lock)]
        run(
            command,
            LOGS / f"{name}.log",
            lambda line: self._report_pip(step, line),
            f"The packages of requirements/{name}.txt could not be installed",
        )
        stamp.write_text(wanted, encoding="utf-8")
        count = lock.read_text(encoding="utf-8").count("==")
        self._progress.done(step, f"{count} installed")

    def _install_folder(self, name: str, folder: Path, state: str, *arguments: str) -> None:
        """Install a project from its folder with the build tools of requirements/build.txt."""
        stamp = VENV / f".project-{name}"
        if stamp.is_file() and stamp.read_text(encoding="utf-8") == state:
            return
        step = f"packages ({name})"
        self._progress.update(step, "installing")
        command = [*pip_install(VENV), "--no-build-isolation", "--no-cache-dir"]
        run(
            [*command, *arguments, str(folder)],
            LOGS / f"{name}.log",
            lambda _: None,
            f"{name} could not be installed",
            os.environ | WITHOUT_CMAKE,
        )
        stamp.write_text(state, encoding="utf-8")
        self._progress.done(step, "installed")

    def _link_libraries(self, lib: Path) -> None:
        """Link the libraries to where llama_cpp looks for them by default."""
        (package,) = VENV.glob("lib/python*/site-packages/llama_cpp")
        link = package / "lib"
        wanted = os.path.relpath(lib, package)
        if link.is_symlink() and str(link.readlink()) == wanted:
            return
        if link.is_symlink():
            link.unlink()
        else:
            shutil.rmtree(link, ignore_errors=True)
        link.symlink_to(wanted)

    def _report_pip(self, step: str, line: str) -> None:
        if match := PIP_PROGRESS.match(line.strip()):
            done, total = (int(number) / 1e6 for number in match.groups())
            # Small files finish faster than anyone can read.
            if total > 1:
                self._progress.update(step, f"downloading {done:.0f} of {total:.0f} MB")
        elif match := PIP_DOWNLOADING.search(line):
            self._progress.update(step, f"downloading {match.group(1)}")
        elif line.startswith("Installing collected"):
            self._progress.update(step, "installing")


def environment_is_usable(folder: Path) -> bool:
    """Return whether an environment exists and was made by the running version of Python.

    Args:
        folder: the environment.

    Returns:
        False if it is missing, broken, or of another version of Python.
    """
    python = folder / "bin" / "python"
    major, minor = sys.version_info[:2]
    return python.exists() and (folder / "lib" / f"python{major}.{minor}").is_dir()


def create_environment(folder: Path) -> None:
    """Create an empty environment, replacing an existing one.

    Args:
        folder: of the environment.

    Raises:
        SetupError: this Python can't create one.
    """
    run(
        # Bundling pip takes four seconds; the pip of the running Python installs a newer one.
        [sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder)],
        LOGS / "venv.log",
        lambda _: None,
        "The Python environment could not be created",
    )


def own_pip_works() -> bool:
    """Return whether the running Python has a pip that can install into another environment (22.3 or later)."""
    try:
        major, minor = version("pip").split(".")[:2]
    except PackageNotFoundError:
        return False
    return (int(major), int(minor)) >= (22, 3)


def pip_install(folder: Path) -> list[str]:
    """Return the command that installs into an environment.

    Args:
        folder: the environment.

    Returns:
        Program and arguments: the pip of requirements/build.txt once it is installed, else that of the running
        Python, else the one that `ensurepip` installed into .venv.
    """
    # A lock is complete, so nothing needs resolving; the first import writes the bytecode.
    install = ["install", "--no-deps", "--no-compile"]
    known = (VENV / ".lock-build").is_file()
    progress = ["--progress-bar", "raw"] if known else []
    python = VENV / "bin" / "python" if known or not own_pip_works() else sys.executable
    return [str(python), "-m", "pip", "--python", str(folder / "bin" / "python"), *install, *progress]


def locked_hash(lock: str) -> str:
    """Return the only hash of a lock with one file.

    Args:
        lock: the lock's text.

    Returns:
        SHA-256 in hexadecimal.

    Raises:
        SetupError: there is none, or more than one.
    """
    hashes = re.findall(r"--hash=sha256:([0-9a-f]{64})", lock)
    if len(hashes) != 1:
        raise SetupError("requirements/llama.txt must name one file by its hash: run `make lock`.")
    return str(hashes[0])


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a source package without its top-level folder.

    Args:
        archive: the package.
        folder: destination.
    """

    def wanted(members: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
        for member in members:
            member.name = member.name.partition("/")[2]
            if member.name and UNPACKED.match(member.name):
                yield member

    with tarfile.open(archive) as members:
        # The first releases of 3.11 have no filters; pip has verified the archive's hash.
        checked: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        members.extractall(folder, members=wanted(members), **checked)  # noqa: S202


def main() -> None:
    """Run the set-up named on the command line."""
    if sys.version_info < OLDEST_PYTHON:
        sys.exit("This needs Python 3.11 or later.")
    parser = argparse.ArgumentParser(description="Set up this checkout; `make` calls it.")
    parser.add_argument("what", choices=["demo", "test", "build", "aws-local", *TESTED_APART, "lock"])
    what = parser.parse_args().what
    BUILD.mkdir(exist_ok=True)
    try:
        # Concurrent `make` runs, say demo in one terminal and test in another, wait for each other.
        with (BUILD / "setup.lock").open("w") as turn, Progress() as progress:
            fcntl.flock(turn, fcntl.LOCK_EX)
            setup = Setup(progress)
            match what:
                case "demo":
                    setup.demo()
                case "test":
                    setup.test()
                case "build":
                    setup.build()
                case environment:
                    setup.environment(environment)
    except SetupError as error:
        sys.exit(f"\nmake: {error}")
    except OSError as error:
        sys.exit(f"\nmake: {error.strerror}: {error.filename}")
    except KeyboardInterrupt:
        sys.exit("\nmake: interrupted; run it again to resume.")


if __name__ == "__main__":
    main()
