"""`lambda-llm tenant`."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Protocol

import typer

from lambda_llm.cli.console import JSON, err, out, steps_bar
from lambda_llm.errors import LambdaLLMError

if TYPE_CHECKING:
    from lambda_llm.router.ledger import Ledger

WAIT_SECONDS: Final = 30
"""Silence of AWS that a person waits for."""

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""Erase what a tenant left.

    Example: `lambda-llm tenant erase acme --table llm-budgets --sessions s3://bucket/sessions/`
    """,
)


class EraseError(LambdaLLMError):
    """Something of a tenant is left, or nobody knows what."""


@dataclass(frozen=True)
class Found:
    """What a place has of a tenant.

    Attributes:
        items: versions and delete markers of objects, or items of a table.
        size: bytes of the versions; None: not known.
    """

    items: int
    size: int | None = None


class Place(Protocol):
    """Where a tenant leaves something.

    Attributes:
        address: of what is the tenant's, for people.
    """

    address: str

    def found(self) -> Found:
        """Look what there is."""
        ...

    def erase(self) -> Iterator[int]:
        """Delete it; yields how many items are gone, from time to time."""
        ...


class Objects:
    """Every version of every object below a prefix in S3."""

    def __init__(self, uri: str, folder: str, client: Any) -> None:
        """Take the folder of a tenant below the prefix `uri`; it ends in a slash, so that no other tenant is in it."""
        from lambda_llm.aws.s3_uri import parse_prefix

        self._bucket, prefix = parse_prefix(uri)
        self._prefix = prefix + folder
        self.address = f"s3://{self._bucket}/{self._prefix}"
        self._client = client

    def found(self) -> Found:
        """See `Place.found`."""
        items = size = 0
        for page in self._pages():
            versions = page.get("Versions", [])
            items += len(versions) + len(page.get("DeleteMarkers", []))
            size += sum(each["Size"] for each in versions)
        return Found(items, size)

    def erase(self) -> Iterator[int]:
        """See `Place.erase`."""
        for page in self._pages():
            listed = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
            if not listed:
                continue
            names = [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in listed]
            with self._telling("deleted", "s3:DeleteObject and s3:DeleteObjectVersion below it"):
                done = self._client.delete_objects(Bucket=self._bucket, Delete={"Objects": names, "Quiet": True})
            if done.get("Errors"):
                first = done["Errors"][0]
                raise EraseError(
                    f"{len(done['Errors']):,} of {len(names):,} versions below {self.address} were not deleted "
                    f"({first.get('Code')}): check s3:DeleteObject, s3:DeleteObjectVersion and locks of objects, and "
                    "run it again."
                )
            yield len(names)

    def _pages(self) -> Iterator[Any]:
        with self._telling("listed", "s3:ListBucketVersions on the bucket"):
            pages = self._client.get_paginator("list_object_versions")
            yield from pages.paginate(Bucket=self._bucket, Prefix=self._prefix)

    def _telling(self, done: str, rights: str) -> Any:
        return _telling(f"{self.address} can't be {done}", f"check the bucket's name, and that you have {rights}")


class Budgets:
    """A tenant's items in the ledger."""

    def __init__(self, ledger: "Ledger", tenant: str) -> None:
        """Take the tenant of exactly this name."""
        self._ledger = ledger
        self._tenant = tenant
        self.address = f"table {ledger.table}"

    def found(self) -> Found:
        """See `Place.found`."""
        return Found(self._ledger.count(self._tenant))

    def erase(self) -> Iterator[int]:
        """See `Place.erase`."""
        return self._ledger.erase(self._tenant)


@app.callback()
def _group() -> None:
    """Keep the name of the group, as long as it has one command."""


