"""The project's own Terraform passes checkov's checks and these policies; what it leaves out says why."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from scripts.local_aws import terraform
from support.modules import ROOT
from support.policies import POLICIES, PROVIDER, checkov_environment, reports, run_policies

PACKAGE = ROOT / "modules/inference/tests/fixtures/function.zip"
PRUNER_PACKAGE = ROOT / "modules/version-pruner/tests/fixtures/function.zip"
ROUTER_PACKAGE = ROOT / "modules/router/tests/fixtures/function.zip"
BATCH_PACKAGE = ROOT / "modules/batch/tests/fixtures/function.zip"
AUTHORIZER_PACKAGE = ROOT / "modules/front-door/tests/fixtures/function.zip"
FOLDERS = [path for path in (ROOT / "modules", ROOT / "examples") if path.is_dir()]
LEFT_BEHIND = shutil.ignore_patterns(".terraform*", "terraform.tfstate*", "tests")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Every check of checkov's and ours over the root module, modules/ and examples/."""
    folder = tmp_path_factory.mktemp("own")
    for path in ROOT.glob("*.tf"):
        shutil.copy(path, folder)
    for path in FOLDERS:
        shutil.copytree(path, folder / path.name, ignore=LEFT_BEHIND)
    command = ["checkov", "--directory", ".", "--framework", "terraform", "--output", "json", "--skip-download"]
    command += ["--external-checks-dir", str(POLICIES / "checks")]
    environment = checkov_environment()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return reports(done.stdout)["terraform"]


def records(report: dict[str, Any], outcome: str) -> list[dict[str, Any]]:
    assert not report["results"]["parsing_errors"]
    found: list[dict[str, Any]] = report["results"][f"{outcome}_checks"]
    return found


def test_no_check_fails(report: dict[str, Any]) -> None:
    assert [(one["check_id"], one["resource"], one["file_path"]) for one in records(report, "failed")] == []


def test_everything_was_looked_at(report: dict[str, Any]) -> None:
    passed = records(report, "passed")
    ours = {
        f"/{path.relative_to(ROOT)}"
        for path in ROOT.glob("modules/*/main.tf")
        if re.search("^resource ", path.read_text(), re.MULTILINE)
    }
    assert len(ours) >= 3
    # Whom its permissions are for, and which function's they are, HCL does not tell.
    assert ours - {"/modules/url-permissions/main.tf"} <= {one["file_path"] for one in passed}
    assert {"CKV_LLM_1", "CKV_LLM_3", "CKV_LLM_11", "CKV_LLM_15", "CKV_LLM_16", "CKV_LLM_17", "CKV_AWS_50"} <= {
        one["check_id"] for one in passed
    }


def test_a_skip_says_why(report: dict[str, Any]) -> None:
    reasons = {one["check_id"]: one["check_result"]["suppress_comment"] for one in records(report, "skipped")}
    assert reasons
    for check, reason in reasons.items():
        assert len(reason.split()) >= 4, check


