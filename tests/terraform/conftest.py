"""Terraform for the tests of this folder."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.local_aws import terraform
from support.modules import ROOT, adapt, of_terraform_alone, too_new


@pytest.fixture(scope="session")
def initialized(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Takes a folder with a configuration; its modules and the provider are there afterwards."""
    done: dict[Path, Path] = {}

    def initialize(folder: Path) -> Path:
        if folder not in done:
            changed = terraform.is_opentofu() or too_new(folder)
            where = copied(folder, tmp_path_factory.mktemp("modules")) if changed else folder
            terraform.run(where, "init", "-backend=false")
            done[folder] = where
        return done[folder]

    return initialize


def copied(module: Path, into: Path) -> Path:
    """Copy a module into a folder, without what this program or its provider can't read; return its copy."""
    shutil.copytree(ROOT / "modules", into / "modules", ignore=shutil.ignore_patterns(".terraform*"))
    for file in [*ROOT.glob("*.tf"), *(ROOT / "tests/terraform").glob("*.hcl")]:
        (into / file.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, into / file.relative_to(ROOT))
    (into / "models").symlink_to(ROOT / "models")
    adapt(into)
    for file in into.rglob("*.tftest.hcl"):
        if terraform.is_opentofu() and of_terraform_alone(file):
            file.unlink()
    return into / module.relative_to(ROOT)
