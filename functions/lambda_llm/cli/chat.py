"""`lambda-llm chat`."""

from typing import Annotated

import typer

from lambda_llm.cli.console import JSON, out


def chat(
    url: Annotated[
        str, typer.Argument(help="URL of the server, or a Lambda Function URL.")
    ] = "http://127.0.0.1:8080/v1",
    *,
    ask: Annotated[str | None, typer.Option(help="Ask one question, print the answer, and exit.")] = None,
    model: Annotated[
        str | None,
        typer.Option(help="One of the server's models; default: the first that it lists.", show_default=False),
    ] = None,
    system: Annotated[str | None, typer.Option(help="System prompt.")] = None,
    temperature: Annotated[float | None, typer.Option(min=0, max=2, help="0: always the most likely token.")] = None,
    key: Annotated[
        str | None,
        typer.Option(
            envvar="LAMBDA_LLM_KEY", help="Key of `lambda-llm keys create`, for a front door.", show_default=False
        ),
    ] = None,
    as_json: JSON = False,
) -> None:
    """Talk to a model in the terminal, streamed, with token counts and rates after each answer.

    Requests to a Function URL (`https://….lambda-url.REGION.on.aws`) are signed with your AWS credentials. A front door
    takes a key: set LAMBDA_LLM_KEY, as arguments are visible to others on the machine.

    Example: `lambda-llm chat --ask "How much memory does the function get?"`
    """
    from lambda_llm.cli.conversation import connected, converse

    with connected(url, system=system, temperature=temperature, key=key, model=model) as conversation:
        if ask is None:
            converse(conversation)
            return
        answer = conversation.ask(ask, show=not as_json)
        if as_json:
            # ASCII: a terminal would obey some characters.
            figures = conversation.figures
            out.print_json(data={"model": conversation.model, "answer": answer, **figures}, ensure_ascii=True)
        else:
            out.print()