@pytest.mark.needs("terraform", get="https://developer.hashicorp.com/terraform/install")
def test_a_plan_of_the_modules_passes_where_hcl_can_t_tell(tmp_path: Path) -> None:
    """Names, and statements that a variable makes, are known in a plan alone."""
    (tmp_path / "main.tf").write_text(
        PROVIDER
        + f"""
module "inference" {{
  source = "{ROOT}//modules/inference"

  name     = "llm"
  model    = {{ bucket = "my-models", key = "models/a.gguf", version_id = "1", size = 1000, sha256 = "{"0" * 64}" }}
  package  = {{ path = "{PACKAGE}" }}
  sessions = {{ bucket = "my-models", prefix = "sessions/" }}
  allowed_principals = {{ partner = "123456789012" }}

  system_prompt   = "s3://my-models/prompts/polite.txt"
  system_prompts  = ["s3://my-models/prompts/terse.txt"]
  previous_models = [{{ bucket = "my-models", key = "models/b.gguf", version_id = "1" }}]
}}

module "version_pruner" {{
  source = "{ROOT}//modules/version-pruner"

  function_arn = module.inference.function_arn
  name         = "llm-pruner"
  package      = {{ path = "{PRUNER_PACKAGE}" }}
}}

module "front_door" {{
  source = "{ROOT}//modules/front-door"

  name     = "llm"
  function = {{ alias_arn = module.inference.alias_arn }}
  package  = {{ path = "{AUTHORIZER_PACKAGE}" }}
}}

module "distribution" {{
  source = "{ROOT}//modules/front-door"

  name        = "llm-cdn"
  kind        = "cloudfront"
  function    = {{ alias_arn = module.inference.alias_arn, url = module.inference.url }}
  web_acl     = {{ arn = "arn:aws:wafv2:us-east-1:123456789012:global/webacl/llm/1234abcd" }}
}}

module "router" {{
  source = "{ROOT}//modules/router"

  name          = "router"
  package       = {{ path = "{ROUTER_PACKAGE}" }}
  configuration = {{ s3 = {{ bucket = "my-configurations", key = "router.yaml" }} }}
  background    = {{}}

  batches = {{
    store             = "s3://my-batches/llm/"
    state_machine_arn = "arn:aws:states:us-east-1:123456789012:stateMachine:batch"
  }}
}}

module "batch" {{
  source = "{ROOT}//modules/batch"

  name    = "batches"
  package = {{ path = "{BATCH_PACKAGE}" }}
  inbox   = {{ tenant = "docs", schedule = "rate(1 hour)" }}
  models = {{ chat = {{
    operations = ["/v1/chat/completions"]
    lambda = {{ own = {{
      function    = module.inference.alias_arn
      model       = "llm"
      prefill     = 300
      decode      = 20
      concurrency = 5
    }} }}
    bedrock = {{ nova = {{
      model  = "amazon.nova-micro-v1:0"
      arns   = ["arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-micro-v1:0"]
      input  = 0.0175
      output = 0.07
    }} }}
    gpu = {{ g6 = {{
      queue      = "arn:aws:batch:us-east-1:123456789012:job-queue/gpu"
      definition = "arn:aws:batch:us-east-1:123456789012:job-definition/vllm:1"
      model      = "llm"
      hourly     = 0.8
      prefill    = 20000
      decode     = 4000
    }} }}
  }} }}
}}

module "observability" {{
  source = "{ROOT}//modules/observability"

  name      = "llm"
  inference = {{ llm = module.inference }}
  routers   = {{ router = module.router }}
  batches   = {{ batches = module.batch }}
  pruners   = {{ llm = module.version_pruner }}
}}

module "gpu" {{
  source   = "{ROOT}//modules/gpu-endpoint"
  for_each = {{ sagemaker = "vllm:server-sagemaker-cuda-v1", ecs = "vllm:server-cuda-v1" }}

  kind      = each.key
  name      = "big-${{each.key}}"
  image     = "763104351884.dkr.ecr.us-east-1.amazonaws.com/${{each.value}}"
  model     = {{ bucket = "my-models", key = "models/llama/" }}
  sagemaker = each.key == "sagemaker" ? {{ instance_type = "ml.g6.xlarge" }} : null
  vpc       = each.key == "ecs" ? {{ id = "vpc-1", subnet_ids = ["subnet-1", "subnet-2"] }} : null
  ecs = each.key != "ecs" ? null : {{
    instance_type   = "g6.xlarge"
    fetch_image     = "123456789012.dkr.ecr.us-east-1.amazonaws.com/aws-cli:2.31"
    certificate_arn = "arn:aws:acm:us-east-1:123456789012:certificate/1234abcd"
    host            = "gpu.example.com"
    callers         = {{ router = "sg-0a1b2c3d" }}
  }}
}}
""",
        encoding="utf-8",
    )
    terraform.run(tmp_path, "init", "-backend=false")
    terraform.run(tmp_path, "plan", "-out=plan", "-refresh=false", "-lock=false")
    (tmp_path / "plan.json").write_text(terraform.run(tmp_path, "show", "-json", "plan"), encoding="utf-8")
    done = run_policies(tmp_path, "--file", "plan.json", "--output", "json")
    results = json.loads(done.stdout)["results"]
    assert results["failed_checks"] == []
    passed = {record["check_id"].removeprefix("CKV_LLM_") for record in results["passed_checks"]}
    # What the API's document says, and which function its permission is for, the second plan knows.
    assert passed == {str(number) for number in [*range(1, 16), *range(21, 25)]}
    closed = {record["resource"].split(".", 2)[2] for record in results["passed_checks"] if "_23" in record["check_id"]}
    assert closed >= {"aws_cloudformation_stack.sagemaker[0]", "aws_lb.this[0]", "aws_lb_listener.this[0]"}
