"""The rule for unused versions: each has a snapshot that is billed."""

import re

from lambda_llm.policies.function import is_inference
from lambda_llm.policies.graph import FUNCTION, Resource
from lambda_llm.policies.marks import Kind, environment, kind_of
from lambda_llm.policies.rules import Severity, rule
from lambda_llm.policies.values import is_known, values


@rule(15, Severity.MEDIUM, "Published versions of an inference function are pruned", FUNCTION, applies=is_inference)
def pruned(function: Resource) -> bool | None:
    """A pruner in the same stack must refer to the function, or name it in its variables."""
    verdicts = [_prunes(one, function) for one in function.siblings(FUNCTION) if kind_of(one) is Kind.VERSION_PRUNER]
    if True in verdicts:
        return True
    return None if None in verdicts else False


def _prunes(pruner: Resource, function: Resource) -> bool | None:
    if pruner.graph.reaches(pruner.number, function.number):
        return True
    name = function.get("function_name")
    targets = values(environment(pruner))
    if any(str(name) in re.split(r"[^\w-]+", target) for target in targets):
        return True
    referred = [one for one in pruner.referred("environment") if one.kind == FUNCTION]
    if any(one.is_resource(function) for one in referred):
        return True
    if pruner.vertex.plan is not None and environment(pruner) is None:
        # A plan omits all variables if one of them is not known yet.
        return False if referred else None
    return None if not is_known([name, *targets]) else False
