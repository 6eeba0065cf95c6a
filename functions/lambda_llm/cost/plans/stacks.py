"""What a stack of CloudFormation costs that a plan creates: those of modules/gpu-endpoint, and what else it names."""

import json
from collections.abc import Sequence
from typing import Any, Final

from lambda_llm.cost.plans.file import Resource
from lambda_llm.cost.plans.resources import Assumed, Cost, total, variant_cost

FREE: Final = frozenset(
    {
        "AWS::Lambda::Alias",
        "AWS::Lambda::Version",
        "AWS::SageMaker::Endpoint",  # its configuration has the instances
        "AWS::SageMaker::InferenceComponent",  # runs on them
        "AWS::SageMaker::Model",
    }
)

MANAGED: Final = (
    "Lambda Managed Instances are not priced here: EC2's price and 15 % while an environment exists, of which at least "
    "{least} do"
)
"""Source: https://aws.amazon.com/lambda/pricing/, section Lambda Managed Instances"""


def stack(resource: Resource, _all: Sequence[Resource], assumed: Assumed) -> Cost:
    """What a stack costs by its template.

    Args:
        resource: an `aws_cloudformation_stack`.
        assumed: prices of instances.
    """
    body = resource.get("template_body")
    if body is None:
        return Cost(unknown=("its template is known after apply, or elsewhere",))
    try:
        parts = json.loads(body)["Resources"]
        return total([_part(part, parts, assumed) for part in parts.values()])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Cost(unknown=("its template is no JSON that could be read",))


def _part(part: Any, parts: Any, assumed: Assumed) -> Cost:
    kind = part["Type"]
    properties = part.get("Properties", {})
    if kind == "AWS::SageMaker::EndpointConfig":
        return total([variant_cost(_variant(one), assumed) for one in properties["ProductionVariants"]])
    if kind == "AWS::Lambda::CapacityProvider":
        return Cost(unknown=(MANAGED.format(least=_least(parts)),))
    if kind in FREE or (kind == "AWS::Lambda::Function" and "CapacityProviderConfig" in properties):
        return Cost()
    return Cost(unknown=(f"{kind} is not priced here",))


def _variant(one: Any) -> dict[str, Any]:
    scaling = one.get("ManagedInstanceScaling", {})
    return {
        "instance_type": one.get("InstanceType"),
        "initial_instance_count": one.get("InitialInstanceCount"),
        "serverless_config": one.get("ServerlessConfig"),
        "managed_instance_scaling": [
            {"status": scaling.get("Status"), "min_instance_count": scaling.get("MinInstanceCount", 1)}
        ],
    }


def _least(parts: Any) -> int:
    """The environments that functions of the stack keep at least."""
    configs = [part.get("Properties", {}).get("FunctionScalingConfig", {}) for part in parts.values()]
    return sum(config.get("MinExecutionEnvironments", 0) for config in configs)
