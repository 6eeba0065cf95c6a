"""Numbers and names in HCL are literals, for people and scanners; each is the one that the code has."""

import ast
import json
import re
from typing import Any

import pytest

from lambda_llm import limits
from lambda_llm.canary_rollback import handler as rollback
from lambda_llm.gguf.memory_plan import CONTEXT_STEP, PROCESS_BYTES
from lambda_llm.gguf.options import DEFAULT_CONTEXT, KVType
from lambda_llm.inference.settings import OTHERS, PREFIX, Settings, SettingsError
from lambda_llm.packaging.manifest import PackageManifest
from lambda_llm.policies.marks import TAG, Kind
from lambda_llm.pruner import handler as pruner
from lambda_llm.queue_worker import settings as queue_worker
from lambda_llm.queue_worker.worker import BESIDE_ANSWER_SECONDS
from lambda_llm.web.adapter import AFTER_PATH, BEFORE_PATH, PORT
from scripts.docs import hcl, module_settings
from scripts.docs.hcl import Block
from support.modules import ROOT

INFERENCE = {block.address: block for block in hcl.module(ROOT / "modules/inference")}
PRUNER = {block.address: block for block in hcl.module(ROOT / "modules/version-pruner")}
ROLLBACK = {block.address: block for block in hcl.module(ROOT / "modules/canary-rollback")}
SHARED = {block.address: block for block in hcl.module(ROOT / "modules/function")}
FUNCTION = INFERENCE["aws_lambda_function.this"]
LOCALS = {
    name: value
    for block in hcl.module(ROOT / "modules/inference")
    if block.kind == "locals"
    for name, value in block.attributes.items()
}


def literal(expression: str) -> Any:
    """A literal, or the product of some; anything that depends on an input is an error."""
    factors = [ast.literal_eval({"true": "True", "false": "False"}.get(part, part)) for part in expression.split(" * ")]
    result = factors[0]
    for factor in factors[1:]:
        result *= factor
    return result


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("memory_size", limits.MEMORY_MB),
        ("architectures", [limits.ARCHITECTURE]),
        ("runtime", limits.RUNTIME),
        ("package_type", limits.PACKAGE_TYPE),
        ("publish", True),
        ("snap_start.apply_on", limits.SNAPSTART_APPLY_ON),
        ("ephemeral_storage.size", limits.EPHEMERAL_STORAGE_MB),
    ],
)
def test_an_invariant_is_a_literal(argument: str, value: Any) -> None:
    block, _, attribute = argument.rpartition(".")
    holder = FUNCTION.inside(block)[0] if block else FUNCTION
    assert literal(holder.attributes[attribute]) == value


def test_what_snapstart_does_not_go_with_is_nowhere() -> None:
    assert not any(FUNCTION.inside(kind) for kind in ("file_system_config", "image_config"))
    assert {block.labels[0] for block in FUNCTION.inside("dynamic")} == {"vpc_config"}
    assert not any("provisioned_concurrency" in address for address in INFERENCE)


def test_the_url_is_on_the_alias_signed_and_streams() -> None:
    url = INFERENCE["aws_lambda_function_url.live"].attributes
    assert url["qualifier"] == "aws_lambda_alias.live.name"
    assert literal(url["authorization_type"]) == "AWS_IAM"
    assert literal(url["invoke_mode"]) == "RESPONSE_STREAM"
    permissions = [block for address, block in INFERENCE.items() if address.startswith("aws_lambda_permission.")]
    assert {literal(block.attributes["action"]) for block in permissions} == {
        "lambda:InvokeFunctionUrl",
        "lambda:InvokeFunction",
    }
    assert {block.attributes["qualifier"] for block in permissions} == {"aws_lambda_alias.live.name"}


