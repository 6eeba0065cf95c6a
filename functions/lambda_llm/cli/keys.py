"""`lambda-llm keys`."""

import re
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from lambda_llm.cli.console import JSON, err, out
from lambda_llm.errors import LambdaLLMError

if TYPE_CHECKING:
    from lambda_llm.authorizer.keys import StoredKey
    from lambda_llm.authorizer.table import KeyTable

Table = Annotated[
    str,
    typer.Option(
        help="DynamoDB table of the keys, by name or ARN: the output `table_name` of modules/front-door.",
        envvar="LAMBDA_LLM_AUTHORIZER_TABLE",
        show_default=False,
    ),
]

WAIT_SECONDS: Final = 10
"""Silence of DynamoDB that a person waits for."""

_UNITS: Final = {"m": 60, "h": 3600, "d": 86_400}
_DURATION: Final = re.compile(r"([1-9]\d{0,5})([mhd])")

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""Make, list and revoke API keys for callers without IAM.

    The front door (`modules/front-door`) lets in whoever sends `Authorization: Bearer sk-…` with a key from here, and
    tells the function whose it is. Keys are stored as their SHA-256 only. To replace one without a gap, create the new
    key, let its users change, then revoke the old one: any number of keys of one tenant work at a time.

    Example: `lambda-llm keys create --table llm-keys --tenant acme --plan standard --expires-in 90d`
    """,
)


class DurationError(LambdaLLMError):
    """A duration can't be read."""


@app.command()
def create(
    *,
    table: Table,
    tenant: Annotated[
        str,
        typer.Option(help="Whose key it is; tenants share no cached prompts and no sessions.", show_default=False),
    ],
    plan: Annotated[
        str, typer.Option(help="Usage plan that limits it, by its name in modules/front-door.", show_default=False)
    ],
    expires_in: Annotated[
        str | None, typer.Option(help="Time until it is refused, like 90d, 12h or 30m; default: never.")
    ] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Longest answer that it gets, in tokens.")] = None,
    note: Annotated[str | None, typer.Option(help="For people, like who has it.")] = None,
    as_json: JSON = False,
) -> None:
    """Make a key and print it: this once, as it is stored as a hash only.

    Needs `dynamodb:PutItem` on the table. The key alone goes to standard output, so that it can be piped to where
    secrets are kept.

    Example: `lambda-llm keys create --table llm-keys --tenant acme --plan standard --expires-in 90d --note "CI"`
    """
    import time

    from rich.markup import escape

    from lambda_llm.authorizer.keys import made

    now = int(time.time())
    expires_at = now + _seconds(expires_in) if expires_in is not None else None
    key, stored = made(tenant, plan, now=now, expires_at=expires_at, max_tokens=max_tokens, note=note)
    _table(table).put(stored)
    if as_json:
        out.print_json(data={"key": key, **_public(stored)})
        return
    ends = f" until {_moment(expires_at)}" if expires_at else ""
    err.print(
        f"Key [bold]{stored.key_id}[/] of tenant {escape(tenant)} in plan {escape(plan)} works{ends}. It is shown this "
        "once:"
    )
    out.print(key, markup=False)


@app.command("list")
def list_keys(
    *,
    table: Table,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None,
    as_json: JSON = False,
) -> None:
    """List keys by their ids, oldest first; the keys themselves are not stored.

    Needs `dynamodb:Scan` on the table. Some days after it has expired, DynamoDB deletes a key.

    Example: `lambda-llm keys list --table llm-keys --tenant acme`
    """
    from rich.markup import escape
    from rich.table import Table as Rows

    from lambda_llm.units import printable

    stored = _table(table).keys(lambda damage: err.print(printable(str(damage)), style="yellow", markup=False))
    keys = sorted((key for key in stored if tenant in {None, key.tenant}), key=lambda key: (key.created_at, key.key_id))
    if as_json:
        out.print_json(data={"keys": [_public(key) for key in keys]})
        return
    rows = Rows(box=None, padding=(0, 2, 0, 0))
    for title in ("id", "tenant", "plan", "created", "expires", "revoked", "max tokens", "note"):
        rows.add_column(title, no_wrap=title == "id")
    for key in keys:
        times = (_moment(at) for at in (key.created_at, key.expires_at, key.revoked_at))
        rows.add_row(
            key.key_id, key.tenant, key.plan, *times, str(key.max_tokens or ""), escape(printable(key.note or ""))
        )
    out.print(rows)


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="Id of the key, as `lambda-llm keys list` shows it.")],
    *,
    table: Table,
    as_json: JSON = False,
) -> None:
    """Revoke a key: requests with it are refused within 60 seconds, which is how long API Gateway may remember it.

    Needs `dynamodb:Scan` and `dynamodb:UpdateItem` on the table.

    Example: `lambda-llm keys revoke key_0123456789ab --table llm-keys`
    """
    import time

    now = int(time.time())
    _table(table).revoke(key_id, now)
    if as_json:
        out.print_json(data={"key_id": key_id, "revoked_at": now})
    else:
        out.print(f"Revoked {key_id}: requests with it are refused within 60 seconds.", markup=False)


def _table(name: str) -> "KeyTable":
    from lambda_llm.authorizer.table import KeyTable

    return KeyTable(name, read_seconds=WAIT_SECONDS)


def _seconds(duration: str) -> int:
    match = _DURATION.fullmatch(duration)
    if match is None:
        raise DurationError(f"{duration!r} is no time that can be read: write a number and m, h or d, like 90d.")
    return int(match[1]) * _UNITS[match[2]]


def _moment(at: int | None) -> str:
    from datetime import UTC, datetime

    return "" if at is None else f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"


def _public(key: "StoredKey") -> dict[str, Any]:
    """What anyone may see of a key; times in seconds since 1970."""
    from dataclasses import asdict

    return {name: value for name, value in asdict(key).items() if name != "key_hash"}
