"""One package for all tests of this folder, built as `make package` does it."""

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

COMMAND = Path(sys.executable).with_name("lambda-llm")


@dataclass(frozen=True)
class Package:
    """A built zip, what the command said of it, and its manifest."""

    zip: Path
    said: dict[str, Any]

    @property
    def manifest(self) -> dict[str, Any]:
        """As Terraform reads it: from beside the zip."""
        manifest: dict[str, Any] = json.loads(self.zip.with_suffix(".manifest.json").read_bytes())
        return manifest


def build_package(output: Path, function: str = "inference", **changes: Any) -> Package:
    """Run `lambda-llm package` for one function; llama.cpp stays in .build and is compiled only once."""
    command = [COMMAND, "package", "--function", function, "--output", output, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, **changes)
    assert done.returncode == 0, done.stderr
    return Package(output, json.loads(done.stdout)[function])


@pytest.fixture(scope="session")
def command() -> Path:
    """`lambda-llm`."""
    return COMMAND


@pytest.fixture(scope="session")
def build() -> Callable[..., Package]:
    """Takes the zip's path, the function's name, and whatever `subprocess.run` takes."""
    return build_package


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """The inference function's package for arm64."""
    return build_package(tmp_path_factory.mktemp("package") / "function.zip")


@pytest.fixture(scope="session")
def task(package: Package, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package unpacked as Lambda does it into /var/task: with the modes of the zip, and not to be written to."""
    folder = tmp_path_factory.mktemp("var") / "task"
    with zipfile.ZipFile(package.zip) as opened:
        for entry in opened.infolist():
            path = folder / entry.filename
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(opened.read(entry))
            path.chmod(entry.external_attr >> 16 & ~0o222)
    return folder
