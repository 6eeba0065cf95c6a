"""Demo of a durable agent without an AWS account: it reads, computes, asks, waits three days, and answers.

A document lies in the S3 of a local AWS; a real MCP server reads it; the demo model decides, behind its own server;
code runs isolated; AWS's local runner keeps the execution, and skips the three days. Run it with `make demo-agent`.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lambda_llm.agent.definition import find
from lambda_llm.agent.errors import SandboxUnavailableError
from lambda_llm.agent.show import Timeline
from lambda_llm.agent.store import S3Store
from lambda_llm.agent.tools.code.local import LocalBackend
from lambda_llm.cli.agent_local import LocalService, local_service
from lambda_llm.cli.agent_timeline import duration, rows
from lambda_llm.errors import LambdaLLMError
from scripts import ROOT
from scripts.demo import MODEL, DemoError, served
from scripts.local_aws.processes import running
from scripts.local_aws.server import LocalAWS, LocalAWSError, local_aws

BUCKET: Final = "lambda-llm-agent"
AGENT: Final = ROOT / "examples/agent/research.py"
DOCUMENT: Final = "The harbour had 120 visitors in 3 days."
TASK: Final = "Read the report about the harbour, {numbers}ask for approval, wait 3 days, then tell me the result."
ANSWERS: Final = {True: "The harbour had 40 visitors a day.", False: DOCUMENT}
"""The right answer, by whether code could be run."""

WAIT_SECONDS: Final = 3 * 24 * 60 * 60
END_SECONDS: Final = 180

out = Console(highlight=False, soft_wrap=True)


def main() -> int:
    """Run the demo; returns the exit status, 0 if the answer is right."""
    for end in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(end, signal.default_int_handler)
    try:
        with tempfile.TemporaryDirectory(prefix="lambda-llm-demo-agent-") as folder:
            _demonstrate(Path(folder))
    except KeyboardInterrupt:
        out.print("\n[yellow]Interrupted; everything is stopped and removed.[/]")
        return 130
    except (DemoError, LocalAWSError, LambdaLLMError) as error:
        out.print("[bold red]The demo failed:[/]", Text(str(error)))
        return 1
    return 0


def _demonstrate(folder: Path) -> None:
    isolated = _isolated()
    out.print("[dim]Starting a local AWS, the model's server and a server of tools on loopback …[/]")
    (folder / "aws").mkdir()
    with local_aws(folder / "aws") as aws:
        aws.make_bucket(BUCKET)
        aws.client("s3").put_object(Bucket=BUCKET, Key="harbour.txt", Body=DOCUMENT.encode())
        with served([str(MODEL), "--port", "0"], aws.environment) as model, _documents(aws) as tools:
            os.environ |= {
                "RESEARCH_TOOLS": tools,
                "RESEARCH_CODE": "local" if isolated else "none",
                "RESEARCH_MODEL": model["model"],
            }
            store = aws.client("s3")
            with local_service(
                find(str(AGENT)),
                model["url"],
                folder,
                skip_waits=True,
                store=lambda tenant: S3Store(f"s3://{BUCKET}/state/", tenant, store),
            ) as service:
                shown = _run(service, isolated=isolated)
    _judge(shown, isolated=isolated)


def _isolated() -> bool:
    """Whether code can be run here without danger; the agent does without it otherwise."""
    try:
        LocalBackend()
    except SandboxUnavailableError as error:
        out.print("[yellow]Left out: code.[/]", Text(str(error)))
        return False
    return True


@contextmanager
def _documents(aws: LocalAWS) -> Iterator[str]:
    """Run the server of tools; yields its address."""
    command = [sys.executable, "-m", "scripts.demo_documents", BUCKET]
    environment: Mapping[str, str] = {**aws.environment, "PYTHONPATH": str(ROOT)}
    with running(command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True) as server:
        line = server.stdout.readline() if server.stdout else ""
        if not line:
            raise DemoError("the server of tools exited before it was ready")
        yield line.strip()


def _run(service: LocalService, *, isolated: bool) -> Timeline:
    """Run the agent and answer what it asks, as a human would."""
    task = TASK.format(numbers="run the numbers, " if isolated else "")
    out.print(f"\nTask: [bold cyan]{task}[/]\n")
    arn = service.start(task, "demo-agent")
    answered: set[str] = set()
    end = time.monotonic() + END_SECONDS
    while service.executions.running(arn):
        for question in service.executions.read(arn).questions:
            if question.callback not in answered:
                answered.add(question.callback)
                out.print("The agent asks:", Text(question.text), style="bold")
                out.print(f"[dim]$ lambda-llm agent approve {arn} --endpoint {service.url}[/]\n")
                service.executions.answer(question.callback, "approve", by="demo")
        if time.monotonic() > end:
            raise DemoError(f"the agent did not end within {END_SECONDS} seconds")
        time.sleep(0.2)
    return service.executions.read(arn)


def _judge(shown: Timeline, *, isolated: bool) -> None:
    out.print(rows(shown))
    out.print()
    out.print(_costs(shown))
    if shown.answer != ANSWERS[isolated]:
        raise DemoError(f"the agent ended as {shown.status} with {shown.answer!r}, not with {ANSWERS[isolated]!r}")
    if shown.suspended_seconds < WAIT_SECONDS:
        raise DemoError(f"the agent waited {shown.suspended_seconds:.0f} seconds, not three days")
    out.print(f"\nAnswer: [bold green]{shown.answer}[/]")
    out.print("Next: docs/agents.md, and examples/agent to deploy it.")


def _costs(shown: Timeline) -> Table:
    table = Table(title="What it took", title_justify="left", show_header=False, padding=(0, 2, 0, 1))
    table.add_column(justify="left")
    table.add_column(justify="right")
    values: dict[str, Any] = {
        "durable operations": f"{shown.operations}",
        "bytes written": f"{shown.bytes:,}",
        "tokens": f"{shown.tokens:,}",
        "invocations of the agent": f"{shown.invocations}",
        "of which billed": duration(shown.billed_seconds),
        "suspended, for free": duration(shown.suspended_seconds),
        "estimate": f"${shown.dollars:.6f}",
    }
    for name, value in values.items():
        table.add_row(name, value)
    return table


if __name__ == "__main__":
    sys.exit(main())
