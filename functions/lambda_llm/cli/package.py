"""`lambda-llm package`."""

import json
import subprocess
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.table import Table

from lambda_llm.cli.console import JSON, out
from lambda_llm.limits import PACKAGE_DIRECT_UPLOAD_BYTES
from lambda_llm.packaging.errors import PackageError
from lambda_llm.packaging.verify import verify as check
from lambda_llm.units import megabytes

BUILDER: Final = Path(__file__).parents[3] / "scripts/build_package.py"


class Architecture(StrEnum):
    """As Lambda spells it."""

    ARM64 = "arm64"
    X86_64 = "x86_64"


def package(
    *,
    arch: Annotated[Architecture, typer.Option(help="arm64 is what the function runs on.")] = Architecture.ARM64,
    output: Annotated[Path | None, typer.Option(help="The zip; default: dist/lambda-llm-ARCH.zip (or -local).")] = None,
    local: Annotated[
        bool, typer.Option("--local", help="For the local AWS: this machine and Python, in seconds.")
    ] = False,
    verify: Annotated[Path | None, typer.Option(help="Check this zip instead of building one.")] = None,
    as_json: JSON = False,
) -> None:
    """Build the function's zip for Lambda, or check one.

    Runs in a checkout of the project, on any Linux or macOS machine, without Docker: the compiler comes from PyPI.
    The first build takes minutes, the next one takes what is still right. The same inputs give the same bytes. A
    manifest and an SBOM (CycloneDX) are inside the zip and beside it. `--local` takes the llama.cpp that is compiled
    already; such a zip runs in the project's local AWS and nowhere else.

    Example: `lambda-llm package --output dist/function.zip && lambda-llm package --verify dist/function.zip`
    """
    if verify is not None:
        manifest = check(verify)
        if as_json:
            out.print_json(manifest.model_dump_json())
            return
        out.print(
            f"[bold green]{verify} is sound:[/] lambda-llm {manifest.version} for {manifest.architecture}, "
            f"{manifest.runtime}, {len(manifest.files)} files, {megabytes(manifest.unzipped_bytes)} unzipped, "
            f"needs GLIBC {manifest.glibc}, CPU backends {', '.join(manifest.cpu_variants)}"
        )
        return
    if not BUILDER.exists():
        raise PackageError(
            "The package is built from a checkout of the project: clone it, run `make package` there, or check a "
            "finished zip with --verify."
        )
    name = "local" if local else arch.value
    target = output or Path("dist") / f"lambda-llm-{name}.zip"
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, str(BUILDER), *(["--local"] if local else ["--arch", name]), "--output", str(target)],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise PackageError("The package was not built; the reason stands above.")
    built = json.loads(done.stdout)
    if as_json:
        out.print_json(data=built)
        return
    table = Table(
        title="The ten largest files", title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0)
    )
    for name, size in built["largest"]:
        table.add_row(megabytes(size), name)
    out.print(table)
    fits = "" if built["zip_bytes"] <= PACKAGE_DIRECT_UPLOAD_BYTES else " (too large for a direct upload: use S3)"
    out.print(
        f"[bold]{target}[/]: {megabytes(built['zip_bytes'])} zipped{fits}, "
        f"{megabytes(built['unzipped_bytes'])} unzipped, SHA-256 {built['zip_sha256']}"
    )
