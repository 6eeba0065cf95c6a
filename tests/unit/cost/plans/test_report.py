"""What plans cost, by hand to the cent. The plans are Terraform's of our modules, cut to what has a price."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_llm.cli.cost_plan_shown import MARKER, markdown
from lambda_llm.cost.plans.file import PlanError, read
from lambda_llm.cost.plans.report import PRICED, Report, Verdict, public, report, verdict
from lambda_llm.cost.plans.resources import WATCHED, Assumed, Cost
from lambda_llm.cost.plans.unpriced import FREE, NOT_PRICED
from scripts import ROOT

PLANS = Path(__file__).parent / "recorded"
FUNCTION: dict[str, Any] = {
    "function_name": "chat",
    "memory_size": 10_240,
    "architectures": ["arm64"],
    "runtime": "python3.13",
    "publish": True,
    "snap_start": [{"apply_on": "PublishedVersions"}],
}
ARN = "arn:aws:lambda:us-east-1:123456789012:function:chat"
PRUNER = {
    "function_name": "chat-pruner",
    "memory_size": 256,
    "architectures": ["arm64"],
    "tags": {"lambda-llm": "version-pruner"},
    "environment": [{"variables": {"LAMBDA_LLM_PRUNE_FUNCTION": ARN}}],
}


def recorded(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((PLANS / f"{name}.json").read_bytes())
    return content


def of(content: dict[str, Any], assumed: Assumed | None = None) -> Report:
    return report(read(json.dumps(content).encode()), assumed or Assumed())


def item(
    kind: str, before: Any = None, after: Any = None, *, name: str = "a", module: str = "", **more: Any
) -> dict[str, Any]:
    """A resource of a plan; its action follows from what is given."""
    actions = ["create"] if before is None else ["delete"] if after is None else ["update"]
    place = {"module_address": module} if module else {}
    address = f"{module}.{kind}.{name}" if module else f"{kind}.{name}"
    change = {"actions": actions, "before": before, "after": after, "after_unknown": {}, **more}
    return {"address": address, "mode": "managed", "type": kind, "name": name, "change": change, **place}


def plan(*items: dict[str, Any], configuration: dict[str, Any] | None = None) -> dict[str, Any]:
    root = {"root_module": configuration or {}}
    return {"format_version": "1.2", "resource_changes": list(items), "configuration": root}


def months(found: Report) -> dict[str, tuple[float, float]]:
    """Idle before and after in cents, of what costs."""
    rows = {row.change.resource.address: (row.before.month, row.month_after) for row in found.rows}
    return {address: (round(a, 2), round(b, 2)) for address, (a, b) in rows.items() if a or b}


def test_what_a_new_stack_costs() -> None:
    found = of(recorded("created"))
    assert months(found) == {
        'module.gpu["ecs"].aws_cloudwatch_metric_alarm.ecs_sleeps[0]': (0, 0.20),  # two metrics
        'module.gpu["ecs"].aws_cloudwatch_metric_alarm.ecs_wakes[0]': (0, 0.10),
        'module.gpu["ecs"].aws_lb.this[0]': (0, 16.43),  # 730 * 0.0225 = 16.425
        'module.gpu["sagemaker"].aws_cloudwatch_metric_alarm.sagemaker_wakes[0]': (0, 0.10),
        "module.inference.aws_lambda_function.this": (0, 39.54),  # 10 GB * 730 * 3600 s * 0.0000015046
        "module.router.aws_lambda_function.this": (0, 1.98),  # 0.5 GB
    }
    sums = found.sums
    assert round(sums.after, 2) == 58.34
    assert (sums.before, sums.thousand_before) == (0, 0)
    # 1,000 requests of 10 s: 10 GB, 0.5 GB, REST API, CloudFront.
    assert sums.thousand_after == pytest.approx(
        1000 * (10 * 10 * 0.0000133334 + 0.5 * 10 * 0.0000133334 + 2 * 0.0000002 + 0.0000035 + 0.000001)
    )
    assert sums.unknown, "Container Insights is not priced"


def test_modules_add_up_to_the_whole() -> None:
    found = of(recorded("created"))
    by_module = found.by_module()
    assert sum(one.after for one in by_module.values()) == pytest.approx(found.sums.after)
    assert round(by_module['module.gpu["ecs"]'].after, 2) == 16.73
    assert round(by_module["module.inference"].after, 2) == 39.54
    assert "module.inference.module.function" not in by_module


def test_each_function_is_pruned_or_named() -> None:
    """The stack prunes its model's function, of which the ARN is not known yet, and not the router."""
    (one,) = of(recorded("created")).forgotten
    assert (one.address, one.now, one.unless) == ("module.router.aws_lambda_function.this", False, ())
    assert round(one.month, 2) == 1.98


