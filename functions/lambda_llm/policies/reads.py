"""The rule for what an inference function may read: one model, by its full ARN."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

from lambda_llm.policies.function import every, is_inference
from lambda_llm.policies.graph import FUNCTION, Resource
from lambda_llm.policies.marks import environment
from lambda_llm.policies.rules import Severity, rule
from lambda_llm.policies.values import argument, blocks, is_known, strings, values

ROLE: Final = "aws_iam_role"
INLINE: Final = "aws_iam_role_policy"
MANAGED: Final = "aws_iam_policy"
ATTACHMENT: Final = "aws_iam_role_policy_attachment"

MODEL: Final = "LAMBDA_LLM_MODEL"
PIN: Final = "s3:VersionId"
READS: Final = ("s3:GetObject", "s3:GetObjectVersion")
BROAD: Final = ("AmazonS3", "AdministratorAccess", "PowerUserAccess", "ReadOnlyAccess")
"""Name prefixes of AWS managed policies that let a role read every object of the account."""

LOCATION: Final = re.compile(r"""s3://[^\s"',\]]+""")
"""An object's URI, alone in a setting or in a JSON list."""

UNKNOWN: Final = "\N{REPLACEMENT CHARACTER}"
"""Placeholder for an expression inside an ARN."""


@dataclass(frozen=True)
class Statement:
    """A policy statement with the effect Allow.

    Attributes:
        actions: Allowed actions.
        resources: ARNs that they are allowed on.
        pinned: True if a condition restricts it to one version of an object.
        inverted: True if it allows everything except what it names (NotAction, NotResource).
    """

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    pinned: bool
    inverted: bool

    @property
    def reads(self) -> bool:
        """True if it allows reading objects."""
        return self.inverted or any(
            fnmatchcase(read.lower(), action.lower()) for read in READS for action in self.actions
        )

    def is_narrow(self) -> bool | None:
        """Whether it allows reading no object that could be another model."""
        if self.inverted or any(is_pattern(action) for action in self.actions):
            return False
        return every(*(is_one_object_or_state(resource) for resource in self.resources))

    def objects(self) -> set[str]:
        """The objects that it names by their full ARN without pinning a version."""
        return set() if self.pinned else {resource for resource in self.resources if not is_pattern(resource)}


def is_pattern(text: str) -> bool:
    """Whether IAM interprets a text as a pattern; Terraform's conditional expressions have question marks, too."""
    return any(character in without_expressions(text) for character in "*?")


def without_expressions(text: str) -> str:
    """Replace each `${…}` by a placeholder."""
    while (shorter := re.sub(r"\$\{[^{}]*\}", UNKNOWN, text)) != text:
        text = shorter
    return text


def is_one_object_or_state(resource: str) -> bool | None:
    """Whether an ARN is one object, or everything below a folder for state, which is any but `models/`.

    Args:
        resource: The ARN.

    Returns:
        None where an expression hides the folder.
    """
    bucket, _, key = re.sub(r"^arn:[^:]*:s3:::", "", without_expressions(resource)).partition("/")
    if is_pattern(bucket) or (not key and UNKNOWN not in bucket):
        return False
    if not is_pattern(key):
        return True
    folder, _, rest = key.partition("*")
    if rest or is_pattern(folder) or not folder or folder.startswith("models/"):
        return False
    return None if UNKNOWN in folder else folder.endswith("/")


@rule(14, Severity.HIGH, "The role of an inference function reads one model", ROLE, INLINE, MANAGED, ATTACHMENT)
def model_reads(resource: Resource) -> bool | None:
    """A function that may read every model, or the whole bucket, exposes more than it serves.

    More than one object passes where each statement pins a version (older models of a canary), or where a setting names
    the object as something other than the model (a system prompt).
    """
    roles = [role for role in _roles_of(resource) if _functions_of(role)]
    if not roles:
        return None
    if resource.kind == ATTACHMENT:
        return _attached(resource.get("policy_arn"))
    if resource.kind == ROLE and any(_attached(arn) is False for arn in strings(resource.get("managed_policy_arns"))):
        return False
    reading = [statement for statement in _statements(resource) if statement.reads]
    if not reading:
        return None
    return every(*(statement.is_narrow() for statement in reading), *(len(_models_of(role)) <= 1 for role in roles))


