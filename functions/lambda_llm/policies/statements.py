"""What policies in JSON, and documents that make such JSON, allow: statements, and the objects that their ARNs name."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

from lambda_llm.policies.function import every
from lambda_llm.policies.graph import Resource
from lambda_llm.policies.values import UNKNOWN, argument, blocks, is_known, names, strings, without_expressions

READS: Final = ("s3:GetObject", "s3:GetObjectVersion", "s3-object-lambda:GetObject")

PIN: Final = "s3:versionid"
EQUAL: Final = re.compile(r"(?:ForAnyValue:)?String(?:Equals|EqualsIgnoreCase|Like)(?P<optional>IfExists)?")
"""Operators of conditions that name what is allowed. ForAllValues allows what has no such key, as IfExists does."""

DOCUMENT: Final = "aws_iam_policy_document"

BUCKET_OBJECT: Final = re.compile(r"arn:[^:]*:s3:::(?P<bucket>[^/]*)(?:/(?P<key>.*))?", re.DOTALL)
ACCESS_POINT_OBJECT: Final = re.compile(
    r"arn:[^:]*:s3(?:-object-lambda|-outposts)?:[^:]*:[^:]*:(?:outpost/[^/]*/)?accesspoint/(?P<bucket>[^/]*)"
    r"(?:/object/(?P<key>.*))?",
    re.DOTALL,
)
"""Objects as IAM names them, in a bucket and through an access point."""


@dataclass(frozen=True)
class Statement:
    """A policy statement with the effect Allow.

    Attributes:
        actions: Allowed actions.
        resources: ARNs that they are allowed on.
        pinned: True if a condition restricts it to named versions of an object.
        inverted: True if it allows everything except what it names (NotAction, NotResource).
        principals: Whom it allows them, in a bucket's policy.
    """

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    pinned: bool
    inverted: bool
    principals: tuple[str, ...] = ()

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
        return set() if self.pinned else {one for one in self.resources if is_one_object_or_state(one) and named(one)}


@dataclass
class Policy:
    """What a policy allows, as far as it is known.

    Attributes:
        statements: With the effect Allow.
        known: False if there may be more.
    """

    statements: list[Statement] = field(default_factory=list)
    known: bool = True

    @property
    def reading(self) -> list[Statement]:
        """Statements that allow reading objects."""
        return [statement for statement in self.statements if statement.reads]


def is_pattern(text: str) -> bool:
    """Whether IAM interprets a text as a pattern; Terraform's conditional expressions have question marks, too."""
    return any(character in without_expressions(text) for character in "*?")


def object_of(resource: str) -> tuple[str, str | None] | None:
    """Bucket or access point, and key, of an ARN, with placeholders for expressions; None if it names neither."""
    text = without_expressions(resource)
    if match := BUCKET_OBJECT.fullmatch(text) or ACCESS_POINT_OBJECT.fullmatch(text):
        return match["bucket"], match["key"]
    bucket, separator, key = text.partition("/")
    if not text.startswith(UNKNOWN) or not separator:
        return None
    through = "access_point" in resource.partition("}")[0]
    return bucket, key.removeprefix("object/") if through else key


def named(resource: str) -> bool:
    """Whether an ARN names an object in full."""
    found = object_of(resource)
    return found is not None and bool(found[1]) and not is_pattern(resource)


def is_one_object_or_state(resource: str) -> bool | None:
    """Whether an ARN is one object, or everything below a folder for state, which is any but `models/`.

    Args:
        resource: The ARN.

    Returns:
        True for what is no object at all; None where an expression hides the folder.
    """
    found = object_of(resource)
    if found is None:
        return _is_nothing_of_s3(resource)
    bucket, key = found
    if is_pattern(bucket) or not key:
        return False
    if not is_pattern(key):
        return True
    folder, _, rest = key.partition("*")
    if rest or is_pattern(folder) or not folder or folder.startswith("models/"):
        return False
    return None if UNKNOWN in folder else folder.endswith("/")


def _is_nothing_of_s3(resource: str) -> bool | None:
    if is_pattern(resource):
        # A pattern for another service's resources reaches no object.
        parts = without_expressions(resource).split(":")
        return len(parts) > 2 and not is_pattern(parts[2]) and not parts[2].startswith("s3")  # noqa: PLR2004
    if not is_known(resource):
        return None
    parts = resource.split(":")
    return len(parts) > 2 and not parts[2].startswith("s3")  # noqa: PLR2004