def test_an_update_of_a_pruned_function_costs_as_before() -> None:
    found = of(recorded("updated"))
    assert months(found) == {"module.llm.module.inference.aws_lambda_function.this": (39.54, 39.54)}
    assert found.forgotten == ()
    assert found.sums.more == 0


def test_an_update_of_a_function_that_nobody_prunes_leaves_a_version_behind() -> None:
    content = recorded("updated")
    content["resource_changes"] = [one for one in content["resource_changes"] if "version_pruner" not in one["address"]]
    found = of(content)
    address = "module.llm.module.inference.aws_lambda_function.this"
    assert months(found) == {address: (39.54, 79.08)}
    (one,) = found.forgotten
    assert (one.address, one.now) == (address, True)
    assert round(found.sums.more, 2) == 39.54


def test_what_is_removed_costs_nothing_more() -> None:
    found = of(recorded("removed"))
    assert months(found) == {"module.llm.module.inference.aws_lambda_function.this": (39.54, 0)}
    assert round(found.sums.more, 2) == -39.54
    assert found.sums.thousand_after == 0
    assert found.forgotten == ()


def test_an_update_that_publishes_nothing_leaves_nothing_behind() -> None:
    found = of(plan(item("aws_lambda_function", FUNCTION, FUNCTION)))
    assert [one.now for one in found.forgotten] == [False]
    assert found.sums.more == 0
    again = of(plan(item("aws_lambda_function", FUNCTION, FUNCTION, after_unknown={"version": True})))
    assert [one.now for one in again.forgotten] == [True]


def test_a_replaced_function_takes_its_versions_with_it() -> None:
    given = item(
        "aws_lambda_function", FUNCTION, FUNCTION, actions=["delete", "create"], after_unknown={"version": True}
    )
    found = of(plan(given))
    assert [row.change.action for row in found.rows] == ["replace"]
    assert [one.now for one in found.forgotten] == [False]
    assert found.sums.more == 0


@pytest.mark.parametrize(
    ("environment", "forgotten"),
    [(ARN, False), ("chat", False), (ARN.replace("chat", "other"), True)],
)
def test_a_pruner_names_its_function(environment: str, forgotten: bool) -> None:  # noqa: FBT001 - a case
    pruner = {**PRUNER, "environment": [{"variables": {"LAMBDA_LLM_PRUNE_FUNCTION": environment}}]}
    found = of(plan(item("aws_lambda_function", None, FUNCTION), item("aws_lambda_function", None, pruner, name="p")))
    assert bool(found.forgotten) == forgotten


NOT_KNOWN = {**PRUNER, "environment": [{}]}


@pytest.mark.parametrize(
    ("call", "module"),
    [
        ({"expressions": {"function_arn": {"references": ["module.chat.function_arn", "module.chat"]}}}, "module.chat"),
        ({"expressions": {"function_arn": {"references": ["aws_lambda_function.a.arn", "aws_lambda_function.a"]}}}, ""),
        (
            {
                "expressions": {"function_arn": {"references": ["each.value"]}},
                "for_each_expression": {"references": ["module.other.function_arn", "module.chat.function_arn"]},
            },
            'module.chat["a.b[0]"]',
        ),
    ],
)
def test_a_pruner_of_a_function_that_is_not_there_yet_is_found_by_its_module_s_input(
    call: dict[str, Any], module: str
) -> None:
    found = of(
        plan(
            item("aws_lambda_function", None, FUNCTION, module=module),
            item("aws_lambda_function", None, NOT_KNOWN, module='module.pruner["x"]'),
            configuration={"module_calls": {"pruner": call, "chat": {}}},
        )
    )
    assert found.forgotten == ()


