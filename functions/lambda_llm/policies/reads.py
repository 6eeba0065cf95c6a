"""The rule for what an inference function may read: one model, by its whole ARN."""

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
"""How the names of AWS's own policies begin that let a role read every object of the account."""

LOCATION: Final = re.compile(r"""s3://[^\s"',\]]+""")
"""An object, alone in a setting or in a JSON list."""

UNKNOWN: Final = "\N{REPLACEMENT CHARACTER}"
"""Takes the place of an expression inside an ARN, whatever it is made of."""


@dataclass(frozen=True)
class Statement:
    """A statement that allows something.

    Attributes:
        actions: What.
        resources: On what.
        pinned: True if it holds for one version of an object alone.
        inverted: True if it allows everything but what it names.
    """

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    pinned: bool
    inverted: bool

    @property
    def reads(self) -> bool:
        """True if it lets somebody read objects."""
        return self.inverted or any(
            fnmatchcase(read.lower(), action.lower()) for read in READS for action in self.actions
        )

    def is_narrow(self) -> bool | None:
        """Tell whether nothing that it lets somebody read could be another model."""
        if self.inverted or any(is_pattern(action) for action in self.actions):
            return False
        return every(*(is_one_object_or_state(resource) for resource in self.resources))

    def objects(self) -> set[str]:
        """The objects that it names whole without naming their version."""
        return set() if self.pinned else {resource for resource in self.resources if not is_pattern(resource)}


def is_pattern(text: str) -> bool:
    """Tell whether IAM takes a text as a pattern; Terraform's own conditions have question marks, too."""
    return any(character in without_expressions(text) for character in "*?")


def without_expressions(text: str) -> str:
    """Put a placeholder for each `${…}`."""
    while (shorter := re.sub(r"\$\{[^{}]*\}", UNKNOWN, text)) != text:
        text = shorter
    return text


def is_one_object_or_state(resource: str) -> bool | None:
    """Judge one ARN: a whole object, or all below a folder of a bucket, where state is kept, which is not `models/`.

    Args:
        resource: The ARN; None comes back where expressions hide the folder.
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
    """A function that may read every model, or the whole bucket, gives more away than it serves.

    More than one object passes where each statement pins a version (older models of a canary), or where a setting names
    the object as something else than the model (a system prompt).
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
    """A policy of AWS's own must not read S3; one of the stack's is judged where it is written."""
    if not isinstance(arn, str) or not is_known(arn) or not arn.startswith("arn:"):
        return None
    return False if arn.rpartition("/")[2].startswith(BROAD) else None


def _functions_of(role: Resource) -> list[Resource]:
    """Inference functions that take on a role."""
    taken_on = ((one, one.role()) for one in role.beside(FUNCTION) if is_inference(one))
    return [function for function, taken in taken_on if taken is not None and taken.is_resource(role)]


def _roles_of(resource: Resource) -> list[Resource]:
    """Roles to which a policy is given."""
    if resource.kind == ROLE:
        return [resource]
    if resource.kind == MANAGED:
        attached = (one for one in resource.beside(ATTACHMENT) if _is_attached(one, resource))
        return [role for role in (one.role() for one in attached) if role is not None]
    role = resource.role()
    return [] if role is None else [role]


def _is_attached(attachment: Resource, policy: Resource) -> bool:
    return any(one.is_resource(policy) for one in attachment.referred("policy_arn"))


def _models_of(role: Resource) -> set[str]:
    """Objects that all policies of a role let it read, without those that a setting names as something else."""
    policies = [one for one in role.beside(INLINE, MANAGED) if any(role.is_resource(its) for its in _roles_of(one))]
    statements = [statement for policy in [role, *policies] for statement in _statements(policy)]
    objects: set[str] = set().union(*(statement.objects() for statement in statements if statement.reads))
    settings = (text for one in _functions_of(role) for text in values(environment(one), without=MODEL))
    named = {found for text in settings for found in LOCATION.findall(text)}
    return {one for one in objects if f"s3://{one.rpartition(':::')[2]}" not in named}


def _statements(resource: Resource) -> Iterator[Statement]:
    """Statements of a policy, or of a role's inline policies, that allow something and can be read here."""
    if resource.kind == ROLE:
        for inline in blocks(resource.block, "inline_policy"):
            yield from _written(argument(inline, "policy"))
        return
    yield from _written(resource.get("policy"))
    for document in resource.referred("policy"):
        # What is known of the policy itself comes first: in a plan the data source has been read already.
        if document.kind == "aws_iam_policy_document" and not isinstance(resource.get("policy"), Mapping):
            yield from _document(document)


def _written(policy: Any) -> Iterator[Statement]:
    """Statements of a policy in JSON, or in what `jsonencode` is given."""
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
    """Statements of an `aws_iam_policy_document`, with those of the documents that it takes in."""
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
    """What a dynamic block would repeat, where checkov could not tell how often."""
    for given in blocks(block, name):
        yield from blocks(given, "content")
