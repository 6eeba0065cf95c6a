"""What each type of resource costs, idle and by use; a type that is in none of the tables is told as not priced."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from lambda_llm.cost import prices
from lambda_llm.cost.plans.file import Resource
from lambda_llm.limits import MEMORY_MB, SNAPSTART_APPLY_ON


@dataclass(frozen=True)
class Assumed:
    """What a plan does not say.

    Attributes:
        seconds: for which a request keeps a function busy that answers requests.
        instance_hour: dollars an hour by instance type, over the known ones.
    """

    seconds: float = 10.0
    instance_hour: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Cost:
    """Of one resource, in US dollars.

    Attributes:
        month: idle, a month of 730 hours.
        thousand: of a thousand requests that pass it.
        use: what use costs that is in neither, a phrase each.
        unknown: why it may cost more than that, a phrase each.
    """

    month: float = 0.0
    thousand: float = 0.0
    use: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


Rule = Callable[[Resource, Sequence[Resource], Assumed], Cost]
"""Takes a resource, all of its side of the plan, and what is assumed."""


def per(amount: float, what: str) -> str:
    """A price in words, with as many digits as it has."""
    text = f"{amount:.10f}".rstrip("0")
    whole, _, digits = text.partition(".")
    return f"${whole}.{digits:0<2} {what}"


def has_versions(function: Resource) -> bool:
    """Whether a function's published versions have snapshots that are billed.

    Those of Java's managed runtimes are free. Source: https://aws.amazon.com/lambda/pricing/, section SnapStart
    """
    snapstart = any(block.get("apply_on") == SNAPSTART_APPLY_ON for block in function.blocks("snap_start"))
    return snapstart and function.get("publish") is True and not str(function.get("runtime")).startswith("java")


def _price(name: str) -> float:
    """Of the first unit that is not free, in US dollars, in the region that plans are priced for."""
    return prices.load()[name].first


def _hour(kind: str) -> float | None:
    """Of an instance on demand, by its type."""
    listed = prices.load()
    name = f"sagemaker.{kind}.real-time" if kind.startswith("ml.") else f"ec2.{kind}.on-demand"
    return listed[name].first if name in listed else None


def version_month(function: Resource) -> float:
    """What one version of a function costs in a month, or would with a snapshot."""
    return prices.live_version(prices.MONTH_DAYS, function.get("memory_size", 128))


def _function(function: Resource, _all: Sequence[Resource], assumed: Assumed) -> Cost:
    memory = function.get("memory_size", 128)
    arm = "arm64" in function.get("architectures", [])
    second = (prices.ARM64_GB_SECOND if arm else _price("lambda.x86.duration")) * memory / 1024
    use = [per(second, "a busy second")]
    month = 0.0
    if has_versions(function):
        month = version_month(function)
        use.append(per(prices.restore(memory), "a restore"))
    answers = function.get("publish") is True or memory == MEMORY_MB
    thousand = 1000 * (prices.REQUEST + (second * assumed.seconds if answers else 0))
    return Cost(month, thousand if answers else 0.0, tuple(use))


def _provisioned(config: Resource, everything: Sequence[Resource], _assumed: Assumed) -> Cost:
    name = str(config.get("function_name", "")).split(":")
    named = name[6] if len(name) > 6 else name[0]  # noqa: PLR2004 - of an ARN
    found = [one for one in everything if one.type == "aws_lambda_function" and one.get("function_name") == named]
    if not found or config.is_unknown("provisioned_concurrent_executions"):
        return Cost(unknown=("its function or number is not in the plan",))
    arm = "arm64" in found[0].get("architectures", [])
    second = _price("lambda.arm64.provisioned") if arm else _price("lambda.x86.provisioned")
    gigabytes = found[0].get("memory_size", 128) / 1024
    return Cost(config.get("provisioned_concurrent_executions", 0) * gigabytes * second * prices.MONTH_HOURS * 3600)


def _logs(group: Resource, _all: Sequence[Resource], _assumed: Assumed) -> Cost:
    days = group.get("retention_in_days", 0)
    kept = f"kept {days} days" if days else "kept for ever"
    return Cost(
        use=(per(_price("logs.ingested"), "a GB written"), per(_price("logs.stored"), f"a GB and month, {kept}"))
    )


def _table(table: Resource, _all: Sequence[Resource], _assumed: Assumed) -> Cost:
    kept = per(_price("dynamodb.storage"), "a GB and month")
    if table.get("billing_mode", "PROVISIONED") == "PAY_PER_REQUEST":
        write, read = (_price(f"dynamodb.{what}") * 1e6 for what in ("write", "read"))
        used = f"${write:.3f} a million writes, ${read:.3f} a million reads"
        return Cost(use=(used, kept))
    hourly = table.get("write_capacity", 0) * _price("dynamodb.write.provisioned")
    hourly += table.get("read_capacity", 0) * _price("dynamodb.read.provisioned")
    return Cost(hourly * prices.MONTH_HOURS, use=(kept,))


def _alarm(alarm: Resource, _all: Sequence[Resource], _assumed: Assumed) -> Cost:
    queries = [metric for query in alarm.blocks("metric_query") for metric in query.get("metric") or []]
    metrics = len(queries) or 1
    periods = [metric.get("period") or 60 for metric in queries] or [alarm.get("period", 60)]
    price = _price("cloudwatch.alarm.fast") if min(periods) < 60 else _price("cloudwatch.alarm")  # noqa: PLR2004 - seconds
    # A band is two metrics more: https://aws.amazon.com/cloudwatch/pricing/
    return Cost(price * (metrics + (2 if alarm.get("threshold_metric_id") else 0)))


def _web_acl(acl: Resource, _all: Sequence[Resource], _assumed: Assumed) -> Cost:
    month = _price("waf.acl") + _price("waf.rule") * len(acl.blocks("rule"))
    return Cost(month, 1000 * _price("waf.requests"))


def _endpoint(endpoint: Resource, _all: Sequence[Resource], _assumed: Assumed) -> Cost:
    if endpoint.get("vpc_endpoint_type", "Gateway") == "Gateway":
        return Cost()
    subnets = len(endpoint.get("subnet_ids", []))
    unknown = () if subnets else ("its subnets are known after apply: counted as one",)
    month = max(1, subnets) * _price("vpc.endpoint") * prices.MONTH_HOURS
    return Cost(month, use=(per(_price("vpc.endpoint.data"), "a GB"),), unknown=unknown)


def _stage(stage: Resource, _all: Sequence[Resource], _assumed: Assumed) -> Cost:
    return Cost(unknown=("its cache is not priced here",) if stage.get("cache_cluster_enabled") else ())


def _machine(machine: Resource, _all: Sequence[Resource], _assumed: Assumed) -> Cost:
    if machine.get("type", "STANDARD") == "STANDARD":
        return Cost(use=(per(_price("stepfunctions.transitions") * 1000, "a thousand transitions"),))
    return Cost(use=(per(_price("stepfunctions.express.requests") * 1e6, "a million runs, and their memory and time"),))


def _queue(queue: Resource, _all: Sequence[Resource], _assumed: Assumed) -> Cost:
    request = _price("sqs.fifo.requests") if queue.get("fifo_queue") else _price("sqs.requests")
    return Cost(use=(per(request * 1e6, "a million requests"),))


def instances(kind: str | None, count: float, assumed: Assumed) -> Cost:
    """What instances cost that run all the time."""
    hour = assumed.instance_hour.get(str(kind), _hour(str(kind)))
    if hour is not None:
        return Cost(count * hour * prices.MONTH_HOURS, use=(per(hour, f"an hour of {kind}"),))
    why = f"{kind or 'its instance type'} has no price here: give --instance-price {kind or 'TYPE'}=DOLLARS_AN_HOUR"
    return Cost(unknown=(why,))


def _group(group: Resource, everything: Sequence[Resource], assumed: Assumed) -> Cost:
    """As many as ECS or the group itself keeps; those of a module's one launch template."""
    beside = [one for one in everything if one.module == group.module]
    templates = [one for one in beside if one.type == "aws_launch_template"]
    kept = [one.get("min_capacity", 0) for one in beside if one.get("service_namespace") == "ecs"]
    if not kept:
        kept = [one.get("desired_count", 0) for one in beside if one.type == "aws_ecs_service"]
    count = max([group.get("min_size", 0), group.get("desired_capacity", 0), *kept])
    if len(templates) != 1 or group.get("mixed_instances_policy"):
        return Cost(unknown=("which instances it starts is not told by one launch template beside it",))
    cost = instances(templates[0].get("instance_type"), count, assumed)
    gigabytes = sum(
        ebs.get("volume_size") or 0
        for block in templates[0].blocks("block_device_mappings")
        for ebs in block.get("ebs") or []
    )
    return Cost(cost.month + count * gigabytes * _price("ebs.gp3"), 0.0, cost.use, cost.unknown)


