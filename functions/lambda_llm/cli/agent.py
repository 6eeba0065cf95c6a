"""`lambda-llm agent`."""

import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from lambda_llm.cli.console import JSON, err, out
from lambda_llm.errors import LambdaLLMError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lambda_llm.agent.executions import Executions
    from lambda_llm.agent.show import Entry, Timeline
    from lambda_llm.cli.agent_local import LocalService

Endpoint = Annotated[
    str | None,
    typer.Option(
        help="URL of a local durable service, as `lambda-llm agent run` prints it; default: Lambda.", show_default=False
    ),
]
Execution = Annotated[str, typer.Argument(help="ARN of the execution.", show_default=False)]
Comment = Annotated[str, typer.Option(help="Told to the agent.")]
By = Annotated[str | None, typer.Option(help="Who decides; default: the caller's ARN, or the name of this user.")]
Ask = Annotated[str | None, typer.Option(help="Which question, by its name like ask-5, where several are open.")]

POLL_SECONDS: Final = 0.5

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""Run agents, see what they do, and decide what they ask.

    An agent is a Python file with an `Agent` (docs/agents.md). On this machine it runs on a local durable service; on
    Lambda, `modules/durable-agent` deploys it.

    Example: `lambda-llm agent run examples/agent/research.py "Research the harbour report." --skip-waits`
    """,
)


class AgentCommandError(LambdaLLMError):
    """A command about an agent can't be carried out."""