@pytest.mark.parametrize(
    ("module", "mark"), [(INFERENCE, Kind.INFERENCE), (PRUNER, Kind.VERSION_PRUNER), (ROLLBACK, Kind.CANARY_ROLLBACK)]
)
def test_a_function_carries_the_project_s_mark(module: dict[str, Block], mark: Kind) -> None:
    assert literal(module["module.function"].attributes["mark"]) == mark
    assert module["aws_lambda_function.this"].attributes["tags"] == "module.function.tags"
    assert SHARED["output.tags"].attributes["value"] == f'merge(local.tags, {{ "{TAG}" = var.mark }})'


def test_a_mark_is_one_that_the_policies_know() -> None:
    (rule,) = SHARED["var.mark"].inside("validation")
    assert rule.attributes["condition"] == f"contains({json.dumps(list(Kind))}, var.mark)"


def test_the_sums_are_done_with_the_code_s_numbers() -> None:
    assert literal(LOCALS["memory_bytes"]) == limits.MEMORY_MB * limits.MIB
    assert literal(LOCALS["process_bytes"]) == PROCESS_BYTES
    assert f"max({limits.SNAPSTART_INIT_SECONDS}, var.timeout)" in LOCALS["load_seconds"]
    assert f"({limits.NETWORK_MBPS} * 1000 * 1000)" in LOCALS["download_seconds"]
    assert f"/ {CONTEXT_STEP}) * {CONTEXT_STEP}" in LOCALS["cached_tokens"]
    assert f"null), {DEFAULT_CONTEXT}), {DEFAULT_CONTEXT})" in LOCALS["context_tokens"]


@pytest.mark.parametrize(
    ("address", "bound"),
    [
        ("aws_lambda_function.this", f"<= {limits.ENVIRONMENT_BYTES // 1024} * 1024"),
        ("output.source_code_hash", f"zip_bytes <= {limits.PACKAGE_DIRECT_UPLOAD_BYTES // limits.MIB} * 1024 * 1024"),
        ("output.source_code_hash", f"unzipped_bytes <= {limits.PACKAGE_UNZIPPED_BYTES // limits.MIB} * 1024 * 1024"),
        ("output.source_code_hash", f'architecture == "{limits.ARCHITECTURE}"'),
        ("output.source_code_hash", f'runtime == "{limits.RUNTIME}"'),
        ("var.timeout", f"var.timeout <= {limits.TIMEOUT_MAX_SECONDS}"),
        ("aws_lambda_function.this", f"length(local.layers) <= {limits.LAYERS}"),
        ("var.tags", f'"lambda-llm", "lambda-llm:plane", "lambda-llm:component"])) <= {limits.TAGS}'),
        ("var.kv_type", "[" + ", ".join(f'"{kind.value}"' for kind in KVType) + "]"),
    ],
)
def test_a_rule_has_the_code_s_bound(address: str, bound: str) -> None:
    block = SHARED[address] if address in {"output.source_code_hash", "var.tags"} else INFERENCE[address]
    rules = block.inside("validation") + block.inside("precondition")
    assert any(bound in rule.attributes["condition"] for rule in rules)


def test_every_variable_that_is_set_is_one_that_is_read() -> None:
    names = literal(LOCALS["settings_of_this_module"].replace(", ]", "]"))
    assert {f"{PREFIX}{field.upper()}" for field in Settings.model_fields} | {f"{PREFIX}REVISION"} >= set(names)
    assert "REVISION" in OTHERS
    in_settings = {word for word in LOCALS["settings"].split() if word.startswith(PREFIX)}
    assert set(names) == in_settings | {f"{PREFIX}MEMORY_MB"}
    adapter = LOCALS["web_adapter"]
    assert all(f"{variable} " in adapter for variable in (BEFORE_PATH, AFTER_PATH, PORT))


def test_the_module_knows_the_settings_of_the_code() -> None:
    assert module_settings.WRITTEN.read_text(encoding="utf-8") == module_settings.text(), (
        "run python -m scripts.docs.module_settings"
    )


