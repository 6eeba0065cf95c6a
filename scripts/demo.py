"""Demo without an AWS account: push a model to S3, serve it from there, ask questions, print times and memory.

Then the same as on an account: Terraform applies examples/chat on a local AWS that evaluates IAM, and the deployed
function answers a question. Run it with `make demo`.
"""

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from openai import OpenAI
from rich.console import Console
from rich.table import Table

from lambda_llm.units import megabytes
from scripts import ROOT
from scripts.local_aws import deployment, terraform
from scripts.local_aws.package import LocalPackageError, local_packages
from scripts.local_aws.processes import running
from scripts.local_aws.server import LocalAWS, LocalAWSError, local_aws

MODEL: Final = ROOT / "models/demo/lambda-llm-demo.gguf"
BUCKET: Final = "lambda-llm-demo"
QUESTIONS: Final = (
    ("How much memory does the function get?", "10,240 MB"),
    ("What does SnapStart do?", "snapshot"),
)
"""Questions, and what the answers must contain."""

PROGRAMS: Final = {
    "terraform": "https://developer.hashicorp.com/terraform/install (1.9 or later)",
    "openssl": "your system's packages",
}
"""Programs that the deployment needs, and where to get them."""

out = Console(highlight=False, soft_wrap=True)


class DemoError(Exception):
    """The demo failed; the message says why."""


@dataclass(frozen=True)
class Answer:
    """One streamed answer; times in seconds."""

    text: str
    tokens: int
    to_first_token: float
    decode: float


def main() -> int:
    """Run the demo; returns the exit status, 0 if the answers are right."""
    for end in (signal.SIGTERM, signal.SIGHUP):  # like Ctrl-C: a closed terminal must leave no process behind
        signal.signal(end, signal.default_int_handler)
    try:
        with tempfile.TemporaryDirectory(prefix="lambda-llm-demo-") as folder:
            out.print("[dim]Starting a local AWS on loopback …[/]")
            with local_aws(_subfolder(folder, "served")) as aws:
                rows = _serve_and_ask(aws)
            rows |= _deploy_and_ask(_subfolder(folder, "deployed"))
            _show(rows)
            out.print("\n[bold green]All answers are right.[/] Next: README.md, from 'Your own model'.")
            return 0
    except KeyboardInterrupt:
        out.print("\n[yellow]Interrupted; everything is stopped and removed.[/]")
        return 130
    except (DemoError, LocalAWSError, LocalPackageError) as error:
        out.print(f"[bold red]The demo failed:[/] {error}")
        return 1


def _subfolder(folder: str, name: str) -> Path:
    path = Path(folder, name)
    path.mkdir()
    return path


def _serve_and_ask(aws: LocalAWS) -> dict[str, str]:
    """Run the first part; returns rows for the table."""
    environment = aws.environment
    aws.make_bucket(BUCKET)
    pushed = json.loads(_run(["push", str(MODEL), f"s3://{BUCKET}/models/demo.gguf", "--json"], environment))
    out.print(
        f"Pushed [bold]s3://{BUCKET}/models/demo.gguf[/] ({megabytes(pushed['size'])}, version {pushed['version_id']})"
    )
    pins = ["--version-id", pushed["version_id"], "--sha256", pushed["sha256"]]
    began = time.perf_counter()
    with served([f"s3://{BUCKET}/models/demo.gguf", *pins, "--port", "0"], environment) as ready:
        ready_after = time.perf_counter() - began
        out.print(f"Serving it from S3 through memory on [bold]{ready['url']}[/]; any OpenAI client can talk to it.\n")
        with OpenAI(base_url=ready["url"], api_key="unused") as client:
            answers = [_ask(client, ready["model"], question) for question, _ in QUESTIONS]
    for answer, (_, expected) in zip(answers, QUESTIONS, strict=True):
        _check(answer.text, expected)
    return _rows(ready, answers, ready_after)