@app.command(no_args_is_help=True)
def erase(
    tenant: Annotated[str, typer.Argument(help="Whose, by its exact name.", show_default=False)],
    *,
    sessions: Annotated[
        str | None, typer.Option(help="Where conversations are: LAMBDA_LLM_SESSIONS of the function.")
    ] = None,
    state: Annotated[
        str | None, typer.Option(help="Where agents' state is: LAMBDA_LLM_STATE of their function.")
    ] = None,
    results: Annotated[
        str | None, typer.Option(help="Where responses in the background are: LAMBDA_LLM_ROUTER_RESULTS of the router.")
    ] = None,
    batches: Annotated[
        str | None, typer.Option(help="Where batches and their files are: LAMBDA_LLM_BATCH_STORE of their functions.")
    ] = None,
    table: Annotated[str | None, typer.Option(help="DynamoDB table of the budgets, by name or ARN.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    as_json: JSON = False,
) -> None:
    """Erase what a tenant left in the places that are named, every version of it, and check that nothing is left.

    Says what is there and asks first. Interrupted, run it again: it goes on with what is left. Revoke the tenant's keys
    before, as its requests would leave something new. What it spent is forgotten. A response in the background that
    is being answered ends within seconds and is not stored any more, but may still be charged: run it again after a
    minute. Logs, backups of the table, histories of agents' executions, multipart uploads that were never completed,
    and what asynchronous endpoints of SageMaker have in buckets of their own are not touched.

    Needs `s3:ListBucketVersions` on the buckets, `s3:DeleteObject` and `s3:DeleteObjectVersion` below the prefixes,
    `s3:ListBucket` for batches, `dynamodb:Query` and `dynamodb:BatchWriteItem` on the table.

    Example: `lambda-llm tenant erase acme --table llm-budgets --sessions s3://bucket/sessions/ --state s3://bucket/state/`
    """
    if not any((sessions, state, results, batches, table)):
        raise typer.BadParameter("name at least one place: --sessions, --state, --results, --batches or --table.")
    if as_json and not yes:
        raise typer.BadParameter("with --json nobody can be asked: give --yes, too.")
    places = _places(tenant, sessions=sessions, state=state, results=results, batches=batches, table=table)
    before = {kind: place.found() for kind, place in places.items()}
    total = sum(each.items for each in before.values())
    if not as_json:
        _show(places, before)
        if not total:
            out.print("There is nothing to erase.")
            return
        if not yes and not typer.confirm("Erase all of it, for ever?", err=True):
            raise typer.Exit(1)
    with steps_bar("Erasing", total) as step:
        for place in places.values():
            _erase(place, step)
    left = {kind: found.items for kind, place in places.items() if (found := place.found()).items}
    if left:
        what = ", ".join(f"{count:,} of {places[kind].address}" for kind, count in left.items())
        raise EraseError(f"The tenant left something new meanwhile ({what}): revoke its keys, wait, and run it again.")
    if as_json:
        erased = {kind: {"address": places[kind].address, "erased": found.items} for kind, found in before.items()}
        out.print_json(data={"tenant": tenant, "places": erased})
    else:
        out.print(f"Erased {total:,}, and nothing is left.")


def _places(
    tenant: str,
    *,
    sessions: str | None,
    state: str | None,
    results: str | None,
    batches: str | None,
    table: str | None,
) -> dict[str, Place]:
    from lambda_llm.agent.store import folder_of
    from lambda_llm.aws.tenant_folder import tenant_folder
    from lambda_llm.router.ledger import Ledger

    try:
        hidden = tenant_folder(tenant)
    except UnicodeEncodeError:
        raise EraseError("The tenant's name is no Unicode text: no tenant is called so.") from None
    client = _s3() if sessions or state or results or batches else None
    places: dict[str, Place] = {}
    if sessions:
        places["sessions"] = Objects(sessions, hidden, client)
    if state:
        places["state"] = Objects(state, folder_of(tenant), client)
    if results:
        places["results"] = Objects(results, hidden, client)
    if batches:
        places |= _of_batches(batches, tenant, client)
    if table:  # last: until the rest is gone, its budgets hold
        places["budgets"] = Budgets(Ledger.connect(table, read_seconds=WAIT_SECONDS), tenant)
    return places


def _of_batches(uri: str, tenant: str, client: Any) -> dict[str, Place]:
    """What a store has of a tenant: first what only its records tell of."""
    from lambda_llm.aws.s3_uri import parse_prefix
    from lambda_llm.batch_store import layout

    bucket, prefix = parse_prefix(uri)
    names = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix + layout.batches(tenant))
    with _telling(f"{uri} can't be listed", "check the bucket's name, and that you have s3:ListBucket on it"):
        keys = [each["Key"] for page in names for each in page.get("Contents", [])]
    ids = [key.rpartition("/")[2].removesuffix(".json") for key in keys]
    places: dict[str, Place] = {f"work of {each}": Objects(uri, layout.work(each), client) for each in ids}
    for kind in (layout.files, layout.uploads, layout.batches):
        folder = kind(tenant)
        places[folder.partition("/")[0]] = Objects(uri, folder, client)
    return places


def _s3() -> Any:
    import boto3
    from botocore.config import Config

    from lambda_llm.aws.s3_client import redirect_once

    with _telling("S3 can't be reached", "set AWS_DEFAULT_REGION and credentials, as for the AWS CLI"):
        client = boto3.Session().client("s3", config=Config(read_timeout=WAIT_SECONDS, retries={"mode": "standard"}))
    redirect_once(client)
    return client


def _erase(place: Place, step: Callable[[], None]) -> None:
    for count in place.erase():
        for _ in range(count):
            step()


def _show(places: dict[str, Place], found: dict[str, Found]) -> None:
    from lambda_llm.units import file_size, printable

    for kind, place in places.items():
        there = found[kind]
        size = "" if there.size is None else f", {file_size(there.size)}"
        what = "items" if there.size is None else "versions of objects"
        err.print(f"{kind}: {printable(place.address)} has {what}: {there.items:,}{size}", markup=False)


def _telling(failed: str, remedy: str) -> Any:
    """A context in which a failure of AWS becomes one sentence."""
    from contextlib import contextmanager

    from botocore.exceptions import BotoCoreError, ClientError

    @contextmanager
    def telling() -> Iterator[None]:
        try:
            yield
        except (ClientError, BotoCoreError) as error:
            raise EraseError(f"{failed} ({error}): {remedy}.") from error

    return telling()