def _attached(arn: Any) -> bool | None:
    """An AWS managed policy must not read S3; a policy of the stack is evaluated where it is defined."""
    if not isinstance(arn, str) or not is_known(arn) or not arn.startswith("arn:"):
        return None
    return False if arn.rpartition("/")[2].startswith(BROAD) else None


def _functions_of(role: Resource) -> list[Resource]:
    """Inference functions that assume a role."""
    roles = ((one, one.role()) for one in role.siblings(FUNCTION) if is_inference(one))
    return [function for function, its in roles if its is not None and its.is_resource(role)]


def _roles_of(resource: Resource) -> list[Resource]:
    """Roles to which a policy is attached."""
    if resource.kind == ROLE:
        return [resource]
    if resource.kind == MANAGED:
        attached = (one for one in resource.siblings(ATTACHMENT) if _is_attached(one, resource))
        return [role for role in (one.role() for one in attached) if role is not None]
    role = resource.role()
    return [] if role is None else [role]


def _is_attached(attachment: Resource, policy: Resource) -> bool:
    return any(one.is_resource(policy) for one in attachment.referred("policy_arn"))


def _models_of(role: Resource) -> set[str]:
    """Objects that a role's policies allow it to read, without those that a setting names as something else."""
    policies = [one for one in role.siblings(INLINE, MANAGED) if any(role.is_resource(its) for its in _roles_of(one))]
    statements = [statement for policy in [role, *policies] for statement in _statements(policy)]
    objects: set[str] = set().union(*(statement.objects() for statement in statements if statement.reads))
    settings = (text for one in _functions_of(role) for text in values(environment(one), without=MODEL))
    named = {found for text in settings for found in LOCATION.findall(text)}
    return {one for one in objects if f"s3://{one.rpartition(':::')[2]}" not in named}


def _statements(resource: Resource) -> Iterator[Statement]:
    """Allow statements of a policy, or of a role's inline policies, as far as they are known."""
    if resource.kind == ROLE:
        for inline in blocks(resource.block, "inline_policy"):
            yield from _json(argument(inline, "policy"))
        return
    yield from _json(resource.get("policy"))
    for document in resource.referred("policy"):
        # The policy's own value takes precedence: in a plan the data source has been read already.
        if document.kind == "aws_iam_policy_document" and not isinstance(resource.get("policy"), Mapping):
            yield from _document(document)


def _json(policy: Any) -> Iterator[Statement]:
    """Allow statements of a policy in JSON, or in the argument of `jsonencode`."""
    if isinstance(policy, str):
        try:
            policy = json.loads(policy)
        except ValueError:
            return
    if not isinstance(policy, Mapping):
        return
    for statement in blocks(policy, "Statement"):
        if str(argument(statement, "Effect")) == "Allow":
            yield Statement(
                tuple(strings(statement.get("Action"))),
                tuple(strings(statement.get("Resource"))),
                pinned=PIN in str(statement.get("Condition")),
                inverted="NotAction" in statement or "NotResource" in statement,
            )


def _document(document: Resource) -> Iterator[Statement]:
    """Allow statements of an `aws_iam_policy_document` and of the documents that it includes."""
    dynamic = [content for one in blocks(document.block, "dynamic") for content in _dynamic(one, "statement")]
    for statement in [*blocks(document.block, "statement"), *dynamic]:
        if argument(statement, "effect") in {None, "Allow"}:
            yield Statement(
                tuple(strings(statement.get("actions"))),
                tuple(strings(statement.get("resources"))),
                pinned=PIN in str(statement.get("condition")),
                inverted=bool(strings(statement.get("not_actions")) or strings(statement.get("not_resources"))),
            )
    for name in ("source_policy_documents", "override_policy_documents"):
        for source in document.referred(name):
            if source.kind == "aws_iam_policy_document":
                yield from _document(source)


def _dynamic(block: Mapping[str, Any], name: str) -> Iterator[Mapping[str, Any]]:
    """Content of a dynamic block that checkov could not expand."""
    for dynamic in blocks(block, name):
        yield from blocks(dynamic, "content")
