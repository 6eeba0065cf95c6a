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
    # A plan omits all variables if one of them is not known yet.
    omitted = pruner.vertex.plan is not None and environment(pruner) is None
    return None if omitted or not is_known([name, *targets]) else False
