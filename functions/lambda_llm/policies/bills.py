"""The rule for bills: what this project makes says what its money is spent on."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from lambda_llm.policies.function import every
from lambda_llm.policies.graph import FUNCTION, Resource
from lambda_llm.policies.marks import is_marked
from lambda_llm.policies.rules import Severity, rule
from lambda_llm.policies.values import argument, is_known

PLANE: Final = "lambda-llm:plane"
COMPONENT: Final = "lambda-llm:component"
"""Keys of the tags."""


class Plane(StrEnum):
    """What money is spent on, as the lines of the functions have it (`telemetry/lines.py`)."""

    ORCHESTRATION = "orchestration"
    INFERENCE = "inference"
    EXECUTION = "execution"


def is_billed(resource: Resource) -> bool:
    """Whether a resource has the project's mark, or one of its tags for bills."""
    return is_marked(resource) or any(
        key in tags for tags in (resource.get("tags"), resource.get("tags_all")) if tags for key in (PLANE, COMPONENT)
    )


@rule(
    24,
    Severity.MEDIUM,
    "What has one of the project's tags says which plane and which component its money is spent on",
    FUNCTION,
    "aws_cloudformation_stack",
    "aws_cloudwatch_log_group",
    "aws_cloudwatch_metric_alarm",
    "aws_dynamodb_table",
    "aws_iam_role",
    "aws_kms_key",
    "aws_lb",
    "aws_s3_bucket",
    "aws_sagemaker_endpoint",
    "aws_sagemaker_model",
    "aws_sfn_state_machine",
    "aws_sqs_queue",
    applies=is_billed,
)
def told_apart(resource: Resource) -> bool | None:
    """Either of `tags`, or `tags_all`, which a plan has with the provider's default tags."""
    judged = [_complete(tags) for tags in (resource.get("tags"), resource.get("tags_all")) if tags]
    return True if True in judged else None if None in judged else False


def _complete(tags: Any) -> bool | None:
    if isinstance(tags, Mapping):
        plane, component = argument(tags, PLANE), argument(tags, COMPONENT)
        return every(*(_known_in(plane, set(Plane)), _known_in(component, None)))
    # An expression that only Terraform can evaluate: what it has literally counts, and the rest may come.
    plane = re.search(rf"['\"]{PLANE}['\"]\s*[=:]\s*['\"]([\w-]*)['\"]", str(tags))
    if plane is not None and plane[1] not in set(Plane):
        return False
    return True if plane is not None and COMPONENT in str(tags) else None


def _known_in(value: Any, values: set[Plane] | None) -> bool | None:
    if value in (None, ""):
        return False
    if not is_known(value):
        return None
    return values is None or value in values
