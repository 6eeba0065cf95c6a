"""Whoever opens a module finds its tests: in a file of its own, in the same folder below tests/…, or by the table."""

import ast
from pathlib import Path

import pytest

import lambda_llm

PACKAGE = Path(lambda_llm.__file__).parent
TESTS = Path(__file__).parents[1]

TESTED_ELSEWHERE = {
    "__init__": ["unit/test_public_api.py"],
    "agent/commands": ["unit/agent/test_loop.py"],
    "agent/definition": ["unit/agent/test_agent.py"],
    "agent/errors": ["unit/agent/test_agent.py", "unit/agent/test_durable.py"],
    "agent/events": ["unit/agent/test_loop.py"],
    "agent/executions": ["integration/test_agent_cli.py"],
    "agent/handler": ["package/test_local.py"],
    "agent/outcomes": ["unit/agent/test_durable.py"],
    "agent/show": ["integration/test_agent_cli.py"],
    "agent/store": ["integration/loading/test_agent_store.py"],
    "agent/tools/code/aws": ["unit/agent/tools/code/test_agentcore.py", "unit/agent/tools/code/test_microvm.py"],
    "agent/tools/code/backend": ["unit/agent/tools/code/test_local.py", "unit/agent/tools/code/test_source.py"],
    "agent/tools/code/interpreter": ["unit/agent/tools/code/test_local.py"],
    "agent/tools/code/notebook": ["unit/agent/tools/code/test_blaxel.py", "unit/agent/tools/code/test_e2b.py"],
    "agent/tools/mcp_failures": ["unit/agent/tools/test_mcp_hostile.py"],
    "agent/tools/mcp_questions": ["unit/agent/tools/test_mcp.py", "unit/agent/tools/test_mcp_hostile.py"],
    "agent/tools/mcp_session": ["unit/agent/tools/test_mcp.py", "unit/agent/tools/test_mcp_hostile.py"],
    "agent/tools/mcp_transport": ["unit/agent/tools/test_mcp_hostile.py"],
    "agent/tools/tool": ["unit/agent/test_durable.py"],
    "anthropic_types/errors": ["conformance/test_anthropic.py"],
    "anthropic_types/messages": ["conformance/test_anthropic.py", "conformance/test_openapi.py"],
    "authorizer/api_keys": ["integration/test_authorizer.py"],
    "authorizer/authorizer": ["integration/test_authorizer.py"],
    "authorizer/errors": ["integration/test_authorizer.py", "unit/authorizer/test_settings.py"],
    "authorizer/handler": ["integration/test_authorizer.py"],
    "authorizer/jwt_handler": ["integration/test_authorizer.py"],
    "aws/clients": ["unit/router/test_ledger.py", "unit/router/test_secrets.py"],
    "aws/conditional_objects": ["unit/router/test_results.py", "unit/batch_store/test_batches.py"],
    "aws/errors": ["unit/aws/test_function_url.py", "integration/loading/test_s3_objects.py"],
    "aws/function_versions": ["unit/cli/test_versions.py"],
    "aws/s3_client": ["integration/loading/test_remedies.py"],
    "aws/s3_objects": ["integration/loading/test_s3_objects.py"],
    "aws/signing": ["unit/aws/test_function_url.py"],
    "backends/contract": ["unit/backends/test_converse.py", "unit/backends/test_openai_http.py"],
    "backends/conventions": ["unit/router/test_spans.py"],
    "backends/converse_answer": ["unit/backends/test_converse.py"],
    "backends/errors": ["unit/backends/test_converse.py", "unit/backends/test_http.py"],
    "backends/tokens": ["unit/router/test_facts.py", "unit/router/test_service.py"],
    "batch/ask": ["unit/batch/test_worker.py"],
    "batch/build": ["unit/batch/test_gpu.py"],
    "batch/config": ["unit/batch/test_estimate.py"],
    "batch/errors": ["unit/batch/test_storage.py"],
    "batch/handler": ["package/test_local.py"],
    "batch/lines": ["unit/batch/test_index.py"],
    "batch/notes": ["unit/batch/test_worker.py"],
    "batch/output": ["unit/batch/test_finalize.py"],
    "batch/pieces": ["unit/batch/test_worker.py"],
    "batch/plan": ["unit/batch/test_index.py"],
    "batch/rules": ["unit/batch/test_index.py"],
    "batch/seen": ["unit/batch/test_storage.py"],
    "batch/settings": ["unit/batch/test_storage.py"],
    "batch/survey": ["unit/cli/test_batch.py"],
    "batch_store/bucket": ["unit/batch_store/test_files.py"],
    "batch_store/errors": ["unit/batch_store/test_files.py", "unit/batch_store/test_batches.py"],
    "batch_store/figures": ["unit/batch/test_figures.py"],
    "batch_store/records": ["unit/batch_store/test_batches.py"],
    "canary_rollback/handler": ["integration/test_canary_rollback.py"],
    "canary_rollback/rollback": ["integration/test_canary_rollback.py"],
    "cli/__init__": ["unit/cli/test_help.py", "unit/cli/test_refusals.py"],
    "cli/__main__": ["unit/cli/test_help.py"],
    "cli/agent": ["integration/test_agent_cli.py", "unit/cli/test_help.py"],
    "cli/agent_local": ["integration/test_agent_cli.py"],
    "cli/agent_timeline": ["integration/test_agent_cli.py"],
    "cli/app": ["unit/cli/test_help.py", "unit/cli/test_refusals.py"],
    "cli/batch_files": ["unit/cli/test_batch.py"],
    "cli/batch_shown": ["unit/cli/test_batch.py"],
    "cli/batch_store": ["unit/cli/test_batch.py"],
    "cli/benchmark": ["unit/cli/test_bench.py"],
    "cli/chat": ["integration/test_cli.py", "unit/cli/test_refusals.py"],
    "cli/cost_plan_shown": ["unit/cli/test_cost_plan.py"],
    "cli/keys": ["integration/test_authorizer.py", "unit/cli/test_help.py"],
    "cli/package": ["unit/packaging/test_verify.py", "package/test_package.py"],
    "cli/probes/base": ["unit/cli/probes/test_every.py", "unit/cli/probes/test_second_turn.py"],
    "cli/probes/deployment": ["unit/cli/probes/test_alias.py", "unit/cli/test_verify.py"],
    "cli/probes/invoking": ["unit/cli/probes/test_invocation.py", "unit/cli/probes/test_latest.py"],
    "cli/probes/report": ["unit/cli/test_verify.py"],
    "cli/proxy": ["integration/test_proxy.py", "unit/cli/test_refusals.py"],
    "cli/push": ["integration/test_cli.py", "unit/cli/test_refusals.py"],
    "cli/serve": ["integration/test_cli.py", "unit/cli/test_refusals.py"],
    "cli/signing_proxy": ["integration/test_proxy.py"],
    "cost/compare/inputs": ["unit/cli/test_cost.py", "unit/cost/compare/test_analysis.py"],
    "cost/compare/workload": ["unit/cost/compare/test_costs.py", "unit/cost/compare/test_analysis.py"],
    "cost/offers/files": ["unit/cost/offers/test_rates.py"],
    "cost/offers/refresh": ["unit/cost/offers/test_rates.py"],
    "cost/plans/pruners": ["unit/cost/plans/test_report.py"],
    "cost/plans/resources": ["unit/cost/plans/test_report.py"],
    "cost/plans/stacks": ["unit/cost/plans/test_report.py"],
    "cost/plans/unpriced": ["unit/cost/plans/test_report.py"],
    "cost/report/page": ["unit/cost/test_report.py"],
    "documents/batches": ["unit/documents/test_handler.py"],
    "documents/errors": ["unit/documents/test_prepare.py", "unit/documents/test_export.py"],
    "documents/rows": ["unit/documents/test_parquet.py"],
    "engine/context": [
        "unit/engine/test_decoder.py",
        "unit/engine/test_encoder.py",
        "unit/engine/test_weight_order.py",
    ],
    "engine/engine": ["unit/inference/test_init.py", "unit/serving/test_encoders.py"],
    "engine/errors": ["unit/engine/test_generate.py", "unit/engine/test_schemas.py"],
    "engine/schema_references": ["unit/engine/test_schemas.py"],
    "engine/token_trie": ["unit/engine/test_matcher.py"],
    "engine/tool_call_formats/__init__": ["unit/engine/test_tool_call_formats.py"],
    "engine/tool_call_formats/base": ["unit/engine/test_output_parser.py", "unit/serving/test_chat_features.py"],
    "engine/tool_call_formats/deepseek": ["unit/engine/test_tool_call_formats.py", "unit/engine/test_output_parser.py"],
    "engine/tool_call_formats/hermes": ["unit/engine/test_tool_call_formats.py", "unit/engine/test_output_parser.py"],
    "engine/tool_call_formats/llama": ["unit/engine/test_tool_call_formats.py", "unit/engine/test_output_parser.py"],
    "errors": ["unit/gguf/test_header.py"],
    "gguf/errors": ["unit/gguf/test_header.py"],
    "gguf/options": ["unit/gguf/test_memory_plan.py", "unit/inference/test_settings.py"],
    "inference/errors": ["unit/inference/test_invariants.py", "unit/inference/snapshot/test_cpu.py"],
    "inference/handler": ["integration/test_handler.py", "integration/test_runtime_client.py"],
    "inference/plain_invoke": ["unit/inference/test_raw_events.py", "integration/test_handler.py"],
    "inference/request_spans": ["unit/inference/test_figures.py"],
    "inference/serve": ["integration/test_web_adapter.py", "unit/inference/snapshot/test_hooks.py"],
    "loading/download": ["integration/loading/test_faults.py", "integration/loading/test_schedules.py"],
    "loading/errors": ["integration/loading/test_faults.py", "integration/loading/test_limits_of_the_machine.py"],
    "loading/load": ["integration/loading/test_faults.py", "integration/loading/sources/test_file.py"],
    "loading/push": ["integration/test_cli.py"],
    "loading/retries": ["integration/loading/test_faults.py"],
    "loading/sources/base": ["unit/loading/sources/test_registry.py", "integration/loading/sources/test_s3.py"],
    "loading/sources/s3_errors": ["integration/loading/test_remedies.py", "integration/loading/test_faults.py"],
    "ollama_types/api": ["conformance/test_ollama.py", "conformance/test_openapi.py"],
    "openai_types/batches": ["unit/router/test_batches.py"],
    "openai_types/chat": ["unit/serving/test_chat.py", "unit/serving/test_errors.py"],
    "openai_types/common": ["unit/serving/test_errors.py", "unit/serving/test_fuzz.py"],
    "openai_types/completions": ["unit/serving/test_completions.py"],
    "openai_types/embeddings": ["unit/serving/test_encoders.py"],
    "openai_types/errors": ["unit/serving/test_errors.py"],
    "openai_types/models": ["unit/serving/test_tokens.py"],
    "openai_types/response_format": ["unit/serving/test_accepted.py", "unit/serving/test_errors.py"],
    "openai_types/responses": ["unit/serving/test_responses.py"],
    "openai_types/sse": ["unit/serving/test_chat.py", "unit/serving/test_streaming.py"],
    "packaging/errors": ["unit/packaging/test_verify.py"],
    "packaging/functions": ["unit/packaging/test_builder.py", "unit/packaging/test_closure.py"],
    "packaging/manifest": ["unit/packaging/test_verify.py", "package/test_package.py"],
    "packaging/sbom": ["package/test_package.py"],
    "policies/__main__": ["policies/test_strangers.py", "policies/test_unjudged.py"],
    "policies/access": ["policies/test_rules.py"],
    "policies/authorizer": ["policies/test_rules.py"],
    "policies/bills": ["policies/test_rules.py"],
    "policies/checks/lambda_llm_checks": ["policies/test_strangers.py"],
    "policies/cloudfront": ["policies/test_rules.py"],
    "policies/durable": ["policies/test_rules.py"],
    "policies/every": ["policies/test_rules.py", "policies/test_pages.py"],
    "policies/function": ["policies/test_rules.py"],
    "policies/gateway": ["policies/test_rules.py"],
    "policies/gpu": ["policies/test_rules.py"],
    "policies/graph": ["policies/test_rules.py"],
    "policies/marks": ["policies/test_rules.py", "terraform/test_invariants.py"],
    "policies/openapi": ["policies/test_rules.py"],
    "policies/plan": ["policies/test_rules.py"],
    "policies/pruning": ["policies/test_rules.py"],
    "policies/reads": ["policies/test_rules.py"],
    "policies/register": ["policies/test_strangers.py", "policies/test_rules.py"],
    "policies/statements": ["policies/test_rules.py"],
    "policies/values": ["policies/test_rules.py"],
    "queue_worker/errors": ["integration/test_queue_worker.py"],
    "queue_worker/handler": ["integration/test_queue_worker.py"],
    "queue_worker/settings": ["integration/test_queue_worker.py"],
    "queue_worker/worker": ["integration/test_queue_worker.py"],
    "router/answers": ["unit/router/test_app.py"],
    "router/errors": ["unit/router/test_config.py", "unit/router/test_dispatch.py"],
    "router/explain": ["unit/cli/test_router.py"],
    "router/models": ["unit/router/test_app.py"],
    "router/rights": ["unit/cli/test_router.py", "unit/router/test_service.py"],
    "router/serve": ["integration/test_router_function.py"],
    "router/uploads": ["unit/router/test_batches.py"],
    "serving/answering": ["unit/serving/test_chat.py", "unit/serving/test_streaming.py"],
    "serving/app": ["unit/serving/test_errors.py", "conformance/test_openapi.py"],
    "serving/health": ["unit/serving/test_chat.py", "integration/test_web_adapter.py"],
    "serving/logprobs": ["unit/serving/test_chat_features.py", "unit/serving/test_completions.py"],
    "serving/messages": ["conformance/test_anthropic.py", "unit/serving/test_generations.py"],
    "serving/models": ["unit/serving/test_tokens.py"],
    "serving/ollama": ["conformance/test_ollama.py", "unit/serving/test_generations.py"],
    "serving/page": ["integration/test_page.py"],
    "serving/service": ["unit/inference/test_init.py", "unit/serving/test_streaming.py"],
    "serving/worker": ["unit/serving/test_streaming.py", "unit/serving/test_deadline.py"],
    "simulator/errors": ["unit/simulator/test_arrivals.py", "unit/simulator/test_functions.py"],
    "simulator/fleet_loop": ["unit/simulator/test_fleet.py"],
    "simulator/functions_loop": ["unit/simulator/test_functions.py"],
    "simulator/result": ["unit/simulator/test_functions.py", "unit/simulator/test_fleet.py"],
    "telemetry/genai": ["unit/router/test_spans.py", "unit/inference/test_figures.py"],
    "telemetry/lines": ["unit/telemetry/test_emf.py"],
    "telemetry/otlp": ["unit/telemetry/test_spans.py"],
    "telemetry/propagation": ["unit/router/test_spans.py", "unit/router/test_worker.py"],
    "telemetry/span": ["unit/telemetry/test_spans.py"],
    "telemetry/tracing": ["unit/telemetry/test_spans.py"],
    "usage/errors": ["unit/usage/test_read.py", "unit/usage/test_bill.py"],
    "web/adapter": ["unit/inference/snapshot/test_hooks.py"],
    "web/errors": ["unit/serving/test_errors.py"],
    "web/local_only": ["unit/web/test_hosts.py"],
    "web/origin": ["unit/serving/test_origin.py"],
    "web/paths": ["unit/serving/test_paths.py"],
    "web/request_body": ["unit/serving/test_paths.py", "unit/web/test_connections.py"],
    "web/server": [
        "unit/web/test_connections.py",
        "integration/test_web_adapter.py",
        "integration/test_cli.py",
    ],
    "web/waiting": ["unit/router/test_service.py", "unit/serving/test_streaming.py"],
}
"""Modules without a test file of their own, because what they do shows only together with others."""


