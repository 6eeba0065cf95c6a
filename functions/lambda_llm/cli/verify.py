"""`lambda-llm verify`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lambda_llm.cli.console import JSON, Function, Region, check_url, err, out, steps_bar

if TYPE_CHECKING:
    from lambda_llm.cli.probes.report import Findings, Subject


def verify(
    url: Annotated[
        str | None,
        typer.Argument(
            help="The Function URL, or that of `lambda-llm serve`; with or without /v1. Left out with --backend.",
            show_default=False,
        ),
    ] = None,
    *,
    function: Function = None,
    region: Region = None,
    backend: Annotated[
        str | None,
        typer.Option(help="Instead of a URL: name of a backend in the router's configuration.", show_default=False),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="The router's configuration, in YAML or JSON.", show_default=False),
    ] = None,
    wait_seconds: Annotated[
        float, typer.Option(min=0, help="How long a backend may take to wake that has scaled to zero.")
    ] = 1800.0,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print a Markdown block for docs/verified.md instead of the table.")
    ] = False,
    as_json: JSON = False,
) -> None:
    """Ask a deployment whether it is right: SnapStart, alias, streaming, restore, role, and who is refused.

    Requests are signed with your AWS credentials, which also read the function's configuration, role and log. Nothing
    is changed. What the credentials may not read, or what is not there with `lambda-llm serve`, can't be known here.
    With --backend a backend of the router is asked instead, of any kind: whether it answers and how it wakes, streams,
    says what answers took, keeps to their limit, and refuses strangers. Exit status 0: nothing is wrong; 1: something
    is.

    Example: `lambda-llm verify https://abc123.lambda-url.eu-central-1.on.aws --markdown`

    Example: `lambda-llm verify --backend gpu --config router.yaml`
    """
    if markdown and as_json:
        raise typer.BadParameter("--json and --markdown exclude each other: choose one.")
    if backend is not None and config is not None and url is function is region is None:
        subject, found = _of_backend(backend, config, wait_seconds)
    elif url is not None and backend is None and config is None:
        subject, found = _of_deployment(url, region, function)
    else:
        raise typer.BadParameter("give a URL, or --backend and --config, and --function or --region with a URL only.")
    _print(subject, found, markdown=markdown, as_json=as_json)
    if any(finding.outcome == "wrong" for _, finding in found):
        raise typer.Exit(1)


def _of_deployment(url: str, region: str | None, function: str | None) -> "tuple[Subject, Findings]":
    from lambda_llm.cli.probes.deployment import connected
    from lambda_llm.cli.probes.every import PROBES
    from lambda_llm.cost import prices

    check_url(url)
    with connected(url, region, function) as deployment:
        model = deployment.health["model"]
        requests, restores, tokens = (
            sum(getattr(probe, name) for probe in PROBES) for name in ("requests", "restores", "tokens")
        )
        if deployment.region:
            err.print(
                f"Sends {requests} requests at most, with {tokens:,} tokens of answers, and may restore "
                f"{restores + 1} environments at ${prices.restore():.4f} each; answering costs "
                f"${prices.busy(60):.4f} a minute."
            )
        findings = []
        with steps_bar(f"Asking {model}", len(PROBES)) as done:
            for probe in PROBES:
                findings.append((probe, probe.run(deployment)))
                done()
        return deployment, findings


def _of_backend(name: str, config: Path, wait_seconds: float) -> "tuple[Subject, Findings]":
    from lambda_llm.cli.probes.backend import PROBES, BackendUnderTest, findings
    from lambda_llm.router.config import parse
    from lambda_llm.router.source import FileSource

    asked = BackendUnderTest(name, parse(FileSource(config).read() or b""), wait_seconds)
    err.print(f"Sends short requests to the backend, and wakes it if it sleeps: up to {wait_seconds:g} s.")
    with steps_bar(f"Asking {name}", len(PROBES)) as done:
        return asked, findings(asked, done)


def _print(subject: "Subject", found: "Findings", *, markdown: bool, as_json: bool) -> None:
    from lambda_llm.cli.probes.report import as_json as in_json
    from lambda_llm.cli.probes.report import as_markdown, as_table, total

    if as_json:
        out.print_json(data=in_json(subject, found), ensure_ascii=True)
    elif markdown:
        out.print(as_markdown(subject, found), markup=False)
    else:
        out.print(as_table(found))
        out.print(total(found), style="bold")
