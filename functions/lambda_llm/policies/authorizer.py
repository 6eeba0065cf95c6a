"""The rule for the authorizer's role: it looks keys up, and can neither list nor make them."""

from collections.abc import Iterable
from typing import Final

from lambda_llm.policies.function import every
from lambda_llm.policies.graph import FUNCTION, Resource
from lambda_llm.policies.marks import Kind, kind_of
from lambda_llm.policies.rules import Severity, rule
from lambda_llm.policies.statements import Statement, is_pattern, policy_of
from lambda_llm.policies.values import is_known

INLINE: Final = "aws_iam_role_policy"
LOOKING_UP: Final = {"dynamodb:getitem", "kms:decrypt"}
LOGGING: Final = {"logs:createlogstream", "logs:putlogevents", "logs:createloggroup"}
TRACING: Final = {"xray:puttracesegments", "xray:puttelemetryrecords"}
"""Actions that an authorizer needs, in lower case, as IAM compares them."""


def of_an_authorizer(policy: Resource) -> bool | None:
    """Whether a policy is that of an authorizer's role."""
    authorizers = [one for one in policy.siblings(FUNCTION) if kind_of(one) is Kind.AUTHORIZER]
    roles = policy.roles("role")
    assumed = [role for one in authorizers for role in one.roles("role")]
    if any(role.is_resource(one) for role in roles for one in assumed):
        return True
    unknown = any(not is_known(one.get("role")) and not one.roles("role") for one in authorizers)
    return None if authorizers and (unknown or (not roles and not is_known(policy.get("role")))) else False


@rule(
    22,
    Severity.HIGH,
    "The role of an authorizer looks up keys in one table, and nothing else",
    INLINE,
    applies=of_an_authorizer,
)
def looks_up(policy: Resource) -> bool | None:
    """Whoever takes over what every caller can reach must not find a list of keys, nor be able to make one."""
    allowed = policy_of(policy)
    tables = {one for statement in allowed.statements if _looks_up(statement.actions) for one in statement.resources}
    return every(*map(_is_enough, allowed.statements), len(tables) <= 1, allowed.known or None)


def _looks_up(actions: Iterable[str]) -> bool:
    return any(action.lower() == "dynamodb:getitem" for action in actions)


def _is_enough(statement: Statement) -> bool:
    actions = {action.lower() for action in statement.actions}
    if statement.inverted or not actions <= LOOKING_UP | LOGGING | TRACING:
        return False
    return not actions & LOOKING_UP or not any(is_pattern(one) for one in statement.resources)
