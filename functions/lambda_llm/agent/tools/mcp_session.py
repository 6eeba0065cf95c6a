"""The one file that imports the MCP client, which takes a second: `mcp.py` imports it when a server is called.

Source: https://github.com/modelcontextprotocol/python-sdk (2.x)
"""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import chain, repeat
from typing import Any, Final, Literal

import anyio
import httpx2
from mcp import ClientSession, MCPError
from mcp import types as mcp_types
from mcp.client.session import ClientRequestContext
from mcp.client.streamable_http import streamable_http_client
from pydantic import ValidationError

import lambda_llm
from lambda_llm.agent.errors import AgentDefinitionError, ToolError
from lambda_llm.agent.tools.mcp_questions import fingerprint
from lambda_llm.agent.tools.mcp_transport import Guard

EVENT_BYTES: Final = 1024 * 1024
"""Most of one event of a stream."""
PAGES: Final = 20
"""Most pages of a server's list of tools."""
TOOLS: Final = 1_000
"""Most tools in it."""
KEY: Final = "lambda-llm/idempotency-key"
"""Under this name in `_meta` a server gets `CallContext.key`: the same for every attempt at one call."""

_FINAL: Final = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS}
_POLLS: Final = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Seconds until a server that asked for time is asked again; the last one from then on."""

# The client logs messages as they come and go: arguments, results, session ids.
for _name in ("mcp", "client"):
    logging.getLogger(_name).setLevel(logging.CRITICAL + 1)


@dataclass
class Elicitations:
    """Answers the questions of the older protocol, which keeps a call open while it asks.

    Attributes:
        again: whether the call may be made again: its question then ends it, and is answered in the next attempt.
        answers: `ElicitResult`s by the fingerprint of their question.
        asked: a question that has no answer.
        told_to_cancel: whether a question was answered with "cancel", because the call may not be made again.
        calling: the call.
    """

    again: bool
    answers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    asked: dict[str, Any] | None = None
    told_to_cancel: bool = False
    calling: anyio.CancelScope | None = None

    async def __call__(
        self, context: ClientRequestContext, params: mcp_types.ElicitRequestParams
    ) -> mcp_types.ElicitResult | mcp_types.ErrorData:
        """Answer one."""
        del context
        request = params.model_dump(mode="json", by_alias=True, exclude_none=True)
        answer = self.answers.get(fingerprint(request))
        if answer is not None:
            return mcp_types.ElicitResult.model_validate(answer)
        if self.again and self.calling is not None and self.asked is None:
            self.asked = request
            self.calling.cancel()
            await anyio.sleep_forever()
        self.told_to_cancel = True
        return mcp_types.ElicitResult(action="cancel")


@dataclass(frozen=True)
class Paused:
    """A call that waits for a human.

    Attributes:
        requests: parameters of `elicitation/create` by the server's keys.
        request_state: that the server wants back.
        open: whether the older protocol asked.
        first: whether it asked before it ran the call, which it does not run until a page was opened.
    """

    requests: dict[str, dict[str, Any]]
    request_state: str | None = None
    open: bool = False
    first: bool = False


class _Session(ClientSession):
    async def validate_tool_result(self, name: str, result: mcp_types.CallToolResult) -> None:
        """Not by the server's schema: its regular expressions would run here, and they may never end."""


@asynccontextmanager
async def connected(
    url: str,
    guard: Guard,
    auth: httpx2.Auth | None,
    protocol: Literal["auto", "legacy", "2026-07-28"],
    elicitations: Elicitations,
) -> AsyncIterator[ClientSession]:
    """A session of the generation that the server speaks."""
    async with (
        httpx2.AsyncClient(transport=guard, auth=auth, timeout=None, trust_env=False) as client,
        streamable_http_client(url, http_client=client, max_sse_event_size=EVENT_BYTES) as (read, write),
        _Session(
            read,
            write,
            elicitation_callback=elicitations,
            client_info=mcp_types.Implementation(name="lambda-llm", version=lambda_llm.__version__),
        ) as session,
    ):
        await _agree(session, protocol, guard)
        yield session


async def _agree(session: ClientSession, protocol: str, guard: Guard) -> None:
    if protocol != "legacy":
        try:
            await session.discover()
        except (MCPError, RuntimeError, ValidationError):
            refused = guard.refused.status if guard.refused else None
            redirected = refused is not None and refused < HTTPStatus.BAD_REQUEST
            if protocol != "auto" or refused in _FINAL or redirected:
                raise
            guard.refused = None
        else:
            return
    await session.initialize()


