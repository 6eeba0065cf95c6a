"""`lambda-llm package`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from lambda_llm.cli.console import JSON, out
from lambda_llm.packaging.errors import PackageError
from lambda_llm.packaging.functions import FUNCTIONS

CHECKOUT: Final = Path(__file__).parents[3]
AGENT: Final = "agent"
BUILDER: Final = "scripts/build/package.py"


class Architecture(StrEnum):
    """As Lambda spells it."""

    ARM64 = "arm64"
    X86_64 = "x86_64"


def package(
    *,
    function: Annotated[
        str | None, typer.Option(help=f"The function to package: {' or '.join(FUNCTIONS)}; default: every one.")
    ] = None,
    arch: Annotated[Architecture, typer.Option(help="arm64 is what the functions run on.")] = Architecture.ARM64,
    output: Annotated[
        Path | None,
        typer.Option(help="The zip, for one --function; default: dist/lambda-llm-FUNCTION-ARCH.zip (or -local)."),
    ] = None,
    local: Annotated[
        bool, typer.Option("--local", help="For the local AWS, with this machine's CPU and Python; takes seconds.")
    ] = False,
    agent: Annotated[
        Path | None,
        typer.Option(help="A Python file with an agent, which is put into the zip of the function agent."),
    ] = None,
    from_layer: Annotated[
        list[str] | None,
        typer.Option(help="With --agent: a module that it imports and a layer of yours provides; repeatable."),
    ] = None,
    aws_service: Annotated[
        list[str] | None,
        typer.Option(help="With --agent: a further service that its tools call, as boto3 names it; repeatable."),
    ] = None,
    verify: Annotated[Path | None, typer.Option(help="Check this zip instead of building one.")] = None,
    sha256: Annotated[
        str | None,
        typer.Option(help="With --verify: the zip's SHA-256 in hex, from a source that you trust more than the zip's."),
    ] = None,
    as_json: JSON = False,
) -> None:
    """Build the functions' zips for Lambda, or check one.

    Runs in a checkout of the project, on any Linux or macOS machine, without Docker: the compiler comes from PyPI.
    The first build takes minutes, later ones reuse what has not changed. The same inputs give the same bytes. A zip
    contains what its function imports and nothing else; a manifest and an SBOM (CycloneDX) are inside and beside it.
    `--verify` finds damage and mistakes; whether somebody replaced zip and manifest together only `--sha256` can tell.
    `--agent` builds the zip of the function agent with a file of yours, which may import what is in that zip: this
    package, the MCP client, pydantic, httpx2, and boto3 with the services that agents use.
    `--local` uses the llama.cpp that `make build` compiled; such a zip runs only in the project's local AWS.

    Example: `lambda-llm package --function pruner --output dist/pruner.zip && lambda-llm package --verify
    dist/pruner.zip`
    """
    if verify is not None:
        _verify(verify, sha256, as_json=as_json)
        return
    if sha256 is not None:
        raise PackageError("--sha256 is for checking a zip: add --verify ZIP.")
    added = _of_agent(agent, function, {"--from-layer": from_layer, "--aws-service": aws_service})
    function = AGENT if added else function
    if function is not None and function not in FUNCTIONS:
        raise PackageError(f"There is no function {function!r}: --function takes one of {', '.join(FUNCTIONS)}.")
    if output is not None and function is None:
        raise PackageError(f"--output names one zip: add --function, one of {', '.join(FUNCTIONS)}.")
    kind = "local" if local else arch.value
    names = [function] if function else list(FUNCTIONS)
    outputs = {name: (output or Path("dist") / f"lambda-llm-{name}-{kind}.zip").absolute() for name in names}
    built = _build(outputs, [*(["--local"] if local else ["--arch", kind]), *added])
    if as_json:
        out.print_json(data=built)
    else:
        for name, one in built.items():
            _print(name, one)


def _of_agent(agent: Path | None, function: str | None, more: dict[str, list[str] | None]) -> list[str]:
    """Options of the builder for an agent's file; none without one."""
    if agent is None and any(more.values()):
        raise PackageError(f"{' and '.join(more)} are for an agent: add --agent FILE.py.")
    if agent is None:
        return []
    if function not in {None, AGENT}:
        raise PackageError(f"--agent is for the function {AGENT}: leave out --function {function}.")
    return [
        f"--agent={agent.absolute()}",
        *(f"{option}={name}" for option, names in more.items() for name in names or ()),
    ]


def _build(outputs: dict[str, Path], options: list[str]) -> dict[str, Any]:
    import json
    import subprocess
    import sys

    if not (CHECKOUT / BUILDER).exists():
        raise PackageError(
            "Packages are built from a checkout of the project: clone it, run `make package` there, or check a "
            "finished zip with --verify."
        )
    command = [sys.executable, "-m", BUILDER.removesuffix(".py").replace("/", "."), *options]
    done = subprocess.run(  # noqa: S603 - our own script
        [*command, *(f"{name}={path}" for name, path in outputs.items())],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise PackageError("The package was not built; the reason is printed above.")
    built: dict[str, Any] = json.loads(done.stdout)
    return built


def _print(name: str, built: dict[str, Any]) -> None:
    from rich.table import Table

    from lambda_llm.limits import PACKAGE_DIRECT_UPLOAD_BYTES
    from lambda_llm.units import file_size

    title = f"{name}: the ten largest files"
    table = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0))
    for path, size in built["largest"]:
        table.add_row(file_size(size), path)
    out.print(table)
    fits = "" if built["zip_bytes"] <= PACKAGE_DIRECT_UPLOAD_BYTES else " (too large for a direct upload: use S3)"
    out.print(
        f"[bold]{built['zip']}[/]: {file_size(built['zip_bytes'])} zipped{fits}, "
        f"{file_size(built['unzipped_bytes'])} unzipped, SHA-256 {built['zip_sha256']}"
    )


def _verify(path: Path, sha256: str | None, *, as_json: bool) -> None:
    from rich.markup import escape

    from lambda_llm.packaging.verify import verify as check
    from lambda_llm.units import file_size

    manifest = check(path, sha256)
    if as_json:
        out.print_json(manifest.model_dump_json())
        return
    native = f", CPU backends {', '.join(manifest.native.cpu_variants)}" if manifest.native else ""
    glibc = f", needs GLIBC {manifest.glibc}" if manifest.glibc else ""
    agent = f" with {manifest.agent}.py" if manifest.agent else ""
    result = "is verified, it has the SHA-256 that you gave" if sha256 else "is consistent with its manifest"
    out.print(
        f"[bold green]{escape(str(path))} {result}:[/] "
        + escape(
            f"{manifest.function} of lambda-llm {manifest.version} for {manifest.architecture}, {manifest.runtime}, "
            f"{len(manifest.files)} files, {file_size(manifest.unzipped_bytes)} unzipped{agent}{glibc}{native}"
        )
    )
    if not sha256:
        out.print("Whether it is the zip that was published, only its SHA-256 from elsewhere can tell: --sha256.")
