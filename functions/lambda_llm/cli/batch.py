"""`lambda-llm batch`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lambda_llm.cli.batch_files import BatchEndedError, InputFileError, blocks, fetched, uploaded
from lambda_llm.cli.batch_shown import show_batch, show_estimate, show_list, watch
from lambda_llm.cli.batch_store import Reached, reach
from lambda_llm.cli.console import JSON, err, out, progress_bar

if TYPE_CHECKING:
    from lambda_llm.batch.survey import Survey
    from lambda_llm.batch_store.records import Option
    from lambda_llm.openai_types.batches import Batch

Store = Annotated[
    str,
    typer.Option(
        envvar="LAMBDA_LLM_BATCH_STORE",
        help="s3://BUCKET/PREFIX/ of the store: the output `store` of modules/batch.",
        show_default=False,
    ),
]
Tenant = Annotated[str, typer.Option(envvar="LAMBDA_LLM_BATCH_TENANT", help="Whose batches these are.")]
Id = Annotated[str, typer.Argument(help="Of the batch.", show_default=False)]
File = Annotated[
    str, typer.Argument(metavar="FILE", help="JSONL, a request on each line, as OpenAI has it.", show_default=False)
]
Window = Annotated[str, typer.Option(help="Time for the batch, in hours: 1h to 168h.")]
MaxDollars = Annotated[float | None, typer.Option(min=0, help="What the batch may cost at most.", show_default=False)]
Backend = Annotated[
    str | None, typer.Option(help="Who has to answer; default: the cheapest that keeps the window.", show_default=False)
]

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""Many requests at once, answered within a day: estimated, sent, followed and fetched.

    Example: `lambda-llm batch submit requests.jsonl --store s3://batches/ && lambda-llm batch list --store s3://batches/`
    """,
)


@app.command(no_args_is_help=True)
def estimate(
    file: File,
    *,
    store: Store,
    window: Window = "24h",
    max_dollars: MaxDollars = None,
    backend: Backend = None,
    as_json: JSON = False,
) -> None:
    """Say what a file would cost and how long it would take, in every way that the store has; nothing is sent.

    Both are upper bounds, as far as the speeds in the store's configuration are right: each answer is counted as long
    as its limit allows.

    Example: `lambda-llm batch estimate requests.jsonl --store s3://batches/`
    """
    reached = reach(store)
    found, options = _estimated(reached, file, window, max_dollars, backend)
    if as_json:
        out.print_json(data=_estimate_fields(found, options))
    else:
        show_estimate(found, options)


@app.command(no_args_is_help=True)
def submit(
    file: File,
    *,
    store: Store,
    tenant: Tenant = "default",
    window: Window = "24h",
    max_dollars: MaxDollars = None,
    backend: Backend = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the batch to its end.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    as_json: JSON = False,
) -> None:
    """Check a file, print what it would cost, upload it, and start its batch.

    Example: `lambda-llm batch submit requests.jsonl --store s3://batches/ --max-dollars 20 --wait`
    """
    from lambda_llm.batch import estimate as estimates
    from lambda_llm.batch_store.records import Rights
    from lambda_llm.openai_types.batches import BatchRequest

    if as_json and not yes:
        raise typer.BadParameter("with --json nobody can be asked: give --yes, too.")
    reached = reach(store)
    found, options = _estimated(reached, file, window, max_dollars, backend)
    if not as_json:
        show_estimate(found, options)
    if estimates.chosen(options) is None:
        reasons = "; ".join(f"{each.backend} {each.why_not}" for each in options)
        raise InputFileError(f"Nothing can answer this file ({reasons}): nothing was sent.")
    if not yes and not typer.confirm("Start it?", err=True):
        raise typer.Exit(1)
    request = BatchRequest(
        input_file_id=uploaded(reached, tenant, file),
        endpoint=found.endpoint,  # type: ignore[arg-type]  # a model of the configuration has it
        completion_window=window,
        backend=backend,
        max_dollars=max_dollars,
    )
    batch = reached.batches.create(tenant, request, Rights(place="anywhere"))
    if wait:
        batch = _followed(reached, tenant, batch.id)
    _print(reached, batch, as_json=as_json)
    if wait:
        _require_completed(batch)


@app.command(no_args_is_help=True)
def status(
    batch_id: Id,
    *,
    store: Store,
    tenant: Tenant = "default",
    wait: Annotated[bool, typer.Option("--wait", help="Follow the batch to its end.")] = False,
    as_json: JSON = False,
) -> None:
    """Say how far a batch has come.

    Example: `lambda-llm batch status batch_e5ce7a3afff32a37df4b03cdd05 --store s3://batches/ --wait`
    """
    reached = reach(store)
    batch = _followed(reached, tenant, batch_id) if wait else reached.batches.get(tenant, batch_id)
    _print(reached, batch, as_json=as_json)
    if wait:
        _require_completed(batch)


