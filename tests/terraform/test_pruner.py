"""The pruner applied on a strict local AWS: it deletes what no alias uses, and may do nothing else."""

import base64
import hashlib
import io
import json
import os
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

from lambda_llm.pruner.handler import handle, prune
from scripts.local_aws import terraform
from scripts.local_aws.server import ACCOUNT, REGION, LocalAWS, local_aws
from support.modules import ROOT

pytestmark = pytest.mark.needs("terraform", get="Terraform, https://developer.hashicorp.com/terraform/install")

FUNCTION = "chat"
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
)
REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("DeleteFunction", {"FunctionName": FUNCTION}),
    ("DeleteFunction", {"FunctionName": "other:1"}),
    ("ListAliases", {"FunctionName": "other"}),
    ("UpdateAlias", {"FunctionName": FUNCTION, "Name": "live", "FunctionVersion": "1"}),
    ("DeleteAlias", {"FunctionName": FUNCTION, "Name": "live"}),
    ("UpdateFunctionCode", {"FunctionName": FUNCTION, "ZipFile": b""}),
    ("Invoke", {"FunctionName": FUNCTION}),
]

CONFIGURATION = f"""
provider "aws" {{}}

module "version_pruner" {{
  source = "{ROOT}//modules/version-pruner"

  function_arn = "arn:aws:lambda:{REGION}:{ACCOUNT}:function:{FUNCTION}"
  package      = {{ path = "package.zip" }}
}}

output "pruner" {{
  value = module.version_pruner
}}
"""


def zipped(files: dict[str, str]) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return written.getvalue()


def code(number: int) -> dict[str, bytes]:
    return {"ZipFile": zipped({"code.py": f"def handle(event, context):\n    return {number}\n"})}


def write_package(folder: Path) -> None:
    """The pruner's part of the package, with a manifest."""
    package = ROOT / "functions"
    names = ("", "pruner/", "telemetry/")
    modules = ("pruner/handler", "telemetry/context", "telemetry/emf", "telemetry/lines", "telemetry/logs")
    files = [*(f"lambda_llm/{name}__init__.py" for name in names), *(f"lambda_llm/{name}.py" for name in modules)]
    data = zipped({file: (package / file).read_text(encoding="utf-8") for file in files})
    (folder / "package.zip").write_bytes(data)
    manifest = {
        "function": "pruner",
        "architecture": "arm64",
        "runtime": "python3.13",
        "handler": f"{prune.__module__}.{handle.__name__}",
        "zip_bytes": len(data),
        "unzipped_bytes": len(data),
        "code_sha256": base64.b64encode(hashlib.sha256(data).digest()).decode(),
    }
    (folder / "package.manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAWS]:
    with local_aws(tmp_path_factory.mktemp("aws"), strict=True) as aws:
        yield aws


@pytest.fixture(scope="module")
def functions(aws: LocalAWS) -> Iterator[Any]:
    """A client for Lambda, with two functions of five versions; the first has an alias with a canary."""
    with ExitStack() as stack:
        iam, functions = (aws.client(service) for service in ("iam", "lambda"))
        stack.callback(iam.close)
        stack.callback(functions.close)
        role = iam.create_role(RoleName="function", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
        for name in (FUNCTION, "other"):
            functions.create_function(
                FunctionName=name, Role=role, Runtime="python3.13", Handler="code.handle", Code=code(0), Publish=True
            )
            functions.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
            for number in range(2, 6):
                functions.update_function_code(FunctionName=name, Publish=True, **code(number))
            assert versions(functions, name) == ["1", "2", "3", "4", "5"]
        functions.create_alias(
            FunctionName=FUNCTION,
            Name="live",
            FunctionVersion="2",
            RoutingConfig={"AdditionalVersionWeights": {"4": 0.1}},
        )
        yield functions


@pytest.fixture(scope="module")
def pruner(aws: LocalAWS, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The module's outputs; applied, and destroyed in the end."""
    folder = tmp_path_factory.mktemp("pruner")
    write_package(folder)
    (folder / "main.tf").write_text(CONFIGURATION, encoding="utf-8")
    terraform.run(folder, "init")
    here = {name: value for name, value in aws.environment.items() if os.environ.get(name) != value}
    try:
        terraform.run(folder, "apply", "-auto-approve", **here)
        outputs: dict[str, str] = json.loads(terraform.run(folder, "output", "-json"))["pruner"]["value"]
        yield outputs
    finally:
        terraform.run(folder, "destroy", "-auto-approve", **here)


def versions(functions: Any, name: str) -> list[str]:
    found = functions.list_versions_by_function(FunctionName=name)["Versions"]
    return [item["Version"] for item in found if item["Version"] != "$LATEST"]


def invoke(functions: Any, pruner: dict[str, str], event: object) -> Any:
    answer = functions.invoke(FunctionName=pruner["function_name"], Payload=json.dumps(event))
    told = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, told
    return told


def test_versions_that_no_alias_uses_are_deleted(functions: Any, pruner: dict[str, str]) -> None:
    expected = {"deleted": ["1", "3"], "kept": ["2", "4", "5"]}
    assert invoke(functions, pruner, {"dry_run": True}) == expected
    assert versions(functions, FUNCTION) == ["1", "2", "3", "4", "5"]
    assert invoke(functions, pruner, {}) == expected
    assert versions(functions, FUNCTION) == expected["kept"]
    assert invoke(functions, pruner, {}) == {"deleted": [], "kept": expected["kept"]}
    assert versions(functions, "other") == ["1", "2", "3", "4", "5"]


def test_the_pruner_may_do_nothing_else(aws: LocalAWS, functions: Any, pruner: dict[str, str]) -> None:
    """Its policy, in the hands of somebody who tries."""
    with ExitStack() as stack:
        iam = aws.client("iam")
        stack.callback(iam.close)
        role = pruner["role_arn"].rpartition("/")[2]
        policy = iam.get_role_policy(RoleName=role, PolicyName="pruner")["PolicyDocument"]
        iam.create_user(UserName="curious")
        iam.put_user_policy(UserName="curious", PolicyName="pruner", PolicyDocument=json.dumps(policy))
        key = iam.create_access_key(UserName="curious")["AccessKey"]
        theirs = aws.client("lambda", {"AccessKeyId": key["AccessKeyId"], "SecretAccessKey": key["SecretAccessKey"]})
        stack.callback(theirs.close)
        assert versions(theirs, FUNCTION) == versions(functions, FUNCTION)
        for operation, given in REFUSED:
            with pytest.raises(ClientError, match=f"AccessDenied.* calling the {operation} operation"):
                getattr(theirs, xform_name(operation))(**given)


def test_the_newest_version_always_stays() -> None:
    with pytest.raises(ValueError, match="keep_newest is 0: expected 1 or more"):
        prune(FUNCTION, keep_newest=0)
