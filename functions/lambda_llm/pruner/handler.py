"""Deletes unused published versions: each has a snapshot, which is billed while it exists.

`handle` is a separate function (modules/version-pruner), whose role may only list and delete versions of one function.
Its only dependency is botocore, which Lambda's runtime has.

Source: https://docs.aws.amazon.com/lambda/latest/dg/snapstart.html (pricing)
"""

import logging
import os
from collections.abc import Collection
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any, Final

from botocore.session import get_session

from lambda_llm.telemetry import emf
from lambda_llm.telemetry.lines import PRUNE

FUNCTION: Final = "LAMBDA_LLM_PRUNE_FUNCTION"
KEEP_NEWEST: Final = "LAMBDA_LLM_PRUNE_KEEP_NEWEST"

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)


@dataclass(frozen=True)
class Pruned:
    """The result of a run: version numbers in ascending order.

    Attributes:
        deleted: versions that were deleted, or would be without a dry run.
        kept: versions that remain.
    """

    deleted: list[str]
    kept: list[str]


@dataclass(frozen=True)
class _Run:
    """A run: its result, and how many versions that no alias names there are after it."""

    pruned: Pruned
    unused: int


def prune(function: str, *, keep_newest: int, dry_run: bool = False) -> Pruned:
    """Delete every published version to which no alias points, with a client of the environment's region.

    Args, result and errors are those of `prune_with`.
    """
    _check(keep_newest)
    with closing(get_session().create_client("lambda")) as client:
        return prune_with(client, function, keep_newest=keep_newest, dry_run=dry_run)


def prune_with(
    client: Any, function: str, *, keep_newest: int, dry_run: bool = False, keep: Collection[str] = ()
) -> Pruned:
    """Delete every published version to which no alias points, as its version or in its routing.

    Args:
        client: botocore's, of Lambda in the function's region.
        function: name or ARN, without a version.
        keep_newest: how many of the newest versions are kept even if unused. The newest may just have been published,
            before its alias moves; the one before it is for a rollback.
        dry_run: delete nothing, return what would be.
        keep: versions that are kept besides.

    Raises:
        ValueError: `keep_newest` is below 1.
        botocore.exceptions.ClientError: Lambda refused, with its reason.
    """
    return _run(client, function, keep_newest, dry_run=dry_run, keep=keep).pruned


def _run(client: Any, function: str, keep_newest: int, *, dry_run: bool, keep: Collection[str] = ()) -> _Run:
    _check(keep_newest)
    # Versions before aliases: a version that is published from here on is not a candidate.
    versions = sorted(_versions(client, function), key=int)
    used = _used(client, function)
    kept = {*used, *versions[-keep_newest:], *keep}
    deleted = [
        version for version in versions if version not in kept and (dry_run or _deleted(client, function, version))
    ]
    remain = [version for version in versions if dry_run or version not in deleted]
    pruned = Pruned(deleted, [version for version in versions if version not in deleted])
    return _Run(pruned, len([version for version in remain if version not in used]))


def handle(event: Any, context: object) -> dict[str, list[str]]:  # noqa: ARG001 - Lambda passes two arguments
    """The pruner's handler; `{"dry_run": true}` deletes nothing."""
    dry_run = isinstance(event, dict) and event.get("dry_run") is True
    function, keep_newest = os.environ[FUNCTION], int(os.environ[KEEP_NEWEST])
    _check(keep_newest)
    with closing(get_session().create_client("lambda")) as client:
        run = _run(client, function, keep_newest, dry_run=dry_run)
    pruned = asdict(run.pruned)
    emf.write(
        PRUNE,
        UnusedVersions=run.unused,
        target=function.rpartition(":")[2],
        pruned=0 if dry_run else len(run.pruned.deleted),
    )
    logger.info("dry run: %s" if dry_run else "%s", pruned)
    return pruned


def _check(keep_newest: int) -> None:
    if keep_newest < 1:
        raise ValueError(f"keep_newest is {keep_newest}: expected 1 or more, as the alias may be about to move.")


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
        # Qualified by the version, so that a policy on versions only applies.
        client.delete_function(FunctionName=f"{function}:{version}")
    except client.exceptions.ResourceConflictException as error:
        # An alias has moved to it since: Lambda deletes no version to which an alias points.
        logger.info("version %s stays: %s", version, error)
        return False
    return True
