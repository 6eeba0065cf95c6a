"""The modules in other people's stacks: counted, repeated, waited for, referred to as a whole, in two regions.

One configuration has every module in every form, under mock providers. A module whose name has no arguments here fails.
"""

import json
import shutil
from pathlib import Path

import pytest

from scripts.docs import hcl
from scripts.local_aws import terraform
from support.modules import MODULES, ROOT, TERRAFORM_FROM, adapt, initializable, name, too_new

pytestmark = pytest.mark.needs("terraform", get=TERRAFORM_FROM)

MODEL = """{
    bucket     = "my-models"
    key        = "models/llama.gguf"
    version_id = "3sL4kqtJlcpXroDTDmJrmSpXd3dIbrHY"
    size       = 770000000
    sha256     = "b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c"
  }"""
HOME, ELSEWHERE = "eu-central-1", "us-east-1"
FUNCTION = "arn:aws:lambda:eu-central-1:123456789012:function:chat"


def package(module: str) -> str:
    return f'{{ path = "{ROOT}/modules/{module}/tests/fixtures/function.zip" }}'


INFERENCE = {
    "name": '"chat"',
    "model": MODEL,
    "package": package("inference"),
    # What the same stack makes is unknown while it is planned.
    "role": "aws_iam_role.mine",
    "log_group": "aws_cloudwatch_log_group.mine",
    "allowed_principals": "{ app = aws_iam_role.mine.arn }",
    "kms_key_arn": "aws_kms_key.mine.arn",
    "sessions": '{ bucket = aws_s3_bucket.mine.id, prefix = "sessions/", kms_key_arn = aws_kms_key.mine.arn }',
}
ARGUMENTS = {
    "root": {
        "model": f'{{ file = "{ROOT}/models/demo/lambda-llm-demo.gguf" }}',
        "package": package("inference"),
        "pruner_package": package("version-pruner"),
        "allowed_principals": "{ app = aws_iam_role.mine.arn }",
    },
    "function": {
        "name": '"chat"',
        "function": '"inference"',
        "mark": '"inference"',
        "package": package("function"),
        "role_description": '"What the function may do"',
        "permissions_boundary": "aws_iam_policy.mine.arn",
    },
    "front-door": {
        "name": '"chat"',
        "function": "module.inference_waits",
        "package": package("front-door"),
        "plans": '{ free = { requests_per_second = 1, burst = 1, tenants = ["acme"] } }',
        "web_acl": "aws_wafv2_web_acl.mine",
        "domain": """{
    name            = "llm.example.com"
    certificate_arn = aws_acm_certificate.mine.arn
    zone            = aws_route53_zone.mine
  }""",
        "kms_key_arn": "aws_kms_key.mine.arn",
    },
    "inference": INFERENCE,
    "gpu-endpoint": {
        "kind": '"sagemaker"',
        "name": '"big"',
        # Of the stack's own region: the other form is in another one.
        "image": f'"763104351884.dkr.ecr.{HOME}.amazonaws.com/vllm:server-sagemaker-cuda-v1"',
        "model": '{ bucket = aws_s3_bucket.mine.id, key = "models/llama/" }',
        "sagemaker": '{ instance_type = "ml.g6.xlarge" }',
        "log_kms_key_arn": "aws_kms_key.mine.arn",
        "permissions_boundary": "aws_iam_policy.mine.arn",
    },
    "durable-agent": {
        "name": '"research"',
        "package": package("durable-agent"),
        "inference": "module.inference_waits",
        "state": '{ bucket = aws_s3_bucket.mine.id, prefix = "state/", kms_key_arn = aws_kms_key.mine.arn }',
        "topic_arn": '"arn:aws:sns:eu-central-1:123456789012:on-call"',
        "permissions_boundary": "aws_iam_policy.mine.arn",
    },
    "router": {
        "name": '"llm"',
        "package": package("router"),
        "configuration": """{
    content = yamlencode({ version = 1, backends = { mine = aws_iam_role.mine.arn }, models = {}, tenants = {} })
  }""",
        "background": "{}",
        "batches": "module.batch_waits",
        "secrets": "[aws_secretsmanager_secret.mine.arn]",
        "permissions_boundary": "aws_iam_policy.mine.arn",
        "kms_key_arn": "aws_kms_key.mine.arn",
    },
    "batch": {
        "name": '"batches"',
        "package": package("batch"),
        # Of the stack's own region: the other form is in another one.
        "models": f"""{{ chat = {{
    operations = ["/v1/chat/completions"]
    lambda = {{ own = {{
      function    = module.inference_waits.alias_arn
      model       = "llama"
      prefill     = 300
      decode      = 20
      concurrency = 5
    }} }}
    bedrock = {{ nova = {{
      model  = "amazon.nova-micro-v1:0"
      arns   = ["arn:aws:bedrock:{HOME}::foundation-model/amazon.nova-micro-v1:0"]
      input  = 0.0175
      output = 0.07
    }} }}
    gpu = {{ g6 = {{
      queue      = "arn:aws:batch:{HOME}:123456789012:job-queue/gpu"
      definition = "arn:aws:batch:{HOME}:123456789012:job-definition/vllm:1"
      model      = "llama"
      hourly     = 0.8
      prefill    = 20000
      decode     = 4000
    }} }}
  }} }}""",
        "store": """{
    prefix   = "batch/"
    existing = { bucket = aws_s3_bucket.mine.id, kms_key_arn = aws_kms_key.mine.arn }
  }""",
        "inbox": '{ tenant = "docs", schedule = "rate(1 hour)" }',
        "permissions_boundary": "aws_iam_policy.mine.arn",
        "log_kms_key_arn": "aws_kms_key.mine.arn",
    },
    "canary-rollback": {
        "function": f'{{ function_name = "chat", function_arn = "{FUNCTION}", alias_name = "live", version = "7" }}',
        "package": package("canary-rollback"),
        "alarms": "{ mine = aws_cloudwatch_metric_alarm.mine.arn }",
        "topic_arn": '"arn:aws:sns:eu-central-1:123456789012:on-call"',
        "permissions_boundary": "aws_iam_policy.mine.arn",
    },
    "model-store": {"models": '{ llama = { key = "models/llama.gguf" } }', "kms_key_arn": "aws_kms_key.mine.arn"},
    "observability": {
        "name": '"llm"',
        "inference": """{ chat = {
    function_name  = module.inference_waits.function_name
    log_group_name = module.inference_waits.log_group_name
    models         = ["small"]
  } }""",
        "routers": "{ llm = module.router_waits }",
        "batches": "{ nightly = module.batch_waits }",
        "pruners": "{ chat = module.version-pruner_waits }",
        "alarm_actions": '["arn:aws:sns:eu-central-1:123456789012:on-call"]',
    },
    "snapstart-check": {"function_name": '"chat"', "qualifier": '"7"'},
    "version-pruner": {"function_arn": f'"{FUNCTION}"', "package": package("version-pruner")},
}
"""By module: what it must be given, and what may come from the same stack."""