def test_the_same_within_a_module() -> None:
    inner = {"module_calls": {"p": {"expressions": {"function_arn": {"references": ["module.chat.arn"]}}}}}
    functions = (
        item("aws_lambda_function", None, FUNCTION, module="module.llm.module.chat"),
        item("aws_lambda_function", None, FUNCTION, module="module.llm.module.chat_too"),
        item("aws_lambda_function", None, NOT_KNOWN, module="module.llm.module.p"),
    )
    found = of(plan(*functions, configuration={"module_calls": {"llm": {"module": inner}}}))
    assert [one.address for one in found.forgotten] == ["module.llm.module.chat_too.aws_lambda_function.a"]


def test_a_pruner_of_which_the_plan_can_t_tell_is_named() -> None:
    pruner = item("aws_lambda_function", None, NOT_KNOWN, name="p")
    (one,) = of(plan(item("aws_lambda_function", None, FUNCTION), pruner)).forgotten
    assert one.unless == ("aws_lambda_function.p",)


@pytest.mark.parametrize(
    "changed", [{"snap_start": []}, {"publish": False}, {"runtime": "java21"}, {"snap_start": [{"apply_on": "None"}]}]
)
def test_a_function_without_snapshots_keeps_none(changed: dict[str, Any]) -> None:
    found = of(plan(item("aws_lambda_function", None, {**FUNCTION, **changed})))
    assert (found.sums.after, found.forgotten) == (0, ())


STACK = {
    "Resources": {
        "Config": {
            "Type": "AWS::SageMaker::EndpointConfig",
            "Properties": {"ProductionVariants": [{"InstanceType": "ml.g6.xlarge", "InitialInstanceCount": 2}]},
        },
        "Endpoint": {"Type": "AWS::SageMaker::Endpoint"},
    }
}
ALARM = {"metric": [{"period": 60}]}


@pytest.mark.parametrize(
    ("kind", "values", "month"),
    [
        ("aws_cloudformation_stack", {"template_body": json.dumps(STACK)}, 1646.88),  # 2 * 730 * 1.128
        ("aws_cloudwatch_composite_alarm", {}, 0.50),
        ("aws_cloudwatch_dashboard", {}, 3.00),
        ("aws_cloudwatch_metric_alarm", {"period": 60}, 0.10),
        ("aws_cloudwatch_metric_alarm", {"period": 10}, 0.30),
        ("aws_cloudwatch_metric_alarm", {"metric_query": [ALARM, ALARM, {"metric": []}]}, 0.20),
        ("aws_cloudwatch_metric_alarm", {"metric_query": [ALARM], "threshold_metric_id": "band"}, 0.30),
        ("aws_dynamodb_table", {"billing_mode": "PAY_PER_REQUEST"}, 0),
        ("aws_dynamodb_table", {"write_capacity": 20, "read_capacity": 30}, 12.34),  # 730 * (20 * .00065 + 30 * .00013)
        ("aws_eip", {}, 3.65),
        ("aws_instance", {"instance_type": "g6.xlarge"}, 587.50),  # 730 * 0.8048
        ("aws_kms_key", {}, 1.00),
        ("aws_nat_gateway", {}, 32.85),
        ("aws_route53_zone", {}, 0.50),
        (
            "aws_sagemaker_endpoint_configuration",
            {"production_variants": [{"instance_type": "ml.g5.xlarge", "initial_instance_count": 1}]},
            1029.3,  # 730 * 1.41
        ),
        ("aws_secretsmanager_secret", {}, 0.40),
        ("aws_vpc_endpoint", {"vpc_endpoint_type": "Gateway"}, 0),
        ("aws_vpc_endpoint", {}, 0),
        ("aws_vpc_endpoint", {"vpc_endpoint_type": "Interface", "subnet_ids": ["a", "b"]}, 14.60),
        ("aws_wafv2_web_acl", {"rule": [{}, {}]}, 7.00),
    ],
)
def test_what_is_paid_idle(kind: str, values: dict[str, Any], month: float) -> None:
    found = of(plan(item(kind, None, values)))
    assert round(found.sums.after, 2) == month
    assert not found.sums.unknown
    assert of(plan(item(kind, values, None))).sums.more == -found.sums.after


