"""The Terraform modules of this repository, found by their files."""

import re
from pathlib import Path

from scripts.local_aws import terraform

ROOT = Path(__file__).parents[2]
TERRAFORM_FROM = "Terraform 1.11 or later, https://developer.hashicorp.com/terraform/install"
MODULES = [ROOT, *sorted(path.parent for path in (ROOT / "modules").glob("*/versions.tf"))]


def name(module: Path) -> str:
    """As in a test's id."""
    return "root" if module == ROOT else module.name


def oldest_provider(module: Path) -> tuple[int, ...]:
    """Version of the oldest AWS provider that a module works with."""
    found = re.search(r'hashicorp/aws"\n *version = ">= ([\d.]+)', sources(module)["versions.tf"])
    assert found, module
    return tuple(map(int, found[1].split(".")))


def initializable() -> list[Path]:
    """The modules that the AWS provider of this machine's mirror knows; without a mirror the newest is downloaded.

    What a module uses is compared with the newest provider's typings in any case (test_provider.py).
    """
    mirror = terraform.find_mirror()
    if mirror is None:
        return MODULES
    found = [re.search(r"(\d+)\.(\d+)\.(\d+)", path.name) for path in mirror.glob("*/hashicorp/aws/*")]
    newest = max(tuple(map(int, version.groups())) for version in found if version)
    return [module for module in MODULES if oldest_provider(module) <= newest]


ONLY_TERRAFORM = ("override_during", "merge(var.", "= sensitive(")
"""What OpenTofu's test framework lacks; a test file that uses one of them is Terraform's alone."""


def of_terraform_alone(file: Path) -> bool:
    """Whether OpenTofu can't run a file of module tests."""
    text = file.read_text(encoding="utf-8")
    return any(word in text for word in ONLY_TERRAFORM)


def own_tests(module: Path) -> str:
    """Folder of a module's own tests, below the module."""
    return "tests/terraform" if module == ROOT else "tests"


def sources(module: Path) -> dict[str, str]:
    """The module's own files: name and text."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(module.glob("*.tf"))}