@app.command(no_args_is_help=True)
def results(
    batch_id: Id,
    *,
    store: Store,
    tenant: Tenant = "default",
    output: Annotated[Path | None, typer.Option(help="File for the answers; default: ID_output.jsonl.")] = None,
    errors: Annotated[Path | None, typer.Option(help="File for the errors; default: ID_error.jsonl.")] = None,
    as_json: JSON = False,
) -> None:
    """Fetch the answers of a batch that has ended, and its errors.

    Example: `lambda-llm batch results batch_e5ce7a3afff32a37df4b03cdd05 --store s3://batches/ --output answers.jsonl`
    """
    reached = reach(store)
    batch = reached.batches.get(tenant, batch_id)
    wanted = {
        "output": (batch.output_file_id, output or Path(f"{batch.id}_output.jsonl")),
        "errors": (batch.error_file_id, errors or Path(f"{batch.id}_error.jsonl")),
    }
    files = {kind: (file_id, path) for kind, (file_id, path) in wanted.items() if file_id is not None}
    if not files:
        raise BatchEndedError(f"The batch {batch.id} is {batch.status} and has no results: look at its status.")
    for file_id, path in files.values():
        fetched(reached, tenant, file_id, path)
    if as_json:
        out.print_json(data={"batch": batch.model_dump(), **{kind: str(path) for kind, (_, path) in files.items()}})
    else:
        for kind, (_, path) in files.items():
            out.print(f"{kind}: {path}", markup=False)


@app.command(no_args_is_help=True)
def cancel(batch_id: Id, *, store: Store, tenant: Tenant = "default", as_json: JSON = False) -> None:
    """Stop a batch: what was answered becomes its output, and the rest has a line in its error file.

    Example: `lambda-llm batch cancel batch_e5ce7a3afff32a37df4b03cdd05 --store s3://batches/`
    """
    reached = reach(store)
    _print(reached, reached.batches.cancel(tenant, batch_id), as_json=as_json)


@app.command(no_args_is_help=True)
def resume(batch_id: Id, *, store: Store, tenant: Tenant = "default", as_json: JSON = False) -> None:
    """Go on with a batch that has failed for no fault of its input: what was answered is kept.

    Example: `lambda-llm batch resume batch_e5ce7a3afff32a37df4b03cdd05 --store s3://batches/`
    """
    reached = reach(store)
    _print(reached, reached.batches.resume(tenant, batch_id), as_json=as_json)


@app.command("list")
def list_batches(
    *,
    store: Store,
    tenant: Tenant = "default",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Most batches, the newest first.")] = 20,
    as_json: JSON = False,
) -> None:
    """List batches, the newest first.

    Example: `lambda-llm batch list --store s3://batches/ --limit 5`
    """
    found, more = reach(store).batches.list(tenant, limit=limit)
    if as_json:
        out.print_json(data={"data": [batch.model_dump() for batch in found], "has_more": more})
        return
    show_list(found)
    if more:
        err.print("There are more: ask with a higher --limit.")


def _estimated(
    reached: Reached, file: str, window: str, max_dollars: float | None, backend: str | None
) -> "tuple[Survey, tuple[Option, ...]]":
    """What a file asks for, and how it could be answered; raises InputFileError if it is wrong."""
    from pydantic import ValidationError

    from lambda_llm.backends.contract import Operation
    from lambda_llm.batch import estimate as estimates
    from lambda_llm.batch.survey import survey
    from lambda_llm.openai_types.batches import BatchRequest

    try:
        hours = BatchRequest(input_file_id=file, endpoint="/v1/embeddings", completion_window=window)
    except ValidationError:
        raise typer.BadParameter(f"--window is {window!r}: give a number of hours from 1h to 168h.") from None
    with progress_bar("Checking") as progress:
        found = survey(blocks(reached, file, progress), reached.configuration)
    if found.errors:
        first = found.errors[0]
        where = f"{file}, line {first.line}" if first.line is not None else file
        more = f" ({len(found.errors) - 1} more lines are wrong)" if len(found.errors) > 1 else ""
        raise InputFileError(f"{where}: {first.message}{more}")
    model = reached.configuration.models[str(found.model)]
    wish = estimates.Wish(hours.seconds, "anywhere", backend, max_dollars)
    return found, estimates.options(model, Operation(found.endpoint), found.totals, wish)


def _followed(reached: Reached, tenant: str, batch_id: str) -> "Batch":
    return watch(lambda: (reached.batches.get(tenant, batch_id), reached.batches.dollars(batch_id)))


def _print(reached: Reached, batch: "Batch", *, as_json: bool) -> None:
    spent = reached.batches.dollars(batch.id)
    if as_json:
        out.print_json(data={**batch.model_dump(), "dollars": spent})
    else:
        show_batch(batch, spent)


def _require_completed(batch: "Batch") -> None:
    if batch.status != "completed":
        raise BatchEndedError(f"The batch {batch.id} is {batch.status}.")


def _estimate_fields(found: "Survey", options: "tuple[Option, ...]") -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "endpoint": found.endpoint,
        "model": found.model,
        **asdict(found.totals),
        "options": [option.model_dump() for option in options],
    }