async def tools(session: ClientSession) -> list[dict[str, Any]]:
    """Every tool of the server, as plain JSON.

    Raises:
        AgentDefinitionError: its list does not end; the text continues "The tool server 'name' …".
    """
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    for _ in range(PAGES):
        page = await session.list_tools(params=mcp_types.PaginatedRequestParams(cursor=cursor) if cursor else None)
        found += [tool.model_dump(mode="json", by_alias=True, exclude_unset=True) for tool in page.tools]
        if len(found) > TOOLS:
            raise AgentDefinitionError(f"has more than {TOOLS:,} tools.")
        cursor = page.next_cursor
        if not cursor:
            return found
    raise AgentDefinitionError(f"lists its tools on more than {PAGES} pages.")


async def call(
    session: ClientSession,
    name: str,
    arguments: Mapping[str, Any],
    key: str,
    seconds: float,
    elicitations: Elicitations,
    resumed: tuple[Mapping[str, Any], str | None] | None = None,
) -> dict[str, Any] | Paused:
    """Call a tool.

    Args:
        session: with its server.
        name: the server's for the tool.
        arguments: of the call.
        key: idempotency key.
        seconds: until the call is cancelled, which the server is told.
        elicitations: of this session.
        resumed: `ElicitResult`s by the server's keys, and its state, where it asked before.

    Returns:
        The result as it came, or what a human is asked.

    Raises:
        TimeoutError: `seconds` are over.
        ToolError: the server asks for what no agent gives.
        MCPError: it answers with an error.
    """
    given, state = resumed if resumed is not None else (None, None)
    with anyio.move_on_after(seconds) as elicitations.calling:
        for poll in chain(_POLLS, repeat(_POLLS[-1])):
            try:
                result = await _call(session, name, arguments, key, given, state)
            except MCPError as error:
                if (pages := _asked_first(error)) is None:
                    raise
                return Paused(pages, open=True, first=True)
            if not isinstance(result, mcp_types.InputRequiredResult):
                return _plain(result)
            if result.input_requests:
                return Paused(_elicited(result.input_requests), result.request_state)
            given, state = None, result.request_state
            await anyio.sleep(poll)
    if elicitations.asked is not None:
        return Paused({"": elicitations.asked}, open=True)
    raise TimeoutError


def _plain(result: mcp_types.CallToolResult) -> dict[str, Any]:
    if result.result_type != "complete":
        raise RuntimeError("a result of a type that is not known")
    plain = result.model_dump(mode="json", by_alias=True, exclude_unset=True)
    if "structuredContent" in plain:
        plain["structuredContent"] = result.structured_content  # with its NaN, which the line above makes null
    return plain


async def _call(
    session: ClientSession,
    name: str,
    arguments: Mapping[str, Any],
    key: str,
    given: Mapping[str, Any] | None,
    state: str | None,
) -> mcp_types.CallToolResult | mcp_types.InputRequiredResult:
    answers: mcp_types.InputResponses | None = (
        {each: mcp_types.ElicitResult.model_validate(value) for each, value in given.items()} if given else None
    )
    meta = mcp_types.RequestParamsMeta(**{KEY: key})  # type: ignore[typeddict-unknown-key]

    async def once() -> mcp_types.CallToolResult | mcp_types.InputRequiredResult:
        return await session.call_tool(
            name, dict(arguments), input_responses=answers, request_state=state, meta=meta, allow_input_required=True
        )

    try:
        return await once()
    except MCPError as error:
        if error.code != mcp_types.HEADER_MISMATCH:
            raise
        # Refused before it ran: arguments of this tool go in headers too, which the list of tools tells the session.
        await tools(session)
        return await once()


def _elicited(requests: Mapping[str, mcp_types.InputRequest]) -> dict[str, dict[str, Any]]:
    found = {}
    for key, request in requests.items():
        if not isinstance(request, mcp_types.ElicitRequest):
            raise ToolError(f"asks for {request.method}, which agents don't give to servers.")
        found[key] = request.params.model_dump(mode="json", by_alias=True, exclude_none=True)
    return found


def _asked_first(error: MCPError) -> dict[str, dict[str, Any]] | None:
    """Pages that a human must open before the older protocol runs a call; None: the error is another one."""
    if error.code != mcp_types.URL_ELICITATION_REQUIRED:
        return None
    try:
        data = mcp_types.ElicitationRequiredErrorData.model_validate(error.data)
    except ValidationError:
        return None
    return {
        str(number): each.model_dump(mode="json", by_alias=True, exclude_none=True)
        for number, each in enumerate(data.elicitations)
    }
