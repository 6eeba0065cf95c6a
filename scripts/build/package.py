"""Build the functions' zips; `lambda-llm package` and `make package` call it.

Compiles what a zip needs from this checkout (llama.cpp for Lambda's CPUs, or for this machine) and passes it to
`lambda_llm.packaging.builder`. The compiler is zig, from PyPI, so that every machine builds the same for arm64.

`--local` builds for the local AWS instead, which runs functions as processes of this machine: with the llama.cpp
already compiled for this machine, and wheels for this Python, which the local AWS uses too.
"""

import argparse
import fcntl
import hashlib
import json
import os
import platform
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lambda_llm.packaging.agent_file import AgentFile
from lambda_llm.packaging.builder import BINDINGS, MACHINES, Built, Destination, Native, build
from lambda_llm.packaging.errors import PackageError
from lambda_llm.packaging.functions import FUNCTIONS
from lambda_llm.packaging.manifest import NativeBuild
from scripts import ROOT
from scripts.build import llama
from scripts.build.bootstrap import Setup
from scripts.build.llama import BUILD, LLAMA_CPP, SOURCE, SOURCE_STAMP, Target
from scripts.build.progress import Progress, SetupError

LOCK = ROOT / "requirements/functions.txt"


def here() -> Destination:
    """Return the destination of the local AWS, which runs functions as processes of this machine.

    Raises:
        SetupError: Lambda has no name for this machine's CPU.
    """
    names = [name for name, machine in MACHINES.items() if machine == Target.host().arch]
    if not names:
        raise SetupError(
            f"Lambda has no architecture for this machine's CPU ({platform.machine()}): build on x86-64 or arm64."
        )
    return Destination(names[0], f"python{sys.version_info.major}.{sys.version_info.minor}", local=True)


def native_libraries(destination: Destination, progress: Progress) -> Native:
    """Compile llama.cpp for a destination, unless it is up to date.

    Args:
        destination: where it will run.
        progress: where to report each step.

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
    edits = {edit.name: edit.diff(LLAMA_CPP) for edit in target.edits}
    described = NativeBuild(
        llama_cpp_python=version(BINDINGS),
        llama_cpp_source_sha256=(SOURCE / SOURCE_STAMP).read_text(encoding="utf-8").strip(),
        compiler=toolchain.identity,
        build_options=llama.options(target),
        source_edits={name: hashlib.sha256(diff.encode()).hexdigest() for name, diff in edits.items()},
        cpu_variants=[],
    )
    return Native(libraries, SOURCE, described, edits, every_cpu=target.every_cpu)


def build_packages(
    outputs: Mapping[str, Path], destination: Destination, progress: Progress, agent: AgentFile | None = None
) -> dict[str, Built]:
    """Build the zips of some functions, several at a time: pip waits for its index half of the time.

    Args:
        outputs: the zip to write, by the function's name.
        destination: where they will run.
        progress: where to report each step.
        agent: to put into the zip.

    Raises:
        PackageError: the result would not run on Lambda.
        SetupError: a step of the build failed.
    """
    kind = "local" if destination.local else destination.architecture
    native = native_libraries(destination, progress) if any(FUNCTIONS[name].native for name in outputs) else None

    def built(name: str) -> Built:
        return build(
            FUNCTIONS[name],
            destination,
            lock=LOCK,
            stage=BUILD / "package" / f"{name}-{kind}",
            output=outputs[name],
            native=native if FUNCTIONS[name].native else None,
            agent=agent,
            report=lambda state: progress.update(f"package ({name})", state),
        )

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(outputs, pool.map(built, outputs), strict=True))


def described(built: Built) -> dict[str, Any]:
    """Describe a finished package as `--json` prints it."""
    fields = {"function", "agent", "zip_bytes", "zip_sha256", "code_sha256", "unzipped_bytes"}
    return {"zip": str(built.zip), **built.manifest.model_dump(include=fields), "largest": built.largest}


def main() -> None:
    """Build what the command line names and print it as JSON: an object for each function, by name."""
    parser = argparse.ArgumentParser(description="Build the functions' zips; `lambda-llm package` calls it.")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--arch", choices=list(MACHINES))
    where.add_argument("--local", action="store_true", help="for the local AWS: this machine and this Python")
    parser.add_argument("--agent", type=Path, help="a file with an agent, for the one zip of agents")
    parser.add_argument("--from-layer", action="append", default=[], help="a module that a layer provides to the agent")
    parser.add_argument("--aws-service", action="append", default=[], help="a further service that the agent calls")
    parser.add_argument("outputs", nargs="+", metavar="FUNCTION=ZIP", help="what to build, and where to write it")
    given = parser.parse_args()
    agent = given.agent and AgentFile(given.agent, frozenset(given.from_layer), tuple(given.aws_service))
    outputs = {name: Path(zip_) for name, _, zip_ in (each.partition("=") for each in given.outputs)}
    BUILD.mkdir(exist_ok=True)
    try:
        # Concurrent set-ups and builds wait for each other; standard output is for the JSON only.
        with (BUILD / "setup.lock").open("w") as turn, Progress(sys.stderr) as progress:
            fcntl.flock(turn, fcntl.LOCK_EX)
            destination = here() if given.local else Destination(given.arch)
            built = build_packages(outputs, destination, progress, agent)
    except (PackageError, SetupError) as error:
        sys.exit(str(error))
    print(json.dumps({name: described(each) for name, each in built.items()}))


if __name__ == "__main__":
    main()
