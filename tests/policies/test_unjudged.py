"""What can't be judged is counted and named, or refused: a run without findings never hides it."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lambda_llm.policies.__main__ import report
from scripts.local_aws import terraform
from support.policies import CHECKOV, HERE, POLICIES, checkov_environment, findings, reports, run_policies

FAIL = (HERE / "fixtures/CKV_LLM_14/fail/main.tf").read_text(encoding="utf-8")

CDKTF = {
    "//": {"metadata": {"backend": "local", "stackName": "llm", "version": "0.21.0"}, "outputs": {}},
    "provider": {
        "aws": [
            {
                "region": "us-east-1",
                "access_key": "unused",
                "secret_key": "unused",
                "skip_credentials_validation": True,
                "skip_metadata_api_check": "true",
                "skip_requesting_account_id": True,
            }
        ]
    },
    "resource": {
        "aws_lambda_function": {
            "llm": {
                "//": {"metadata": {"path": "llm/llm", "uniqueId": "llm"}},
                "function_name": "llm",
                "role": "arn:aws:iam::123456789012:role/llm",
                "filename": "llm.zip",
                "handler": "llm.handle",
                "runtime": "python3.13",
                "environment": {"variables": {"LAMBDA_LLM_MODEL": "s3://my-models/models/a.gguf"}},
            }
        },
        "aws_lambda_permission": {
            "llm": {
                "function_name": "${aws_lambda_function.llm.function_name}",
                "action": "lambda:InvokeFunction",
                "principal": "*",
            }
        },
    },
    "terraform": {"required_providers": {"aws": {"source": "hashicorp/aws"}}},
}
"""As CDKTF writes it."""


def failed(output: str) -> set[tuple[str, str]]:
    (only,) = reports(output).values()
    return {(record["check_id"], record["resource"]) for record in only["results"]["failed_checks"]}


# -- Terraform in JSON ------------------------------------------------------------------------------


@pytest.fixture
def cdktf(tmp_path: Path) -> Path:
    stack = tmp_path / "cdktf.out/stacks/llm"
    stack.mkdir(parents=True)
    (stack / "cdk.tf.json").write_text(json.dumps(CDKTF), encoding="utf-8")
    return stack


@pytest.mark.parametrize(
    "arguments", [(), ("-d", "cdktf.out"), ("--directory=.",), ("--file", "cdktf.out/stacks/llm/cdk.tf.json")], ids=str
)
def test_terraform_in_json_is_refused_and_not_left_out(tmp_path: Path, cdktf: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "main.tf").write_text(FAIL, encoding="utf-8")
    done = run_policies(tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.match(r"\S*cdk\.tf\.json is Terraform in JSON, as CDKTF writes it.*--file plan\.json", done.stderr)
    assert cdktf.exists()


def test_terraform_in_json_may_be_left_out_on_purpose(tmp_path: Path, cdktf: Path) -> None:
    (tmp_path / "main.tf").write_text(FAIL, encoding="utf-8")
    hidden = tmp_path / ".hidden"
    hidden.mkdir()
    shutil.copy(cdktf / "cdk.tf.json", hidden)
    done = run_policies(tmp_path, "--skip-path", "cdktf.out", "--output", "json")
    assert failed(done.stdout) == {
        ("CKV_LLM_14", "aws_iam_role_policy.model"),
        ("CKV_LLM_15", "aws_lambda_function.llm"),
    }
    assert "could not be judged" not in done.stderr


def test_beside_checkov_s_own_checks_terraform_in_json_is_told_once(tmp_path: Path, cdktf: Path) -> None:
    command = [str(CHECKOV / "checkov"), "--directory", ".", "--framework", "terraform_json", "--skip-download"]
    command += ["--external-checks-dir", str(POLICIES / "checks")]
    done = subprocess.run(command, cwd=tmp_path, env=checkov_environment(), capture_output=True, text=True, check=False)
    file = f"/{(cdktf / 'cdk.tf.json').relative_to(tmp_path)}"
    assert done.stderr.count(f"{file} is Terraform in JSON, of which checkov makes no graph, so it is not judged") == 1
    assert "Traceback" not in done.stderr


# -- Modules that are elsewhere ---------------------------------------------------------------------


def test_a_module_that_is_not_here_is_named(tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text(
        """
module "llm" {
  source = "git::https://example.com/lambda-llm.git//modules/inference?ref=v1"
}

module "vpc" {
  source  = "terraform-aws-modules/vpc/aws"
  version = "5.0.0"
}

module "here" {
  source = "./here"
}
""",
        encoding="utf-8",
    )
    (tmp_path / "here").mkdir()
    (tmp_path / "here/main.tf").write_text('resource "aws_sqs_queue" "this" {}\n', encoding="utf-8")
    # Somebody else's unknown values are not counted.
    (tmp_path / "others.tf").write_text(
        (HERE / "cases/unmarked/main.tf").read_text(encoding="utf-8")
        + """
