"""Runs checkov with the project's policies over fixtures: as HCL, and as the plan that Terraform makes of them."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.local_aws import terraform

ROOT = Path(__file__).parents[2]
HERE = ROOT / "tests/policies"
POLICIES = ROOT / "functions/lambda_llm/policies"
CHECKOV = ROOT / ".build/checkov/bin"

PROVIDER = """\
provider "aws" {
  region                      = "us-east-1"
  access_key                  = "unused"
  secret_key                  = "unused"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}
"""
DURABLE = re.compile(r"  durable_config \{\n(.*?)  \}\n", re.DOTALL)
INPUTS = {"marks": "tags = {}\n  memory = 512"}
"""What a case's variables are given, so that its plan is whole."""

Finding = tuple[str, str]
"""Id of a check and address of a resource."""


@dataclass
class Found:
    """What checkov said about one fixture."""

    passed: set[Finding] = field(default_factory=set)
    failed: set[Finding] = field(default_factory=set)
    skipped: set[Finding] = field(default_factory=set)


def checkov_environment(**more: str) -> dict[str, str]:
    """As on a machine with checkov and nothing of ours: its programs come first."""
    kept = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    return {**kept, "PATH": f"{CHECKOV}{os.pathsep}/usr/local/bin:/usr/bin:/bin", "LOG_LEVEL": "WARNING", **more}


def run_policies(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the checks by the command that is documented, with checkov's own Python."""
    command = [str(CHECKOV / "python"), str(POLICIES), *arguments]
    done = subprocess.run(
        command, cwd=folder, env=checkov_environment(**variables), capture_output=True, text=True, check=False
    )
    for trouble in ("Failed to run check", "Cannot load external check", "Traceback"):
        assert trouble not in done.stderr, done.stderr
    return done


def reports(output: str) -> dict[str, dict[str, Any]]:
    """Reports by framework."""
    read = json.loads(output)
    return {report["check_type"]: report for report in (read if isinstance(read, list) else [read])}


def findings(report: dict[str, Any]) -> Iterator[tuple[str, str, Finding]]:
    """File, outcome and finding of each record; of a module's resource the file that calls the module."""
    for outcome in ("passed", "failed", "skipped"):
        for record in report["results"][f"{outcome}_checks"]:
            yield record["caller_file_path"] or record["file_path"], outcome, (record["check_id"], record["resource"])


def trees() -> dict[str, Path]:
    """Folder of each fixture and case by its name: `CKV_LLM_1-pass`, `marks`."""
    fixtures = {f"{path.parent.name}-{path.name}": path for path in sorted(HERE.glob("fixtures/*/*"))}
    return fixtures | {path.name: path for path in sorted(HERE.glob("cases/*"))}


def lay_out(folder: Path) -> None:
    """Copy fixtures and cases; each fixture but pruning's own and that of bills gets a pruner beside it."""
    for path in trees().values():
        target = folder / path.relative_to(HERE)
        shutil.copytree(path, target)
        if path.parent.parent.name == "fixtures" and path.parent.name not in {"CKV_LLM_15", "CKV_LLM_24"}:
            shutil.copy(HERE / "pruner.tf", target)


def _durable(block: str) -> dict[str, int]:
    return {name: int(value) for name, value in re.findall(r"(\w+) *= (\d+)", block)}


def plans(folder: Path) -> dict[str, dict[str, Any]]:
    """Plan everything at once and take the plan apart, one for each fixture.

    Terraform's provider of 5.100 does not know `durable_config`: it is taken out, and put back into the plan.
    """
    lay_out(folder)
    blocks: dict[str, dict[str, int]] = {}
    text = PROVIDER
    for name, path in trees().items():
        main = folder / path.relative_to(HERE) / "main.tf"
        source = main.read_text(encoding="utf-8")
        if match := DURABLE.search(source):
            blocks[name] = _durable(match[1])
            main.write_text(DURABLE.sub("", source), encoding="utf-8")
        text += f'module "{name}" {{\n  source = "./{path.relative_to(HERE)}"\n  {INPUTS.get(name, "")}\n}}\n'
    (folder / "main.tf").write_text(text, encoding="utf-8")
    terraform.run(folder, "init", "-backend=false")
    terraform.run(folder, "plan", "-out=plan", "-refresh=false", "-lock=false")
    whole = json.loads(terraform.run(folder, "show", "-json", "plan"))
    return {name: _part(whole, name, blocks.get(name)) for name in trees()}


def _part(plan: dict[str, Any], name: str, durable: dict[str, int] | None) -> dict[str, Any]:
    """What a plan says about one module of the root."""
    address = f"module.{name}"
    modules = [one for one in plan["planned_values"]["root_module"]["child_modules"] if one["address"] == address]
    changes = [one for one in plan["resource_changes"] if one["address"].startswith(f"{address}.")]
    if durable is not None:
        places = [one["values"] for one in modules[0]["resources"]] + [one["change"]["after"] for one in changes]
        for place in places:
            if place.get("tags", {}).get("lambda-llm") == "durable-agent":
                place["durable_config"] = [durable]
    calls = plan["configuration"]["root_module"]["module_calls"]
    return {
        "format_version": plan["format_version"],
        "terraform_version": plan["terraform_version"],
        "planned_values": {"root_module": {"child_modules": modules}},
        "resource_changes": changes,
        "configuration": {"root_module": {"module_calls": {name: calls[name]}}},
    }
