"""The module batch applied on a strict local AWS, with the functions' real zip: its roles may do enough, and no more.

A function that repeats what it is asked stands for the one with a model.
"""

import io
import json
import os
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest

from lambda_llm.batch_store.batches import Batches
from lambda_llm.batch_store.files import Files
from lambda_llm.batch_store.records import Rights
from lambda_llm.openai_types.batches import Batch, BatchRequest
from scripts.local_aws import terraform
from scripts.local_aws.package import local_packages
from scripts.local_aws.server import ACCOUNT, REGION, LocalAWS, local_aws
from support.applied import refusal
from support.batches import line
from support.modules import ROOT
from support.servers import until
from support.tls_bridge import bridged

pytestmark = pytest.mark.needs("terraform", get="Terraform, https://developer.hashicorp.com/terraform/install")

URL: Final = "/v1/chat/completions"
TENANT = "acme"
TRUST = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"}

STACK = """
provider "aws" {{}}

resource "aws_iam_role" "chat" {{
  name               = "chat"
  assume_role_policy = jsonencode({{ Statement = [{{
    Effect    = "Allow"
    Principal = {{ Service = "lambda.amazonaws.com" }}
    Action    = "sts:AssumeRole"
  }}] }})
}}

resource "aws_lambda_function" "chat" {{
  function_name = "chat"
  role          = aws_iam_role.chat.arn
  filename      = "chat.zip"
  handler       = "chat.handle"
  runtime       = "python3.13"
  publish       = true
}}

resource "aws_lambda_alias" "live" {{
  name             = "live"
  function_name    = aws_lambda_function.chat.function_name
  function_version = aws_lambda_function.chat.version
}}

module "batch" {{
  source = "{root}//modules/batch"

  name          = "batches"
  package       = {package}
  force_destroy = true
  inbox         = {{ tenant = "acme", schedule = "rate(1 hour)" }}
  store         = {{ prefix = "llm/" }}

  models = {{
    chat = {{
      operations = ["{url}"]
      max_tokens = 16

      lambda = {{
        own = {{
          function             = aws_lambda_alias.live.arn
          model                = "theirs"
          prefill              = 1000
          decode               = 100
          reserved_concurrency = 5
          interactive          = 2
          url                  = "{endpoint}"
        }}
      }}
    }}
  }}
}}

output "batch" {{
  value = module.batch
}}
"""

CHAT = """
import json

def handle(event, context):
    request = json.loads(event["body"])
    assert request["model"] == "theirs"
    said = request["messages"][0]["content"]
    if said == "refuse":
        error = {"error": {"code": "content_policy", "message": "It is refused."}}
        return {"statusCode": 400, "headers": {}, "body": json.dumps(error), "isBase64Encoded": False}
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    choice = {"index": 0, "message": {"role": "assistant", "content": f"You said {said}."}, "finish_reason": "stop"}
    body = {"id": "x", "object": "chat.completion", "model": "theirs", "choices": [choice], "usage": usage}
    return {"statusCode": 200, "headers": {}, "body": json.dumps(body), "isBase64Encoded": False}
"""


@dataclass
class Stack:
    """The module, applied, and who may do what its policies say."""

    aws: LocalAWS
    folder: Path
    outputs: dict[str, Any]
    here: dict[str, str]

    def credentials(self, policy: str) -> dict[str, str]:
        """Of a role with one of the module's policies."""
        name = f"role-{uuid4().hex}"
        with closing(self.aws.client("iam")) as iam, closing(self.aws.client("sts")) as sts:
            made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Statement": [TRUST]}))
            iam.put_role_policy(RoleName=name, PolicyName="only", PolicyDocument=self.outputs[policy])
            taken = sts.assume_role(RoleArn=made["Role"]["Arn"], RoleSessionName="test")
        credentials: dict[str, str] = taken["Credentials"]
        return credentials


@dataclass
class Front:
    """The Files and Batches API as the router has it: with the router's rights."""

    files: Files
    batches: Batches

    def ended(self, batch_id: str) -> Batch:
        def found() -> Any:
            batch = self.batches.get(TENANT, batch_id)
            return batch if batch.status in {"completed", "failed", "expired", "cancelled"} else None

        batch: Batch = until(found)
        return batch

    def lines(self, file_id: str | None) -> list[dict[str, Any]]:
        assert file_id is not None
        with closing(self.files.open(TENANT, file_id)) as content:
            return [json.loads(each) for each in content.read().splitlines()]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    built = local_packages()["batch"]
    (folder / "chat.zip").write_bytes(zipped({"chat.py": CHAT}))
    with ExitStack() as running:
        patched = running.enter_context(pytest.MonkeyPatch.context())
        patched.setenv("SFN_WAIT_SCALE", "0.01")
        aws = running.enter_context(local_aws(tmp_path_factory.mktemp("aws"), strict=True))
        here = {name: value for name, value in aws.environment.items() if os.environ.get(name) != value}
        endpoint = running.enter_context(bridged(aws.endpoint, aws.environment["AWS_CA_BUNDLE"]))
        text = STACK.format(root=ROOT, url=URL, package=built.variable(), endpoint=endpoint)
        (folder / "main.tf").write_text(text, encoding="utf-8")
        terraform.run(folder, "init")
        terraform.run(folder, "apply", "-auto-approve", **here)
        outputs = json.loads(terraform.run(folder, "output", "-json"))["batch"]["value"]
        yield Stack(aws, folder, outputs, here)


