"""Rules for durable functions: limited executions, limited history, state outside of checkpoints."""

from collections.abc import Mapping
from typing import Any

from lambda_llm import limits
from lambda_llm.policies.function import every
from lambda_llm.policies.graph import FUNCTION, Resource
from lambda_llm.policies.marks import Kind, environment, kind_of
from lambda_llm.policies.rules import Severity, rule
from lambda_llm.policies.values import argument, blocks, is_known, names

STATE = "LAMBDA_LLM_STATE"
"""Prefix of the variables that name the location of state."""


def within(value: Any, most: int) -> bool | None:
    """Whether a number is set, and between 1 and the maximum of AWS."""
    if value is None:
        return False
    if not is_known(value):
        return None
    return str(value).isdecimal() and 1 <= int(value) <= most


def is_durable(function: Resource) -> bool:
    """Whether a function is a durable agent."""
    return kind_of(function) is Kind.DURABLE_AGENT


@rule(
    16,
    Severity.MEDIUM,
    "A durable agent limits how long an execution and its history last",
    FUNCTION,
    applies=is_durable,
)
def durations(function: Resource) -> bool | None:
    """Without `durable_config` a function is not durable, and it can't be made durable later."""
    given = blocks(function.block, "durable_config")
    if not given:
        return False
    return every(
        within(argument(given[0], "execution_timeout"), limits.DURABLE_EXECUTION_SECONDS),
        within(argument(given[0], "retention_period"), limits.DURABLE_RETENTION_DAYS),
    )


@rule(
    17,
    Severity.MEDIUM,
    "A durable agent keeps its state by reference, in a configured bucket",
    FUNCTION,
    applies=is_durable,
)
def state_by_reference(function: Resource) -> bool | None:
    """Checkpoints count against the size limit of an execution, and are billed per gigabyte."""
    variables = environment(function)
    configured = {name for name in names(variables) if name.startswith(STATE)}
    if isinstance(variables, Mapping):
        return any(argument(variables, name) not in {None, ""} for name in configured)
    if configured:
        return True
    return False if is_known(variables) else None