MOCKS = """
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_service" {
    defaults = { region = "%(region)s" }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
  mock_data "aws_lambda_invocation" {
    defaults = { result = "{\\"statusCode\\":200}" }
  }
  mock_data "aws_s3_object" {
    defaults = { content_length = 770000000, metadata = { sha256 = "%(sha256)s" } }
  }
  mock_resource "aws_lambda_function" {
    defaults = { version = "7", arn = "arn:aws:lambda:%(region)s:123456789012:function:chat" }
  }
  mock_resource "aws_lambda_alias" {
    defaults = { arn = "arn:aws:lambda:%(region)s:123456789012:function:chat:live" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/chat-1" }
  }
  mock_resource "aws_iam_policy" {
    defaults = { arn = "arn:aws:iam::123456789012:policy/boundary" }
  }
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:%(region)s:123456789012:key/11111111-2222-3333-4444-555555555555" }
  }
  mock_resource "aws_api_gateway_rest_api" {
    defaults = { execution_arn = "arn:aws:execute-api:%(region)s:123456789012:abc123" }
  }
  mock_resource "aws_api_gateway_stage" {
    defaults = { arn = "arn:aws:apigateway:%(region)s::/restapis/abc123/stages/live" }
  }
  mock_resource "aws_wafv2_web_acl" {
    defaults = { arn = "arn:aws:wafv2:%(region)s:123456789012:regional/webacl/llm/1234abcd" }
  }
  mock_resource "aws_acm_certificate" {
    defaults = { arn = "arn:aws:acm:%(region)s:123456789012:certificate/1234abcd" }
  }
  mock_resource "aws_cloudformation_stack" {
    defaults = { outputs = {
      EndpointArn           = "arn:aws:sagemaker:%(region)s:123456789012:endpoint/big"
      InferenceComponentArn = "arn:aws:sagemaker:%(region)s:123456789012:inference-component/big"
    } }
  }
  mock_resource "aws_appautoscaling_policy" {
    defaults = { arn = "arn:aws:autoscaling:%(region)s:123456789012:scalingPolicy:1" }
  }
  mock_resource "aws_cloudwatch_metric_alarm" {
    defaults = { arn = "arn:aws:cloudwatch:%(region)s:123456789012:alarm:mine" }
  }
  mock_resource "aws_cloudwatch_event_rule" {
    defaults = { arn = "arn:aws:events:%(region)s:123456789012:rule/mine" }
  }
  mock_resource "aws_sfn_state_machine" {
    defaults = { arn = "arn:aws:states:%(region)s:123456789012:stateMachine:batches" }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:%(region)s:123456789012:log-group:/mine" }
  }
  mock_resource "aws_dynamodb_table" {
    defaults = { arn = "arn:aws:dynamodb:%(region)s:123456789012:table/budgets" }
  }
  mock_resource "aws_sqs_queue" {
    defaults = { arn = "arn:aws:sqs:%(region)s:123456789012:mine" }
  }
  mock_resource "aws_secretsmanager_secret" {
    defaults = { arn = "arn:aws:secretsmanager:%(region)s:123456789012:secret:mine-AbCdEf" }
  }
  mock_resource "aws_s3_bucket" {
    defaults = { id = "my-models", arn = "arn:aws:s3:::my-models" }
  }
"""
STACK = """
provider "aws" {
}

provider "aws" {
  alias = "elsewhere"
}

resource "aws_iam_role" "mine" {
  assume_role_policy = "{}"
}

resource "aws_iam_policy" "mine" {
  policy = "{}"
}

resource "aws_kms_key" "mine" {
}

resource "aws_cloudwatch_log_group" "mine" {
  name = "/mine"
}

resource "aws_s3_bucket" "mine" {
}

resource "aws_secretsmanager_secret" "mine" {
  name = "mine"
}

resource "aws_acm_certificate" "mine" {
  domain_name = "llm.example.com"
}

resource "aws_route53_zone" "mine" {
  name = "example.com"
}

resource "aws_wafv2_web_acl" "mine" {
  name  = "llm"
  scope = "REGIONAL"

  default_action {
    allow {
    }
  }

  visibility_config {
    cloudwatch_metrics_enabled = false
    metric_name                = "llm"
    sampled_requests_enabled   = false
  }
}

resource "aws_cloudwatch_metric_alarm" "mine" {
  alarm_name          = "mine"
  comparison_operator = "GreaterThanThreshold"
  evaluation_periods  = 1
}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The modules, or a copy without what this provider does not know."""
    if not any(map(too_new, initializable())):
        return ROOT
    shutil.copytree(ROOT / "modules", tmp_path / "root/modules", ignore=shutil.ignore_patterns(".terraform*"))
    for file in ROOT.glob("*.tf"):
        shutil.copy(file, tmp_path / "root")
    adapt(tmp_path / "root")
    return tmp_path / "root"