def _instance(instance: Resource, _all: Sequence[Resource], assumed: Assumed) -> Cost:
    return instances(instance.get("instance_type"), 1, assumed)


def _service(service: Resource, _all: Sequence[Resource], _assumed: Assumed) -> Cost:
    fargate = service.get("launch_type") == "FARGATE" or any(
        str(block.get("capacity_provider")).startswith("FARGATE")
        for block in service.blocks("capacity_provider_strategy")
    )
    return Cost(unknown=("Fargate is not priced here",) if fargate else ())


def _variants(config: Resource, _all: Sequence[Resource], assumed: Assumed) -> Cost:
    return total([variant_cost(one, assumed) for one in config.blocks("production_variants")])


def variant_cost(variant: Any, assumed: Assumed) -> Cost:
    """A variant of a SageMaker endpoint, with names as Terraform has them."""
    if variant.get("serverless_config"):
        return Cost(unknown=("serverless inference is not priced here",))
    scaling = (variant.get("managed_instance_scaling") or [{}])[0]
    count = variant.get("initial_instance_count") or 1
    if scaling.get("status") == "ENABLED":
        count = scaling.get("min_instance_count", count)
    return instances(variant.get("instance_type"), count, assumed)


def total(costs: Sequence[Cost]) -> Cost:
    """Several costs as one."""
    return Cost(
        sum(one.month for one in costs),
        sum(one.thousand for one in costs),
        tuple(dict.fromkeys(phrase for one in costs for phrase in one.use)),
        tuple(dict.fromkeys(phrase for one in costs for phrase in one.unknown)),
    )


