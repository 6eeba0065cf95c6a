"""What a tool server asks of a human in the middle of a call, and how the answer gets back to it.

Both generations of the protocol ask with `elicitation/create`: the newer one ends the call with it and is called again
with the answers, the older one keeps the call open, which can't last.

Source: https://modelcontextprotocol.io/specification/2025-11-25/client/elicitation
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

import httpx2

from lambda_llm.agent.errors import ToolError
from lambda_llm.agent.tools.arguments import check_schema
from lambda_llm.agent.tools.mcp_results import clean
from lambda_llm.agent.tools.tool import Answer, Question

ROUNDS: Final = 10
"""Questions that one call may ask, one after the other."""
AT_ONCE: Final = 8
"""Questions that it may ask together."""
TEXT_CHARACTERS: Final = 2_000
"""Most of a question's text."""
STATE_BYTES: Final = 16_384
"""Most of what a server wants back with the answer."""


def question(server: str, requests: Mapping[str, Mapping[str, Any]], state: dict[str, Any]) -> Question:
    """What to ask.

    Args:
        server: its name in the agent.
        requests: parameters of `elicitation/create` by the server's keys for them.
        state: to continue the call with.

    Raises:
        ToolError: it asks too much, too often, or for what can't be asked.
    """
    if not 1 <= len(requests) <= AT_ONCE:
        raise ToolError(
            f"The tool server {server!r} asks {len(requests)} questions at once; at most {AT_ONCE} are passed on."
        )
    if state["round"] > ROUNDS:
        raise ToolError(f"The tool server {server!r} asked a human {ROUNDS} times in one call, and asks again.")
    size = len(json.dumps(state))
    if size > STATE_BYTES:
        raise ToolError(
            f"The tool server {server!r} wants {size:,} bytes kept while a human answers; at most {STATE_BYTES:,} are."
        )
    texts = [_text(server, request) for request in requests.values()]
    schemas = {key: _schema(server, request) for key, request in requests.items()}
    if len(requests) == 1:
        schema = next(iter(schemas.values()))
    else:
        forms = {key: each for key, each in schemas.items() if each is not None}
        schema = {"type": "object", "properties": forms, "required": list(forms)} if forms else None
    return Question(f"The tool server {server!r} asks: " + "\n\n".join(texts), schema, state)


def responses(requests: list[str], urls: list[str], answer: Answer) -> dict[str, dict[str, Any]]:
    """An answer as `ElicitResult`s.

    Args:
        requests: the server's keys for its questions.
        urls: those of them that wanted a page opened, which take no content.
        answer: of a human.
    """
    found: dict[str, dict[str, Any]] = {}
    for key in requests:
        found[key] = {"action": answer.action}
        if answer.action == "accept" and key not in urls:
            content = answer.content if isinstance(answer.content, Mapping) else {}
            found[key]["content"] = dict(content if len(requests) == 1 else content.get(key) or {})
    return found


def fingerprint(request: Mapping[str, Any]) -> str:
    """Tells a question from another one, when the call that asked it is made again."""
    asked = {name: request.get(name) for name in ("mode", "message", "requestedSchema")}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def is_url(request: Mapping[str, Any]) -> bool:
    """Whether a page is to be opened."""
    return request.get("mode") == "url"


def _text(server: str, request: Mapping[str, Any]) -> str:
    text = clean(request.get("message", ""), TEXT_CHARACTERS)
    if not is_url(request):
        return text
    try:
        url = httpx2.URL(str(request.get("url")))
        host = url.raw_host.decode("ascii")
    except (httpx2.InvalidURL, UnicodeDecodeError, ValueError):
        raise ToolError(f"The tool server {server!r} asks a human to open what is no address.") from None
    address = str(url)
    if url.scheme != "https" or not host or url.userinfo or len(address) > TEXT_CHARACTERS or not address.isprintable():
        raise ToolError(f"The tool server {server!r} asks a human to open an address that is not plain https://.")
    return (
        f"{text}\nIt wants a page opened at the host {host}; open it only if you trust that host, "
        f"and accept when you are done there: {address}"
    )


def _schema(server: str, request: Mapping[str, Any]) -> Mapping[str, Any] | None:
    if is_url(request):
        return None
    schema: Mapping[str, Any] = request.get("requestedSchema") or {"type": "object"}
    try:
        check_schema(schema)
    except ToolError as error:
        raise ToolError(f"The tool server {server!r} asks a human with a form that can't be used: {error}") from None
    return schema