@pytest.mark.parametrize(
    ("kind", "values", "use"),
    [
        (
            "aws_cloudwatch_log_group",
            {"retention_in_days": 30},
            "$0.50 a GB written; $0.03 a GB and month, kept 30 days",
        ),
        (
            "aws_cloudwatch_log_group",
            {"retention_in_days": 0},
            "$0.50 a GB written; $0.03 a GB and month, kept for ever",
        ),
        ("aws_s3_bucket", {}, "$0.023 a GB and month; a plan has no sizes"),
        ("aws_s3_object", {}, "$0.023 a GB and month; a plan has no sizes"),
        ("aws_scheduler_schedule", {}, "$1.00 a million invocations"),
        ("aws_sfn_state_machine", {"type": "STANDARD"}, "$0.025 a thousand transitions"),
        ("aws_sfn_state_machine", {"type": "EXPRESS"}, "$1.00 a million runs, and their memory and time"),
        ("aws_sns_topic", {}, "$0.50 a million requests"),
        ("aws_sqs_queue", {}, "$0.40 a million requests"),
        ("aws_sqs_queue", {"fifo_queue": True}, "$0.50 a million requests"),
        ("aws_lambda_function", {"memory_size": 1024}, "$0.0000166667 a busy second"),
        (
            "aws_lambda_function",
            {**FUNCTION, "memory_size": 1024},
            "$0.0000133334 a busy second; $0.0001397998 a restore",
        ),
    ],
)
def test_what_is_paid_by_use_is_told(kind: str, values: dict[str, Any], use: str) -> None:
    (row,) = of(plan(item(kind, None, values))).rows
    assert "; ".join(row.after.use) == use


@pytest.mark.parametrize(
    ("kind", "values", "thousand"),
    [
        ("aws_api_gateway_rest_api", {}, 0.0035),
        ("aws_cloudfront_distribution", {}, 0.0010),
        ("aws_wafv2_web_acl", {}, 0.0006),
        ("aws_lambda_function", FUNCTION, 1000 * (4 * 0.000133334 + 0.0000002)),
        ("aws_lambda_function", {**FUNCTION, "architectures": None}, 1000 * (4 * 0.000166667 + 0.0000002)),
        ("aws_lambda_function", {"memory_size": 512}, 0),
    ],
)
def test_what_a_thousand_requests_take(kind: str, values: dict[str, Any], thousand: float) -> None:
    found = of(plan(item(kind, None, values)), Assumed(4.0))
    assert found.sums.thousand_after == pytest.approx(thousand)


def test_provisioned_concurrency_is_paid_by_its_function_s_memory() -> None:
    config = {"function_name": ARN, "provisioned_concurrent_executions": 2}
    kind = "aws_lambda_provisioned_concurrency_config"
    function = {**FUNCTION, "snap_start": [], "memory_size": 2048}
    found = of(plan(item("aws_lambda_function", None, function), item(kind, None, config)))
    assert round(found.sums.after, 2) == 35.04  # 2 * 2 GB * 730 * 3600 s * 0.0000033334
    x86 = {**function, "architectures": ["x86_64"]}
    found = of(plan(item("aws_lambda_function", None, x86), item(kind, None, {**config, "function_name": "chat"})))
    assert round(found.sums.after, 2) == 43.80
    assert of(plan(item(kind, None, config))).sums.unknown


GROUP = item("aws_autoscaling_group", None, {"min_size": 0}, module="module.gpu")
TEMPLATE = {"instance_type": "g6.xlarge", "block_device_mappings": [{"ebs": [{"volume_size": 100}]}]}


@pytest.mark.parametrize(
    ("beside", "month"),
    [
        ([item("aws_ecs_service", None, {"desired_count": 1}, module="module.gpu")], 595.50),  # 587.504 + 100 * 0.08
        (
            [
                item("aws_ecs_service", None, {"desired_count": 1}, module="module.gpu"),
                item("aws_appautoscaling_target", None, {"service_namespace": "ecs"}, module="module.gpu"),
            ],
            0,
        ),
        ([item("aws_ecs_service", None, {"desired_count": 1}, module="module.other")], 0),
    ],
)
def test_instances_of_a_group_are_those_that_ecs_keeps(beside: list[dict[str, Any]], month: float) -> None:
    template = item("aws_launch_template", None, TEMPLATE, module="module.gpu")
    found = of(plan(GROUP, template, *beside))
    assert round(found.sums.after, 2) == month
    assert of(plan(GROUP, *beside)).sums.unknown, "without its template"


