"""Whether a zip is what its manifest says, and would load on Lambda."""

import hashlib
import io
import zipfile
import zlib
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from lambda_llm.limits import PACKAGE_UNZIPPED_BYTES
from lambda_llm.packaging import elf
from lambda_llm.packaging.errors import PackageError
from lambda_llm.packaging.manifest import NAME, Manifest, PackageManifest, beside
from lambda_llm.units import megabytes

INVALID: Final = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError)
"""What zipfile raises for a file that is not a zip, or is damaged, encrypted or compressed by another method."""


def verify(package: Path) -> Manifest:
    """Check a zip against its manifest, and its libraries against what Lambda can load.

    Args:
        package: the zip; a manifest beside it is checked too.

    Returns:
        The manifest inside the zip.

    Raises:
        PackageError: the first problem found.
    """
    try:
        with zipfile.ZipFile(package) as opened:
            return _verify(package, opened)
    except FileNotFoundError:
        raise PackageError(f"There is no file {package}: build it with `lambda-llm package`.") from None
    except INVALID as error:
        raise PackageError(f"{package} is not a valid zip ({error}): build it again.") from error


def _verify(package: Path, opened: zipfile.ZipFile) -> Manifest:
    names = opened.namelist()
    if NAME not in names:
        raise PackageError(f"{package} is not a package of lambda-llm: it has no {NAME}.")
    try:
        manifest = Manifest.model_validate_json(opened.read(NAME))
    except ValidationError as error:
        raise PackageError(f"The manifest in {package} can't be read ({error.error_count()} problems).") from error
    if set(names) != {*manifest.files, NAME} or len(names) != len(set(names)):
        differing = sorted(set(names) ^ {*manifest.files, NAME}) or ["a name that occurs twice"]
        raise PackageError(f"{package} and its manifest disagree on {differing[0]}: build it again.")
    size = sum(entry.file_size for entry in opened.infolist())
    if size > PACKAGE_UNZIPPED_BYTES:
        raise PackageError(
            f"{package} has {megabytes(size)} unzipped, Lambda takes {megabytes(PACKAGE_UNZIPPED_BYTES)} with layers."
        )
    for name, expected in manifest.files.items():
        data = opened.read(name)
        if hashlib.sha256(data).hexdigest() != expected:
            raise PackageError(f"{name} in {package} is not the file that was built: build it again.")
        if data.startswith(b"\x7fELF"):
            elf.check(elf.read(name, io.BytesIO(data)), manifest.architecture, names)
    _verify_modes(package, opened, manifest)
    _verify_beside(package, manifest)
    return manifest


def _verify_modes(package: Path, opened: zipfile.ZipFile, manifest: Manifest) -> None:
    if manifest.exec_wrapper is not None and manifest.exec_wrapper not in manifest.files:
        raise PackageError(f"{package} has no {manifest.exec_wrapper}, which starts it: build it again.")
    for entry in opened.infolist():
        needed = 0o555 if entry.filename == manifest.exec_wrapper else 0o444
        if entry.external_attr >> 16 & needed != needed:
            verb = "executed" if needed & 0o111 else "read"
            raise PackageError(f"{entry.filename} in {package} can't be {verb} by Lambda's user: zip it with its mode.")


def _verify_beside(package: Path, manifest: Manifest) -> None:
    path = beside(package)
    if not path.exists():
        return
    try:
        outer = PackageManifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise PackageError(
            f"{path} can't be read ({error.error_count()} problems): build the package again."
        ) from error
    if outer != PackageManifest.of(package, manifest):
        raise PackageError(f"{path} describes a zip other than {package}: build the package again.")
