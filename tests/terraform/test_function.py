"""What the modules share: each takes its own zip alone, and what roles are bounded by reaches every role.

A stack that was applied before the modules shared `modules/function` is updated in place. Its state is one that
Terraform wrote: the root module of that time, with a pushed model, one caller and a small zip in the package's place,
applied on the local AWS; data sources, outputs and dependencies were taken out of it.

With `-refresh=false` no plan here asks AWS: the data sources that are read are made of what is known, and the check of
SnapStart waits for a version that is not published yet.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from scripts.local_aws import terraform
from support.modules import ROOT, TERRAFORM_FROM
from support.policies import PROVIDER

pytestmark = pytest.mark.needs("terraform", get=TERRAFORM_FROM)

STATE = Path(__file__).parent / "fixtures/state-before-modules-function.json"
INFERENCE_ZIP = ROOT / "modules/inference/tests/fixtures/function.zip"
PRUNER_ZIP = ROOT / "modules/version-pruner/tests/fixtures/function.zip"
REFUSED = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}
"""Whatever would ask AWS after all fails at once."""

MODEL = """{
    bucket     = "my-models"
    key        = "models/llama.gguf"
    version_id = "3sL4kqtJlcpXroDTDmJrmSpXd3dIbrHY"
    size       = 770000000
    sha256     = "b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c"
  }"""
STACK = f"""
module "llm" {{
  source = "{ROOT}"

  model          = {MODEL}
  package        = {{ path = "{INFERENCE_ZIP}" }}
  pruner_package = {{ path = "{PRUNER_ZIP}" }}
  allowed_principals = {{ partner = "123456789012" }}
"""
MISTAKEN = f"""
module "inference" {{
  source = "{ROOT}//modules/inference"

  name    = "chat"
  model   = {MODEL}
  package = {{ path = "{PRUNER_ZIP}" }}
}}

module "version_pruner" {{
  source = "{ROOT}//modules/version-pruner"

  function_arn = "arn:aws:lambda:us-east-1:123456789012:function:chat"
  package      = {{ path = "{INFERENCE_ZIP}" }}
}}
"""
SECRET = f"""
module "store" {{
  source = "{ROOT}//modules/model-store"

  models = sensitive({{
    uploaded = {{ file = "{ROOT}/models/demo/lambda-llm-demo.gguf" }}
    pushed   = {{ key = "models/llama.gguf", version_id = "1", size = 7, sha256 = "{"0" * 64}" }}
  }})
}}

module "inference" {{
  source = "{ROOT}//modules/inference"