def test_the_price_of_an_instance_can_be_given() -> None:
    given = item("aws_instance", None, {"instance_type": "p9.huge"})
    (row,) = of(plan(given)).rows
    assert row.after.unknown == ("p9.huge has no price here: give --instance-price p9.huge=DOLLARS_AN_HOUR",)
    found = of(plan(given), Assumed(instance_hour={"p9.huge": 2.0}))
    assert (found.sums.after, found.sums.unknown) == (1460, False)


def variant(**more: Any) -> str:
    config = {"InstanceType": "ml.g6.xlarge", "InitialInstanceCount": 1, **more}
    properties = {"ProductionVariants": [config]}
    return json.dumps({"Resources": {"C": {"Type": "AWS::SageMaker::EndpointConfig", "Properties": properties}}})


@pytest.mark.parametrize(
    ("body", "cost"),
    [
        (variant(ManagedInstanceScaling={"Status": "ENABLED", "MinInstanceCount": 0}), (0, "")),
        (variant(ManagedInstanceScaling={"Status": "ENABLED", "MinInstanceCount": 3}), (2470.32, "")),
        (variant(ManagedInstanceScaling={"Status": "DISABLED", "MinInstanceCount": 3}), (823.44, "")),
        (variant(ServerlessConfig={"MemorySizeInMB": 2048}), (0, "serverless inference is not priced")),
        (json.dumps({"Resources": {"B": {"Type": "AWS::S3::Bucket"}}}), (0, "AWS::S3::Bucket is not priced here")),
        (
            json.dumps(
                {
                    "Resources": {
                        "P": {"Type": "AWS::Lambda::CapacityProvider"},
                        "V": {
                            "Type": "AWS::Lambda::Version",
                            "Properties": {"FunctionScalingConfig": {"MinExecutionEnvironments": 2}},
                        },
                    }
                }
            ),
            (0, "of which at least 2 do"),
        ),
        ("Resources:\n  A: {}\n", (0, "no JSON")),
        ("{}", (0, "no JSON")),
        (None, (0, "known after apply")),
    ],
)
def test_a_stack_of_cloudformation_costs_what_its_template_makes(body: str | None, cost: tuple[float, str]) -> None:
    (row,) = of(plan(item("aws_cloudformation_stack", None, {"template_body": body}))).rows
    assert round(row.after.month, 2) == cost[0]
    assert cost[1] in "; ".join(row.after.unknown)
    assert bool(cost[1]) == bool(row.after.unknown)


@pytest.mark.parametrize(
    ("kind", "values", "unknown", "says"),
    [
        ("aws_lambda_function", {}, {"memory_size": True}, "memory_size is known after apply"),
        ("aws_vpc_endpoint", {"vpc_endpoint_type": "Interface"}, {"subnet_ids": True}, "counted as one"),
        ("aws_wafv2_web_acl", {}, {"rule": True}, "rule is known after apply"),
        ("aws_api_gateway_stage", {"cache_cluster_enabled": True}, {}, "its cache is not priced here"),
        ("aws_dynamodb_table", {}, {"billing_mode": True}, "billing_mode is known after apply"),
        ("aws_instance", {"instance_type": "g6.xlarge"}, {"instance_type": True}, "instance_type is known after apply"),
        ("aws_ecs_service", {"launch_type": "FARGATE"}, {}, "Fargate is not priced here"),
    ],
)
def test_what_is_not_known_is_told(kind: str, values: dict[str, Any], unknown: dict[str, Any], says: str) -> None:
    found = of(plan(item(kind, None, values, after_unknown=unknown)))
    assert found.sums.unknown
    assert says in found.rows[0].after.unknown[0]


def test_nothing_is_dropped() -> None:
    found = of(
        plan(item("aws_something_new", None, {}), item("google_thing", None, {}), item("aws_iam_role", None, {}))
    )
    verdicts = {row.change.resource.type: (row.verdict, row.why) for row in found.rows}
    assert verdicts == {
        "aws_something_new": (Verdict.NOT_PRICED, "this type of resource is not known here"),
        "google_thing": (Verdict.NOT_PRICED, "this type of resource is not known here"),
        "aws_iam_role": (Verdict.FREE, ""),
    }


def declared() -> set[str]:
    files = [*ROOT.glob("*.tf"), *ROOT.glob("modules/*/*.tf"), *ROOT.glob("examples/*/*.tf")]
    return {kind for file in files for kind in re.findall(r'^resource "(\w+)"', file.read_text(), re.MULTILINE)}


