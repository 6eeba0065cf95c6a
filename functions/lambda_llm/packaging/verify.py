"""Whether a zip is what its manifest says, and would load on Lambda."""

import hashlib
import io
import re
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from lambda_llm.limits import MIB, PACKAGE_UNZIPPED_BYTES
from lambda_llm.packaging import elf
from lambda_llm.packaging.errors import PackageError
from lambda_llm.packaging.manifest import NAME, Manifest, PackageManifest, beside
from lambda_llm.packaging.strict_zip import StrictZip
from lambda_llm.units import file_size, megabytes

MANIFEST_BYTES: Final = 16 * MIB
"""Largest manifest: more than 65,534 files with names of 100 characters need."""

_SHA256: Final = re.compile("[0-9a-fA-F]{64}")


def verify(package: Path, sha256: str | None = None) -> Manifest:
    """Check a zip against its manifest, and its libraries against what Lambda can load.

    The manifest comes with the zip, so this finds damage and mistakes. That nobody exchanged both is known only by
    a digest from elsewhere.

    Args:
        package: the zip; a manifest beside it is checked too.
        sha256: of the zip in hex, from a source that is trusted.

    Returns:
        The manifest inside the zip.

    Raises:
        PackageError: the first problem found.
    """
    if sha256 is not None and not _SHA256.fullmatch(sha256):
        raise PackageError(f"{sha256!r} is no SHA-256: give the 64 hex digits that the zip was published with.")
    opened = StrictZip(package, PACKAGE_UNZIPPED_BYTES)
    if sha256 is not None and (found := hashlib.sha256(opened.data).hexdigest()) != sha256.lower():
        raise PackageError(
            f"{package} has the SHA-256 {found} instead of {sha256.lower()}: it is not the zip that you were given the "
            "digest of; don't deploy it."
        )
    manifest = _manifest(opened)
    _verify_files(opened, manifest)
    _verify_modes(opened, manifest)
    _verify_beside(package, manifest)
    return manifest


def _manifest(opened: StrictZip) -> Manifest:
    if NAME not in opened.entries:
        raise PackageError(f"{opened.path} is not a package of lambda-llm: it has no {NAME}.")
    size = opened.entries[NAME].size
    if size > MANIFEST_BYTES:
        raise PackageError(
            f"The manifest in {opened.path} has {megabytes(size)}, more than {megabytes(MANIFEST_BYTES)}: build the "
            "package again."
        )
    try:
        return Manifest.model_validate_json(opened.content(NAME))
    except ValidationError as error:
        raise PackageError(f"The manifest in {opened.path} can't be read ({error.error_count()} problems).") from error


def _verify_files(opened: StrictZip, manifest: Manifest) -> None:
    if differing := opened.entries.keys() ^ {*manifest.files, NAME}:
        raise PackageError(f"{opened.path} and its manifest disagree on {min(differing)!r}: build it again.")
    size = sum(entry.size for name, entry in opened.entries.items() if name != NAME)
    if size != manifest.unzipped_bytes:
        raise PackageError(
            f"{opened.path} has {file_size(size)} ({size:,} bytes) unzipped, its manifest says "
            f"{manifest.unzipped_bytes:,} bytes: build it again."
        )
    for name, expected in manifest.files.items():
        content = opened.content(name)
        if hashlib.sha256(content).hexdigest() != expected:
            raise PackageError(f"{name} in {opened.path} is not the file that was built: build it again.")
        if content.startswith(b"\x7fELF"):
            elf.check(elf.read(name, io.BytesIO(content)), manifest.architecture, opened.entries)


def _verify_modes(opened: StrictZip, manifest: Manifest) -> None:
    if manifest.exec_wrapper is not None and manifest.exec_wrapper not in manifest.files:
        raise PackageError(f"{opened.path} has no {manifest.exec_wrapper}, which starts it: build it again.")
    for entry in opened.entries.values():
        needed = 0o555 if entry.name == manifest.exec_wrapper else 0o444
        if entry.mode & needed != needed:
            verb = "executed" if needed & 0o111 else "read"
            raise PackageError(f"{entry.name} in {opened.path} can't be {verb} by Lambda's user: build it again.")


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
