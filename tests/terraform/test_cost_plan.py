"""What `lambda-llm cost plan` says of plans that Terraform makes here and now."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts.local_aws import terraform
from support.modules import ROOT, TERRAFORM_FROM
from support.policies import PROVIDER

pytestmark = pytest.mark.needs("terraform", get=TERRAFORM_FROM)

REFUSED = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}
"""Whatever would ask AWS after all fails at once."""


def package(module: str) -> str:
    return f'{{ path = "{ROOT}/modules/{module}/tests/fixtures/function.zip" }}'


HYBRID = f"""
module "example" {{
  source = "{ROOT}//examples/hybrid"

  model_file     = "{ROOT}/models/demo/lambda-llm-demo.gguf"
  package        = {package("inference")}
  router_package = {package("router")}
  pruner_package = {package("version-pruner")}
}}
"""
ROUTER_ALONE = f"""
module "router" {{
  source = "{ROOT}//modules/router"

  name          = "llm"
  package       = {package("router")}
  configuration = {{ s3 = {{ bucket = "my-configurations", key = "router.yaml" }} }}
}}
"""


def say(folder: Path, configuration: str) -> Any:
    (folder / "main.tf").write_text(PROVIDER + configuration, encoding="utf-8")
    terraform.run(folder, "init", "-backend=false")
    terraform.run(folder, "plan", "-refresh=false", "-lock=false", "-out=plan.bin", **REFUSED)
    command = [sys.executable, "-m", "lambda_llm.cli", "cost", "plan"]
    binary = subprocess.run([*command, folder / "plan.bin"], capture_output=True, text=True, check=False)
    assert binary.returncode == 1
    assert "binary form" in binary.stderr
    plan = terraform.run(folder, "show", "-json", "plan.bin")
    told = subprocess.run([*command, "-", "--json"], input=plan, capture_output=True, text=True, check=True)
    return json.loads(told.stdout)


def test_an_example_with_two_pruned_functions(tmp_path: Path) -> None:
    """One call of a module prunes both, by `for_each`; neither's ARN is known before the apply."""
    said = say(tmp_path, HYBRID)
    # Snapshots of 10 GB and 0.5 GB, a dashboard, and twelve alarms: 39.54 + 1.98 + 3 + 1.20.
    assert round(said["total"]["month"]["after"], 2) == 45.72
    assert said["total"]["at_least"] is False
    assert said["forgotten"] == []
    assert {one["action"] for one in said["resources"]} == {"create"}


def test_a_module_without_a_pruner(tmp_path: Path) -> None:
    (one,) = say(tmp_path, ROUTER_ALONE)["forgotten"]
    assert one["address"] == "module.router.aws_lambda_function.this"
    assert round(one["version_month"], 2) == 1.98
