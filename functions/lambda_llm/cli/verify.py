"""`lambda-llm verify`."""

from typing import Annotated

import typer

from lambda_llm.cli.console import JSON, URL, Function, Region, check_url, err, out, steps_bar


def verify(
    url: URL,
    *,
    function: Function = None,
    region: Region = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print a Markdown block for docs/verified.md instead of the table.")
    ] = False,
    as_json: JSON = False,
) -> None:
    """Ask a deployment whether it is right: SnapStart, alias, streaming, restore, role, and who is refused.

    Requests are signed with your AWS credentials, which also read the function's configuration, role and log. Nothing
    is changed. What the credentials may not read, or what is not there with `lambda-llm serve`, can't be known here.
    Exit status 0: nothing is wrong; 1: something is.

    Example: `lambda-llm verify https://abc123.lambda-url.eu-central-1.on.aws --markdown`
    """
    from lambda_llm.cli.probes.deployment import connected
    from lambda_llm.cli.probes.every import PROBES
    from lambda_llm.cli.probes.report import as_json as in_json
    from lambda_llm.cli.probes.report import as_markdown, as_table, total
    from lambda_llm.cost import prices

    if markdown and as_json:
        raise typer.BadParameter("--json and --markdown exclude each other: choose one.")
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
        if as_json:
            out.print_json(data=in_json(deployment, findings), ensure_ascii=True)
        elif markdown:
            out.print(as_markdown(deployment, findings), markup=False)
        else:
            out.print(as_table(findings))
            out.print(total(findings), style="bold")
    if any(finding.outcome == "wrong" for _, finding in findings):
        raise typer.Exit(1)