def call(root: Path, module: Path, form: str, *lines: str, leave_out: tuple[str, ...] = ()) -> str:
    """One call of a module."""
    address = "" if module == ROOT else f"//modules/{module.name}"
    given = [f"  {key} = {value}" for key, value in ARGUMENTS[name(module)].items() if key not in leave_out]
    if form == "elsewhere":  # as is the model
        given = [line.replace("module.inference_waits", "module.inference_elsewhere") for line in given]
        given = [line.replace(f".ecr.{HOME}.", f".ecr.{ELSEWHERE}.") for line in given]
        given = [line.replace(f":batch:{HOME}:", f":batch:{ELSEWHERE}:") for line in given]
    source = f'  source = "{root}{address}"'
    return "\n".join([f'module "{label(module, form)}" {{', source, *given, *lines, "}", ""])


def label(module: Path, form: str) -> str:
    return f"{name(module)}_{form}"


def calls(root: Path, module: Path) -> str:
    """Every form in which a stack may call a module."""
    # Of a resource in the first region.
    at_home = ("kms_key_arn", "log_kms_key_arn", "sessions", "log_group", "web_acl", "domain", "batches", "store")
    return "\n".join(
        [
            call(root, module, "left_out", "  count = 0"),
            call(root, module, "counted", "  count = 2"),
            call(root, module, "repeated", '  for_each = toset(["one", "two"])'),
            call(root, module, "waits", f"  depends_on = [module.{label(module, 'repeated')}, aws_s3_bucket.mine]"),
            call(root, module, "elsewhere", "  providers = { aws = aws.elsewhere }", leave_out=at_home),
        ]
    )


