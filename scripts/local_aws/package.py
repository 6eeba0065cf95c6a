"""The package that the local AWS runs, and the manifest under which Terraform takes it for Lambda's.

The module `inference` refuses a package that was not built for Lambda's CPU and Python. The local AWS runs functions as
processes of this machine whatever they ask for, so its package can't be that one. Here, and nowhere in the modules, the
two meet: zip and contents are true, the manifest beside it names the CPU and the Python that the local AWS plays.
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
from lambda_llm.packaging.manifest import PackageManifest, beside
from scripts import ROOT
from scripts.build.llama import BUILD, SOURCE, SOURCE_STAMP
from scripts.local_aws.processes import running

ZIP: Final = BUILD / "package/lambda-llm-local.zip"
PLAYED: Final = {"architecture": ARCHITECTURE, "runtime": RUNTIME}
"""What the local AWS says that it runs functions on."""


class LocalPackageError(Exception):
    """The package could not be built."""


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
        """It as the modules' variable `package`, in JSON."""
        return json.dumps({"path": str(self.zip), "manifest": str(self.manifest)})


def local_package() -> LocalPackage:
    """Build it, unless the one that is there is still right.

    Raises:
        LocalPackageError: it could not be built.
    """
    package = LocalPackage(ZIP, ZIP.with_suffix(".played.json"))
    stamp = ZIP.with_suffix(".stamp")
    wanted = _fingerprint()
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return package
    stamp.unlink(missing_ok=True)
    command: list[str | Path] = [
        Path(sys.executable).with_name("lambda-llm"),
        "package",
        "--local",
        "--output",
        ZIP,
        "--json",
    ]
    with running(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as building:
        _, said = building.communicate()
    if building.returncode != 0:
        raise LocalPackageError(f"The package for the local AWS was not built: {said.strip()[-600:]}")
    manifest = PackageManifest.model_validate_json(beside(ZIP).read_bytes())
    package.manifest.write_text(manifest.model_copy(update=PLAYED).to_json(), encoding="utf-8")
    stamp.write_text(wanted, encoding="utf-8")
    return package


def _fingerprint() -> str:
    """Sums up what the package is made of."""
    digest = hashlib.sha256(sys.version.encode())
    for path in _inputs():
        digest.update(f"{path.relative_to(ROOT)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _inputs() -> Iterator[Path]:
    yield from (ROOT / "requirements/runtime.txt", SOURCE / SOURCE_STAMP, ROOT / "scripts/build/package.py")
    yield from sorted(BUILD.glob("llama/*/stamp"))
    yield from (path for path in sorted((ROOT / "functions").rglob("*")) if path.suffix != ".pyc" and path.is_file())
