"""Demo of the router without an AWS account: one address for three models, wherever they run.

A model of this machine stands for a function of ours, the local AWS's Bedrock for Bedrock, and a server that has no
room for a GPU. The router sends each request where it belongs, goes on where a backend is throttled, sends what is too
long for the function to Bedrock, and stops when the tenant's budget ends. Run it with `make demo-router`.
"""

import json
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import openai
from rich.console import Console
from rich.table import Table
from rich.text import Text

from scripts.demo import MODEL, DemoError, served
from scripts.local_aws.processes import running
from scripts.local_aws.server import LocalAWS, LocalAWSError, local_aws

TABLE: Final = "llm-budgets"
BUDGET_TOKENS: Final = 6_000
QUESTION: Final = "How much memory does the function get?"
EXPECTED: Final = "10,240 MB"
LONG: Final = "A long document. " * 900
"""About 5,000 tokens by the router's estimate: more than the function's context."""

out = Console(highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class Step:
    """One request and who must answer it.

    Attributes:
        what: for people.
        model: as clients name it.
        question: that is asked.
        attempts: backends that must have been asked, as the router's header tells it.
        contains: what the answer must have.
    """

    what: str
    model: str
    question: str
    attempts: str
    contains: str = ""


STEPS: Final = (
    Step("a short question", "assistant", QUESTION, "function", EXPECTED),
    Step("a model of Bedrock", "large", "What is the capital of France?", "bedrock"),
    Step("a GPU that has no room", "gpu", QUESTION, "gpu=throttled, function", EXPECTED),
    Step("more than fits the function", "assistant", LONG, "bedrock"),
)


def main() -> int:
    """Run the demo; returns the exit status, 0 if every request went where it belongs."""
    for end in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(end, signal.default_int_handler)
    try:
        with tempfile.TemporaryDirectory(prefix="lambda-llm-demo-router-") as folder:
            _demonstrate(Path(folder))
    except KeyboardInterrupt:
        out.print("\n[yellow]Interrupted; everything is stopped and removed.[/]")
        return 130
    except (DemoError, LocalAWSError) as error:
        out.print("[bold red]The demo failed:[/]", Text(str(error)))
        return 1
    return 0


def _demonstrate(folder: Path) -> None:
    out.print("[dim]Starting a local AWS, a model's server and the router on loopback …[/]")
    (folder / "aws").mkdir()
    with (
        local_aws(folder / "aws") as aws,
        served([str(MODEL), "--port", "0"], aws.environment) as model,
        _full() as gpu,
    ):
        _make_table(aws)
        file = folder / "router.json"
        file.write_text(json.dumps(_configuration(model, gpu, aws), indent=2))
        with _router(file, aws) as router:
            out.print(f"One address: [bold]{router['url']}[/], models: {', '.join(router['models'])}\n")
            with openai.OpenAI(base_url=router["url"], api_key="unused", max_retries=0) as client:
                rows = [_asked(client, step) for step in STEPS]
                rows.append(_until_refused(client))
        _show(rows)
        _budgets(aws, file)
    out.print("\n[bold green]Every request went where it belongs.[/] Next: docs/router.md, and examples/hybrid.")


def _configuration(model: Mapping[str, Any], gpu: str, aws: LocalAWS) -> dict[str, Any]:
    """Three backends, three models, one tenant."""
    server = {"kind": "openai_http", "place": "lambda", "auth": {"kind": "none"}}
    region = aws.environment["AWS_DEFAULT_REGION"]
    return {
        "version": 1,
        "backends": {
            "function": {
                **server,
                "url": model["url"],
                "model": model["model"],
                "context": 2048,
                "price": {"prefill": 400, "decode": 30},
            },
            "bedrock": {
                "kind": "converse",
                "place": "account",
                "region": region,
                "url": aws.endpoint,
                "model": "amazon.nova-lite-v1:0",
                "context": 300_000,
                "price": {"input": 0.06, "output": 0.24},
            },
            "gpu": {
                **server,
                "place": "account",
                "url": gpu,
                "model": "llama",
                "context": 32_768,
                "price": {"hourly": 1.13, "prefill": 20_000, "decode": 1_000},
            },
        },
        "models": {
            "assistant": {"backends": ["function", "bedrock"], "max_tokens": 200},
            "large": {"backends": ["bedrock"], "max_tokens": 200},
            "gpu": {"backends": ["gpu", "function"], "max_tokens": 200},
        },
        "tenants": {"demo": {"models": ["*"], "place": "account", "day": {"tokens": BUDGET_TOKENS}}},
    }


def _make_table(aws: LocalAWS) -> None:
    """The budgets' table, as modules/router makes it."""
    with closing(aws.client("dynamodb")) as dynamodb:
        dynamodb.create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            AttributeDefinitions=[{"AttributeName": each, "AttributeType": "S"} for each in ("pk", "sk")],
            BillingMode="PAY_PER_REQUEST",
        )


