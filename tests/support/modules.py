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


NEWER = {"durable-agent": (re.compile(r"\n  durable_config \{.*?\n  \}\n", re.DOTALL), ("durable.tftest.hcl",))}
"""What a module has for newer providers alone: a part of its main.tf, without which it is still one, and its tests."""


def of_the_mirror() -> tuple[int, ...] | None:
    """Version of the AWS provider in this machine's mirror; None without one: the newest is downloaded."""
    mirror = terraform.find_mirror()
    if mirror is None:
        return None
    found = [re.search(r"(\d+)\.(\d+)\.(\d+)", path.name) for path in mirror.glob("*/hashicorp/aws/*")]
    return max(tuple(map(int, version.groups())) for version in found if version)


def too_new(module: Path) -> bool:
    """Whether the provider of this machine's mirror does not know all that a module uses."""
    newest = of_the_mirror()
    return newest is not None and oldest_provider(module) > newest


def initializable() -> list[Path]:
    """The modules that the AWS provider of this machine's mirror knows, or would but for a part: see `adapt`.

    What a module uses is compared with the newest provider's typings in any case (test_provider.py).
    """
    return [module for module in MODULES if not too_new(module) or module.name in NEWER]


def adapt(copy: Path) -> None:
    """Take from a copy of the repository what the provider of this machine's mirror does not know.

    Args:
        copy: folder that has `modules`, and `examples` or not.
    """
    for module in (ROOT / "modules" / name for name in NEWER):
        if not too_new(module):
            continue
        part, tests = NEWER[module.name]
        main = copy / "modules" / module.name / "main.tf"
        text, number = part.subn("", main.read_text(encoding="utf-8"))
        assert number == 1, main
        main.write_text(text, encoding="utf-8")
        for test in tests:
            (main.parent / "tests" / test).unlink(missing_ok=True)
        needed = f">= {'.'.join(map(str, oldest_provider(module)))}, "
        for versions in [main.parent / "versions.tf", *copy.glob("examples/*/versions.tf")]:
            older = versions.read_text(encoding="utf-8").replace(needed, ">= 5.100.0, ")
            versions.write_text(older, encoding="utf-8")


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
