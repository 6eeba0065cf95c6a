"""Builds the function's zip: llama.cpp for Lambda's CPUs, locked packages, lambda-llm, manifest and SBOM.

`lambda-llm package` and `make package` call it. Needs what `make` sets up; the compiler is zig, from PyPI, so that
any machine builds the same for arm64.

`--local` builds for the local AWS instead, which runs functions as processes of this machine: with this machine's
llama.cpp, which is compiled already, and wheels for this Python, which is the local AWS's too.
"""

import argparse
import fcntl
import json
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final, Self

from packaging.requirements import Requirement

from lambda_llm import __version__
from lambda_llm.limits import RUNTIME
from lambda_llm.packaging import archive, elf
from lambda_llm.packaging.errors import PackageError
from lambda_llm.packaging.manifest import NAME, SBOM_NAME, Manifest, PackageManifest, beside
from lambda_llm.packaging.sbom import sbom
from lambda_llm.packaging.verify import verify
from scripts import ROOT
from scripts.build import llama as build_llama
from scripts.build.bootstrap import Setup
from scripts.build.llama import BUILD, SOURCE, SOURCE_STAMP, Target, Toolchain
from scripts.build.progress import Progress, SetupError

MACHINES: Final = {"arm64": "aarch64", "x86_64": "x86_64"}
"""The compilers' names for what Lambda calls an architecture."""

PYTHON: Final = RUNTIME.removeprefix("python")

LOCAL_LEVEL: Final = 1
"""How hard a zip is compressed that never leaves this machine."""

IN_RUNTIME: Final = frozenset(
    {"boto3", "botocore", "jmespath", "python-dateutil", "s3transfer", "six", "snapshot-restore-py", "urllib3"}
)
"""Packages that Lambda's managed Python runtime has.
Source: https://docs.aws.amazon.com/lambda/latest/dg/python-package.html"""

GLIBC_TAGS: Final = ("manylinux_2_34", "manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014")
"""Wheels that run on the runtime's C library."""

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
    "*.dist-info/RECORD",
    "*.dist-info/INSTALLER",
    "*.dist-info/REQUESTED",
    "*.dist-info/direct_url.json",
    "*.dist-info/sboms",
)
"""What nothing on Lambda reads, or what differs from one build to the next."""

NOT_ON_LAMBDA: Final = ("cli", "packaging", "client.py", "loading/push.py")
"""Parts of this package for people's machines."""


@dataclass(frozen=True)
class Destination:
    """What a package is built to run on.

    Attributes:
        name: of its folder under .build/package.
        architecture: as Lambda spells it.
        runtime: the Python, as Lambda spells it.
        target: the machine of the libraries.
        local: this machine: its libraries need not load on Lambda, and it has none of the runtime's packages.
    """

    name: str
    architecture: str
    runtime: str
    target: Target
    local: bool = False

    @classmethod
    def on_lambda(cls, architecture: str) -> Self:
        """A function of Lambda's.

        Args:
            architecture: `arm64` or `x86_64`.
        """
        return cls(architecture, architecture, RUNTIME, Target("linux", MACHINES[architecture], every_cpu=True))

    @classmethod
    def here(cls) -> Self:
        """A function of the local AWS: a process of this machine.

        Raises:
            SetupError: Lambda has no name for this machine's CPU.
        """
        target = Target.host()
        names = [name for name, machine in MACHINES.items() if machine == target.arch]
        if not names:
            raise SetupError(
                f"A package for this machine's CPU ({platform.machine()}) can't be described: use another."
            )
        return cls("local", names[0], f"python{sys.version_info.major}.{sys.version_info.minor}", target, local=True)


@dataclass(frozen=True)
class Built:
    """A finished package.

    Attributes:
        zip: the file.
        manifest: what lies beside it.
        largest: the ten largest files unzipped: path and bytes.
    """

    zip: Path
    manifest: PackageManifest
    largest: list[tuple[str, int]]


