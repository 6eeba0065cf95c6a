"""Each rule on real HCL and on real plans: exactly what it finds, and nothing beside it."""

from typing import Final

import pytest

from lambda_llm.policies.bills import Plane
from lambda_llm.policies.every import RULES
from lambda_llm.telemetry import lines
from support.policies import Found, trees

pytestmark = pytest.mark.needs("terraform", get="https://developer.hashicorp.com/terraform/install")

FRAMEWORKS: Final = ("terraform", "terraform_plan")
NUMBERS: Final = {rule.id: int(rule.id.rpartition("_")[2]) for rule in RULES}

ARGUMENTS: Final = set(range(1, 9)) | {15}
"""Rules that judge every inference function."""

BESIDE: Final = {
    8: {9},
    9: {9},
    10: {9, 10, 11, 12},
    11: {9, 10, 11, 12},
    12: {9, 10, 11, 12},
    13: {9, 13},
    14: {14},
    18: {9, 13, 18},
    19: {9, 19},
    20: {9, 19, 20},
    21: {9, 10, 11, 12, 21},
}
"""Rules that judge what else is in a rule's fixtures."""

MARKED: Final = {24}
"""Rules that judge whatever has the project's tags, as all fixtures have."""

ALONE: Final = {16: {16, 17}, 17: {16, 17}, 22: {22}, 23: {23}, 24: set()}
"""Rules whose fixtures have no inference function, and those that judge them."""


def ids(numbers: set[int]) -> set[str]:
    return {f"CKV_LLM_{number}" for number in numbers}


def only_ids(findings: set[tuple[str, str]]) -> set[str]:
    return {check for check, _ in findings}


def judged(number: int) -> set[str]:
    """Rules that have something to say about the fixtures of one."""
    beside = ARGUMENTS | BESIDE.get(number, set())
    return ids(ALONE.get(number, beside) | MARKED)


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("rule", NUMBERS)
def test_a_rule_passes_one_fixture_and_fails_the_other(
    rule: str, framework: str, found: dict[str, dict[str, Found]]
) -> None:
    everything = judged(NUMBERS[rule])
    good, bad = (found[framework][f"{rule}-{name}"] for name in ("pass", "fail"))
    assert (only_ids(good.passed), good.failed) == (everything, set())
    # An image has no runtime to judge.
    rest = everything - {rule} - ids({5} if rule == "CKV_LLM_6" else set())
    assert (only_ids(bad.passed), only_ids(bad.failed)) == (rest, {rule})
    assert not good.skipped | bad.skipped


def failures(framework: str, name: str, found: dict[str, dict[str, Found]]) -> set[tuple[str, str]]:
    return {(check.removeprefix("CKV_LLM_"), address) for check, address in found[framework][name].failed}


def test_every_case_was_looked_at() -> None:
    of_others = {"marks", "modules", "pruner-by-arn", "pruner-of-another", "reads", "repeated", "skipped", "unmarked"}
    of_others |= {"across", "callers", "documents", "gateways", "gpu-planes", "reads-otherwise", "routers", "services"}
    assert {name for name in trees() if not name.startswith("CKV")} == of_others


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_functions_without_the_mark_are_left_alone(framework: str, found: dict[str, dict[str, Found]]) -> None:
    assert found[framework]["unmarked"] == Found()


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_mark_is_a_setting_or_a_tag_and_a_typing_error_turns_nothing_off(
    framework: str, found: dict[str, dict[str, Found]]
) -> None:
    case = found[framework]["marks"]
    assert failures(framework, "marks", found) - {("1", "aws_lambda_function.merged")} == {
        ("1", "aws_lambda_function.mistyped")
    }
    assert {address for check, address in case.passed if check == "CKV_LLM_2"} == {
        f"aws_lambda_function.{name}" for name in ("setting", "merged", "mistyped")
    }
    assert ("CKV_LLM_1", "aws_lambda_function.setting") in case.passed


