"""Rules for durable functions: they end, their history ends, and their state is kept elsewhere."""

from collections.abc import Mapping
from typing import Any

from lambda_llm import limits
from lambda_llm.policies.function import every
from lambda_llm.policies.graph import FUNCTION, Resource
from lambda_llm.policies.marks import Kind, environment, kind_of
from lambda_llm.policies.rules import Severity, rule
from lambda_llm.policies.values import argument, blocks, is_known, names

STATE = "LAMBDA_LLM_STATE"
"""How the variables begin that say where state lives."""


def within(value: Any, most: int) -> bool | None:
    """Tell whether a number is set, and lies between 1 and the most that AWS takes."""
    if value is None:
        return False
    if not is_known(value):
        return None
    return str(value).isdecimal() and 1 <= int(value) <= most


@rule(16, Severity.MEDIUM, "A durable agent says how long an execution and its history may last", FUNCTION)
def durations(function: Resource) -> bool | None:
    """Without `durable_config` a function is not durable at all, and it can't be made so later."""
    if kind_of(function) is not Kind.DURABLE_AGENT:
        return None
    given = blocks(function.block, "durable_config")
    if not given:
        return False
    return every(
        within(argument(given[0], "execution_timeout"), limits.DURABLE_EXECUTION_SECONDS),
        within(argument(given[0], "retention_period"), limits.DURABLE_RETENTION_DAYS),
    )


@rule(17, Severity.MEDIUM, "A durable agent keeps its state by reference, in a bucket that it is told", FUNCTION)
def state_by_reference(function: Resource) -> bool | None:
    """What is checkpointed counts against the limit of an execution, and is paid by the gigabyte."""
    if kind_of(function) is not Kind.DURABLE_AGENT:
        return None
    variables = environment(function)
    stated = {name for name in names(variables) if name.startswith(STATE)}
    if isinstance(variables, Mapping):
        return any(argument(variables, name) not in {None, ""} for name in stated)
    if stated:
        return True
    return False if is_known(variables) else None
