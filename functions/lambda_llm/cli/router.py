"""`lambda-llm router`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from lambda_llm.cli.console import JSON, out
from lambda_llm.errors import LambdaLLMError

if TYPE_CHECKING:
    from lambda_llm.router.budget import Amount, Limit, Limits

BudgetTable = Annotated[
    str,
    typer.Option(
        "--table",
        help="DynamoDB table of the budgets, by name or ARN.",
        envvar="LAMBDA_LLM_ROUTER_TABLE",
        show_default=False,
    ),
]

WAIT_SECONDS: Final = 10
"""Silence of DynamoDB that a person waits for."""

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""Look into the router: what tenants have left.

    Example: `lambda-llm router budgets --table llm-budgets`
    """,
)


class LimitsFileError(LambdaLLMError):
    """A file of limits can't be read."""


@app.callback()
def _group() -> None:
    """Keep the name of the group, as long as it has one command."""


@app.command()
def budgets(
    *,
    table: BudgetTable,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None,
    limits: Annotated[
        Path | None,
        typer.Option(
            help='JSON file of the limits of the tenants shown, like {"minute": {"tokens": 60000}, "month": '
            '{"dollars": 99.50}}: shows what is left of them, too.',
            show_default=False,
        ),
    ] = None,
    as_json: JSON = False,
) -> None:
    """Show what each tenant has spent in this minute, day and month (UTC), what is reserved, and what is left.

    Reserved is the most that running requests may take; so is, for up to half an hour and until the budget is needed,
    what a process reserved that was killed. Needs `dynamodb:GetItem` on the table, without --tenant also
    `dynamodb:Scan`, and changes nothing.

    Example: `lambda-llm router budgets --table llm-budgets --tenant acme --limits limits.json`
    """
    import time

    from rich.markup import escape
    from rich.table import Table as Rows

    from lambda_llm.router.ledger import Ledger
    from lambda_llm.units import printable

    given = _limits(limits)
    ledger = Ledger.connect(table, read_seconds=WAIT_SECONDS)
    now = time.time()
    found = {each: ledger.left(each, given, now) for each in ([tenant] if tenant is not None else ledger.tenants())}
    if as_json:
        data = [
            {
                "tenant": each,
                "windows": {
                    window.value: {
                        "key": window.key(now),
                        "seconds_left": window.seconds_left(now),
                        "spent": _public(one.spent),
                        "reserved": _public(one.reserved),
                        "left": _public(one.left) if limits else None,
                    }
                    for window, one in windows.items()
                },
            }
            for each, windows in found.items()
        ]
        out.print_json(data={"at": int(now), "budgets": data})
        return
    if not found:
        out.print("No tenant has spent anything yet.")
        return
    rows = Rows(box=None, padding=(0, 2, 0, 0))
    for title in ("tenant", "window", "spent", "reserved", *(["left"] if limits else [])):
        rows.add_column(title)
    for each, windows in found.items():
        for window, one in windows.items():
            left = [_shown(one.left)] if limits else []
            rows.add_row(
                escape(printable(each)), f"{window} {window.key(now)}", _shown(one.spent), _shown(one.reserved), *left
            )
    out.print(rows)


def _limits(file: Path | None) -> "Limits":
    from lambda_llm.router.budget import Limits

    if file is None:
        return Limits()
    try:
        return Limits.parse(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise LimitsFileError(f"{file} can't be read ({error}): give a JSON file of limits.") from error


def _shown(amount: "Amount | Limit") -> str:
    from lambda_llm.router.budget import What, counted

    numbers = {what: amount.of(what) for what in What}
    return ", ".join("any " + what if number is None else counted(what, number) for what, number in numbers.items())


def _public(amount: "Amount | Limit") -> dict[str, Any]:
    return {"tokens": amount.tokens, "micro_dollars": amount.micro_dollars}