def test_what_only_a_plan_knows_is_reported_there_alone(found: dict[str, dict[str, Found]]) -> None:
    of_memory = ("CKV_LLM_1", "aws_lambda_function.merged")
    assert of_memory in found["terraform_plan"]["marks"].failed
    hcl = found["terraform"]["marks"]
    assert of_memory not in hcl.failed | hcl.passed


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_what_belongs_to_a_function_is_found_across_modules(framework: str, found: dict[str, dict[str, Found]]) -> None:
    assert failures(framework, "modules", found) == {
        ("8", "module.access.aws_lambda_provisioned_concurrency_config.this"),
        ("11", "module.access.aws_lambda_function_url.this"),
        ("13", "module.access.aws_lambda_permission.this"),
        ("14", "module.function.aws_iam_role_policy.this"),
    }
    assert ("CKV_LLM_9", "module.function.aws_lambda_alias.this") in found[framework]["modules"].passed


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_each_instance_is_judged(framework: str, found: dict[str, dict[str, Found]]) -> None:
    assert failures(framework, "repeated", found) == {
        (rule, f"{resource}.counted[{number}]")
        for rule, resource in (("10", "aws_lambda_function_url"), ("14", "aws_iam_role_policy"))
        for number in (0, 1)
    }


def test_a_skip_is_inline_and_hcl_alone_has_it(found: dict[str, dict[str, Found]]) -> None:
    skipped = {("CKV_LLM_1", "aws_lambda_function.small"), ("CKV_LLM_15", "aws_lambda_function.small")}
    assert found["terraform"]["skipped"].skipped == skipped
    assert not found["terraform"]["skipped"].failed
    assert found["terraform_plan"]["skipped"].failed == skipped


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_reads_are_judged_however_they_are_written(framework: str, found: dict[str, dict[str, Found]]) -> None:
    too_much = {
        "aws_iam_role_policy.action",
        "aws_iam_role_policy.folder",
        "aws_iam_role_policy.inverted",
        "aws_iam_role_policy.two",
        "aws_iam_policy.attached",
        "aws_iam_role_policy_attachment.aws",
        "aws_iam_role.nested",
    }
    if framework == "terraform":
        # The first plan does not know the ARN of a bucket that it makes, nor what comes behind it.
        too_much.add("aws_iam_role_policy.document")
    assert failures(framework, "reads", found) == {("14", address) for address in too_much}
    passed = {address for check, address in found[framework]["reads"].passed if check == "CKV_LLM_14"}
    assert passed == {f"aws_iam_role_policy.{name}" for name in ("pinned", "state", "denied", "prompted")}


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_pruner_must_be_the_function_s_own(framework: str, found: dict[str, dict[str, Found]]) -> None:
    assert failures(framework, "pruner-of-another", found) == {("15", "aws_lambda_function.llm")}
    assert ("CKV_LLM_15", "aws_lambda_function.llm") in found[framework]["pruner-by-arn"].passed


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_model_makes_an_inference_function_and_an_address_of_one_does_not(
    framework: str, found: dict[str, dict[str, Found]]
) -> None:
    every = found[framework]["callers"].failed | found[framework]["callers"].passed
    judged_ones = {address for check, address in every if check not in ids(MARKED)}
    # A plan has no variable at all where one is known after apply: the next plan has them.
    late = {"aws_lambda_function.late"} if framework == "terraform" else set()
    assert judged_ones == {"aws_lambda_function.disguised", "aws_lambda_function.both"} | late
    assert {check for check, address in failures(framework, "callers", found) if address.endswith("disguised")} == {
        *("1", "2", "3", "5", "15")
    }


