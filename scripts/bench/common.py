"""Shared parts of this folder's command lines: options, the model, the progress bar, output."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

console = Console(stderr=True, highlight=False)

ModelFile = Annotated[Path | None, typer.Argument(help="A GGUF file.", show_default=False)]
Synthesize = Annotated[str | None, typer.Option(metavar="SHAPE:QUANT", help="A model of random weights instead.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Threads; default: this machine's CPUs.")]
AsJSON = Annotated[bool, typer.Option("--json", help="Print everything as one JSON object.")]
Markdown = Annotated[bool, typer.Option("--markdown", help="Print tables as Markdown, for the docs.")]
Show = Annotated[Path | None, typer.Option(help="Measure nothing; print the tables of an earlier --json.")]
Figure = Annotated[Path | None, typer.Option(help="Also draw the result into this file (.svg, .png).")]


def synthesized(wanted: str) -> Path:
    """Return a model of random weights, written unless it exists.

    Args:
        wanted: SHAPE:QUANT, such as llama-3.2-1b:Q4_0.

    Raises:
        typer.BadParameter: there is no such model, or a file needed to build it is missing.
    """
    from scripts.models.synthesize import DEFAULT_FOLDER, SHAPES, synthesize  # noqa: PLC0415 - needs gguf and NumPy

    shape, _, mix = wanted.partition(":")
    if shape not in SHAPES or not mix:
        raise typer.BadParameter(f"SHAPE:QUANT with SHAPE one of {', '.join(SHAPES)}", param_hint="--synthesize")
    path = DEFAULT_FOLDER / f"{shape}-{mix}.gguf"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part")
        with console.status(f"writing {path.name}"):
            try:
                synthesize(SHAPES[shape], mix, unfinished)
            except ValueError as error:
                raise typer.BadParameter(str(error), param_hint="--synthesize") from error
            except FileNotFoundError as error:
                raise typer.BadParameter(
                    f"{error.filename} is missing: run `make build`", param_hint="--synthesize"
                ) from error
        unfinished.rename(path)
    return path


def named(model: Path | str | None, synthesize: str | None) -> Path | str:
    """Return the one model that a command line names.

    Args:
        model: its path or URI, or None.
        synthesize: see `synthesized`, or None.

    Raises:
        typer.BadParameter: both or neither are given; see also `synthesized`.
    """
    if (model is None) is (synthesize is None):
        raise typer.BadParameter("name a model, or use --synthesize SHAPE:QUANT", param_hint="MODEL")
    return model or synthesized(synthesize or "")


def command_line(main: Callable[..., None], text: str) -> typer.Typer:
    """Return the application of one command whose `--help` is `text`, in rich's markup."""
    app = typer.Typer(rich_markup_mode="rich", add_completion=False, pretty_exceptions_enable=False)
    app.command(help=text)(main)
    return app


@contextmanager
def ended_by(error: type[Exception]) -> Iterator[None]:
    """Print such an error as one sentence and exit with status 1."""
    try:
        yield
    except error as raised:
        console.print(f"[bold red]Error:[/] {escape(str(raised))}", soft_wrap=True)
        raise typer.Exit(1) from None


def printer(*, markdown: bool) -> Console:
    """Return the console for results; outside a terminal rows are never wrapped."""
    out = Console(highlight=False)
    if markdown or not out.is_terminal:
        out.width = 10_000
    return out


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[Callable[[str], None]]:
    """Show a progress bar; yields a function to call after each step with a short description.

    Args:
        what: title, in rich's markup.
        total: number of steps.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda step: bar.update(task, advance=1, description=f"{what}: {step}")
