"""`lambda-llm versions`."""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from lambda_llm.cli.console import JSON, err, out
from lambda_llm.errors import LambdaLLMError

if TYPE_CHECKING:
    from lambda_llm.aws.function_versions import Function, Pointer, Version
    from lambda_llm.pruner.handler import Pruned

WAIT_SECONDS: Final = 10
"""Silence of Lambda that a person waits for."""

UNSEEN: Final = (
    "What names a version in an integration of API Gateway or CloudFront, a rule or a program can't be seen here."
)


class VersionsError(LambdaLLMError):
    """A function's versions can't be listed or deleted."""


def versions(
    functions: Annotated[
        list[str] | None, typer.Argument(help="Names or ARNs of functions, without a version.", show_default=False)
    ] = None,
    *,
    all_: Annotated[bool, typer.Option("--all", help="Every function of the region that has SnapStart.")] = False,
    region: Annotated[
        str | None, typer.Option(help="Region of the functions; default: of their ARNs, or AWS_DEFAULT_REGION.")
    ] = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Say which versions nobody points at, and what deleting them saves.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "--delete", help="With --prune: delete them.")] = False,
    keep_newest: Annotated[
        int, typer.Option(min=1, help="With --prune: how many of the newest versions stay even if unused.")
    ] = 1,
    as_json: JSON = False,
) -> None:
    """Show which versions of a function exist, since when, what each costs, and who points at it.

    A published version with SnapStart has a snapshot, which is billed while it exists, for three hours at least; a
    month is 730 hours. --prune alone changes nothing. It deletes by the rules of modules/version-pruner: no version of
    an alias, and never the newest; here also none of an event source mapping or with provisioned concurrency. What
    names a version in an integration of API Gateway or CloudFront, a rule or a program can't be seen.

    Needs `lambda:ListVersionsByFunction`, `lambda:GetFunctionConfiguration`, `lambda:ListAliases`,
    `lambda:ListFunctionUrlConfigs` and `lambda:ListProvisionedConcurrencyConfigs` on the function and
    `lambda:ListEventSourceMappings`; with --all `lambda:ListFunctions`, with --yes `lambda:DeleteFunction` on its
    versions.

    Example: `lambda-llm versions lambda-llm-chat --prune --keep-newest 2`
    """
    if bool(functions) == all_:
        raise typer.BadParameter("name at least one function, or give --all instead.")
    if yes and not prune:
        raise typer.BadParameter("--yes deletes with --prune only: give both.")
    read_at = dt.datetime.now(dt.UTC)
    found = []
    for function, result in _looked(functions or [], region, keep_newest=keep_newest if prune else None, delete=yes):
        found.append((function, result))
        if not as_json:
            _show(function, result, read_at, deleted=yes)
    total = sum(_month(version) for function, _ in found for version in function.versions)
    if as_json:
        public = [_public(function, result, read_at, dry_run=not yes) for function, result in found]
        out.print_json(data={"read_at": read_at.isoformat(timespec="seconds"), "month": total, "functions": public})
        return
    if not found:
        out.print("No function of the region has versions with SnapStart.")
    if len(found) > 1:
        out.print(f"All of them: ${total:,.2f} a month.")
    if prune:
        err.print(UNSEEN)


def _looked(
    functions: list[str], region: str | None, *, keep_newest: int | None, delete: bool
) -> "Iterator[tuple[Function, Pruned | None]]":
    """Each function, of all with SnapStart if none is named; pruned, or as it would be, if `keep_newest` is given."""
    from lambda_llm.aws.function_versions import look, mappings, with_snapshots
    from lambda_llm.pruner.handler import prune_with

    for place, names in _by_region(functions, region).items():
        with _client(place) as client:
            with _telling("the region"):
                mapped = mappings(client)
                listed = names or with_snapshots(client)
            for name in listed:
                with _telling(name):
                    function = look(client, name, mapped)
                    result = None
                    if keep_newest is not None:
                        pointed = {each.number for each in function.versions if each.pointers}
                        result = prune_with(client, name, keep_newest=keep_newest, dry_run=not delete, keep=pointed)
                yield function, result


def _by_region(functions: list[str], region: str | None) -> dict[str | None, list[str]]:
    from lambda_llm.aws.function_versions import named

    places: dict[str | None, list[str]] = {}
    for function in functions:
        name = named(function)
        if name is None:
            raise VersionsError(
                f"{function!r} is no function: give its name or its ARN, without a version or an alias behind it."
            )
        if region and name[1] and name[1] != region:
            raise VersionsError(f"{function} is not in {region}: leave --region out, as the ARN has it.")
        places.setdefault(name[1] or region, []).append(function)
    return places or {region: []}


@contextmanager
def _client(region: str | None) -> Iterator[Any]:
    from contextlib import closing

    from botocore.exceptions import BotoCoreError

    from lambda_llm.aws.clients import create

    try:
        made = create("lambda", region, read_seconds=WAIT_SECONDS)
    except (BotoCoreError, ValueError) as error:
        raise VersionsError(f"Lambda can't be asked ({error}): give --region, or set AWS_DEFAULT_REGION.") from error
    with closing(made) as client:
        yield client


