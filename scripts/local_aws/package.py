"""Packages for the local AWS, with manifests that Terraform accepts as Lambda's.

The modules reject a package that was not built for Lambda's CPU and Python. The local AWS runs functions as processes
of this machine whatever architecture and runtime they declare, so its packages are built for this machine. To keep
exceptions out of the modules, the manifest beside each zip names the CPU and Python that the local AWS emulates.
"""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lambda_llm.limits import ARCHITECTURE, RUNTIME
from lambda_llm.packaging.functions import FUNCTIONS
from lambda_llm.packaging.manifest import PackageManifest, beside
from scripts import ROOT
from scripts.build.llama import BUILD, SOURCE, SOURCE_STAMP
from scripts.build.package import LOCK
from scripts.local_aws.processes import running

FOLDER: Final = BUILD / "package"
PLAYED: Final = {"architecture": ARCHITECTURE, "runtime": RUNTIME}
"""What the local AWS claims to run functions on."""


class LocalPackageError(Exception):
    """A package could not be built."""


@dataclass(frozen=True)
class LocalPackage:
    """A package for the local AWS.

    Attributes:
        zip: the file.
        manifest: file with the manifest for Terraform.
    """

    zip: Path
    manifest: Path

    def variable(self) -> str:
        """Return the value of the modules' variable `package`, as JSON."""
        return json.dumps({"path": str(self.zip), "manifest": str(self.manifest)})


def local_packages() -> dict[str, LocalPackage]:
    """Return each function's package by name, built unless it is up to date.

    Raises:
        LocalPackageError: one could not be built.
    """
    packages = {name: _package(name) for name in FUNCTIONS}
    stamp = FOLDER / "local.stamp"
    wanted = _fingerprint()
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return packages
    stamp.unlink(missing_ok=True)
    outputs = [f"{name}={package.zip}" for name, package in packages.items()]
    command: list[str | Path] = [sys.executable, "-m", "scripts.build.package", "--local", *outputs]
    with running(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as building:
        _, errors = building.communicate()
    if building.returncode != 0:
        raise LocalPackageError(f"The packages for the local AWS could not be built: {errors.strip()[-600:]}")
    for package in packages.values():
        played(package.zip)
    stamp.write_text(wanted, encoding="utf-8")
    return packages


def played(path: Path) -> LocalPackage:
    """Write the manifest for Terraform beside a zip for the local AWS.

    Args:
        path: of the zip, as `lambda-llm package --local` built it.
    """
    package = _local(path)
    manifest = PackageManifest.model_validate_json(beside(path).read_bytes())
    package.manifest.write_text(manifest.model_copy(update=PLAYED).to_json(), encoding="utf-8")
    return package


def _package(name: str) -> LocalPackage:
    return _local(FOLDER / f"lambda-llm-{name}-local.zip")


def _local(path: Path) -> LocalPackage:
    return LocalPackage(path, path.with_suffix(".played.json"))


def _fingerprint() -> str:
    """Hash the inputs of the packages."""
    digest = hashlib.sha256(sys.version.encode())
    for path in _inputs():
        digest.update(f"{path.relative_to(ROOT)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _inputs() -> Iterator[Path]:
    yield from (LOCK, SOURCE / SOURCE_STAMP, ROOT / "scripts/build/package.py")
    yield from sorted(BUILD.glob("llama/*/stamp"))
    yield from (path for path in sorted((ROOT / "functions").rglob("*")) if path.suffix != ".pyc" and path.is_file())