@app.command()
def run(
    agent: Annotated[
        str,
        typer.Argument(
            help="FILE.py with an Agent, or FILE.py:NAME; with --function, the task alone.", show_default=False
        ),
    ],
    task: Annotated[str | None, typer.Argument(help="What the agent is to do.", show_default=False)] = None,
    *,
    inference: Annotated[
        str, typer.Option(help="URL of the model's server, for an agent on this machine.")
    ] = "http://127.0.0.1:8080/v1",
    function: Annotated[
        str | None,
        typer.Option(help="Alias of a deployed agent, NAME:ALIAS or its ARN, to run instead.", show_default=False),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Name of the execution: a second run with the same name starts nothing.", show_default=False),
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Whose state it is.", show_default=False)] = None,
    state: Annotated[Path, typer.Option(help="Folder for executions and documents on this machine.")] = Path(
        ".lambda-llm/agent"
    ),
    skip_waits: Annotated[bool, typer.Option(help="End waits at once, on this machine.")] = False,
    stream: Annotated[bool, typer.Option(help="Show the model's text as it arrives, on this machine.")] = False,
    follow: Annotated[bool, typer.Option(help="Show what it does until it ends; --no-follow prints its ARN.")] = True,
    as_json: JSON = False,
) -> None:
    """Run an agent and show what it does; questions to a human are asked here, or answered from another terminal.

    The exit status is 0 if the agent answered.

    Example: `lambda-llm agent run examples/agent/research.py "Research the harbour report." --skip-waits`
    """
    import uuid

    from lambda_llm.agent.executions import Executions

    name = name or f"run-{uuid.uuid4().hex[:12]}"
    if function is not None:
        executions = Executions()
        arn = executions.start(function, task if task is not None else agent, name, tenant)
        _shown(executions, arn, follow=follow, as_json=as_json, hint="")
        return
    if task is None:
        raise AgentCommandError("There is no task: write it behind the agent's file.")
    with _local(agent, inference, state, skip_waits=skip_waits, stream=stream and not as_json) as service:
        arn = service.start(task, name, tenant)
        _shown(service.executions, arn, follow=True, as_json=as_json, hint=f" --endpoint {service.url}")


@app.command()
def show(
    execution: Execution,
    *,
    endpoint: Endpoint = None,
    follow: Annotated[bool, typer.Option(help="Go on until it ends.")] = False,
    as_json: JSON = False,
) -> None:
    """Show one execution: every thought, call, question and wait, with times, tokens, bytes and dollars.

    Needs `lambda:GetDurableExecution` and `lambda:GetDurableExecutionHistory`. What it shows are prompts and results:
    they are in the execution's history, for as long as the function keeps it.

    Example: `lambda-llm agent show arn:aws:lambda:…:durable-execution/run-1/…`
    """
    from lambda_llm.agent.executions import Executions

    executions = Executions(endpoint)
    if follow and not as_json:
        _followed(executions, execution, ask=False)
    elif follow:
        while executions.running(execution):
            time.sleep(POLL_SECONDS)
    _printed(executions.read(execution), as_json=as_json, with_rows=not follow)


@app.command("list")
def list_executions(
    function: Annotated[
        str, typer.Argument(help="The agent's function, NAME or NAME:ALIAS; on this machine `agent`.")
    ] = "agent",
    *,
    endpoint: Endpoint = None,
    waiting: Annotated[bool, typer.Option(help="Only executions with a question that is open.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="Most executions.")] = 20,
    as_json: JSON = False,
) -> None:
    """List executions of an agent, newest first, with their open questions.

    Example: `lambda-llm agent list research:live --waiting`
    """
    from lambda_llm.agent.executions import Executions
    from lambda_llm.units import printable

    executions = Executions(endpoint)
    bare, _, qualifier = function.partition(":") if not function.startswith("arn:") else (function, "", "")
    found = []
    for one in executions.listed(bare, qualifier or None):
        # Only what runs can have a question, and reading a history takes a request.
        read = executions.read(one["DurableExecutionArn"]) if one["Status"] == "RUNNING" or not waiting else None
        if read and (read.questions or not waiting):
            found.append(read)
        if len(found) >= limit:
            break
    if as_json:
        out.print_json(data={"executions": [_brief(each) for each in found]})
        return
    for each in found:
        out.print(printable(each.arn), markup=False)
        out.print(f"  {each.began:%Y-%m-%d %H:%M} UTC  {each.status}  ${each.dollars:.6f}", style="dim", markup=False)
        for question in each.questions:
            out.print(f"  {question.name}: {printable(question.text)}", style="bold", markup=False)


@app.command()
def approve(
    execution: Execution,
    *,
    comment: Comment = "",
    content: Annotated[
        str | None, typer.Option(help="JSON by the question's schema, where a tool's server asks.", show_default=False)
    ] = None,
    question: Ask = None,
    by: By = None,
    endpoint: Endpoint = None,
    as_json: JSON = False,
) -> None:
    """Approve what an execution asks.

    Needs `lambda:SendDurableExecutionCallbackSuccess`, and what `lambda-llm agent show` needs.

    Example: `lambda-llm agent approve arn:aws:lambda:…:durable-execution/run-1/… --comment "go ahead"`
    """
    import json

    try:
        parsed = None if content is None else json.loads(content)
    except ValueError as error:
        raise AgentCommandError(f"--content is no JSON: {error}.") from error
    _decided(execution, "approve", question, by, endpoint, as_json=as_json, comment=comment, content=parsed)


@app.command()
def deny(
    execution: Execution,
    *,
    comment: Comment = "",
    question: Ask = None,
    by: By = None,
    endpoint: Endpoint = None,
    as_json: JSON = False,
) -> None:
    """Deny what an execution asks; whether that ends it is the agent's `denial`.

    Example: `lambda-llm agent deny arn:aws:lambda:…:durable-execution/run-1/… --comment "too dear"`
    """
    _decided(execution, "deny", question, by, endpoint, as_json=as_json, comment=comment, content=None)


@app.command()
def stop(
    execution: Execution,
    *,
    reason: Annotated[str, typer.Option(help="Kept in the execution's history.")] = "stopped by a human",
    endpoint: Endpoint = None,
    as_json: JSON = False,
) -> None:
    """End an execution now. What it did stays done, and what it waits for is no longer waited for.

    Needs `lambda:StopDurableExecution`.

    Example: `lambda-llm agent stop arn:aws:lambda:…:durable-execution/run-1/… --reason "wrong task"`
    """
    from lambda_llm.agent.executions import Executions

    Executions(endpoint).stop(execution, reason)
    if as_json:
        out.print_json(data={"arn": execution, "stopped": True})
    else:
        out.print(f"Stopped {execution}.", markup=False)


@contextmanager
def _local(agent: str, inference: str, state: Path, *, skip_waits: bool, stream: bool) -> "Iterator[LocalService]":
    """The local service for one run; with `stream`, the model is asked over HTTP."""
    from lambda_llm.agent.definition import find
    from lambda_llm.cli.agent_local import local_service

    with ExitStack() as opened:
        streamed = None
        if stream:
            from lambda_llm.agent.streamed import HTTPInference

            streamed = HTTPInference(inference, shown=lambda piece: out.print(piece, end="", markup=False))
            opened.callback(streamed.close)
        yield opened.enter_context(
            local_service(find(agent), inference, state, skip_waits=skip_waits, streamed=streamed)
        )


def _shown(executions: "Executions", arn: str, *, follow: bool, as_json: bool, hint: str) -> None:
    """Follow an execution that was just started; the exit status says whether it was answered."""
    if not as_json:
        err.print(f"[dim]{arn}[/]\n[dim]From another terminal: lambda-llm agent show {arn}{hint}[/]", soft_wrap=True)
    if not follow:
        if as_json:
            out.print_json(data={"arn": arn})
        else:
            out.print(arn, markup=False)
        return
    if as_json:
        while executions.running(arn):
            time.sleep(POLL_SECONDS)
    else:
        _followed(executions, arn, ask=sys.stdin.isatty())
    end = executions.read(arn)
    _printed(end, as_json=as_json, with_rows=False)
    if end.status != "answered":
        raise typer.Exit(1)


def _followed(executions: "Executions", arn: str, *, ask: bool) -> None:
    """Print each entry when it has ended, and ask what the agent asks, until the execution ends."""
    from rich.columns import Columns

    from lambda_llm.cli.agent_timeline import row

    seen: set[str] = set()
    asked: set[str] = set()
    while True:
        running = executions.running(arn)  # before the history: what ends in between is then read below
        read = executions.read(arn)
        for one in read.entries:
            if one.ended and one.name not in seen:
                seen.add(one.name)
                out.print(Columns(row(one, read.began), padding=(0, 2)))
        for question in read.questions:
            if question.callback not in asked:
                asked.add(question.callback)
                _questioned(executions, question, arn, ask=ask)
        if not running:
            return
        time.sleep(POLL_SECONDS)


def _questioned(executions: "Executions", question: "Entry", arn: str, *, ask: bool) -> None:
    from lambda_llm.units import printable

    out.print(f"\n{question.name} asks: {printable(question.text)}", markup=False, style="bold")
    if not ask:
        out.print(f"Answer it with: lambda-llm agent approve {arn}", markup=False, style="dim")
        return
    approved = typer.confirm("Approve?")
    comment = typer.prompt("Comment", default="", show_default=False)
    executions.answer(question.callback, "approve" if approved else "deny", _user(), comment)


def _printed(shown: "Timeline", *, as_json: bool, with_rows: bool) -> None:
    from lambda_llm.cli.agent_timeline import rows, summary

    if as_json:
        out.print_json(data=shown.to_json(), ensure_ascii=True)
        return
    if with_rows:
        out.print(rows(shown))
    out.print()
    out.print(summary(shown))


def _decided(
    execution: str,
    action: str,
    question: str | None,
    by: str | None,
    endpoint: str | None,
    *,
    as_json: bool,
    comment: str,
    content: object,
) -> None:
    from lambda_llm.agent.executions import Executions

    executions = Executions(endpoint)
    opened = [one for one in executions.read(execution).questions if question in {None, one.name}]
    if not opened:
        raise AgentCommandError("The execution asks nothing now: `lambda-llm agent show` says what it does.")
    if len(opened) > 1:
        names = ", ".join(one.name for one in opened)
        raise AgentCommandError(f"The execution asks several things ({names}): say which with --question.")
    decided_by = by or (_user() if endpoint else _caller())
    executions.answer(opened[0].callback, action, decided_by, comment, content)
    said = "Approved" if action == "approve" else "Denied"
    if as_json:
        out.print_json(data={"question": opened[0].name, "action": action, "by": decided_by})
    else:
        out.print(f"{said} {opened[0].name} as {decided_by}: {opened[0].text}", markup=False)


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "a user without a name"


def _caller() -> str:
    """ARN of the caller, for the execution's history."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.session import get_session

    try:
        client: Any = get_session().create_client("sts")
        return str(client.get_caller_identity()["Arn"])
    except (BotoCoreError, ClientError):
        return _user()


def _brief(one: "Timeline") -> dict[str, object]:
    questions = [{"name": asked.name, "text": asked.text} for asked in one.questions]
    return {
        "arn": one.arn,
        "name": one.name,
        "status": one.status,
        "began": one.began.isoformat(),
        "dollars": round(one.dollars, 6),
        "questions": questions,
    }
