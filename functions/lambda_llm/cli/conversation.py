"""A conversation in the terminal with any OpenAI-compatible server."""

import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx2
from openai import APIConnectionError, APIStatusError, OpenAI, OpenAIError, omit
from openai.types.chat import ChatCompletionMessageParam
from rich.markup import escape

from lambda_llm.aws.function_url import function_url_auth
from lambda_llm.cli.console import err, out
from lambda_llm.errors import LambdaLLMError
from lambda_llm.units import printable

HELP = """[bold]/reset[/] clears the conversation, [bold]/system TEXT[/] sets the system prompt, [bold]/exit[/] or \
Ctrl-D quits; Ctrl-C stops an answer."""


class ServerError(LambdaLLMError):
    """The server can't be reached or refuses the request."""


@dataclass
class Conversation:
    """The messages so far, and the server that they go to."""

    client: OpenAI
    model: str
    temperature: float | None
    system: str | None
    messages: list[ChatCompletionMessageParam] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    def ask(self, text: str, *, show: bool) -> str:
        """Send one message and print the answer as it arrives; the part of an interrupted one stays in the messages."""
        system: list[ChatCompletionMessageParam] = [{"role": "system", "content": self.system}] if self.system else []
        question: ChatCompletionMessageParam = {"role": "user", "content": text}
        pieces: list[str] = []
        began = first = time.perf_counter()
        usage = None
        try:
            stream = self.client.chat.completions.create(
                model=self.model,
                messages=[*system, *self.messages, question],
                stream=True,
                stream_options={"include_usage": True},
                temperature=omit if self.temperature is None else self.temperature,
            )
            with stream, contextlib.suppress(KeyboardInterrupt):
                for chunk in stream:
                    usage = chunk.usage or usage
                    piece = chunk.choices[0].delta.content if chunk.choices else None
                    if piece:
                        first = first if pieces else time.perf_counter()
                        pieces.append(piece)
                        if show:
                            out.file.write(printable(piece, lines=True))
                            out.file.flush()
        except OpenAIError as error:
            raise explained(error) from error
        answer = "".join(pieces)
        self.messages += [question, {"role": "assistant", "content": answer}]
        seconds = time.perf_counter() - first
        tokens = usage.completion_tokens if usage else len(pieces)
        self.figures = {
            "seconds_to_first_token": first - began,
            "tokens": tokens,
            "tokens_per_second": (tokens - 1) / seconds if seconds > 0 and tokens > 1 else None,
        }
        return answer


def explained(error: OpenAIError) -> ServerError:
    """The error as one sentence."""
    if isinstance(error, APIStatusError):
        body = error.body if isinstance(error.body, dict) else {}
        hint = (
            " Your IAM identity needs lambda:InvokeFunctionUrl and lambda:InvokeFunction."
            if error.status_code == httpx2.codes.FORBIDDEN and not body.get("code")
            else ""
        )
        return ServerError(f"The server refused ({error.status_code}): {body.get('message') or error.message}{hint}")
    if isinstance(error.__cause__, LambdaLLMError):
        return ServerError(str(error.__cause__))
    if isinstance(error, APIConnectionError):
        return ServerError(f"The server can't be reached ({error.__cause__ or error}): is it running there?")
    return ServerError(f"The server's answer can't be used: {error}")


@contextlib.contextmanager
def connected(
    url: str,
    *,
    system: str | None,
    temperature: float | None,
    key: str | None = None,
    model: str | None = None,
) -> Iterator[Conversation]:
    """Connect to the server at `url`.

    Args:
        url: of the server, its `/v1` or not.
        system: system prompt.
        temperature: None: the server's default.
        key: for a server that knows its callers by keys.
        model: one of its models, as a router has several; None: the first that it lists.

    Raises:
        ServerError: it can't be reached, refuses the request, or does not have the model.
        CredentialsError: it is a Function URL, and there are no AWS credentials.
    """
    base = url.rstrip("/").removesuffix("/v1")
    timeout = httpx2.Timeout(900, connect=10)
    with httpx2.Client(auth=function_url_auth(base), timeout=timeout) as http:
        client = OpenAI(base_url=f"{base}/v1", api_key=key or "unused", http_client=http, max_retries=0)
        try:
            names = [each.id for each in client.models.list().data]
            chosen = names[0] if model is None else model
        except OpenAIError as error:
            raise explained(error) from error
        except (AttributeError, IndexError, TypeError, ValueError) as error:  # the client does not validate responses
            raise ServerError(
                f"The response of {base}/v1/models is not a list of models: give an OpenAI-compatible server."
            ) from error
        if chosen not in names:
            raise ServerError(f"The server has no model {chosen!r}: use one of {', '.join(names)}.")
        yield Conversation(client, chosen, temperature, system)


def converse(conversation: Conversation) -> None:
    """Read questions and print answers until the user quits."""
    err.print(f"[bold]{escape(printable(conversation.model))}[/]. {HELP}")
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - importing it gives input() history and editing
    while True:
        try:
            text = input("\n> " if sys.stdin.isatty() else "").strip()
        except EOFError:
            err.print()
            return
        except KeyboardInterrupt:
            err.print("\n[dim](Ctrl-D quits)[/]")
            continue
        command, _, rest = text.partition(" ")
        if command == "/exit":
            return
        if command == "/reset":
            conversation.messages.clear()
            err.print("[dim]Conversation cleared.[/]")
        elif command == "/system":
            conversation.system = rest or None
            err.print("[dim]System prompt set.[/]" if rest else "[dim]System prompt removed.[/]")
        elif command.startswith("/"):
            err.print(HELP)
        elif text:
            _answer(conversation, text)


def _answer(conversation: Conversation, text: str) -> None:
    try:
        conversation.ask(text, show=True)
    except ServerError as error:
        err.print(printable(str(error)), style="red", markup=False)
        return
    except KeyboardInterrupt:  # before the first token
        err.print("\n[dim](stopped)[/]")
        return
    figures = conversation.figures
    rate = figures["tokens_per_second"]
    out.print()
    err.print(
        f"[dim]{figures['tokens']} tokens · first after {figures['seconds_to_first_token']:.2f} s"
        + (f" · {rate:.0f} tokens/s" if rate else "")
        + "[/]"
    )
