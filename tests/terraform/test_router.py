"""modules/router and the router agree: what the one writes in HCL, the other reads or says in code."""

import re
from dataclasses import fields
from pathlib import Path

from lambda_llm.batch_store import batches, files
from lambda_llm.limits import APPCONFIG_BYTES, EPHEMERAL_STORAGE_MB, SNAPSTART_APPLY_ON
from lambda_llm.packaging.functions import FUNCTIONS
from lambda_llm.policies.marks import Kind
from lambda_llm.router import background, ledger, results, source, utilization, worker
from lambda_llm.router.guardrail import Guardrail
from lambda_llm.router.secrets import Secrets
from lambda_llm.router.settings import PREFIX, Identity, Settings
from lambda_llm.web import adapter
from scripts.docs import hcl
from support.modules import ROOT

MODULE = ROOT / "modules/router"
BLOCKS = {block.address: block for block in hcl.module(MODULE)}
LOCALS = {
    name: value for block in hcl.module(MODULE) if block.kind == "locals" for name, value in block.attributes.items()
}
RIGHT = re.compile(r'"((?:[a-z0-9-]+):[A-Z]\w+)"')
SERVICES = ("appconfig", "bedrock", "cloudwatch", "dynamodb", "s3", "secretsmanager", "sqs", "ssm", "states")


def granted(*policies: str) -> set[str]:
    """Every action of the module's policies."""
    return {
        right for policy in policies for right in RIGHT.findall(BLOCKS[f"data.aws_iam_policy_document.{policy}"].source)
    }


def named(text: str | None) -> set[str]:
    """The rights that a docstring names, in full or after the first of a list: `dynamodb:GetItem`, `PutItem` …"""
    assert text
    found = set()
    for service, first, rest in re.findall(
        rf"`({'|'.join(SERVICES)}):(\w+)`((?:(?:,| and|,? or)\s+`[A-Z]\w+`)*)", text
    ):
        found |= {f"{service}:{first}", *(f"{service}:{one}" for one in re.findall(r"`(\w+)`", rest))}
    return found


def test_both_functions_may_do_what_their_code_says_that_it_needs() -> None:
    common = granted("common")
    for documented in (
        ledger.Ledger.__doc__,
        utilization.Utilization.__doc__,
        results.__doc__,
        source.S3Source.__doc__,
        source.AppConfigSource.__doc__,
        Secrets.__doc__,
        Guardrail.__doc__,
    ):
        # Whoever lists or erases tenants has credentials of their own.
        needed = named(documented) - {"dynamodb:Scan", "dynamodb:BatchWriteItem"}
        assert needed
        assert needed <= common, documented
    sends = named(background.Background.__init__.__doc__)
    # Nobody resumes a batch over HTTP.
    keeps = (named(files.__doc__) | named(batches.__doc__)) - {"states:DescribeExecution"}
    assert (sends, keeps & {"states:StartExecution"}) == ({"sqs:SendMessage"}, {"states:StartExecution"})
    assert granted("function") == sends | keeps | {"kms:Decrypt", "kms:GenerateDataKey"}
    assert granted("worker") >= named(worker.__doc__) == {"sqs:ChangeMessageVisibility"}


def test_the_functions_are_told_what_they_read() -> None:
    told = set(re.findall(rf"\b{PREFIX}\w+", LOCALS["settings"]))
    assert told == {f"{PREFIX}{field.name.upper()}" for field in fields(Settings)}
    accepted = BLOCKS["var.identity"].inside("validation")[0].attributes["condition"]
    assert re.findall(r'"(\w+)"', accepted) == list(Identity)


def test_the_web_adapter_is_told_what_the_server_has() -> None:
    told = dict(re.findall(r'(AWS_\w+) *= "([^"]*)"', LOCALS["web_adapter"]))
    code = Path(adapter.__file__).read_text(encoding="utf-8")
    for name in ("AWS_LWA_SNAPSTART_BEFORE_CHECKPOINT_PATH", "AWS_LWA_SNAPSTART_AFTER_RESTORE_PATH", "AWS_LWA_PORT"):
        assert name in told
        assert name in code
    assert told["AWS_LWA_ERROR_STATUS_CODES"] == str(int(adapter.UNANSWERED))
    inference = next(
        block.attributes["web_adapter"]
        for block in hcl.module(ROOT / "modules/inference")
        if "web_adapter" in block.attributes
    )
    assert dict(re.findall(r'(AWS_\w+) *= "([^"]*)"', inference)) == told


def test_the_table_is_the_ledger_s() -> None:
    table = BLOCKS["aws_dynamodb_table.budgets"]
    used = ledger.Ledger("table", None)._key("tenant", "sort")  # type: ignore[arg-type]  # noqa: SLF001
    assert [table.attributes[key] for key in ("hash_key", "range_key")] == [f'"{name}"' for name in used]
    assert table.inside("ttl")[0].attributes["attribute_name"] == '"expires_at"'
    assert '"expires_at"' in Path(ledger.__file__).read_text(encoding="utf-8")


def test_a_request_is_given_up_by_the_worker_and_not_by_its_queue() -> None:
    queue = BLOCKS["aws_sqs_queue.background"]
    most = re.search(r"maxReceiveCount *= (\d+)", queue.attributes["redrive_policy"])
    assert most
    assert int(most[1]) > worker.RECEIVES_MAX
    assert eval(queue.attributes["message_retention_seconds"]) > background.ANSWER_SECONDS  # noqa: S307 - a product
    mapping = BLOCKS["aws_lambda_event_source_mapping.background"].attributes
    assert mapping["function_response_types"] == '["ReportBatchItemFailures"]'


def test_an_answer_is_there_for_as_long_as_it_can_be_read() -> None:
    days = re.search(r"result_days = optional\(number, (\d+)\)", BLOCKS["var.background"].source)
    assert days
    assert int(days[1]) * 24 * 3600 >= background.KEPT_SECONDS


def test_the_package_is_the_router_s() -> None:
    function = FUNCTIONS["router"]
    calls = [BLOCKS["module.function"].attributes, BLOCKS["module.worker"].attributes]
    assert {call["function"] for call in calls} == {f'"{function.name}"'}
    assert {call["mark"] for call in calls} == {f'"{Kind.ROUTER}"'}
    lambda_function = BLOCKS["aws_lambda_function.this"]
    assert lambda_function.inside("snap_start")[0].attributes["apply_on"] == f'"{SNAPSTART_APPLY_ON}"'
    assert lambda_function.inside("ephemeral_storage")[0].attributes["size"] == str(EPHEMERAL_STORAGE_MB)
    longest = f"<= {APPCONFIG_BYTES // 1024} * 1024"
    assert any(longest in rule.attributes["condition"] for rule in BLOCKS["var.configuration"].inside("validation"))
