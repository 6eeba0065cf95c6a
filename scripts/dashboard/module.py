"""modules/observability as Terraform plans it for a stack with every kind of function."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from scripts import ROOT
from scripts.local_aws import terraform

ACCOUNT: Final = "123456789012"
REGION: Final = "us-east-1"
MACHINE: Final = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:batches"
MODEL: Final = "small"
CONCURRENCY: Final = 20

FUNCTIONS: Final[Mapping[str, str]] = {
    "inference": "chat",
    "router": "llm",
    "agent": "research",
    "batch": "batches-worker",
    "pruner": "chat-pruner",
}
"""Name of the function by the lines' `service`."""

INDEX: Final = "batches-index"
"""Function of a batch that answers nothing."""

STACK: Final = """
provider "aws" {
  region                      = "%(region)s"
  access_key                  = "unused"
  secret_key                  = "unused"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}

module "observability" {
  source = "%(root)s//modules/observability"

  name = "llm"
  %(arguments)s
}
"""


@dataclass(frozen=True)
class Planned:
    """What CloudWatch would have.

    Attributes:
        widgets: of the dashboard; none without one.
        alarms: arguments by name.
        queries: arguments by name.
    """

    widgets: list[dict[str, Any]]
    alarms: dict[str, dict[str, Any]]
    queries: dict[str, dict[str, Any]]


def log_group(function: str) -> str:
    """Name of a function's log group."""
    return f"/aws/lambda/{function}"


def everything() -> dict[str, object]:
    """The module's arguments with one function of each kind."""
    named = {
        kind: {"function_name": name, "log_group_name": log_group(name)}
        for kind, name in [*FUNCTIONS.items(), ("index", INDEX)]
    }
    return {
        "inference": {"chat": {**named["inference"], "models": [MODEL], "concurrency": CONCURRENCY}},
        "routers": {"llm": named["router"]},
        "agents": {"research": named["agent"]},
        "batches": {"nightly": {"state_machine_arn": MACHINE, "worker": named["batch"], "index": named["index"]}},
        "pruners": {"chat": named["pruner"]},
    }


def planned(folder: Path, arguments: Mapping[str, object]) -> Planned:
    """Plan the module.

    Args:
        folder: where Terraform may work.
        arguments: of the module.

    Raises:
        TerraformError: Terraform is missing or refuses.
    """
    given = "\n  ".join(f"{name} = {json.dumps(value)}" for name, value in arguments.items())
    text = STACK % {"region": REGION, "root": ROOT, "arguments": given}
    (folder / "main.tf").write_text(text, encoding="utf-8")
    terraform.run(folder, "init", "-backend=false")
    terraform.run(folder, "plan", "-out=plan", "-refresh=false", "-lock=false")
    root = json.loads(terraform.run(folder, "show", "-json", "plan"))["planned_values"]["root_module"]
    found = [each for module in root.get("child_modules", []) for each in module["resources"]]
    bodies = [each["values"]["dashboard_body"] for each in found if each["type"] == "aws_cloudwatch_dashboard"]
    return Planned(
        widgets=json.loads(bodies[0])["widgets"] if bodies else [],
        alarms={
            each["values"]["alarm_name"]: each["values"]
            for each in found
            if each["type"] == "aws_cloudwatch_metric_alarm"
        },
        queries={
            each["values"]["name"]: each["values"]
            for each in found
            if each["type"] == "aws_cloudwatch_query_definition"
        },
    )
