"""One package for all tests of this folder, built as `make package` does it."""

import zipfile
from pathlib import Path

import pytest

from support.package import COMMAND, Build, Package, build_package


@pytest.fixture(scope="session")
def command() -> Path:
    """`lambda-llm`."""
    return COMMAND


@pytest.fixture(scope="session")
def build() -> Build:
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
