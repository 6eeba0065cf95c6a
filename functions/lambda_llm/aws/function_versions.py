"""The published versions of a Lambda function, and who points at them."""

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from lambda_llm.limits import SNAPSTART_APPLY_ON

LATEST: Final = "$LATEST"

WITHOUT_SNAPSHOT: Final = ("Failed", "Inactive")
"""States of a version with SnapStart that has none: its init failed, or Lambda deleted what nobody used for 14 days.
Source: https://docs.aws.amazon.com/lambda/latest/dg/snapstart-security.html"""

_NAMED: Final = re.compile(
    r"(?:arn:[\w-]+:lambda:(?P<region>[\w-]+):\d{12}:function:|(?:\d{12}:)?(?:function:)?)(?P<name>[\w-]{1,64})"
)


@dataclass(frozen=True)
class Pointer:
    """Who points at a version.

    Attributes:
        kind: `alias`, `function_url`, `event_source_mapping` or `provisioned_concurrency`.
        name: of the alias; the URL; the ARN of the event source; how many environments are provisioned.
        alias: through which it points; None: at the version itself.
        weight: share of the alias's requests, 0 to 1; None: it is no alias.
    """

    kind: str
    name: str
    alias: str | None = None
    weight: float | None = None


@dataclass(frozen=True)
class Version:
    """A published version.

    Attributes:
        number: of it.
        since: when Lambda last changed it: its publication.
        memory_mb: configured memory.
        code_bytes: size of its package.
        state: `Active`, `Pending`, `Inactive` or `Failed`, with Lambda's reason if it has one.
        snapshot: whether it has a snapshot that is billed: with SnapStart, in a state that has one, and not of Java's
            managed runtimes, for which SnapStart is free.
        pointers: who points at it.
    """

    number: str
    since: dt.datetime
    memory_mb: int
    code_bytes: int
    state: str
    snapshot: bool
    pointers: tuple[Pointer, ...] = ()


@dataclass(frozen=True)
class Function:
    """A function and its published versions.

    Attributes:
        name: of it.
        arn: of it, without a qualifier.
        versions: in ascending order.
        latest: who points at `$LATEST`, which is no version and has no snapshot.
    """

    name: str
    arn: str
    versions: tuple[Version, ...]
    latest: tuple[Pointer, ...] = ()


def named(function: str) -> tuple[str, str | None] | None:
    """Name and region of a function.

    Args:
        function: name, ARN or partial ARN.

    Returns:
        None: it is none of them, or names a version or an alias; the region is None if it has none.
    """
    found = _NAMED.fullmatch(function)
    return (found["name"], found["region"]) if found else None


def with_snapshots(client: Any) -> list[str]:
    """Names of the region's functions of which some version has SnapStart, in order.

    Args:
        client: botocore's, of Lambda.

    Raises:
        botocore.exceptions.ClientError: Lambda refused.
    """
    pages = client.get_paginator("list_functions").paginate(FunctionVersion="ALL")
    return sorted({item["FunctionName"] for page in pages for item in page["Functions"] if _has_snapstart(item)})


def mappings(client: Any) -> list[tuple[str, str]]:
    """ARNs of function and event source of every mapping in the region.

    Args:
        client: botocore's, of Lambda. A function's mappings can't be asked for by its name: those of its aliases and
            versions have ARNs of their own.

    Raises:
        botocore.exceptions.ClientError: Lambda refused.
    """
    return [
        (item["FunctionArn"], item.get("EventSourceArn") or item["UUID"])
        for page in client.get_paginator("list_event_source_mappings").paginate()
        for item in page["EventSourceMappings"]
    ]


def look(client: Any, name: str, mapped: list[tuple[str, str]]) -> Function:
    """A function's versions, with who points at them.

    What names a version somewhere else can't be seen: an integration of API Gateway or CloudFront, a rule, a state
    machine, a program.

    Args:
        client: botocore's, of Lambda.
        name: of the function, or its ARN.
        mapped: as `mappings` gave them.

    Raises:
        botocore.exceptions.ClientError: there is no such function, or Lambda refused.
    """
    items = [
        item
        for page in client.get_paginator("list_versions_by_function").paginate(FunctionName=name)
        for item in page["Versions"]
    ]
    first = items[0]
    arn = first["FunctionArn"].removesuffix(f":{first['Version']}")
    routed, by_version = _aliases(client, name)
    for qualifier, pointer in _others(client, name, arn, mapped):
        for number in routed.get(qualifier, [qualifier]):
            alias = qualifier if qualifier in routed else None
            by_version.setdefault(number, []).append(Pointer(pointer.kind, pointer.name, alias))
    versions = [_version(client, item, tuple(by_version.get(item["Version"], ()))) for item in _published(items)]
    return Function(first["FunctionName"], arn, tuple(versions), tuple(by_version.get(LATEST, ())))


def _published(items: list[Any]) -> list[Any]:
    return sorted((item for item in items if item["Version"] != LATEST), key=lambda item: int(item["Version"]))


def _has_snapstart(item: Any) -> bool:
    return bool(item.get("SnapStart", {}).get("ApplyOn") == SNAPSTART_APPLY_ON)


def _version(client: Any, item: Any, pointers: tuple[Pointer, ...]) -> Version:
    snapstart = _has_snapstart(item)
    if snapstart and "State" not in item:
        # Lists leave it out: https://docs.aws.amazon.com/lambda/latest/api/API_ListFunctions.html
        item = client.get_function_configuration(FunctionName=item["FunctionName"], Qualifier=item["Version"])
    state, reason = item.get("State", "Active"), item.get("StateReason")
    billed = snapstart and state not in WITHOUT_SNAPSHOT and not item.get("Runtime", "").startswith("java")
    return Version(
        item["Version"],
        dt.datetime.fromisoformat(item["LastModified"]),
        item["MemorySize"],
        item["CodeSize"],
        f"{state}: {reason}" if reason else state,
        billed,
        pointers,
    )


def _aliases(client: Any, name: str) -> tuple[dict[str, list[str]], dict[str, list[Pointer]]]:
    """Versions by alias, and pointers by version."""
    routed: dict[str, list[str]] = {}
    by_version: dict[str, list[Pointer]] = {}
    for page in client.get_paginator("list_aliases").paginate(FunctionName=name):
        for alias in page["Aliases"]:
            weights = alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})
            shares = {alias["FunctionVersion"]: 1 - sum(weights.values()), **weights}
            routed[alias["Name"]] = list(shares)
            for number, share in shares.items():
                by_version.setdefault(number, []).append(Pointer("alias", alias["Name"], weight=share))
    return routed, by_version


def _others(client: Any, name: str, arn: str, mapped: list[tuple[str, str]]) -> Iterator[tuple[str, Pointer]]:
    """What points at an alias, a version or `$LATEST`, with its name."""

    def qualifier(pointed: str) -> str:
        return pointed.removeprefix(arn).removeprefix(":") or LATEST

    for page in client.get_paginator("list_function_url_configs").paginate(FunctionName=name):
        for config in page["FunctionUrlConfigs"]:
            yield qualifier(config["FunctionArn"]), Pointer("function_url", config["FunctionUrl"])
    for pointed, source in mapped:
        if pointed == arn or pointed.startswith(f"{arn}:"):
            yield qualifier(pointed), Pointer("event_source_mapping", source)
    for page in client.get_paginator("list_provisioned_concurrency_configs").paginate(FunctionName=name):
        for config in page["ProvisionedConcurrencyConfigs"]:
            count = str(config["RequestedProvisionedConcurrentExecutions"])
            yield qualifier(config["FunctionArn"]), Pointer("provisioned_concurrency", count)