  name               = "chat"
  model              = sensitive({MODEL})
  package            = sensitive({{ path = "{INFERENCE_ZIP}" }})
  role               = sensitive({{ name = "app", arn = "arn:aws:iam::123456789012:role/app" }})
  log_group          = sensitive({{ name = "/app", arn = "arn:aws:logs:us-east-1:123456789012:log-group:/app" }})
  kms_key_arn        = sensitive("arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555")
  layers             = [sensitive("arn:aws:lambda:us-east-1:123456789012:layer:one:1")]
  vpc                = {{ subnet_ids = sensitive(["subnet-1"]), security_group_ids = [sensitive("sg-1")] }}
  allowed_principals = sensitive({{ partner = "123456789012" }})
  allowed_services   = sensitive({{ rule = {{ service = "events.amazonaws.com", source_account = "123456789012" }} }})
  front_door         = sensitive("streaming")
  sessions           = sensitive({{ bucket = "my-sessions", prefix = "sessions/" }})
}}
"""
BOUNDARY = "arn:aws:iam::123456789012:policy/boundary"
MOVED = {
    "inference.module.function.aws_cloudwatch_log_group.this[0]": "inference.aws_cloudwatch_log_group.this",
    "inference.aws_iam_role_policy.this[0]": "inference.aws_iam_role_policy.this",
    "inference.module.function.aws_iam_role.this[0]": "inference.aws_iam_role.this",
    "version_pruner.module.function.aws_cloudwatch_log_group.this[0]": "version_pruner.aws_cloudwatch_log_group.this",
    "version_pruner.module.function.aws_iam_role.this[0]": "version_pruner.aws_iam_role.pruner",
}
"""New addresses in the root module, and old ones."""

POLICY = "inference.aws_iam_role_policy.this[0]"
PERMISSIONS = {f"inference.aws_lambda_permission.{kind}" for kind in ("invoke", "invoke_url")}


def planned(folder: Path, configuration: str) -> dict[str, dict[str, Any]]:
    """What a plan says of each resource, by its address below the stack's module; data sources are left out."""
    (folder / "main.tf").write_text(PROVIDER + configuration, encoding="utf-8")
    terraform.run(folder, "init")
    terraform.run(folder, "plan", "-refresh=false", "-lock=false", "-out=plan", **REFUSED)
    plan = json.loads(terraform.run(folder, "show", "-json", "plan"))
    return {
        one["address"].removeprefix("module.llm.module."): one
        for one in plan["resource_changes"]
        if one["mode"] == "managed"
    }


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """A plan of the modules over a state that older ones made."""
    folder = tmp_path_factory.mktemp("upgrade")
    shutil.copy(STATE, folder / "terraform.tfstate")
    return planned(folder, STACK + "}\n")


def test_an_upgrade_destroys_nothing_but_what_has_another_name(upgraded: dict[str, dict[str, Any]]) -> None:
    before = json.loads(STATE.read_bytes())["resources"]
    assert {"module.llm.module.inference", "module.llm.module.version_pruner"} < {one["module"] for one in before}
    kept = {address for address, one in upgraded.items() if one["change"]["before"] is not None}
    assert len(kept) == sum(len(one["instances"]) for one in before)
    destroyed = {address for address, one in upgraded.items() if "delete" in one["change"]["actions"]}
    assert destroyed == {POLICY} | {f'{one}["arn:aws:iam::123456789012:root"]' for one in PERMISSIONS}
    assert upgraded[POLICY]["change"]["actions"] == ["create", "delete"], "the role would be without it meanwhile"


def test_an_upgrade_moves_what_the_function_needs(upgraded: dict[str, dict[str, Any]]) -> None:
    moved = {address: one for address, one in upgraded.items() if "previous_address" in one}
    assert {address: one["previous_address"] for address, one in moved.items()} == {
        new: f"module.llm.module.{old}" for new, old in MOVED.items()
    }
    changes = [one["change"] for address, one in moved.items() if address != POLICY]
    assert {tuple(change["actions"]) for change in changes} <= {("no-op",), ("update",)}
    new = {name for change in changes for name, value in change["after"].items() if value != change["before"].get(name)}
    assert new <= {"tags", "tags_all"}, "bills tell apart what is there"


def test_an_upgrade_makes_only_permissions(upgraded: dict[str, dict[str, Any]]) -> None:
    made = {address for address, one in upgraded.items() if one["change"]["actions"] == ["create"]}
    logs = {f"{module}.module.function.aws_iam_role_policy.logs[0]" for module in ("inference", "version_pruner")}
    assert made == logs | {f'{one}["partner"]' for one in PERMISSIONS}


def test_a_function_refuses_the_zip_of_another(tmp_path: Path) -> None:
    with pytest.raises(terraform.TerraformError) as refused:
        planned(tmp_path, MISTAKEN)
    said = " ".join(str(refused.value).split())
    for own, other in (("inference", "pruner"), ("pruner", "inference")):
        assert (
            f'The package is not the one of the function "{own}": its manifest names the function "{other}". '
            f"Deploy lambda-llm-{own}-arm64.zip, which `make package` builds."
        ) in said


def test_every_role_has_its_path_and_boundary(tmp_path: Path) -> None:
    given = f'  path = "/teams/search/"\n  permissions_boundary = "{BOUNDARY}"\n}}\n'
    roles = [one for one in planned(tmp_path, STACK + given).values() if one["type"] == "aws_iam_role"]
    assert len(roles) == 3, "the function's, the pruner's and the scheduler's"
    for role in roles:
        after = role["change"]["after"]
        assert (after["path"], after["permissions_boundary"]) == ("/teams/search/", BOUNDARY), role["address"]


def test_what_is_secret_in_a_stack_is_taken(tmp_path: Path) -> None:
    """The data source `aws_ssm_parameter` marks every value as sensitive, be it the id of a subnet."""
    made = {
        address.removeprefix("module."): one["change"]["after"] for address, one in planned(tmp_path, SECRET).items()
    }
    invoke = "inference.aws_lambda_permission"
    assert made[f'{invoke}.invoke["partner"]']["principal"] == "arn:aws:iam::123456789012:root"
    assert made[f'{invoke}.invoke_url["partner"]']["principal"] == "arn:aws:iam::123456789012:root"
    assert made[f'{invoke}.service["rule"]']["source_account"] == "123456789012"
    assert made["inference.aws_lambda_function.this"]["vpc_config"][0]["subnet_ids"] == ["subnet-1"]
    assert made['store.aws_s3_object.model["uploaded"]']["key"] == "models/lambda-llm-demo.gguf"
