"""`lambda-llm router`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from lambda_llm.cli.console import JSON, AllowHost, Port, err, listening, out
from lambda_llm.errors import LambdaLLMError

if TYPE_CHECKING:
    from lambda_llm.router.budget import Amount, Limit
    from lambda_llm.router.config import Configuration
    from lambda_llm.router.service import Budgets

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
    help="""Check the router's configuration, ask it where a request would go, and see what tenants have left.

    The configuration is one file of backends, models and tenants. `lambda-llm router schema` prints its JSON schema,
    with which editors complete and check it.

    Example: `lambda-llm router check router.yaml`
    """,
)


ConfigFile = Annotated[
    Path, typer.Option("--config", "-c", help="The router's configuration, in YAML or JSON.", show_default=False)
]


class RouterFileError(LambdaLLMError):
    """A file can't be read, or is no request."""


@app.command()
def budgets(
    *,
    table: BudgetTable,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            help="The router's configuration: shows what is left of each tenant's budgets, too.",
            show_default=False,
        ),
    ] = None,
    as_json: JSON = False,
) -> None:
    """Show what each tenant has spent in this minute, day and month (UTC), what is reserved, and what is left.

    Reserved is the most that running requests may take; so is, for up to half an hour and until the budget is needed,
    what a process reserved that was killed. Needs `dynamodb:GetItem` on the table, without --tenant also
    `dynamodb:Scan`, and changes nothing.

    Example: `lambda-llm router budgets --table llm-budgets --tenant acme --config router.yaml`
    """
    import time

    from rich.markup import escape
    from rich.table import Table as Rows

    from lambda_llm.router.budget import Limits
    from lambda_llm.router.ledger import Ledger
    from lambda_llm.units import printable

    configuration = None if config is None else _configuration(config)

    def limits_of(name: str) -> Limits:
        entry = None if configuration is None else configuration.tenant(name)
        return Limits() if entry is None else entry.limits()

    ledger = Ledger.connect(table, read_seconds=WAIT_SECONDS)
    now = time.time()
    found = {
        each: ledger.left(each, limits_of(each), now) for each in ([tenant] if tenant is not None else ledger.tenants())
    }
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
                        "left": _public(one.left) if configuration else None,
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
    for title in ("tenant", "window", "spent", "reserved", *(["left"] if configuration else [])):
        rows.add_column(title)
    for each, windows in found.items():
        for window, one in windows.items():
            left = [_shown(one.left)] if configuration else []
            rows.add_row(
                escape(printable(each)), f"{window} {window.key(now)}", _shown(one.spent), _shown(one.reserved), *left
            )
    out.print(rows)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="The configuration, in YAML or JSON.", show_default=False)],
    *,
    as_json: JSON = False,
) -> None:
    """Say whether a configuration can be used, or what is wrong in it first; exit status 1 if it can't.

    The router itself checks the same before it takes a new one. No backend is asked.

    Example: `lambda-llm router check router.yaml`
    """
    from lambda_llm.router.config import digest, parse

    content = _read(file)
    configuration, name = parse(content), digest(content)
    counts = {part: len(getattr(configuration, part)) for part in ("backends", "models", "tenants")}
    if as_json:
        out.print_json(data={"digest": name, **counts})
    else:
        numbers = ", ".join(f"{part}: {count}" for part, count in counts.items())
        out.print(f"The configuration can be used ({numbers}); its digest is {name}.")


@app.command()
def schema() -> None:
    """Print the JSON schema of the configuration, for editors and checks without this package.

    Example: `lambda-llm router schema`
    """
    from lambda_llm.router.schema import schema as made

    out.print_json(data=made())