def named(framework: str, name: str, rule: str, found: dict[str, dict[str, Found]]) -> tuple[set[str], set[str]]:
    """Names of the resources that a rule passes and fails."""
    case = found[framework][name]
    passed, failed = (
        {address.rpartition(".")[2] for check, address in findings if check == f"CKV_LLM_{rule}"}
        for findings in (case.passed, case.failed)
    )
    return passed, failed


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_service_acts_for_one_resource(framework: str, found: dict[str, dict[str, Found]]) -> None:
    passed, failed = named(framework, "services", "18", found)
    assert passed == {"good_rule", "good_bucket", "good_api", "good_reference", "good_voice"}
    assert failed == {"without", "account_alone", "any_rule", "bucket", "voice"}
    assert {check for check, _ in failures(framework, "services", found)} == {"18"}


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_who_asks_a_router_is_known(framework: str, found: dict[str, dict[str, Found]]) -> None:
    assert named(framework, "routers", "11", found) == ({"signed"}, {"open"})
    assert named(framework, "routers", "13", found) == ({"named"}, {"anybody"})
    assert {check for check, _ in failures(framework, "routers", found)} == {"11", "13"}


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_every_way_through_api_gateway_is_authorized(framework: str, found: dict[str, dict[str, Found]]) -> None:
    passed, failed = named(framework, "gateways", "19", found)
    assert passed == {"custom", "iam", "rest_iam"}
    # A plan does not know a document that refers to what it makes.
    described = {"described"} if framework == "terraform" else set()
    assert failed == {"quick", "open", "none", "half", "rest_open"} | described
    assert {check for check, _ in failures(framework, "gateways", found)} == {"19"}


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_every_operation_of_a_document_is_authorized_and_forgotten(
    framework: str, found: dict[str, dict[str, Found]]
) -> None:
    passed, failed = named(framework, "documents", "19", found)
    assert passed == {"good", "good_top", "good_swagger", "good_iam", "http_good", "remembers", "remembers_long"}
    assert failed == {"open", "empty", "optional", "key_only", "undefined", "http_open"}
    passed, failed = named(framework, "documents", "20", found)
    assert passed == {"good", "good_top", "good_swagger", "empty", "optional"}
    assert failed == {"remembers", "remembers_long"}
    assert {check for check, _ in failures(framework, "documents", found)} == {"19", "20"}


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_gpu_plane_is_closed_whatever_it_is_made_of(framework: str, found: dict[str, dict[str, Found]]) -> None:
    passed, failed = named(framework, "gpu-planes", "23", found)
    # checkov leaves a template with a variable as a text, which the plan has evaluated.
    evaluated = {"stack_of_a_variable"} if framework == "terraform_plan" else set()
    assert passed == evaluated | {
        *("good", "redirects", "group", "inside", "encrypted_disk", "own_disk", "with_key", "closed_stack")
    }
    assert failed == {
        *("mistyped", "tcp", "everybody", "everybody_of_6", "addressed", "clear_disk", "addressed_instance"),
        *("without_key", "captures", "open_stack", "connected_stack", "public_stack"),
    }
    assert {check for check, _ in failures(framework, "gpu-planes", found)} == {"23"}


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_no_other_way_of_reading_more_is_missed(framework: str, found: dict[str, dict[str, Found]]) -> None:
    passed, failed = named(framework, "reads-otherwise", "14", found)
    assert passed == {"equal_good", "keys_good", "partition_good", "point_good", "granted_good"}
    assert failed == {
        *("point", "point_any", "point_models"),
        *("unequal", "unlike", "if_exists", "for_all", "other_key"),
        *("prefix", "question", "any_bucket", "partly_bucket", "any_service", "bare"),
        *("execute", "many", "exclusive", "by_name"),
        *("granted", "granted_point", "referred", "public"),
    }
    assert {check for check, _ in failures(framework, "reads-otherwise", found)} == {"14"}


def test_what_could_not_be_judged_is_told(unjudged: str) -> None:
    for finding in (
        "CKV_LLM_1 of aws_lambda_function.merged",
        "CKV_LLM_14 of aws_iam_role_policy.second",
        "CKV_LLM_14 of module.reads.aws_iam_role_policy.document",
        "CKV_LLM_19 of module.gateways.aws_api_gateway_rest_api.described",
    ):
        assert finding in unjudged


def test_a_plan_is_followed_through_outputs_variables_and_instances(found: dict[str, dict[str, Found]]) -> None:
    assert failures("terraform_plan", "across", found) == {
        ("11", "module.access.aws_lambda_function_url.this"),
        ("14", "aws_iam_role_policy.second"),
        ("15", 'module.function["second"].aws_lambda_function.this'),
    }
    passed = found["terraform_plan"]["across"].passed
    assert ("CKV_LLM_14", "aws_iam_role_policy.first") in passed
    assert ("CKV_LLM_15", 'module.function["first"].aws_lambda_function.this') in passed
    # In HCL nobody knows which instance has which role.
    assert failures("terraform", "across", found) == {("11", "module.access.aws_lambda_function_url.this")}


def test_planes_of_bills_are_those_of_the_lines() -> None:
    assert [plane.value for plane in Plane] == [plane.value for plane in lines.Plane]
