"""Every module: laid out, valid, bounded in its versions, and tested by Terraform itself."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.docs import hcl
from scripts.local_aws import terraform
from support.modules import (
    MODULES,
    ROOT,
    TERRAFORM_FROM,
    initializable,
    name,
    oldest_provider,
    own_tests,
    sources,
)

EVERY_MODULE = pytest.mark.parametrize("module", MODULES, ids=name)

BOUNDS = re.compile(r'required_version = "(.*)"\n.*hashicorp/aws"\n *version = ">= [\d.]+, (.*)"\n', re.DOTALL)

pytestmark = pytest.mark.needs("terraform", get=TERRAFORM_FROM)


def bounds(module: Path) -> tuple[str, str]:
    """Terraform's constraint, and what the provider's version must be besides being recent enough."""
    found = BOUNDS.search(sources(module)["versions.tf"])
    assert found
    core, others = found.groups()
    return core, others


def test_every_file_is_laid_out_as_terraform_does_it() -> None:
    assert terraform.run(ROOT, "fmt", "-check", "-recursive", "-diff") == ""


@pytest.mark.parametrize("module", initializable(), ids=name)
def test_a_module_is_valid_and_passes_its_own_tests(module: Path, initialized: Callable[[Path], Path]) -> None:
    """But for files of refusals alone: test_rules.py runs those, ten times as fast, and sees which rule it was."""
    where = initialized(module)
    files = [file for file in sorted((where / own_tests(where)).glob("*.tftest.hcl")) if not only_refuses(file)]
    if not files:
        terraform.run(where, "validate")
        return
    chosen = [f"-filter={file.relative_to(where)}" for file in files]
    assert "0 failed" in terraform.run(where, "test", f"-test-directory={own_tests(where)}", *chosen)


def only_refuses(file: Path) -> bool:
    """Whether each run of a file expects to fail."""
    return all("expect_failures" in block.attributes for block in hcl.blocks(file) if block.kind == "run")


@EVERY_MODULE
def test_a_module_agrees_with_the_root_s_versions(module: Path) -> None:
    """What needs a newer provider may say so; nothing may admit one that can't publish updates, or one of 7.x."""
    faulty = "!= 6.2.0, != 6.3.0, " if oldest_provider(module) < (6, 4, 0) else ""
    assert bounds(module) == (">= 1.9.0", f"{faulty}< 7.0.0")
    assert oldest_provider(module) >= oldest_provider(ROOT) == (5, 100, 0)