@contextmanager
def _telling(what: str) -> Iterator[None]:
    """A failure of AWS becomes one sentence."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code == "ResourceNotFoundException":
            remedy = "check its name and the region"
        elif code in {"AccessDeniedException", "AccessDenied"}:
            remedy = f"you need lambda:{error.operation_name}; `lambda-llm versions --help` lists all permissions"
        elif code in {"TooManyRequestsException", "ThrottlingException"}:
            remedy = "wait a minute and run it again, which goes on with what is left"
        else:
            remedy = "check your credentials and the region"
        raise VersionsError(f"The versions of {what} are not known or not all deleted ({error}): {remedy}.") from error
    except BotoCoreError as error:
        raise VersionsError(
            f"Lambda can't be asked about {what} ({error}): check your credentials, the region and the network."
        ) from error


def _month(version: "Version") -> float:
    from lambda_llm.cost.prices import MONTH_DAYS, live_version

    return live_version(MONTH_DAYS, version.memory_mb) if version.snapshot else 0.0


def _so_far(version: "Version", now: dt.datetime) -> float:
    from lambda_llm.cost.prices import DAY_SECONDS, live_version

    days = (now - version.since).total_seconds() / DAY_SECONDS
    return live_version(days, version.memory_mb) if version.snapshot else 0.0


def _said(pointer: "Pointer") -> str:
    through = "" if pointer.alias is None else f" ({pointer.alias})"
    if pointer.kind == "alias":
        return pointer.name if pointer.weight == 1 else f"{pointer.name} {pointer.weight:.0%}"
    if pointer.kind == "provisioned_concurrency":
        return f"provisioned concurrency of {pointer.name}{through}"
    if pointer.kind == "function_url":
        return f"Function URL{through}"
    return f"events of {pointer.name.rpartition(':')[2]}{through}"


def _show(function: "Function", result: "Pruned | None", now: dt.datetime, *, deleted: bool) -> None:
    from rich.markup import escape
    from rich.table import Table as Rows

    from lambda_llm.units import file_size, printable

    rows = Rows(box=None, padding=(0, 2, 0, 0))
    for title in ("version", "since", "memory", "package", "state", "a month", "so far", "who points at it"):
        rows.add_column(title, no_wrap=title != "who points at it")
    for version in function.versions:
        who = [_said(pointer) for pointer in version.pointers]
        if version is function.versions[-1]:
            who.append("the newest")
        rows.add_row(
            version.number,
            f"{version.since.astimezone(dt.UTC):%Y-%m-%d %H:%M}",
            f"{version.memory_mb:,} MB",
            file_size(version.code_bytes),
            escape(printable(version.state)),
            f"${_month(version):,.2f}" if version.snapshot else "-",
            f"${_so_far(version, now):,.2f}" if version.snapshot else "-",
            escape(printable(", ".join(who) or "nobody")),
        )
    months = sum(_month(version) for version in function.versions)
    spent = sum(_so_far(version, now) for version in function.versions)
    out.print(f"{function.name}: {len(function.versions):,} versions, ${months:,.2f} a month, ${spent:,.2f} so far.")
    out.print(rows)
    if function.latest:
        out.print(f"$LATEST: {', '.join(map(_said, function.latest))}", markup=False)
    if result is None:
        return
    saved = _saved(function, result)
    if not result.deleted:
        out.print("There is nothing to delete.")
    elif deleted:
        out.print(f"Deleted {', '.join(result.deleted)}, which saves ${saved:,.2f} a month.")
    else:
        out.print(
            f"Would delete {', '.join(result.deleted)}, which saves ${saved:,.2f} a month; --prune --yes does it."
        )


def _saved(function: "Function", result: "Pruned") -> float:
    return sum(_month(version) for version in function.versions if version.number in result.deleted)


def _public(function: "Function", result: "Pruned | None", now: dt.datetime, *, dry_run: bool) -> dict[str, Any]:
    from dataclasses import asdict

    listed = [
        {
            "version": version.number,
            "since": version.since.isoformat(timespec="seconds"),
            "memory_mb": version.memory_mb,
            "code_bytes": version.code_bytes,
            "state": version.state,
            "snapshot": version.snapshot,
            "month": _month(version),
            "so_far": _so_far(version, now),
            "newest": version is function.versions[-1],
            "pointers": [asdict(pointer) for pointer in version.pointers],
        }
        for version in function.versions
    ]
    public: dict[str, Any] = {
        "name": function.name,
        "arn": function.arn,
        "month": sum(_month(version) for version in function.versions),
        "versions": listed,
        "latest": [asdict(pointer) for pointer in function.latest],
    }
    if result is not None:
        public["prune"] = {"dry_run": dry_run, "saves_month": _saved(function, result), **asdict(result)}
    return public
