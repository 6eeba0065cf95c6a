"""Every module: laid out, valid, bounded in its versions, and tested by Terraform itself."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.local_aws import terraform
from support.modules import MODULES, ROOT, TERRAFORM_FROM, name, own_tests, sources

EVERY_MODULE = pytest.mark.parametrize("module", MODULES, ids=name)

BOUNDS = re.compile(r'required_version = "(.*)"\n.*hashicorp/aws"\n *version = ">= ([\d.]+), < ([\d.]+)"\n', re.DOTALL)

pytestmark = pytest.mark.needs("terraform", get=TERRAFORM_FROM)


def bounds(module: Path) -> tuple[str, tuple[int, ...], str]:
    """Terraform's constraint; the provider's oldest version, and the one that it stays below."""
    found = BOUNDS.search(sources(module)["versions.tf"])
    assert found
    core, oldest, below = found.groups()
    return core, tuple(map(int, oldest.split("."))), below


def test_every_file_is_laid_out_as_terraform_does_it() -> None:
    assert terraform.run(ROOT, "fmt", "-check", "-recursive", "-diff") == ""


@EVERY_MODULE
def test_a_module_is_valid_and_passes_its_own_tests(module: Path, initialized: Callable[[Path], Path]) -> None:
    assert "0 failed" in terraform.run(initialized(module), "test", f"-test-directory={own_tests(module)}")


@EVERY_MODULE
def test_a_module_agrees_with_the_root_s_versions(module: Path) -> None:
    """What needs a newer provider may say so; nothing may ask for an older one or leave out the bound above."""
    core, oldest, below = bounds(module)
    assert (core, below) == bounds(ROOT)[::2]
    assert oldest >= bounds(ROOT)[1]
