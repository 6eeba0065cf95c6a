"""The application of the command line: its commands and options.

A command's file imports only what its options need at the top, and the rest when the command runs: help and completion
stay fast.
"""

import sys
from typing import Annotated

import typer

from lambda_llm import __version__
from lambda_llm.cli import (
    agent,
    batch,
    bench,
    chat,
    cost,
    inspect,
    keys,
    package,
    proxy,
    push,
    router,
    serve,
    simulate,
    tenant,
    usage,
    verify,
    versions,
)
from lambda_llm.cli.console import out, print_error
from lambda_llm.errors import LambdaLLMError

app = typer.Typer(
    name="lambda-llm",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="""Run open-weight language models (GGUF) on AWS Lambda, and on this machine the same way.

    A MODEL is `s3://bucket/key`, `file:///path` or a path. Every setting of the server can also be given as an
    environment variable `LAMBDA_LLM_…`, as on Lambda.

    **Getting started**

    - `lambda-llm inspect model.gguf` - will it fit?

    - `lambda-llm push model.gguf s3://bucket/models/model.gguf`

    - `lambda-llm serve s3://bucket/models/model.gguf`

    - `lambda-llm chat`

    - `lambda-llm proxy https://….lambda-url.REGION.on.aws` - the function, for any tool

    - `lambda-llm verify https://….lambda-url.REGION.on.aws` - is it right?

    - `lambda-llm cost --requests-per-day 2000` - is Lambda right for it?

    - `lambda-llm simulate --requests-per-day 20000` - who will wait?
    """,
)
for _command in (
    serve.serve,
    chat.chat,
    proxy.proxy,
    verify.verify,
    bench.bench,
    simulate.simulate,
    push.push,
    inspect.inspect,
    package.package,
    versions.versions,
    usage.usage,
):
    app.command(no_args_is_help=_command not in {chat.chat, package.package})(_command)
app.add_typer(agent.app, name="agent")
app.add_typer(batch.app, name="batch")
app.add_typer(cost.app, name="cost")
app.add_typer(keys.app, name="keys")
app.add_typer(router.app, name="router")
app.add_typer(tenant.app, name="tenant")


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - as typer calls it
    if wanted:
        out.print(f"lambda-llm {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options of the command line itself."""


def run() -> None:
    """Run the command line; a `LambdaLLMError` becomes one sentence on standard error and exit status 1."""
    try:
        app()
    except LambdaLLMError as error:
        print_error(str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