def has_code(path: Path) -> bool:
    """Whether a file is more than the `__init__.py` of a folder that says what is in it."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return path.name != "__init__.py" or any(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in body)


MODULES = sorted(
    path.relative_to(PACKAGE).with_suffix("").as_posix() for path in PACKAGE.rglob("*.py") if has_code(path)
)


def own_tests(module: str) -> list[Path]:
    """Test files of a module's name in its folder, below `tests` itself or below one of its folders."""
    folder, _, name = module.rpartition("/")
    kinds = [TESTS, *(path for path in TESTS.iterdir() if path.is_dir())]
    return [path for kind in kinds if (path := kind / folder / f"test_{name}.py").exists()]


def test_the_modules_are_there() -> None:
    assert {"units", "aws/s3_uri", "inference/snapshot/hooks"} <= set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_its_tests_in_its_place_or_in_the_table(module: str) -> None:
    assert own_tests(module) or module in TESTED_ELSEWHERE, "write its tests, or name in the table where they are"


@pytest.mark.parametrize("module", TESTED_ELSEWHERE)
def test_the_table_is_true(module: str) -> None:
    assert module in MODULES, "it is gone"
    assert own_tests(module) == [], "it has tests of its own"
    files = TESTED_ELSEWHERE[module]
    assert files
    assert [file for file in files if not (TESTS / file).is_file()] == []


def test_the_table_is_in_order() -> None:
    assert list(TESTED_ELSEWHERE) == sorted(TESTED_ELSEWHERE)


def test_unit_tests_lie_as_the_package_does() -> None:
    """But for those of `scripts`, which lie as nothing does."""
    unit = TESTS / "unit"
    folders = {path.parent.relative_to(unit).as_posix() for path in unit.rglob("test_*.py")} - {"scripts"}
    assert [folder for folder in folders if not (PACKAGE / folder).is_dir()] == []
