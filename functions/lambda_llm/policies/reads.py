"""The rule for what an inference function may read: one model, by its full ARN."""

import re
from collections.abc import Mapping
from typing import Any, Final

from lambda_llm.policies.function import every, is_inference
from lambda_llm.policies.graph import FUNCTION, REFERENCE, Resource
from lambda_llm.policies.marks import MODEL, environment
from lambda_llm.policies.rules import Severity, rule
from lambda_llm.policies.statements import Statement, object_of, policy_of, uri_of
from lambda_llm.policies.values import argument, is_known, strings, values

ROLE: Final = "aws_iam_role"
INLINE: Final = "aws_iam_role_policy"
MANAGED: Final = "aws_iam_policy"
ATTACHMENTS: Final = {
    "aws_iam_role_policy_attachment": "role",
    "aws_iam_policy_attachment": "roles",
    "aws_iam_role_policy_attachments_exclusive": "role_name",
}
"""Resources that attach managed policies, and the argument that names the roles."""
OF_BUCKETS: Final = (
    "aws_s3_bucket",
    "aws_s3_bucket_policy",
    "aws_s3_access_point",
    "aws_s3control_access_point_policy",
)
"""Policies of what is read, which name those who may."""

BROAD: Final = ("AmazonS3", "AdministratorAccess", "PowerUserAccess", "ReadOnlyAccess", "AWSLambdaExecute")
"""Name prefixes of AWS managed policies that let a role read every object of the account."""

OTHERWISE: Final = re.compile(
    r"AWSLambda(Basic|BasicDurable|VPCAccess|Kinesis|DynamoDB|SQSQueue|MSK)Execution\w*|AWSLambdaENIManagementAccess"
    r"|AWSX[Rr]ay\w*|CloudWatch\w*"
)
"""Names of AWS managed policies that read no object.
Source: https://docs.aws.amazon.com/aws-managed-policy/latest/reference/policy-list.html"""

LOCATION: Final = re.compile(r"""s3://[^\s"',\]]+""")
"""An object's URI, alone in a setting or in a JSON list."""


def concerns_reads(resource: Resource) -> bool | None:
    """Whether a resource has something to say about what an inference function may read."""
    if resource.kind in OF_BUCKETS:
        granted = [given for given, _ in _grants(resource)]
        return True if True in granted else None if granted else False
    verdict = _reads_nothing(resource)
    if verdict is True:
        return False
    if any(_functions_of(role) for role in _roles_of(resource)):
        return None if verdict is None else True
    # What is narrow is right whoever has it.
    return None if _may_serve(resource) and _is_narrow(resource) is not True else False


@rule(
    14,
    Severity.HIGH,
    "The role of an inference function reads one model",
    ROLE,
    INLINE,
    MANAGED,
    *ATTACHMENTS,
    *OF_BUCKETS,
    applies=concerns_reads,
)
def model_reads(resource: Resource) -> bool | None:
    """A function that may read every model, or the whole bucket, exposes more than it serves.

    More than one object passes where each statement pins a version (older models of a canary), or where a setting names
    the object as something other than the model (a system prompt).
    """
    if resource.kind in OF_BUCKETS:
        return every(*(statement.is_narrow() if given else None for given, statement in _grants(resource)))
    roles = [role for role in _roles_of(resource) if _functions_of(role)]
    return every(_is_narrow(resource), *(len(_models_of(role)) <= 1 for role in roles))


def _reads_nothing(resource: Resource) -> bool | None:
    """Whether a role, a policy or an attachment allows reading no object; None if that can't be told."""
    if resource.kind in ATTACHMENTS:
        return every(*(_attached(resource, arn) for arn in _arns(resource)))
    policy = policy_of(resource)
    if policy.reading:
        return False
    return every(policy.known or None, resource.kind != ROLE or _attached_inline(resource))


def _is_narrow(resource: Resource) -> bool | None:
    """Whether a role, a policy or an attachment allows reading single objects and state only."""
    if resource.kind in ATTACHMENTS:
        return _reads_nothing(resource)
    return every(
        *(statement.is_narrow() for statement in policy_of(resource).reading),
        resource.kind != ROLE or _attached_inline(resource),
    )


def _may_serve(resource: Resource) -> bool:
    """Whether a role might be an inference function's: either says only after apply what it is."""
    serving = [one for one in resource.siblings(FUNCTION) if is_inference(one)]
    if resource.kind == ROLE or _roles_of(resource):
        return any(not is_known(one.get("role")) and not one.roles("role") for one in serving)
    named = resource.get(ATTACHMENTS.get(resource.kind, "role"))
    return bool(serving) and resource.kind != MANAGED and not is_known(named)


def _attached_inline(role: Resource) -> bool | None:
    """Whether the policies that a role attaches by itself read no object."""
    return every(*(_attached(role, arn) for arn in strings(role.get("managed_policy_arns"))))