@app.command()
def explain(
    request: Annotated[
        Path,
        typer.Argument(help="File with the JSON body of a request; - for standard input.", show_default=False),
    ],
    *,
    config: ConfigFile,
    tenant: Annotated[str, typer.Option(help="Who sends it; default: one without an entry of its own.")] = "*",
    path: Annotated[str, typer.Option(help="Path that it is sent to.")] = "/v1/chat/completions",
    utilization: Annotated[
        float, typer.Option(min=0, help="Utilization of the functions, for models that prefer by it.")
    ] = 0.0,
    as_json: JSON = False,
) -> None:
    """Say where a request would go, in which order and why, and why not to the others; nothing is sent.

    Backends are taken as healthy. Costs are what the request takes at most; `break-even` is the utilization of the
    model's functions above which a server by the hour is cheaper for requests like this one.

    Example: `lambda-llm router explain request.json --config router.yaml --tenant acme`
    """
    from rich.markup import escape
    from rich.table import Table as Rows

    from lambda_llm.router.explain import explained
    from lambda_llm.units import printable

    found = explained(
        _configuration(config),
        path,
        _body(sys.stdin.buffer.read() if str(request) == "-" else _read(request)),
        tenant,
        utilization,
    )
    if as_json:
        out.print_json(data=found.public())
        return
    out.print(
        f"{found.facts.input_tokens:,} tokens of prompt (estimated), {found.facts.output_tokens:,} of answer at most; "
        f"needs {', '.join(sorted(found.facts.features)) or 'nothing but text'}; may go to "
        f"{found.facts.place.name.lower()}."
    )
    rows = Rows(box=None, padding=(0, 2, 0, 0))
    for title in ("", "backend", "cost at most", "break-even", "why"):
        rows.add_column(title)
    for number, row in enumerate(found.rows, 1):
        asked = str(number) if row.asked else "-"
        threshold = "" if row.threshold is None else f"{row.threshold:.1%}"
        rows.add_row(asked, escape(printable(row.backend)), f"${row.cost:.6f}", threshold, escape(row.why))
    out.print(rows)


@app.command()
def serve(
    *,
    config: Annotated[
        str,
        typer.Option(
            "--config",
            "-c",
            help="The configuration: a file, s3://BUCKET/KEY or appconfig://APPLICATION/ENVIRONMENT/PROFILE.",
            show_default=False,
        ),
    ],
    tenant: Annotated[
        str, typer.Option(help="Whose all requests are; default: one without an entry of its own.")
    ] = "*",
    table: Annotated[
        str | None,
        typer.Option(
            "--table",
            help="DynamoDB table of the budgets, by name or ARN; without one, a tenant that has a budget is refused.",
            show_default=False,
        ),
    ] = None,
    port: Port = 8080,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    allow_host: AllowHost = [],  # noqa: B006 - typer's way, never changed
    as_json: JSON = False,
) -> None:
    """Run the router on this machine, as on Lambda: one address of OpenAI's API for every model of a configuration.

    A changed configuration is used within a minute, and a wrong one never. Responses in the background need the
    deployed router. Stop with Ctrl-C.

    Example: `lambda-llm router serve --config router.yaml --tenant acme --table llm-budgets`
    """
    import json

    from lambda_llm.router.app import create_app
    from lambda_llm.router.ledger import Ledger
    from lambda_llm.router.live import Live
    from lambda_llm.router.source import Reloading, source
    from lambda_llm.router.unkept import Unkept
    from lambda_llm.web.hosts import LocalNames
    from lambda_llm.web.local_only import LocalOnly
    from lambda_llm.web.server import Server

    reloading = Reloading(source(config))
    budgets: Budgets = Unkept() if table is None else Ledger.connect(table)
    with listening(host, port) as (bound, address):
        url = f"{address}/v1"
        if as_json:
            ready = {"url": url, "configuration": reloading.digest, "models": list(reloading.current.models)}
            out.file.write(json.dumps(ready) + "\n")
            out.file.flush()
        else:
            names = ", ".join(reloading.current.models)
            err.print(f"Routing to {names} on [bold]{url}[/] (Ctrl-C stops).")
        live = Live(reloading, budgets)
        app_ = create_app(live, lambda _, __: tenant)
        app_.add_middleware(LocalOnly, names=LocalNames.of(host, allow_host))
        Server(app_, live.stop, log_level="warning").run(sockets=[bound])


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise RouterFileError(f"{file} can't be read ({error.strerror}): give a file that can.") from error


def _configuration(file: Path) -> "Configuration":
    from lambda_llm.router.config import parse

    return parse(_read(file))


def _body(text: bytes) -> dict[str, Any]:
    import json

    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RouterFileError(f"The request is not JSON ({error}): give the body of one.") from None
    if not isinstance(body, dict):
        raise RouterFileError("The request is no JSON object: give the body of one.")
    return body


def _shown(amount: "Amount | Limit") -> str:
    from lambda_llm.router.budget import What, counted

    numbers = {what: amount.of(what) for what in What}
    return ", ".join("any " + what if number is None else counted(what, number) for what, number in numbers.items())


def _public(amount: "Amount | Limit") -> dict[str, Any]:
    return {"tokens": amount.tokens, "micro_dollars": amount.micro_dollars}