def _deploy_and_ask(folder: Path) -> dict[str, str]:
    """Run the second part; returns rows for the table, none if a program is missing."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        places = "; ".join(f"{name} from {PROGRAMS[name]}" for name in missing)
        out.print(f"[yellow]Left out: the same as a deployed function.[/] To see it, install {places}.\n")
        return {}
    began = time.perf_counter()
    checkout = deployment.checkout(_subfolder(str(folder), "checkout"))
    example = checkout / "examples/chat"
    try:
        with out.status("Preparing: the functions' packages, and Terraform's AWS provider"):
            packages = local_packages()
            terraform.run(example, "init")
    except terraform.TerraformError as error:
        out.print(f"[yellow]Left out: the same as a deployed function.[/] {error}\n", markup=False)
        return {}
    out.print("Applying [bold]examples/chat[/] with Terraform on a local AWS that evaluates IAM; about a minute …")
    with local_aws(_subfolder(str(folder), "aws"), strict=True) as aws:
        environment = deployment.variables(aws, packages)
        with out.status("terraform apply") as status:
            try:
                outputs = deployment.apply(
                    example, environment, lambda kind: status.update(f"terraform apply: {kind.removeprefix('aws_')}")
                )
            except terraform.TerraformError as error:
                raise DemoError(f"Terraform could not apply examples/chat: {error}") from error
        applied_after = time.perf_counter() - began
        question, expected = QUESTIONS[0]
        command = outputs["chat"].split()[1:]
        out.print(f"[dim]$[/] {outputs['chat']} --ask [bold cyan]{question!r}[/]")
        reply = json.loads(_run([*command, "--temperature", "0", "--ask", question, "--json"], environment))
        out.print(f"{reply['answer']}\n", markup=False)
        _check(reply["answer"], expected)
    return {
        "deployed with Terraform": f"{applied_after:.0f} s",
        "first token of the deployed function": f"{reply['seconds_to_first_token'] * 1e3:.0f} ms",
    }


def _check(answer: str, expected: str) -> None:
    if expected not in answer:
        raise DemoError(f"an answer does not contain {expected!r}")


def _command(arguments: list[str]) -> list[str]:
    return [str(Path(sys.executable).with_name("lambda-llm")), *arguments]


def _run(arguments: list[str], environment: Mapping[str, str]) -> str:
    with running(_command(arguments), env=environment, stdout=subprocess.PIPE, text=True) as command:
        output, _ = command.communicate()
    if command.returncode != 0:
        raise DemoError(f"`lambda-llm {arguments[0]}` failed with status {command.returncode}")
    return str(output)


@contextmanager
def served(arguments: list[str], environment: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Run `lambda-llm serve` for the duration of the context; yields what it prints once it is ready."""
    command = _command(["serve", *arguments, "--json"])
    with running(command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True) as server:
        line = server.stdout.readline() if server.stdout else ""
        if not line:
            raise DemoError("`lambda-llm serve` exited before it was ready")
        yield json.loads(line)


def _ask(client: OpenAI, model: str, question: str) -> Answer:
    out.print(f"[bold cyan]{question}[/]")
    began = first = time.perf_counter()
    pieces: list[str] = []
    tokens = 0
    stream = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": question}],
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
    )
    for chunk in stream:
        tokens = chunk.usage.completion_tokens if chunk.usage else tokens
        if chunk.choices and chunk.choices[0].delta.content:
            first = first if pieces else time.perf_counter()
            pieces.append(chunk.choices[0].delta.content)
            out.print(pieces[-1], end="", markup=False)
    ended = time.perf_counter()
    out.print("\n")
    return Answer("".join(pieces), tokens, first - began, ended - first)


def _rows(ready: Mapping[str, Any], answers: list[Answer], ready_after: float) -> dict[str, str]:
    decoded = sum(answer.tokens - 1 for answer in answers) / sum(answer.decode for answer in answers)
    return {
        "model file": megabytes(ready["size"]),
        "download, verified by " + " and ".join(ready["checksums"]): f"{ready['download_seconds'] * 1e3:.0f} ms",
        "load into llama.cpp": f"{ready['open_seconds'] * 1e3:.0f} ms",
        "warm-up": f"{ready['warm_seconds'] * 1e3:.0f} ms",
        "start to ready, Python's imports included": f"{ready_after:.2f} s",
        "time to first token": f"{min(answer.to_first_token for answer in answers) * 1e3:.0f} ms",
        "tokens per second": f"{decoded:.0f}",
        "resident memory of the server": megabytes(ready["resident"]),
        "of which the server without a model": megabytes(ready["resident_before"]),
    }


def _show(rows: Mapping[str, str]) -> None:
    table = Table(title="What it took", title_justify="left", show_header=False, padding=(0, 2, 0, 1))
    table.add_column(justify="left")
    table.add_column(justify="right")
    for name, value in rows.items():
        table.add_row(name, value)
    out.print(table)


if __name__ == "__main__":
    sys.exit(main())
