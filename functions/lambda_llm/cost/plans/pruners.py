"""Which functions of a plan have somebody who deletes their unused versions."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from lambda_llm.cost.plans.file import Resource

FUNCTION: Final = "aws_lambda_function"
TARGET: Final = "LAMBDA_LLM_PRUNE_FUNCTION"
"""Variable of modules/version-pruner's function: the ARN of the one whose versions it deletes."""

MARK: Final = ("lambda-llm", "version-pruner")
"""Tag of such a function."""

_STEP: Final = re.compile(r'module\.([\w-]+)(?:\[(?:"(?:[^"\\]|\\.)*"|\d+)\])?(?:\.|$)')


def pruned(resources: Sequence[Resource], configuration: Mapping[str, Any]) -> tuple[set[str], list[str]]:
    """Look at who prunes whom.

    A pruner's variable names its function. While that is not known, since the function is made by the same plan, the
    call of its module tells which other module its input comes from.

    Args:
        resources: as they will be.
        configuration: of the plan's root module.

    Returns:
        Addresses of the functions that are pruned, and of pruners of which a plan can't tell whose they are.
    """
    functions = [one for one in resources if one.type == FUNCTION]
    found: set[str] = set()
    unclear = []
    for pruner in functions:
        if not _is_pruner(pruner):
            continue
        target = _variables(pruner).get(TARGET)
        if isinstance(target, str):
            parts = target.split(":")
            name = parts[6] if len(parts) > 6 else target  # noqa: PLR2004 - arn:aws:lambda:REGION:ACCOUNT:function:NAME
            theirs = {one.address for one in functions if one.get("function_name") == name}
        else:
            theirs = {one.address for one in functions if _is_referred(one, pruner, configuration)} - {pruner.address}
            if not theirs:
                unclear.append(pruner.address)
        found |= theirs
    return found, unclear


def _variables(function: Resource) -> Mapping[str, Any]:
    blocks = function.blocks("environment")
    variables = blocks[0].get("variables") if blocks else None
    return variables if isinstance(variables, Mapping) else {}


def _is_pruner(function: Resource) -> bool:
    tags = function.get("tags", {})
    return TARGET in _variables(function) or tags.get(MARK[0]) == MARK[1]


def _is_referred(function: Resource, pruner: Resource, configuration: Mapping[str, Any]) -> bool:
    """Whether a pruner's module is given something of a function's, or of the function itself."""
    steps = list(_STEP.finditer(pruner.module))
    if not steps:
        return False
    parent = pruner.module[: steps[-1].start()]
    node: Any = configuration
    for step in steps[:-1]:
        node = node.get("module_calls", {}).get(step[1], {}).get("module", {})
    for reference in _references(node.get("module_calls", {}).get(steps[-1][1], {})):
        kind, _, rest = reference.partition(".")
        name = re.split(r"[.\[]", rest)[0]
        if kind == "module" and re.match(re.escape(f"{parent}module.{name}") + r"([.\[]|$)", function.module):
            return True
        if kind == FUNCTION and (function.module, function.name) == (parent.removesuffix("."), name):
            return True
    return False


def _references(call: Mapping[str, Any]) -> Iterator[str]:
    for expression in (call.get("expressions", {}).get("function_arn"), call.get("for_each_expression")):
        if isinstance(expression, Mapping):
            yield from expression.get("references", [])