@pytest.fixture
def front(stack: Stack) -> Iterator[Front]:
    theirs = stack.credentials("router_policy_json")
    with closing(stack.aws.client("s3", theirs)) as s3, closing(stack.aws.client("stepfunctions", theirs)) as states:
        store = stack.outputs["store"]
        yield Front(Files(store, s3), Batches(store, s3, states, stack.outputs["state_machine_arn"]))


def test_a_file_becomes_an_output_and_an_error_file(front: Front) -> None:
    content = b"".join(line(str(number), "refuse" if number == 7 else f"word {number}") for number in range(40))
    file = front.files.create(TENANT, content, "words.jsonl", "batch")
    request = BatchRequest(input_file_id=file.id, endpoint=URL, completion_window="24h")
    batch = front.ended(front.batches.create(TENANT, request, Rights()).id)
    assert batch.errors is None
    assert (batch.status, batch.request_counts.model_dump()) == (
        "completed",
        {"total": 40, "completed": 39, "failed": 1},
    ), front.lines(batch.error_file_id)[0]
    answers = front.lines(batch.output_file_id)
    assert [each["custom_id"] for each in answers] == [str(number) for number in range(40) if number != 7]
    assert answers[0]["response"]["body"]["choices"][0]["message"]["content"] == "You said word 0."
    (refused,) = front.lines(batch.error_file_id)
    assert (refused["custom_id"], refused["response"]["status_code"]) == ("7", 400)


def test_an_upload_to_the_inbox_is_a_batch_once(stack: Stack, front: Front) -> None:
    with closing(stack.aws.client("s3", stack.credentials("inbox_policy_json"))) as s3:
        s3.put_object(Bucket=stack.outputs["bucket"], Key="llm/inbox/today/words.jsonl", Body=line("1") + line("2"))

    def of_the_inbox() -> list[Batch]:
        found, _ = front.batches.list(TENANT)
        return [batch for batch in found if batch.metadata == {"inbox": "today/words.jsonl"}]

    (begun,) = until(of_the_inbox)
    batch = front.ended(begun.id)
    assert batch.status == "completed"
    assert [each["custom_id"] for each in front.lines(batch.output_file_id)] == ["1", "2"]
    with closing(stack.aws.client("scheduler")) as scheduler, closing(stack.aws.client("lambda")) as functions:
        schedule = scheduler.get_schedule(Name="batches-inbox")["Target"]
        answer = functions.invoke(FunctionName=schedule["Arn"], Payload=schedule["Input"])
        assert json.loads(answer["Payload"].read()) == {"batches": [batch.id]}
    assert [each.id for each in of_the_inbox()] == [batch.id]


def test_nobody_may_do_more(stack: Stack) -> None:
    machine, execution = stack.outputs["state_machine_arn"], f"arn:aws:states:{REGION}:{ACCOUNT}:execution:batches:x"
    configuration = "configuration.json"
    puts = {
        "router_policy_json": [configuration, "inbox/x", "uploads/acme/x", "work/batch_1/parts.jsonl"],
        "submit_policy_json": [configuration, "inbox/x", "work/batch_1/parts.jsonl"],
        "inbox_policy_json": [configuration, "files/acme/x", "batches/acme/x.json", "work/batch_1/stop"],
        "job_policy_json": [configuration, "files/acme/x", "batches/acme/x.json", "inbox/x", "uploads/acme/x"],
    }
    for policy, keys in puts.items():
        theirs = stack.credentials(policy)
        with (
            closing(stack.aws.client("s3", theirs)) as s3,
            closing(stack.aws.client("stepfunctions", theirs)) as states,
        ):
            for key in keys:
                place = {"Bucket": stack.outputs["bucket"], "Key": f"llm/{key}"}
                assert refusal(s3, "put_object", **place, Body=b"") == "AccessDenied", (policy, key)
                assert refusal(s3, "delete_object", **place) == "AccessDenied", (policy, key)
            outside = {"Bucket": stack.outputs["bucket"], "Key": "files/acme/x"}
            assert refusal(s3, "put_object", **outside, Body=b"") == "AccessDenied", "beside the prefix"
            assert refusal(states, "stop_execution", executionArn=execution).endswith("AccessDeniedException")
            may_start = policy in {"router_policy_json", "submit_policy_json"}
            if not may_start:
                refused = refusal(states, "start_execution", stateMachineArn=machine, input="{}")
                assert refused.endswith("AccessDeniedException"), policy


def test_a_second_apply_changes_nothing_and_a_destroy_leaves_nothing(stack: Stack) -> None:
    planned = terraform.run(stack.folder, "plan", "-detailed-exitcode", **stack.here)
    assert "No changes." in planned
    terraform.run(stack.folder, "destroy", "-auto-approve", **stack.here)
    with (
        closing(stack.aws.client("s3")) as s3,
        closing(stack.aws.client("stepfunctions")) as states,
        closing(stack.aws.client("events")) as events,
        closing(stack.aws.client("scheduler")) as scheduler,
        closing(stack.aws.client("lambda")) as functions,
        closing(stack.aws.client("cloudwatch")) as metrics,
    ):
        assert s3.list_buckets()["Buckets"] == []
        assert states.list_state_machines()["stateMachines"] == []
        assert events.list_rules()["Rules"] == []
        assert scheduler.list_schedules()["Schedules"] == []
        assert functions.list_functions()["Functions"] == []
        assert metrics.describe_alarms()["MetricAlarms"] == []


def zipped(files: dict[str, str]) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return written.getvalue()
