"""What a failed call of a tool server means: a sentence, and whether the tool may have acted nonetheless.

It may have, once the server could read the request that calls the tool, unless it says that it refused: with a status
of 300 to 499, or with an error of JSON-RPC. A lost connection, silence, a status of 500 or more (a proxy's, often) and
an answer that can't be read say nothing about it.
"""

from http import HTTPStatus
from typing import Final

import httpx2

from lambda_llm.agent.errors import AgentDefinitionError, AgentError, ToolError
from lambda_llm.agent.tools.mcp_results import clean
from lambda_llm.agent.tools.mcp_transport import Exchange, Guard
from lambda_llm.agent.tools.tool import Effects
from lambda_llm.errors import LambdaLLMError

SAID_CHARACTERS: Final = 500
"""Most of what a server says about an error."""

_TYPES: Final = {"application/json", "text/event-stream"}
_STATUSES: Final = {each.value: each.phrase for each in HTTPStatus}
_OF_THE_CLIENT: Final = {"Server returned an error response", "Not Found", "Session terminated"}
"""What the client says where a server gave a status alone."""


def failed(server: str, failure: BaseException | None, guard: Guard, seconds: float, effects: Effects) -> AgentError:
    """A failure as an error for the model, or for whoever configures the agent.

    Args:
        server: begins the sentence: "The tool server 'name'".
        failure: None: the guard refused what came.
        guard: of the call.
        seconds: that it might take.
        effects: of the tool.
    """
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    maybe = guard.call.sent and effects is not Effects.NONE
    exchange = guard.call if guard.call.sent else guard.refused or Exchange()
    status = exchange.status or 0
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
        maybe = False
    if guard.refusal is not None:
        return ToolError(f"{server} {guard.refusal}", unknown=maybe)
    if isinstance(failure, LambdaLLMError):
        return _own(server, failure, unknown=maybe)
    if isinstance(failure, TimeoutError):
        return ToolError(f"{server} did not answer within {seconds:g} seconds.", unknown=maybe, retriable=True)
    if isinstance(failure, httpx2.TransportError):
        what = "cut the connection" if guard.call.sent else "can't be reached"
        return ToolError(f"{server} {what} ({type(failure).__name__}).", unknown=maybe, retriable=True)
    if status >= HTTPStatus.MULTIPLE_CHOICES:
        return _refused(server, exchange, failure, unknown=maybe)
    return _answered(server, exchange, failure, unknown=maybe)


def _own(server: str, failure: LambdaLLMError, *, unknown: bool) -> AgentError:
    """What this package raised; sentences that begin in the middle continue the server's name."""
    text = str(failure)
    if text[:1].islower():
        if isinstance(failure, AgentDefinitionError):
            return AgentDefinitionError(f"{server} {text}")
        return ToolError(f"{server} {text}", unknown=unknown and getattr(failure, "unknown", False))
    return failure if isinstance(failure, AgentError) else ToolError(text)


def _refused(server: str, exchange: Exchange, failure: BaseException | None, *, unknown: bool) -> ToolError:
    status, after = exchange.status or 0, exchange.retry_after or ""
    said = clean(getattr(failure, "message", ""), SAID_CHARACTERS)
    if status < HTTPStatus.BAD_REQUEST:
        said = "redirects to another origin are not followed"
    elif said in _OF_THE_CLIENT:
        said = ""
    late = status in {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}
    return ToolError(
        f"{server} answered {status} ({_STATUSES.get(status, 'no known status')})"
        + (f"; Retry-After: {after}" if after else "")
        + (f": {said}" if said else "")
        + ("" if said.endswith(".") else "."),
        unknown=unknown,
        retriable=late or status >= HTTPStatus.INTERNAL_SERVER_ERROR,
        retry_after=float(after) if after.isdecimal() else None,
    )


def _answered(server: str, exchange: Exchange, failure: BaseException | None, *, unknown: bool) -> ToolError:
    from mcp import MCPError  # noqa: PLC0415 - it is loaded, as it raised this
    from mcp.types import CONNECTION_CLOSED, PARSE_ERROR  # noqa: PLC0415

    if not isinstance(failure, MCPError):
        return ToolError(f"{server} answered against the protocol ({type(failure).__name__}).", unknown=unknown)
    if exchange.status == HTTPStatus.ACCEPTED or (exchange.status and exchange.content_type not in _TYPES):
        kind = clean(exchange.content_type or "no type", 100)
        return ToolError(f"{server} answered {exchange.status} with {kind!r}, not with JSON.", unknown=unknown)
    if failure.code in {CONNECTION_CLOSED, PARSE_ERROR}:  # the client's own: no answer, or none that it understood
        sentence = f"{server} gave no answer that can be read: it ended early, or is no message of the protocol."
        return ToolError(sentence, unknown=unknown, retriable=True)
    return ToolError(f"{server} refused ({failure.code}): {clean(failure.message, SAID_CHARACTERS)}")
