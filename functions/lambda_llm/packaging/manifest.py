"""The manifest of a package, inside the zip and beside it."""

import base64
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, StringConstraints

from lambda_llm.packaging import archive

NAME: Final = "lambda-llm-manifest.json"
SBOM_NAME: Final = "lambda-llm-sbom.cdx.json"

Text = Annotated[str, StringConstraints(pattern="^[ -~]+$", max_length=255)]
"""Printed in terminals, so without control characters."""


class NativeBuild(BaseModel):
    """How the llama.cpp in a package was built.

    Attributes:
        llama_cpp_python: version whose source package llama.cpp comes from.
        llama_cpp_source_sha256: of that source package.
        compiler: name and version.
        build_options: CMake's.
        source_edits: SHA-256 of each change of llama.cpp's source as a diff, by its name.
        cpu_variants: CPU backends, one of which is chosen at run time; empty if the only one is built in.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    llama_cpp_python: Text
    llama_cpp_source_sha256: Text
    compiler: Text
    build_options: dict[str, str]
    source_edits: dict[str, str]
    cpu_variants: list[Text]


class Manifest(BaseModel):
    """Read by `--verify`, and by Terraform as `jsondecode(file(…))`.

    Attributes:
        format: of this document.
        function: name of the packaged function; a Terraform module refuses any other.
        version: of lambda-llm.
        architecture: as Lambda spells it.
        runtime: as Lambda spells it.
        handler: for Lambda's Python runtime.
        agent: module at the top of the zip with somebody's agent; None where there is none.
        exec_wrapper: the program behind the web adapter, below /var/task; None for a function without one.
        native: how its llama.cpp was built; None for a function without it.
        glibc: newest version of the C library that any file needs; None where no file needs any.
        unzipped_bytes: all files together.
        files: SHA-256 in hex of every file but the manifest itself.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[3] = 3
    function: Text
    version: Text
    architecture: Literal["arm64", "x86_64"]
    runtime: Text
    handler: Text
    agent: Text | None = None
    exec_wrapper: Text | None
    native: NativeBuild | None
    glibc: Text | None
    unzipped_bytes: int
    files: dict[str, str]

    def to_json(self) -> str:
        """The document; the same manifest always gives the same bytes."""
        return self.model_dump_json(indent=2) + "\n"


class PackageManifest(Manifest):
    """The manifest beside the zip: with the zip's own size and hash.

    Attributes:
        zip_bytes: of the zip.
        zip_sha256: of the zip in hex.
        code_sha256: the same in base64, as in Lambda's `CodeSha256`.
    """

    zip_bytes: int
    zip_sha256: str
    code_sha256: str

    @classmethod
    def of(cls, package: Path, manifest: Manifest) -> Self:
        """Describe a zip.

        Args:
            package: the zip.
            manifest: the one inside.
        """
        digest = archive.sha256(package)
        return cls(
            **manifest.model_dump(),
            zip_bytes=package.stat().st_size,
            zip_sha256=digest,
            code_sha256=base64.b64encode(bytes.fromhex(digest)).decode(),
        )


def beside(package: Path) -> Path:
    """Path of the manifest beside a zip."""
    return package.with_suffix(".manifest.json")
