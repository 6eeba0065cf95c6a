"""Deletes published versions that nothing uses: each keeps a snapshot, and a snapshot costs as long as it exists.

`handle` is a function of its own (modules/version-pruner), whose role may list and delete versions of one function
and nothing else. It needs botocore alone, which Lambda's runtime has.

Source: https://docs.aws.amazon.com/lambda/latest/dg/snapstart.html (pricing)
"""

import logging
import os
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any, Final

from botocore.session import get_session

FUNCTION: Final = "LAMBDA_LLM_PRUNE_FUNCTION"
KEEP_NEWEST: Final = "LAMBDA_LLM_PRUNE_KEEP_NEWEST"

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)


@dataclass(frozen=True)
class Pruned:
    """What a run did, by version numbers in ascending order.

    Attributes:
        deleted: versions that are gone, or would be in a dry run.
        kept: versions that are still there.
    """

    deleted: list[str]
    kept: list[str]


def prune(function: str, *, keep_newest: int, dry_run: bool = False) -> Pruned:
    """Delete every published version that no alias names, neither as its version nor in its routing.

    Args:
        function: name or ARN, without a version.
        keep_newest: how many of the newest versions stay whatever uses them. The newest may have been published a
            moment ago, its alias not moved yet; the one before it is there to roll back to.
        dry_run: delete nothing, say what would be.

    Raises:
        ValueError: `keep_newest` is below 1.
        botocore.exceptions.ClientError: Lambda refused, with its reason.
    """
    if keep_newest < 1:
        raise ValueError(f"keep_newest is {keep_newest}: the newest version must stay, its alias may be about to move.")
    with closing(get_session().create_client("lambda")) as client:
        # Versions first: one that is published from here on is not among them, whatever its alias says.
        versions = sorted(_versions(client, function), key=int)
        used = _used(client, function)
        spared = set(versions[-keep_newest:])
        deleted = [
            version
            for version in versions
            if version not in used | spared and (dry_run or _deleted(client, function, version))
        ]
    return Pruned(deleted, [version for version in versions if version not in deleted])


def handle(event: Any, context: object) -> dict[str, list[str]]:  # noqa: ARG001 - Lambda gives two arguments
    """The pruner's handler; `{"dry_run": true}` deletes nothing."""
    dry_run = isinstance(event, dict) and event.get("dry_run") is True
    pruned = asdict(prune(os.environ[FUNCTION], keep_newest=int(os.environ[KEEP_NEWEST]), dry_run=dry_run))
    logger.info("dry run: %s" if dry_run else "%s", pruned)
    return pruned


def _versions(client: Any, function: str) -> list[str]:
    pages = client.get_paginator("list_versions_by_function").paginate(FunctionName=function)
    return [item["Version"] for page in pages for item in page["Versions"] if item["Version"] != "$LATEST"]


def _used(client: Any, function: str) -> set[str]:
    used = set()
    for page in client.get_paginator("list_aliases").paginate(FunctionName=function):
        for alias in page["Aliases"]:
            used |= {alias["FunctionVersion"], *alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})}
    return used


def _deleted(client: Any, function: str, version: str) -> bool:
    try:
        # One name for both, so that a policy for versions alone applies.
        client.delete_function(FunctionName=f"{function}:{version}")
    except client.exceptions.ResourceConflictException as error:
        # An alias has moved to it since: Lambda itself deletes no version that an alias names.
        logger.info("version %s stays: %s", version, error)
        return False
    return True