def uri_of(resource: str) -> str:
    """The address of the object that an ARN names, as settings write it."""
    if ACCESS_POINT_OBJECT.fullmatch(resource):
        return f"s3://{resource.replace('/object/', '/', 1)}"
    return f"s3://{resource.rpartition(':::')[2]}"


def policy_of(resource: Resource) -> Policy:
    """What a resource's policy allows, or all inline policies of a role."""
    found = Policy()
    if resource.kind == "aws_iam_role":
        for inline in blocks(resource.block, "inline_policy"):
            _add_json(found, argument(inline, "policy"))
        return found
    given = resource.get("policy")
    # The policy's own value takes precedence: in a plan the data source has been read already.
    documents = [one for one in resource.referred("policy") if one.kind == DOCUMENT]
    if documents and not isinstance(given, Mapping):
        for document in documents:
            _add_document(found, document)
    else:
        _add_json(found, given)
    return found


def _add_json(found: Policy, policy: Any) -> None:
    """Add the statements of a policy in JSON, or in the argument of `jsonencode`."""
    if isinstance(policy, str):
        try:
            policy = json.loads(policy)
        except ValueError:
            found.known = False
            return
    if not isinstance(policy, Mapping):
        found.known = False
        return
    for statement in blocks(policy, "Statement"):
        if str(argument(statement, "Effect")) == "Allow":
            found.statements.append(
                Statement(
                    tuple(strings(statement.get("Action"))),
                    tuple(strings(statement.get("Resource"))),
                    pinned=_pins_in_json(argument(statement, "Condition"), strings(statement.get("Action"))),
                    inverted="NotAction" in statement or "NotResource" in statement,
                    principals=tuple(_principals(argument(statement, "Principal"))),
                )
            )


def _principals(given: Any) -> Iterator[str]:
    if isinstance(given, Mapping):
        for name in names(given):
            yield from strings(given.get(name))
    else:
        yield from strings(given)


def _pins_in_json(condition: Any, actions: list[str]) -> bool:
    if not isinstance(condition, Mapping):
        return False
    for operator in names(condition):
        keys = argument(condition, operator)
        if isinstance(keys, Mapping):
            for key in names(keys):
                if _pins(operator, key, strings(keys.get(key)), actions):
                    return True
    return False


def _pins(operator: str, key: str, allowed: list[str], actions: list[str]) -> bool:
    """Whether a condition restricts reads to named versions."""
    match = EQUAL.fullmatch(operator)
    if match is None or key.lower() != PIN or not allowed or any(is_pattern(one) for one in allowed):
        return False
    # A request for s3:GetObjectVersion always names a version; one for s3:GetObject has none.
    return not (match["optional"] and any(fnmatchcase("s3:getobject", action.lower()) for action in actions))


def _add_document(found: Policy, document: Resource) -> None:
    """Add the statements of an `aws_iam_policy_document` and of the documents that it includes."""
    dynamic = [content for one in blocks(document.block, "dynamic") for content in _dynamic(one, "statement")]
    for statement in [*blocks(document.block, "statement"), *dynamic]:
        if argument(statement, "effect") not in {None, "Allow"}:
            continue
        conditions = blocks(statement, "condition") + [
            content for one in blocks(statement, "dynamic") for content in _dynamic(one, "condition")
        ]
        principals = blocks(statement, "principals")
        found.statements.append(
            Statement(
                tuple(strings(statement.get("actions"))),
                tuple(strings(statement.get("resources"))),
                pinned=any(
                    _pins(
                        str(argument(one, "test")),
                        str(argument(one, "variable")),
                        strings(one.get("values")),
                        strings(statement.get("actions")),
                    )
                    for one in conditions
                ),
                inverted=bool(strings(statement.get("not_actions")) or strings(statement.get("not_resources"))),
                principals=tuple(text for one in principals for text in strings(one.get("identifiers"))),
            )
        )
    for name in ("source_policy_documents", "override_policy_documents"):
        sources = [one for one in document.referred(name) if one.kind == DOCUMENT]
        for source in sources:
            _add_document(found, source)
        if document.get(name) is not None and not sources:
            found.known = False


def _dynamic(block: Mapping[str, Any], name: str) -> Iterator[Mapping[str, Any]]:
    """Content of a dynamic block that checkov could not expand."""
    for dynamic in blocks(block, name):
        yield from blocks(dynamic, "content")