def build_package(destination: Destination, output: Path, progress: Progress) -> Built:
    """Build, check and write a package; the same inputs give the same bytes.

    Args:
        destination: what it is to run on.
        output: the zip to write; its manifest and SBOM are written beside it.
        progress: shown which step is how far.

    Raises:
        PackageError: what was built would not run on Lambda.
        SetupError: a step of the build failed.
    """
    setup = Setup(progress)
    if destination.local:
        setup.build()
    else:
        setup.cross_build()
    toolchain = build_llama.find_toolchain(destination.target)
    if toolchain is None:
        raise SetupError("The compiler, cmake or ninja is missing: remove .build/compiler and try again.")
    lib = build_llama.build(destination.target, toolchain, report=lambda state: progress.update("llama.cpp", state))
    stage = BUILD / "package" / destination.name
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir(parents=True)
    progress.update("packages", "installing")
    _install_packages(stage, destination)
    for pattern in UNUSED:
        for path in sorted(stage.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree(lib, stage / "llama_cpp" / "lib")
    _copy_project(stage)
    progress.update("zip", "writing")
    manifest = _describe(stage, destination, toolchain)
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


def requirements(lock: str, machine: str) -> str:
    """The part of a lock that the runtime lacks, for Lambda's Python on one machine.

    Args:
        lock: text of requirements/runtime.txt.
        machine: as `platform.machine()` gives it.
    """
    environment = {
        "python_version": PYTHON,
        "python_full_version": f"{PYTHON}.0",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": machine,
        "os_name": "posix",
    }
    chosen = []
    for entry in lock.replace("\\\n", " ").splitlines():
        text, *hashes = entry.split("--hash=")
        if not text.strip() or text.lstrip().startswith("#"):
            continue
        requirement = Requirement(text.strip())
        applies = requirement.marker is None or requirement.marker.evaluate(environment)
        if applies and requirement.name not in IN_RUNTIME:
            pins = " ".join(f"--hash={each.strip()}" for each in hashes)
            chosen.append(f"{requirement.name}{requirement.specifier} {pins}\n")
    return "".join(chosen)


def _install_packages(stage: Path, destination: Destination) -> None:
    lock = ROOT / "requirements/runtime.txt"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--target", str(stage)]
    wheels = ["--require-hashes", "--only-binary=:all:"]
    if not destination.local:
        machine = destination.target.arch
        chosen = BUILD / "package" / f"requirements-{machine}.txt"
        chosen.write_text(requirements(lock.read_text(encoding="utf-8"), machine))
        lock = chosen
        wheels += ["--implementation=cp", f"--python-version={PYTHON}", "--ignore-requires-python"]
        wheels += [f"--abi=cp{PYTHON.replace('.', '')}", "--abi=abi3", "--abi=none"]
        wheels += [f"--platform={tag}_{machine}" for tag in GLIBC_TAGS]
    _run([*pip, *wheels, "--requirement", str(lock)])
    bindings = ["--no-build-isolation", "--no-cache-dir", "--config-settings=wheel.cmake=false"]
    _run([*pip, *bindings, str(SOURCE)])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SetupError(f"The packages could not be installed: {done.stderr.strip()[-600:]}")


def _copy_project(stage: Path) -> None:
    source = ROOT / "functions"
    shutil.copytree(source / "bin", stage / "bin")
    shutil.copytree(source / "lambda_llm", stage / "lambda_llm", ignore=shutil.ignore_patterns("__pycache__"))
    for name in NOT_ON_LAMBDA:
        path = stage / "lambda_llm" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in stage.rglob("*"):
        # Whatever this machine's umask is, Lambda's user must be able to read it.
        executable = path.is_dir() or path.parent == stage / "bin"
        path.chmod(0o755 if executable else 0o644)


def _describe(stage: Path, destination: Destination, toolchain: Toolchain) -> Manifest:
    native = version("llama-cpp-python")
    (stage / SBOM_NAME).write_text(sbom(stage, __version__, {"llama.cpp": f"llama-cpp-python-{native}"}))
    files = archive.files(stage)
    newest: tuple[int, ...] = (0,)
    for name, path in files.items():
        with path.open("rb") as file:
            if file.read(4) != b"\x7fELF":
                continue
            library = elf.read(name, file)
        if not destination.local:
            elf.check(library, destination.architecture, files)
        newest = max(newest, library.versions.get("GLIBC", newest))
    variants = sorted(path.stem.removeprefix("libggml-cpu-") for path in stage.glob("llama_cpp/lib/libggml-cpu-*"))
    if destination.target.every_cpu and not variants:
        raise PackageError("The build holds no CPU backend: llama.cpp's options for loadable backends have changed.")
    return Manifest(
        version=__version__,
        architecture=destination.architecture,  # type: ignore[arg-type]  # pydantic checks it
        runtime=destination.runtime,
        llama_cpp_python=native,
        llama_cpp_source_sha256=(SOURCE / SOURCE_STAMP).read_text(encoding="utf-8").strip(),
        compiler=toolchain.identity,
        build_options=build_llama.options(destination.target),
        cpu_variants=variants,
        glibc=elf.dotted(newest),
        unzipped_bytes=sum(path.stat().st_size for path in files.values()),
        files={name: archive.sha256(path) for name, path in files.items()},
    )


def main() -> None:
    """Build for the command line and print what was built as JSON."""
    parser = argparse.ArgumentParser(description="Builds the function's zip; `lambda-llm package` calls it.")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--arch", choices=list(MACHINES))
    where.add_argument("--local", action="store_true", help="for the local AWS: this machine and this Python")
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args()
    BUILD.mkdir(exist_ok=True)
    try:
        # Whoever sets up or packages at the same time waits for the other; standard output is for the JSON alone.
        with (BUILD / "setup.lock").open("w") as turn, Progress(sys.stderr) as progress:
            fcntl.flock(turn, fcntl.LOCK_EX)
            destination = Destination.here() if given.local else Destination.on_lambda(given.arch)
            built = build_package(destination, given.output, progress)
    except (PackageError, SetupError) as error:
        sys.exit(str(error))
    shown = built.manifest.model_dump(
        include={"zip_bytes", "zip_sha256", "code_sha256", "unzipped_bytes", "cpu_variants"}
    )
    print(json.dumps({"zip": str(built.zip), **shown, "largest": built.largest}))


if __name__ == "__main__":
    main()