SHA256 = "b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c"
VALUES: tuple[str, ...] = (
    "auto",
    "q8_0",
    "shift",
    "0",
    "1",
    "7",
    "8",
    "64",
    "-1",
    "0.5",
    "0.0",
    "1e3",
    "true",
    "TRUE",
    "2",
    "",
    " ",
)
VALUES += ("[]", '["one"]', "[1]", "one, two", SHA256, SHA256[1:], "s3://my-models/sessions/", "file:///x", "none")


def allowed(known: dict[str, Any], value: str) -> bool:
    """Whether the module's rules, as written in its validation, let a value pass."""
    if not re.search(known["pattern"], value):
        return False
    if known.get("list"):
        try:
            return all(isinstance(one, str) and one for one in json.loads(value))
        except ValueError:
            return False
    least, above = known.get("least"), known.get("above")
    return (least is None or float(value) >= least) and (above is None or float(value) > above)


@pytest.mark.parametrize(("variable", "known"), module_settings.settings().items())
def test_a_value_that_the_module_lets_pass_is_one_that_init_takes(
    variable: str, known: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = [value for value in VALUES if allowed(known, value)]
    assert passed, "no value passes at all"
    for value in passed:
        monkeypatch.setenv(f"{PREFIX}MODEL", "s3://my-models/a.gguf")
        monkeypatch.setenv(variable, value)
        try:
            Settings.load()
        except SettingsError as error:
            pytest.fail(f"{variable}={value}: {error}")


def test_the_rollback_is_told_what_it_reads() -> None:
    function = ROLLBACK["aws_lambda_function.this"]
    variables = function.inside("environment")[0].attributes["variables"]
    assert set(re.findall(r"LAMBDA_LLM_\w+", variables)) == {rollback.FUNCTION, rollback.ALIAS, rollback.VERSION}


def test_the_queue_worker_is_told_what_it_reads_and_has_the_time_that_it_needs() -> None:
    blocks = {block.address: block for block in hcl.module(ROOT / "examples/event-driven")}
    variables = blocks["aws_lambda_function.worker"].inside("environment")[0].attributes["variables"]
    assert set(re.findall(r"LAMBDA_LLM_\w+", variables)) == {
        queue_worker.FUNCTION,
        queue_worker.REQUESTS,
        queue_worker.ANSWERS,
        queue_worker.ANSWER_SECONDS,
        queue_worker.RETRY_SECONDS,
    }
    text = (ROOT / "examples/event-driven/main.tf").read_text(encoding="utf-8")
    beside = re.search(r"worker_timeout = var.batch_size \* \(var.timeout \+ (\d+)\)", text)
    assert beside
    assert int(beside[1]) > BESIDE_ANSWER_SECONDS, "or it would not begin its last message"
    (rule,) = blocks["var.batch_size"].inside("validation")
    assert (
        f"var.batch_size * (var.timeout + {beside[1]}) <= {limits.TIMEOUT_MAX_SECONDS}" in rule.attributes["condition"]
    )


def test_the_pruner_is_told_what_it_reads() -> None:
    function = PRUNER["aws_lambda_function.this"]
    variables = function.inside("environment")[0].attributes["variables"]
    assert f"{pruner.FUNCTION} " in variables
    assert f"{pruner.KEEP_NEWEST} " in variables


@pytest.mark.parametrize("module", [INFERENCE, PRUNER, ROLLBACK], ids=["inference", "pruner", "rollback"])
def test_a_handler_is_the_manifest_s(module: dict[str, Block]) -> None:
    assert module["aws_lambda_function.this"].attributes["handler"] == "module.function.handler"
    assert SHARED["output.handler"].attributes["value"] == "try(local.manifest.handler, null)"


def test_what_is_read_of_a_manifest_is_in_it() -> None:
    texts = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "modules").glob("*/*.tf"))
    read = set(re.findall(r"local\.manifest\.(\w+)", texts))
    assert {"function", "architecture", "runtime", "code_sha256"} <= read <= set(PackageManifest.model_fields)
