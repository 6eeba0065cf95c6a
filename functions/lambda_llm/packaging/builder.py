"""Builds a function's zip: its modules, the packages that they import, llama.cpp, manifest and SBOM."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lambda_llm import __version__
from lambda_llm.limits import RUNTIME
from lambda_llm.packaging import archive, elf
from lambda_llm.packaging.agent_file import AgentFile
from lambda_llm.packaging.closure import (
    PACKAGE,
    closure,
    distributions_of,
    third_party,
    top_level,
    with_requirements,
)
from lambda_llm.packaging.errors import PackageError
from lambda_llm.packaging.functions import Function
from lambda_llm.packaging.manifest import NAME, SBOM_NAME, Manifest, NativeBuild, PackageManifest, beside
from lambda_llm.packaging.sbom import sbom
from lambda_llm.packaging.verify import verify

MACHINES: Final = {"arm64": "aarch64", "x86_64": "x86_64"}
"""The compilers' names for what Lambda calls an architecture."""

PYTHON: Final = RUNTIME.removeprefix("python")

LOCAL_LEVEL: Final = 1
"""Compression level of a zip for this machine only."""

IN_RUNTIME: Final = frozenset(
    {"boto3", "botocore", "jmespath", "python-dateutil", "s3transfer", "six", "snapshot-restore-py", "urllib3"}
)
"""Packages that Lambda's managed Python runtime has.
Source: https://docs.aws.amazon.com/lambda/latest/dg/python-package.html"""

BINDINGS: Final = "llama-cpp-python"
"""Installed from its source package, without the libraries that it would compile."""

GLIBC_TAGS: Final = (*(f"manylinux_2_{minor}" for minor in range(34, 16, -1)), "manylinux2014")
"""Wheels that run on the runtime's C library, 2.34, down to the oldest that wheels are built for."""

UNUSED: Final = (
    "**/tests",
    "**/__pycache__",
    "**/*.pyi",
    "**/*.pxd",
    "**/*.a",
    "**/include",
    "bin",
    "numpy/f2py",
    "llama_cpp/server",
    "llama_cpp/lib",
    "boto3/examples",
    "pyarrow/*.pxi",
    "pyarrow/*.pyx",
    # Of pyarrow, Parquet written to memory is used: no RPC, no clouds' file systems, no queries; and one name each for
    # libraries that a wheel has under three.
    "pyarrow/src",
    "pyarrow/*_flight*",
    "pyarrow/libarrow_s3*",
    "pyarrow/*_python*.so",
    "pyarrow/*_python*.so.*.*",
    "pyarrow/*_parquet_encryption*",
    "pyarrow/_acero*",
    "pyarrow/_azurefs*",
    "pyarrow/_csv*",
    "pyarrow/_dataset*",
    "pyarrow/_feather*",
    "pyarrow/_gcsfs*",
    "pyarrow/_hdfs*",
    "pyarrow/_json*",
    "pyarrow/_orc*",
    "pyarrow/_pyarrow_cpp_tests*",
    "pyarrow/_s3fs*",
    "pyarrow/_substrait*",
    "*.dist-info/RECORD",
    "*.dist-info/INSTALLER",
    "*.dist-info/REQUESTED",
    "*.dist-info/direct_url.json",
    "*.dist-info/sboms",
)
"""Files that Lambda does not need, or that make builds differ."""


@dataclass(frozen=True)
class Native:
    """A build of llama.cpp to put into a zip.

    Attributes:
        libraries: folder with the shared libraries.
        bindings: folder with the source package of the Python bindings.
        build: how the libraries were built, without `cpu_variants`.
        edits: changes of llama.cpp's source as unified diffs, by their names.
        every_cpu: whether the build must have loadable CPU backends.
    """

    libraries: Path
    bindings: Path
    build: NativeBuild
    edits: Mapping[str, str]
    every_cpu: bool


@dataclass(frozen=True)
class Destination:
    """What a package is built for.

    Attributes:
        architecture: as Lambda spells it.
        runtime: the Python, as Lambda spells it.
        local: for this machine; its libraries need not load on Lambda, and all packages are included.
    """

    architecture: str
    runtime: str = RUNTIME
    local: bool = False

    @property
    def markers(self) -> dict[str, str]:
        """Environment markers of Lambda's Python."""
        return {
            "python_version": PYTHON,
            "python_full_version": f"{PYTHON}.0",
            "implementation_name": "cpython",
            "platform_python_implementation": "CPython",
            "sys_platform": "linux",
            "platform_system": "Linux",
            "platform_machine": MACHINES[self.architecture],
            "os_name": "posix",
        }


