"""Every rule of a module (validation, condition, check) has a case that it refuses, in the module's own tests.

`terraform test` only says that an expected failure came; which rule it was, and with which words, is hidden. So the
cases are run here without their `expect_failures`, each in a file of its own, and Terraform says what it refused.
"""

import json
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scripts.docs import hcl
from scripts.docs.hcl import Block
from scripts.local_aws import terraform
from support.modules import MODULES, ROOT, adapt, initializable, name, own_tests

pytestmark = [
    pytest.mark.needs("terraform", get="Terraform, https://developer.hashicorp.com/terraform/install"),
    # Only where somebody chose OpenTofu by LAMBDA_LLM_TERRAFORM; CI runs them.
    pytest.mark.skipif(terraform.is_opentofu(), reason="the cases need what OpenTofu's test framework lacks"),
]

KINDS = ("validation", "precondition", "postcondition", "assert")
VALIDATION = re.compile(r"This was checked by the validation rule at ([\w.]+):(\d+),")
EXPECTED = re.compile(r"[\w.]+(?=[,\]])")

Rule = tuple[str, int]
"""File and line of a rule's block."""


def rules(module: Path, *, of_variables: bool) -> dict[Rule, tuple[Block, str]]:
    """A module's rules, those of variables or all others, and the address of what each is a rule of."""
    return {
        (rule.file.name, rule.line): (rule, block.address)
        for block in hcl.module(module)
        if of_a_variable(block.address) == of_variables
        for kind in KINDS
        for rule in block.inside(kind)
    }


def cases(module: Path) -> Iterator[tuple[Block, list[Block], list[str]]]:
    """Runs that expect failures, the blocks of their file that they need, and the addresses that they expect."""
    for file in sorted((module / own_tests(module)).glob("*.tftest.hcl")):
        blocks = hcl.blocks(file)
        for run in blocks:
            if "expect_failures" in run.attributes:
                expected = EXPECTED.findall(run.attributes["expect_failures"])
                yield run, [block for block in blocks if block.kind != "run"], expected


def of_a_variable(address: str) -> bool:
    return address.startswith("var.")


def without_providers(module: Path, folder: Path) -> None:
    """Leave a module's variables alone, and the constants that their rules look at."""
    constants = {
        key: value for block in hcl.module(module) if block.kind == "locals" for key, value in block.attributes.items()
    }
    text = (module / "variables.tf").read_text(encoding="utf-8")
    (folder / "variables.tf").write_text(text, encoding="utf-8")
    used = sorted(set(re.findall(r"local\.(\w+)", text)))
    assert not any(re.search(r"\b(local|var|data)\.", constants[key]) for key in used), "these depend on more"
    lines = [f"  {key} = {constants[key]}" for key in used]
    (folder / "constants.tf").write_text("\n".join(["locals {", *lines, "}\n"]), encoding="utf-8")


def refusals(folder: Path, **variables: str) -> dict[str, list[tuple[str, int]]]:
    """Run every test of a folder; file and line of what refused, by the name of the run."""
    command = [terraform.program(), f"-chdir={folder}", "test", "-json"]
    environment = terraform.environment() | variables
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    found = defaultdict(list)
    for line in map(json.loads, done.stdout.splitlines()):
        if line["type"] == "diagnostic" and "@testrun" in line:
            place = line["diagnostic"].get("range", {})
            if validation := VALIDATION.search(line["diagnostic"]["detail"]):
                found[line["@testrun"]].append((validation[1], int(validation[2])))
            elif place:  # of the condition, which stands inside the rule
                found[line["@testrun"]].append((place["filename"], place["start"]["line"]))
    assert found, done.stdout + done.stderr
    return found


def check(
    known: dict[Rule, tuple[Block, str]], found: dict[str, list[tuple[str, int]]], written: dict[str, list[str]]
) -> None:
    """Each case is refused by rules of what it expects to be refused, and each rule refuses a case."""
    refused: set[Rule] = set()
    for run, expected in written.items():
        hit = {
            (file, first): address
            for (file, first), (rule, address) in known.items()
            if any(file == where and first <= line <= rule.end for where, line in found[run])
        }
        assert set(hit.values()) == set(expected), f"{run} is refused by other rules than it expects: {found[run]}"
        refused |= hit.keys()
    missing = [f"{file}:{line}" for file, line in sorted(set(known) - refused)]
    assert not missing, f"no case in the module's tests is refused by the rule at {', '.join(missing)}"


def write_cases(folder: Path, module: Path, *, of_variables: bool) -> dict[str, list[str]]:
    """Write each case, for variables or for the rest, into a file of its own, without what it expects.

    Returns:
        What each expects to be refused, by its name.
    """
    written = {}
    for run, needed, expected in cases(module):
        if any(map(of_a_variable, expected)) != of_variables:
            continue
        text = "".join(block.source for block in needed if not of_variables or block.kind != "mock_provider")
        text += re.sub(r"  expect_failures = .*\n", "", run.source)
        (folder / f"{run.labels[0]}.tftest.hcl").write_text(text, encoding="utf-8")
        written[run.labels[0]] = expected
    return written


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_every_rule_of_a_variable_has_a_case_that_it_refuses(module: Path, tmp_path: Path) -> None:
    if (module / "tests/fixtures").exists():
        shutil.copytree(module / "tests/fixtures", tmp_path / "tests/fixtures")
    for file in module.glob("*.json"):
        shutil.copy(file, tmp_path)
    without_providers(module, tmp_path)
    (tmp_path / "tests").mkdir(exist_ok=True)
    written = write_cases(tmp_path / "tests", module, of_variables=True)
    check(rules(module, of_variables=True), refusals(tmp_path), written)


@pytest.mark.parametrize(
    "module", [module for module in initializable() if rules(module, of_variables=False)], ids=name
)
def test_every_other_rule_has_a_case_that_it_refuses(
    module: Path, tmp_path: Path, initialized: Callable[[Path], Path]
) -> None:
    where = initialized(module)
    shutil.copytree(ROOT / "modules", tmp_path / "modules", ignore=shutil.ignore_patterns(".terraform", "*.tftest.hcl"))
    adapt(tmp_path)
    copy = tmp_path / "modules" / module.name
    shutil.copy(where / ".terraform.lock.hcl", copy)
    written = write_cases(copy / "tests", module, of_variables=False)
    found = refusals(copy, TF_DATA_DIR=str(where / ".terraform"))
    check(rules(copy, of_variables=False), found, written)