def _always(cost: Cost) -> Rule:
    return lambda _resource, _all, _assumed: cost


_HOURS: Final = prices.MONTH_HOURS
_LOAD_BALANCER: Final = Cost(_price("alb.hour") * _HOURS, use=(per(_price("alb.lcu"), "an hour of a capacity unit"),))
_S3: Final = Cost(use=(per(_price("s3.storage"), "a GB and month; a plan has no sizes"),))

RULES: Final[dict[str, Rule]] = {
    "aws_alb": _always(_LOAD_BALANCER),
    "aws_api_gateway_rest_api": _always(Cost(thousand=1000 * _price("apigateway.rest.requests"))),
    "aws_api_gateway_stage": _stage,
    "aws_autoscaling_group": _group,
    "aws_cloudfront_distribution": _always(
        Cost(thousand=1000 * _price("cloudfront.requests"), use=(per(_price("cloudfront.egress"), "a GB out"),))
    ),
    "aws_cloudwatch_composite_alarm": _always(Cost(_price("cloudwatch.alarm.composite"))),
    "aws_cloudwatch_dashboard": _always(Cost(_price("cloudwatch.dashboard"))),
    "aws_cloudwatch_log_group": _logs,
    "aws_cloudwatch_metric_alarm": _alarm,
    "aws_dynamodb_table": _table,
    "aws_ecs_service": _service,
    "aws_eip": _always(Cost(_price("vpc.ipv4") * _HOURS)),
    "aws_instance": _instance,
    "aws_kms_external_key": _always(Cost(_price("kms.key"))),
    "aws_kms_key": _always(Cost(_price("kms.key"))),
    "aws_kms_replica_key": _always(Cost(_price("kms.key"))),
    "aws_lambda_function": _function,
    "aws_lambda_provisioned_concurrency_config": _provisioned,
    "aws_lb": _always(_LOAD_BALANCER),
    "aws_nat_gateway": _always(Cost(_price("nat.hour") * _HOURS, use=(per(_price("nat.data"), "a GB"),))),
    "aws_route53_zone": _always(Cost(_price("route53.zone"))),
    "aws_s3_bucket": _always(_S3),
    "aws_s3_object": _always(_S3),
    "aws_sagemaker_endpoint_configuration": _variants,
    "aws_scheduler_schedule": _always(Cost(use=(per(_price("eventbridge.scheduler") * 1e6, "a million invocations"),))),
    "aws_secretsmanager_secret": _always(Cost(_price("secretsmanager.secret"))),
    "aws_sfn_state_machine": _machine,
    "aws_sns_topic": _always(Cost(use=(per(_price("sns.requests") * 1e6, "a million requests"),))),
    "aws_sqs_queue": _queue,
    "aws_vpc_endpoint": _endpoint,
    "aws_wafv2_web_acl": _web_acl,
}
"""By type; what a plan has of CloudFormation is in `lambda_llm.cost.plans.stacks`."""

WATCHED: Final[dict[str, tuple[str, ...]]] = {
    "aws_autoscaling_group": ("min_size",),
    "aws_cloudwatch_log_group": ("retention_in_days",),
    "aws_cloudwatch_metric_alarm": ("period", "metric_query"),
    "aws_dynamodb_table": ("billing_mode",),
    "aws_instance": ("instance_type",),
    "aws_lambda_function": ("architectures", "memory_size", "publish", "runtime", "snap_start"),
    "aws_lambda_provisioned_concurrency_config": ("provisioned_concurrent_executions",),
    "aws_sagemaker_endpoint_configuration": ("production_variants",),
    "aws_sfn_state_machine": ("type",),
    "aws_sqs_queue": ("fifo_queue",),
    "aws_vpc_endpoint": ("vpc_endpoint_type",),
    "aws_wafv2_web_acl": ("rule",),
}
"""Attributes by which a price is found; where a plan leaves one to the apply, a default is taken, and it is said."""


def cost_of(rule: Rule, resource: Resource, side: Sequence[Resource], assumed: Assumed) -> Cost:
    """What a rule gives, and what it could not know."""
    late = (f"{name} is known after apply" for name in WATCHED.get(resource.type, ()) if resource.is_unknown(name))
    return total([rule(resource, side, assumed), Cost(unknown=tuple(late))])