def whole(module: Path) -> str:
    """A reference to each form as a whole; of a module without outputs there is nothing to refer to."""
    forms = ["left_out", "counted", "repeated", "waits", "elsewhere"]
    value = ", ".join(f"module.{label(module, form)}" for form in forms)
    first = f"one(module.{label(module, 'left_out')}[*])"
    return f'output "{name(module)}" {{\n  value = [{value}, {first}]\n}}\n'


def test_every_module_works_in_every_form(root: Path, tmp_path: Path) -> None:
    modules = initializable()
    assert {name(module) for module in modules} <= set(ARGUMENTS)
    with_outputs = [module for module in modules if any(block.kind == "output" for block in hcl.module(module))]
    assert len(with_outputs) == len(modules) - 1, "snapstart-check alone has none"
    text = STACK + "".join(calls(root, module) for module in modules) + "".join(map(whole, with_outputs))
    tmp_path = tmp_path / "stack"
    tmp_path.mkdir()
    (tmp_path / "main.tf").write_text(text, encoding="utf-8")
    sha256 = "b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c"
    home, elsewhere = (MOCKS % {"region": region, "sha256": sha256} for region in (HOME, ELSEWHERE))
    (tmp_path / "stack.tftest.hcl").write_text(
        f'mock_provider "aws" {{{home}}}\n\nmock_provider "aws" {{\n  alias = "elsewhere"\n{elsewhere}}}\n\n'
        'run "apply" {\n'
        + "\n".join(
            f"  assert {{\n    condition     = length(output.{name(module)}[0]) == 0 && "
            f"length(output.{name(module)}[1]) == 2 && length(output.{name(module)}[2]) == 2 && "
            f"output.{name(module)}[5] == null\n    error_message = {json.dumps(name(module))}\n  }}\n"
            for module in with_outputs
        )
        + "}\n",
        encoding="utf-8",
    )
    terraform.run(tmp_path, "init", "-backend=false")
    assert "1 passed, 0 failed" in terraform.run(tmp_path, "test")


def test_no_module_is_without_arguments() -> None:
    newer = {name(module) for module in MODULES} - {name(module) for module in initializable()}
    assert set(ARGUMENTS) == {name(module) for module in MODULES} - newer
