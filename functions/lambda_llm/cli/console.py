"""Shared by the commands: consoles, progress bar, options."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lambda_llm.errors import LambdaLLMError
from lambda_llm.units import printable

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

JSON = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text, for scripts.")]
VersionId = Annotated[str | None, typer.Option(help="Version of the S3 object; default: the newest.")]
SHA256 = Annotated[str | None, typer.Option(help="Expected SHA-256 of the model, in hex.")]
Context = Annotated[int | None, typer.Option(help="Context length in tokens, prompt and answer together.")]
KV = Annotated[str | None, typer.Option(help="Type of the KV cache: f16, or q8_0 at about half the memory.")]
Placement = Annotated[
    str | None,
    typer.Option(help="Placement of the weights: copied (fastest), mapped (least memory), or auto."),
]
AllowHost = Annotated[
    list[str],
    typer.Option(
        help="Further name by which clients reach this server, as a request's Host has it; * for any. Others are "
        "refused, as they may be web pages."
    ),
]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")]
Memory = Annotated[int | None, typer.Option(help="Memory limit in MB; default: what is free.")]
URL = Annotated[
    str,
    typer.Argument(help="The Function URL, or that of `lambda-llm serve`; with or without /v1.", show_default=False),
]
Region = Annotated[
    str | None, typer.Option(help="Region of the function, where URL is a custom domain in front of it.")
]
Function = Annotated[
    str | None, typer.Option(help="Name or ARN of the function; default: as its /health says.", show_default=False)
]

Verified = Annotated[
    Path | None,
    typer.Option(help="Seconds of a restore from `lambda-llm verify URL --json`.", show_default=False),
]


class PortError(LambdaLLMError):
    """The port can't be listened on."""


@contextmanager
def listening(host: str, port: int) -> Iterator[tuple[socket.socket, str]]:
    """Listen on a port; yields the socket, and the URL for clients.

    Raises:
        PortError: the port is in use, or the address is not one of this machine.
    """
    try:
        bound = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise PortError(f"{host}:{port} can't be listened on ({error.strerror}): choose another --port.") from error
    with bound:
        # Accepted connections inherit it. asyncio sets it only on sockets that name their protocol, which this one does
        # not: headers and body are two segments, and the second would wait 40 ms for the client's acknowledgement.
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        name = f"[{host}]" if ":" in host else host
        yield bound, f"http://{name}:{bound.getsockname()[1]}"


def print_error(sentence: str) -> None:
    """Print one sentence to standard error."""
    err.print("[bold red]Error:[/] ", end="")
    err.print(printable(sentence), markup=False, soft_wrap=True)


def check_url(url: str) -> None:
    """Refuse what is no URL.

    Raises:
        typer.BadParameter: exit status 2.
    """
    import httpx2

    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        parsed = httpx2.URL()
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise typer.BadParameter(
            f"{url!r} is not a URL: give the Function URL, https://….lambda-url.REGION.on.aws, or a server's."
        )


@contextmanager
def steps_bar(what: str, steps: int) -> Iterator[Callable[[], None]]:
    """A progress bar of a few steps, on a terminal only; yields a function that is called after each."""
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task(escape(printable(what)), total=steps)
        yield lambda: bar.advance(task)


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar, on a terminal only; yields a function that takes the bytes done and in total."""
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