@pytest.mark.parametrize("kind", sorted(declared()))
def test_every_type_that_the_modules_and_examples_make_is_priced_or_named(kind: str) -> None:
    assert kind in PRICED or kind in FREE or kind in NOT_PRICED, "say what it costs"


def test_every_type_that_the_modules_stacks_make_is_known() -> None:
    texts = [file.read_text() for file in ROOT.glob("modules/*/*.tf")]
    kinds = {kind for text in texts for kind in re.findall(r'Type *= "(AWS::[\w:]+)"', text)}
    assert {"AWS::Lambda::CapacityProvider", "AWS::SageMaker::EndpointConfig"} <= kinds
    parts = {kind: {"Type": kind, "Properties": {"ProductionVariants": []}} for kind in kinds}
    parts["AWS::Lambda::Function"]["Properties"] = {"CapacityProviderConfig": {}}
    (row,) = of(plan(item("aws_cloudformation_stack", None, {"template_body": json.dumps({"Resources": parts})}))).rows
    (why,) = row.after.unknown
    assert why.startswith("Lambda Managed Instances are not priced here")


def test_a_type_is_in_one_table() -> None:
    assert len(declared()) > 50
    tables = (set(PRICED), set(FREE), set(NOT_PRICED))
    assert sum(map(len, tables)) == len(set.union(*tables))
    assert verdict("aws_kms_key") is Verdict.PRICED


def test_what_is_watched_has_a_price_and_only_says_what_is_not_known() -> None:
    assert set(WATCHED) <= set(PRICED)
    rows = of(recorded("created")).rows
    assert [why for row in rows for why in row.after.unknown] == []


def test_a_pruner_that_the_plan_removes_prunes_nothing_any_more() -> None:
    pruner = item("aws_lambda_function", PRUNER, None, name="p")
    (one,) = of(plan(item("aws_lambda_function", FUNCTION, FUNCTION), pruner)).forgotten
    assert one.address == "aws_lambda_function.a"


def test_what_terraform_forgets_costs_on() -> None:
    found = of(plan(item("aws_kms_key", {}, None, actions=["forget"])))
    assert (found.sums.before, found.sums.after) == (1, 1)
    assert found.rows[0].change.action == "forget"


def test_a_value_that_can_t_be_is_refused() -> None:
    with pytest.raises(PlanError, match="has a value that its resource can't have"):
        of(plan(item("aws_lambda_function", None, {**FUNCTION, "memory_size": "much"})))


def test_json_has_all_of_it() -> None:
    data = json.loads(json.dumps(public(of(recorded("created")))))
    assert data["total"]["month"]["more"] == pytest.approx(58.34, abs=0.005)
    assert data["total"]["at_least"] is True
    assert data["seconds_per_request"] == 10
    inference = next(one for one in data["resources"] if one["address"] == "module.inference.aws_lambda_function.this")
    assert inference["before"] is None
    assert inference["after"]["month"] == pytest.approx(39.540888)
    assert (inference["action"], inference["verdict"]) == ("create", "priced")
    assert data["forgotten"][0]["address"] == "module.router.aws_lambda_function.this"
    assert {one["verdict"] for one in data["resources"]} == {"priced", "free", "not priced here"}
    assert Cost() == Cost(0, 0, (), ())


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The ways to every value of a plan."""
    if path:
        yield path
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in pairs:
        yield from places(value, (*path, key))


PLACES = {name: list(places(recorded(name))) for name in ("created", "updated")}


@given(
    st.sampled_from(sorted(PLACES)),
    st.integers(0, 1_000_000),
    st.sampled_from([None, True, 7, -1.5, "x", "", [], ["x"], [None], {}, {"x": {}}, [{}], [{"x": []}], "10240"]),
)
@settings(max_examples=500)
def test_a_damaged_plan_is_refused_or_read(name: str, place: int, value: Any) -> None:
    """One value of it is another."""
    content = recorded(name)
    *way, last = PLACES[name][place % len(PLACES[name])]
    node: Any = content
    for step in way:
        node = node[step]
    node[last] = value
    with suppress(PlanError):
        found = of(content)
        assert markdown(found).startswith(MARKER)
        assert json.dumps(public(found))
