"""The Terraform modules of this repository, found by their files."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
TERRAFORM_FROM = "Terraform 1.11 or later, https://developer.hashicorp.com/terraform/install"
MODULES = [ROOT, *sorted(path.parent for path in (ROOT / "modules").glob("*/versions.tf"))]


def name(module: Path) -> str:
    """As in a test's id."""
    return "root" if module == ROOT else module.name


def own_tests(module: Path) -> str:
    """Folder of a module's own tests, below the module."""
    return "tests/terraform" if module == ROOT else "tests"


def sources(module: Path) -> dict[str, str]:
    """The module's own files: name and text."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(module.glob("*.tf"))}
