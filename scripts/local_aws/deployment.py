"""Apply an example of this repository on the local AWS, as a user does on an account."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from scripts import ROOT
from scripts.local_aws import terraform
from scripts.local_aws.package import LocalPackage
from scripts.local_aws.processes import running
from scripts.local_aws.server import LocalAWS

_STEP: Final = re.compile(r"^(?:module\.[\w.-]+\.)?(aws_\w+)\.\S+: (Creating|Modifying|Still \w+)\b")
_LEFTOVERS: Final = {
    "modules": shutil.ignore_patterns(".terraform*", "*.tfstate*"),
    "examples": shutil.ignore_patterns(".terraform*", "*.tfstate*", "*.json"),
}
"""What Terraform and its users leave behind, by folder."""
_PACKAGES: Final = {
    "package": "inference",
    "pruner_package": "pruner",
    "router_package": "router",
    "worker_package": "queue-worker",
    "rollback_package": "canary-rollback",
    "authorizer_package": "authorizer",
    "batch_package": "batch",
    "documents_package": "documents",
    "authorizer_jwt_package": "authorizer-jwt",
}
"""The variables for packages, and the functions that they are of."""


def checkout(folder: Path) -> Path:
    """Copy what Terraform reads of this repository, so that it writes its files to the copy.

    Args:
        folder: an empty one.
    """
    for part, leftovers in _LEFTOVERS.items():
        shutil.copytree(ROOT / part, folder / part, ignore=leftovers)
    for path in ROOT.glob("*.tf"):
        shutil.copy(path, folder)
    (folder / "models").symlink_to(ROOT / "models")
    return folder


def variables(aws: LocalAWS, packages: Mapping[str, LocalPackage]) -> dict[str, str]:
    """Return the environment in which Terraform applies this repository's configurations, unchanged, on a local AWS.

    Args:
        aws: the local AWS.
        packages: by function.
    """
    settings = {name: value for name, value in terraform.environment().items() if name.startswith("TF_")}
    given = {f"TF_VAR_{name}": packages[function].variable() for name, function in _PACKAGES.items()}
    outside = {name: value for name, value in aws.environment.items() if not name.startswith("TF_")}
    return {**outside, **settings, **given}


def apply(folder: Path, environment: Mapping[str, str], report: Callable[[str], None]) -> dict[str, Any]:
    """Apply an initialized configuration.

    Args:
        folder: of the configuration.
        environment: of Terraform.
        report: called with the type of the resource in progress.

    Returns:
        The outputs.

    Raises:
        TerraformError: it failed; the message is Terraform's.
    """
    command = [terraform.program(), f"-chdir={folder}", "apply", "-auto-approve", "-no-color"]
    lines: list[str] = []
    with running(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        for line in process.stdout or ():
            lines.append(line)
            if step := _STEP.match(line):
                report(step[1])
        failed = process.wait() != 0
    if failed:
        raise terraform.TerraformError("".join(lines[-20:]).strip())
    outputs = subprocess.run(
        [terraform.program(), f"-chdir={folder}", "output", "-json"], env=environment, capture_output=True, check=True
    )
    return {name: output["value"] for name, output in json.loads(outputs.stdout).items()}