def _arns(attachment: Resource) -> list[str]:
    return strings(attachment.get("policy_arn")) + strings(attachment.get("policy_arns"))


def _attached(resource: Resource, arn: str) -> bool | None:
    """Whether a managed policy reads no object, or is of the stack, where it is judged itself."""
    if not is_known(arn) or not arn.startswith("arn:"):
        for name in ("policy_arn", "policy_arns", "managed_policy_arns"):
            for one in resource.referred(name):
                if one.kind == MANAGED:
                    return _of_aws(str(one.get("arn") or one.get("name"))) if one.vertex.kind == "data" else True
        return None
    if ":aws:policy/" in arn:
        return _of_aws(arn)
    name = arn.rpartition("/")[2]
    return True if any(one.get("name") == name for one in resource.siblings(MANAGED)) else None


def _of_aws(policy: str) -> bool | None:
    name = policy.rpartition("/")[2]
    if name.startswith(BROAD):
        return False
    return True if OTHERWISE.fullmatch(name) else None


def _functions_of(role: Resource) -> list[Resource]:
    """Inference functions that assume a role."""
    serving = (one for one in role.siblings(FUNCTION) if is_inference(one))
    return [one for one in serving if any(its.is_resource(role) for its in one.roles("role"))]


def _roles_of(resource: Resource) -> list[Resource]:
    """Roles to which a policy is attached."""
    if resource.kind == ROLE:
        return [resource]
    if resource.kind == MANAGED:
        attached = (one for one in resource.siblings(*ATTACHMENTS) if _is_attached(one, resource))
        return [role for one in attached for role in one.roles(ATTACHMENTS[one.kind])]
    return resource.roles(ATTACHMENTS.get(resource.kind, "role"))


def _is_attached(attachment: Resource, policy: Resource) -> bool:
    name = policy.get("name")
    return any(
        one.is_resource(policy) for argument in ("policy_arn", "policy_arns") for one in attachment.referred(argument)
    ) or (name is not None and any(arn.endswith(f":policy/{name}") for arn in _arns(attachment)))


def _grants(policy: Resource) -> list[tuple[bool | None, Statement]]:
    """Statements that let the roles of inference functions read, and those of which that can't be told."""
    functions = [one for one in policy.siblings(FUNCTION) if is_inference(one)]
    found: list[tuple[bool | None, Statement]] = []
    for statement in policy_of(policy).reading if functions else []:
        granted = [_is_granted(policy, statement, function) for function in functions]
        if True in granted:
            found.append((True, statement))
        elif None in granted and statement.is_narrow() is not True:
            found.append((None, statement))
    return found


def _is_granted(policy: Resource, statement: Statement, function: Resource) -> bool | None:
    """Whether a statement of a bucket's policy is about a function's role, or about everyone and the model's bucket."""
    granted = [_is_role(policy, one, role) for one in statement.principals for role in function.roles("role")]
    if "*" in statement.principals:
        variables = environment(function)
        location = argument(variables, MODEL) if isinstance(variables, Mapping) else None
        named = LOCATION.match(str(location))
        buckets = {found[0] for one in statement.resources if (found := object_of(one))}
        granted.append(named[0].split("/")[2] in buckets if named else None)
    return True if True in granted else None if None in granted else False


def _is_role(policy: Resource, principal: str, role: Resource) -> bool | None:
    """Whether a principal is a role; None if that can't be told."""
    if principal == "*":
        return False
    text = re.sub(r"^\$\{(.*)\}$", r"\1", principal)
    if match := REFERENCE.match(text):
        return (match[1], policy.vertex.module) == (role.vertex.name, role.vertex.module)
    if not is_known(principal):
        return None
    return bool(principal.rpartition("/")[2] == role.get("name"))


def _models_of(role: Resource) -> set[str]:
    """Objects that a role's policies allow it to read, without those that a setting names as something else."""
    policies = [one for one in role.siblings(INLINE, MANAGED) if any(role.is_resource(its) for its in _roles_of(one))]
    statements = [statement for one in [role, *policies] for statement in policy_of(one).reading]
    objects: set[str] = set().union(*(statement.objects() for statement in statements))
    settings: Any = (text for one in _functions_of(role) for text in values(environment(one), without=MODEL))
    known = {found for text in settings for found in LOCATION.findall(text)}
    models = {one for one in objects if uri_of(one) not in known}
    # An access point is another way to an object of a bucket, and IAM asks for both.
    in_buckets = {_key(one) for one in models if "accesspoint" not in one and "access_point" not in one}
    through = {one for one in models if "accesspoint" in one or "access_point" in one}
    return models - {one for one in through if _key(one) in in_buckets}


def _key(arn: str) -> str | None:
    found = object_of(arn)
    return found[1] if found else None