@contextmanager
def _full() -> Iterator[str]:
    """A server that has no room for anybody; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(429)
            self.send_header("retry-after", "5")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def _router(file: Path, aws: LocalAWS) -> Iterator[dict[str, Any]]:
    """Run `lambda-llm router serve`; yields what it prints once it is ready."""
    command = [*_command("serve"), "--config", str(file), "--tenant", "demo", "--table", TABLE, "--port", "0", "--json"]
    with running(command, env=aws.environment, stdout=subprocess.PIPE, text=True, start_new_session=True) as server:
        line = server.stdout.readline() if server.stdout else ""
        if not line:
            raise DemoError("`lambda-llm router serve` exited before it was ready")
        yield json.loads(line)


def _command(*arguments: str) -> list[str]:
    return [str(Path(sys.executable).with_name("lambda-llm")), "router", *arguments]


def _asked(client: openai.OpenAI, step: Step) -> list[str]:
    """Ask, and return a row of the table."""
    began = perf_counter()
    try:
        raw = client.chat.completions.with_raw_response.create(
            model=step.model, messages=[{"role": "user", "content": step.question}], temperature=0
        )
    except openai.APIError as error:
        raise DemoError(f"{step.what} was not answered: {error}") from error
    seconds, answer = perf_counter() - began, raw.parse()
    attempts, text = raw.headers["x-lambda-llm-attempts"], answer.choices[0].message.content or ""
    if attempts != step.attempts:
        raise DemoError(f"{step.what} went to {attempts}, and belongs to {step.attempts}")
    if step.contains not in text or not text:
        raise DemoError(f"{step.what} was answered with {text!r}")
    tokens = answer.usage.total_tokens if answer.usage else 0
    return [step.what, step.model, attempts.replace(", ", " → "), f"{tokens:,}", f"{seconds:.2f} s", _short(text)]


def _until_refused(client: openai.OpenAI) -> list[str]:
    """Ask until the budget ends; the row of the refusal."""
    for _ in range(100):
        try:
            client.chat.completions.create(model="assistant", messages=[{"role": "user", "content": LONG}])
        except openai.RateLimitError as refused:
            if refused.code != "insufficient_quota":
                raise DemoError(f"the budget did not end: {refused}") from refused
            return ["a budget that ends", "assistant", "nobody", "0", "", _short(str((refused.body or {})["message"]))]  # type: ignore[index]
    raise DemoError("the budget never ended")


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"  # noqa: PLR2004 - of a line


def _show(rows: list[list[str]]) -> None:
    table = Table(title="Requests to one address", title_justify="left")
    for name in ("what", "model", "answered by", "tokens", "time", "answer"):
        table.add_column(name, justify="right" if name in {"tokens", "time"} else "left")
    for row in rows:
        table.add_row(*(Text(each) for each in row))
    out.print(table)


def _budgets(aws: LocalAWS, file: Path) -> None:
    out.print(f"\n[dim]$ lambda-llm router budgets --table {TABLE} --config {file.name}[/]")
    command = [*_command("budgets"), "--table", TABLE, "--config", str(file)]
    done = subprocess.run(command, env=aws.environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DemoError(f"`lambda-llm router budgets` failed: {done.stderr}")
    out.print(Text(done.stdout.rstrip()))


if __name__ == "__main__":
    sys.exit(main())