variable "name" {}

resource "aws_lambda_permission" "any" {
  function_name = var.name
  action        = "lambda:InvokeFunction"
  principal     = "*"
}
""",
        encoding="utf-8",
    )
    done = run_policies(tmp_path)
    assert done.returncode == 0
    assert "Checks that could not be judged" not in done.stderr
    assert (
        "Modules that are not here, so that nothing in them was judged: 2 "
        "(git::https://example.com/lambda-llm.git//modules/inference?ref=v1, terraform-aws-modules/vpc/aws); "
        "with --download-external-modules True, checkov fetches those of git and of registries.\n"
        "A plan knows more: "
    ) in done.stderr


def in_git(folder: Path) -> str:
    """Address of a git repository with a module that fails."""
    folder.mkdir()
    (folder / "main.tf").write_text(FAIL, encoding="utf-8")
    identity = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.com")
    for command in (["init", "--quiet"], ["add", "."], [*identity, "commit", "--quiet", "--message", "all"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    subprocess.run(["git", "tag", "v1"], cwd=folder, check=True)
    return f"git::{folder.as_uri()}"


def test_a_module_from_git_is_judged_once_checkov_fetches_it(tmp_path: Path) -> None:
    stack = tmp_path / "stack"
    stack.mkdir()
    address = f"{in_git(tmp_path / 'elsewhere')}?ref=v1"
    (stack / "main.tf").write_text(f'module "llm" {{\n  source = "{address}"\n}}\n', encoding="utf-8")
    assert "nothing in them was judged: 1" in run_policies(stack).stderr
    done = run_policies(stack, "--directory", ".", "--download-external-modules", "True", "--output", "json")
    assert "nothing in them was judged" not in done.stderr
    assert done.returncode == 1
    failed = {finding for _, outcome, finding in findings(reports(done.stdout)["terraform"]) if outcome == "failed"}
    assert ("CKV_LLM_14", "module.llm.aws_iam_role_policy.model") in failed


@pytest.mark.needs("terraform", get="https://developer.hashicorp.com/terraform/install")
def test_a_plan_has_what_json_and_a_module_from_git_hide(tmp_path: Path, cdktf: Path) -> None:
    written = CDKTF | {"module": {"llm": {"source": in_git(tmp_path / "elsewhere")}}}
    (cdktf / "cdk.tf.json").write_text(json.dumps(written), encoding="utf-8")
    terraform.run(cdktf, "init", "-backend=false")
    terraform.run(cdktf, "plan", "-out=plan", "-refresh=false", "-lock=false")
    (cdktf / "plan.json").write_text(terraform.run(cdktf, "show", "-json", "plan"), encoding="utf-8")
    done = run_policies(cdktf, "--file", "plan.json", "--output", "json")
    assert failed(done.stdout) >= {
        ("CKV_LLM_1", "aws_lambda_function.llm"),
        ("CKV_LLM_13", "aws_lambda_permission.llm"),
        ("CKV_LLM_14", "module.llm.aws_iam_role_policy.model"),
        ("CKV_LLM_15", "module.llm.aws_lambda_function.llm"),
    }
    assert done.stderr == ""


# -- Values that are not known ----------------------------------------------------------------------


def test_values_that_are_not_known_are_counted(tmp_path: Path) -> None:
    text = FAIL.replace("memory_size   = 10240", "memory_size   = var.memory").replace(
        '["arm64"]', "[var.architecture]"
    )
    (tmp_path / "main.tf").write_text(
        text.replace('"arn:aws:s3:::my-models/*"', "var.model_arn")
        + "".join(f'variable "{name}" {{}}\n' for name in ("memory", "architecture", "model_arn")),
        encoding="utf-8",
    )
    done = run_policies(tmp_path, "--output", "json")
    assert (
        "Checks that could not be judged, because values are not known here: 3 (CKV_LLM_1 of aws_lambda_function.llm, "
        "CKV_LLM_14 of aws_iam_role_policy.model, CKV_LLM_2 of aws_lambda_function.llm).\n"
    ) in done.stderr
    assert failed(done.stdout) == {("CKV_LLM_15", "aws_lambda_function.llm")}


def test_a_long_list_is_cut_and_its_number_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    report([f"CKV_LLM_1 of aws_lambda_function.number_{number}" for number in range(25)])
    said = capsys.readouterr().err
    assert "not known here: 25 (CKV_LLM_1 of aws_lambda_function.number_0, " in said
    assert "number_19, and 5 more).\n" in said
    report([])
    assert capsys.readouterr() == ("", "")
