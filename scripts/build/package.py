"""Builds the functions' zips; `lambda-llm package` and `make package` call it.

Makes what a zip needs of this checkout (llama.cpp for Lambda's CPUs, or for this machine) and hands it to
`lambda_llm.packaging.builder`. The compiler is zig, from PyPI, so that any machine builds the same for arm64.

`--local` builds for the local AWS instead, which runs functions as processes of this machine: with this machine's
llama.cpp, which is compiled already, and wheels for this Python, which is the local AWS's too.
"""

import argparse
import fcntl
import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lambda_llm.packaging.builder import BINDINGS, MACHINES, Built, Destination, Native, build
from lambda_llm.packaging.errors import PackageError
from lambda_llm.packaging.functions import FUNCTIONS
from lambda_llm.packaging.manifest import NativeBuild
from scripts import ROOT
from scripts.build import llama
from scripts.build.bootstrap import Setup
from scripts.build.llama import BUILD, SOURCE, SOURCE_STAMP, Target
from scripts.build.progress import Progress, SetupError

LOCK = ROOT / "requirements/functions.txt"


def here() -> Destination:
    """A function of the local AWS: a process of this machine.

    Raises:
        SetupError: Lambda has no name for this machine's CPU.
    """
    names = [name for name, machine in MACHINES.items() if machine == Target.host().arch]
    if not names:
        raise SetupError(f"A package for this machine's CPU ({platform.machine()}) can't be described: use another.")
    return Destination(names[0], f"python{sys.version_info.major}.{sys.version_info.minor}", local=True)


def native_libraries(destination: Destination, progress: Progress) -> Native:
    """Compile llama.cpp for a destination, unless it is there already.

    Args:
        destination: what it is to run on.
        progress: shown which step is how far.

    Raises:
        SetupError: a step of the build failed.
    """
    target = Target.host() if destination.local else Target("linux", MACHINES[destination.architecture], every_cpu=True)
    setup = Setup(progress)
    if destination.local:
        setup.build()
    else:
        setup.cross_build()
    toolchain = llama.find_toolchain(target)
    if toolchain is None:
        raise SetupError("The compiler, cmake or ninja is missing: remove .build/compiler and try again.")
    libraries = llama.build(target, toolchain, report=lambda state: progress.update("llama.cpp", state))
    described = NativeBuild(
        llama_cpp_python=version(BINDINGS),
        llama_cpp_source_sha256=(SOURCE / SOURCE_STAMP).read_text(encoding="utf-8").strip(),
        compiler=toolchain.identity,
        build_options=llama.options(target),
        cpu_variants=[],
    )
    return Native(libraries, SOURCE, described, every_cpu=target.every_cpu)


def build_package(name: str, destination: Destination, output: Path, progress: Progress) -> Built:
    """Build the zip of one function.

    Args:
        name: of the function.
        destination: what it is to run on.
        output: the zip to write.
        progress: shown which step is how far.

    Raises:
        PackageError: what was built would not run on Lambda.
        SetupError: a step of the build failed.
    """
    function = FUNCTIONS[name]
    kind = "local" if destination.local else destination.architecture
    return build(
        function,
        destination,
        lock=LOCK,
        stage=BUILD / "package" / f"{name}-{kind}",
        output=output,
        native=native_libraries(destination, progress) if function.native else None,
        report=lambda state: progress.update(f"package ({name})", state),
    )


def described(built: Built) -> dict[str, Any]:
    """A finished package as `--json` prints it."""
    fields = {"function", "zip_bytes", "zip_sha256", "code_sha256", "unzipped_bytes"}
    return {"zip": str(built.zip), **built.manifest.model_dump(include=fields), "largest": built.largest}


def main() -> None:
    """Build for the command line and print what was built as JSON: an object for each function, by its name."""
    parser = argparse.ArgumentParser(description="Builds the functions' zips; `lambda-llm package` calls it.")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--arch", choices=list(MACHINES))
    where.add_argument("--local", action="store_true", help="for the local AWS: this machine and this Python")
    parser.add_argument("outputs", nargs="+", metavar="FUNCTION=ZIP", help="what to build, and where to write it")
    given = parser.parse_args()
    outputs = dict(each.split("=", 1) for each in given.outputs)
    BUILD.mkdir(exist_ok=True)
    try:
        # Whoever sets up or packages at the same time waits for the other; standard output is for the JSON alone.
        with (BUILD / "setup.lock").open("w") as turn, Progress(sys.stderr) as progress:
            fcntl.flock(turn, fcntl.LOCK_EX)
            destination = here() if given.local else Destination(given.arch)
            built = {
                name: described(build_package(name, destination, Path(output), progress))
                for name, output in outputs.items()
            }
    except (PackageError, SetupError) as error:
        sys.exit(str(error))
    print(json.dumps(built))


if __name__ == "__main__":
    main()