@dataclass(frozen=True)
class Built:
    """A finished package.

    Attributes:
        zip: the file.
        manifest: also written beside it.
        largest: the ten largest files, unzipped: path and bytes.
    """

    zip: Path
    manifest: PackageManifest
    largest: list[tuple[str, int]]


def build(
    function: Function,
    destination: Destination,
    *,
    lock: Path,
    stage: Path,
    output: Path,
    native: Native | None = None,
    agent: AgentFile | None = None,
    report: Callable[[str], object] = lambda _: None,
) -> Built:
    """Build, verify and write a package; the same inputs give the same bytes.

    Args:
        function: to package.
        destination: what it is built for.
        lock: pinned versions and hashes of every package that any function imports.
        stage: folder to collect the files in; replaced.
        output: the zip to write; its manifest and SBOM are written beside it.
        native: llama.cpp, for a function that needs it.
        agent: somebody's, for the function that runs agents.
        report: called with each step's name.

    Raises:
        PackageError: a package can't be installed, or what was built would not run on Lambda.
    """
    if function.native != (native is not None):
        raise PackageError(
            f"The package of {function.name!r} is built {'with' if function.native else 'without'} llama.cpp."
        )
    imported = packages(function, destination)
    modules = closure(function.entries) | _of_agent(agent, function, imported)
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir(parents=True)
    report("installing")
    _install(stage, lock, imported, destination)
    _trim_sdk(stage, {*function.aws_services, *(agent.aws_services if agent else ())})
    if native:
        _install_bindings(stage, native)
    for pattern in UNUSED:
        for path in sorted(stage.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    if native:
        shutil.copytree(native.libraries, stage / "llama_cpp" / "lib")
    if agent:
        shutil.copyfile(agent.path, stage / agent.path.name)
    _copy_modules(stage, modules, function)
    report("writing the zip")
    manifest = _describe(stage, function, destination, native)
    manifest = manifest.model_copy(update={"agent": agent.module if agent else None})
    (stage / NAME).write_text(manifest.to_json(), encoding="utf-8")
    output.parent.mkdir(parents=True, exist_ok=True)
    archive.write(stage, output, *([LOCAL_LEVEL] if destination.local else []))
    outer = PackageManifest.of(output, manifest)
    beside(output).write_text(outer.to_json(), encoding="utf-8")
    shutil.copyfile(stage / SBOM_NAME, output.with_suffix(".sbom.cdx.json"))
    if not destination.local:
        verify(output)
    sizes = {name: path.stat().st_size for name, path in archive.files(stage).items()}
    return Built(output, outer, sorted(sizes.items(), key=lambda item: -item[1])[:10])


def packages(function: Function, destination: Destination) -> set[str]:
    """Canonical names of the distributions that go into a function's zip.

    Args:
        function: to package.
        destination: what it is built for; Lambda's runtime has some of them already.
    """
    names = third_party(closure(function.entries).values()) - function.left_out
    found = with_requirements(distributions_of(names), destination.markers)
    return found if destination.local or function.aws_services else found - IN_RUNTIME


def requirements(lock: str, wanted: set[str], markers: Mapping[str, str] | None = None) -> str:
    """The part of a lock that a package is installed from.

    Args:
        lock: its text.
        wanted: canonical names of the distributions to take.
        markers: environment markers of Lambda's Python; None: this machine's Python, whose own markers pip evaluates.
    """
    chosen = []
    for entry in lock.replace("\\\n", " ").splitlines():
        text, *hashes = entry.split("--hash=")
        if not text.strip() or text.lstrip().startswith("#"):
            continue
        requirement = Requirement(text.strip())
        name = canonicalize_name(requirement.name)
        if name not in wanted:
            continue
        pins = " ".join(f"--hash={each.strip()}" for each in hashes)
        if markers is None:
            chosen.append(f"{text.strip()} {pins}\n")
        elif requirement.marker is None or requirement.marker.evaluate(dict(markers)):
            chosen.append(f"{requirement.name}{requirement.specifier} {pins}\n")
    return "".join(chosen)


def _install(stage: Path, lock: Path, wanted: set[str], destination: Destination) -> None:
    markers = None if destination.local else destination.markers
    chosen = requirements(lock.read_text(encoding="utf-8"), wanted, markers)
    if not chosen:
        return
    pinned = stage.with_name(f"{stage.name}-requirements.txt")
    pinned.write_text(chosen, encoding="utf-8")
    wheels = ["--require-hashes", "--only-binary=:all:"]
    if not destination.local:
        wheels += ["--implementation=cp", f"--python-version={PYTHON}", "--ignore-requires-python"]
        wheels += [f"--abi=cp{PYTHON.replace('.', '')}", "--abi=abi3", "--abi=none"]
        wheels += [f"--platform={tag}_{MACHINES[destination.architecture]}" for tag in GLIBC_TAGS]
    _pip(stage, *wheels, "--requirement", str(pinned))


def _of_agent(agent: AgentFile | None, function: Function, imported: set[str]) -> dict[str, Path]:
    """The modules of this package that an agent imports."""
    if agent is None:
        return {}
    if not function.agent:
        raise PackageError(f"The package of {function.name!r} takes no agent.")
    return agent.modules(top_level(imported))


def _trim_sdk(stage: Path, services: set[str]) -> None:
    """Leave AWS's SDK the data of some services, if there are any: that of all is larger than the rest of a zip."""
    if not services:
        return
    for folder in (*(stage / "botocore/data").iterdir(), *(stage / "boto3/data").iterdir()):
        if folder.is_dir() and folder.name not in services:
            shutil.rmtree(folder)


def _install_bindings(stage: Path, native: Native) -> None:
    _pip(stage, "--no-build-isolation", "--no-cache-dir", "--config-settings=wheel.cmake=false", str(native.bindings))


def _pip(stage: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--target", str(stage)]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)  # noqa: S603 - pip
    if done.returncode != 0:
        reason = next((line for line in reversed(done.stderr.splitlines()) if line.startswith("ERROR: ")), done.stderr)
        raise PackageError(f"The packages could not be installed: {reason.removeprefix('ERROR: ').strip()}")


def _copy_modules(stage: Path, modules: Mapping[str, Path], function: Function) -> None:
    sources = PACKAGE.parent
    data = {
        file
        for folder in {path.parent for path in modules.values()}
        for file in folder.iterdir()
        if file.is_file() and file.suffix not in {".py", ".pyc"}
    }
    for path in (*modules.values(), *data):
        copied = stage / path.relative_to(sources)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copied)
    if function.exec_wrapper:
        (stage / function.exec_wrapper).parent.mkdir(exist_ok=True)
        shutil.copyfile(sources / function.exec_wrapper, stage / function.exec_wrapper)
    for path in stage.rglob("*"):
        # Whatever this machine's umask is, Lambda's user must be able to read it.
        executable = path.is_dir() or path.relative_to(stage).as_posix() == function.exec_wrapper
        path.chmod(0o755 if executable else 0o644)


def _describe(stage: Path, function: Function, destination: Destination, native: Native | None) -> Manifest:
    compiled = {"llama.cpp": f"{BINDINGS}-{native.build.llama_cpp_python}"} if native else {}
    edits = native.edits if native else {}
    (stage / SBOM_NAME).write_text(sbom(stage, __version__, compiled, edits), encoding="utf-8")
    files = archive.files(stage)
    newest: tuple[int, ...] = ()
    for name, path in files.items():
        with path.open("rb") as file:
            if file.read(4) != b"\x7fELF":
                continue
            library = elf.read(name, file)
        if not destination.local:
            elf.check(library, destination.architecture, files)
        newest = max(newest, library.versions.get("GLIBC", newest))
    return Manifest(
        function=function.name,
        version=__version__,
        architecture=destination.architecture,  # type: ignore[arg-type]  # pydantic checks it
        runtime=destination.runtime,
        handler=function.handler,
        exec_wrapper=function.exec_wrapper,
        native=_with_variants(stage, native) if native else None,
        glibc=elf.dotted(newest) if newest else None,
        unzipped_bytes=sum(path.stat().st_size for path in files.values()),
        files={name: archive.sha256(path) for name, path in files.items()},
    )


def _with_variants(stage: Path, native: Native) -> NativeBuild:
    variants = sorted(path.stem.removeprefix("libggml-cpu-") for path in stage.glob("llama_cpp/lib/libggml-cpu-*"))
    if native.every_cpu and not variants:
        raise PackageError("The build has no CPU backend: llama.cpp's options for loadable backends have changed.")
    return native.build.model_copy(update={"cpu_variants": variants})
