"""Tools of a server of the Model Context Protocol, over streamable HTTP.

Nothing that a server says is trusted: not its annotations, its schemas, its sizes, its speed or its redirects. Which of
its tools an agent has, and what calling them again does, the configuration says.

Source: https://modelcontextprotocol.io/specification/2025-11-25
"""

import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, cast

import anyio

from lambda_llm.agent.errors import AgentDefinitionError, AgentError, BadReferenceError, ToolError
from lambda_llm.agent.tools.aliases import aliases
from lambda_llm.agent.tools.arguments import check_schema
from lambda_llm.agent.tools.mcp_auth import Authentication
from lambda_llm.agent.tools.mcp_failures import failed
from lambda_llm.agent.tools.mcp_questions import fingerprint, is_url, question, responses
from lambda_llm.agent.tools.mcp_results import clean, outcome
from lambda_llm.agent.tools.mcp_transport import ANSWERS_BYTES, Guard, checked_url
from lambda_llm.agent.tools.tool import CallContext, Effects, Outcome, ToolDescription

if TYPE_CHECKING:
    from lambda_llm.agent.tools import mcp_session

DESCRIPTION_CHARACTERS: Final = 2_000
"""Most of one tool's description."""
DESCRIPTIONS_BYTES: Final = 65_536
"""Most of the descriptions and schemas of all tools together: they are part of an execution's state."""
LISTING_SECONDS: Final = 30
"""Most that asking for the tools may take."""
NAME_CHARACTERS: Final = 256
"""Most of a tool's name at its server."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class Allowed:
    """What the configuration says about a tool; the server's annotations are claims, which change nothing.

    Attributes:
        effects: what a second call does.
        approval: whether a human must approve each call first.
        seconds: most that a call may take.
        turn: as in `ToolDescription`.
        description: for the model, in place of the server's.
    """

    effects: Effects = Effects.ONCE
    approval: bool = False
    seconds: float = 60
    turn: str = ""
    description: str | None = None


class McpSource:
    """The tools of one server that an agent may use.

    Attributes:
        name: of the source.
    """

    def __init__(
        self,
        name: str,
        url: str,
        allow: Mapping[str, Allowed],
        *,
        auth: Authentication | None = None,
        protocol: Literal["auto", "legacy", "2026-07-28"] = "auto",
        answers_bytes: int = ANSWERS_BYTES,
    ) -> None:
        """Nothing is asked of the server yet.

        Args:
            name: of the source, of `[a-z0-9-]{1,32}`.
            url: of the server's endpoint.
            allow: the tools by their full names at the server, such as `weather___get_weather`.
            auth: how the server knows the agent; None: it does not.
            protocol: generation; `auto` asks the server for the newer one first.
            answers_bytes: most that the server may send during one call.

        Raises:
            AgentDefinitionError: one of them can't be.
        """
        if re.fullmatch("[a-z0-9-]{1,32}", name) is None:
            raise AgentDefinitionError(f"The source {name!r} needs a name of 1 to 32 of a-z, 0-9 and '-'.")
        if not allow:
            raise AgentDefinitionError(f"The tool server {name!r} allows no tool: name those that the agent may use.")
        for full in allow:
            if not full.isprintable() or not 1 <= len(full) <= NAME_CHARACTERS:
                raise AgentDefinitionError(
                    f"The tool server {name!r} can't have a tool {full[:80]!r}: names are printable."
                )
        self.name = name
        self._url = checked_url(url, f"the tool server {name!r}")
        self._allow = dict(allow)
        self._names = aliases(allow)
        self._auth = auth
        self._protocol = protocol
        self._answers_bytes = answers_bytes
        if auth is not None:
            auth.configure(self._url)

    def describe(self) -> tuple[ToolDescription, ...]:
        """Those tools of the server that are allowed, in the configuration's order.

        Raises:
            ToolError: the server can't be asked now.
            AgentDefinitionError: it does not have them, has one twice, or with a schema that can't be used.
        """
        from lambda_llm.agent.tools import mcp_session as client  # noqa: PLC0415 - it imports the client

        guard = Guard(self._url, self._answers_bytes)

        async def ask() -> list[dict[str, Any]]:
            auth = await self._auth.open() if self._auth else None
            elicitations = client.Elicitations(again=False)
            async with client.connected(str(self._url), guard, auth, self._protocol, elicitations) as session:
                return await client.tools(session)

        return self._described(self._run(ask, guard, LISTING_SECONDS, Effects.NONE))

    def call(self, name: str, arguments: Mapping[str, Any], context: CallContext) -> Outcome:
        """Call a tool by its alias."""
        full = self._names.get(name)
        if full is None:
            raise ToolError(f"There is no tool {name[:80]!r}.")
        allowed = self._allow[full]
        seconds = min(context.seconds, allowed.seconds)
        from lambda_llm.agent.tools import mcp_session as client  # noqa: PLC0415 - it imports the client

        guard = Guard(self._url, self._answers_bytes)
        resumed, answers, rounds = _resumed(context)
        elicitations = client.Elicitations(again=allowed.effects is not Effects.ONCE, answers=answers)

        async def ask() -> "dict[str, Any] | mcp_session.Paused":
            auth = await self._auth.open() if self._auth else None
            until = anyio.current_time() + seconds * 0.9  # the rest is for telling the server, and for closing
            async with client.connected(str(self._url), guard, auth, self._protocol, elicitations) as session:
                left = until - anyio.current_time()
                return await client.call(session, full, arguments, context.key, left, elicitations, resumed)

        found = self._run(ask, guard, seconds, allowed.effects)
        if isinstance(found, client.Paused):
            return self._paused(found, answers, rounds + 1)
        return self._outcome(found, context, allowed.effects, told_to_cancel=elicitations.told_to_cancel)

    def _paused(self, paused: "mcp_session.Paused", answers: Mapping[str, Any], rounds: int) -> Outcome:
        urls = [key for key, request in paused.requests.items() if is_url(request)]
        state: dict[str, Any] = {"round": rounds, "keys": list(paused.requests), "urls": urls}
        if paused.open:
            state |= {
                "first": paused.first,
                "answers": dict(answers),
                "asked": {key: fingerprint(each) for key, each in paused.requests.items()},
            }
        else:
            state |= {"request_state": paused.request_state}
        return Outcome("question", question=question(self.name, paused.requests, state))

    def _outcome(
        self, result: Mapping[str, Any], context: CallContext, effects: Effects, *, told_to_cancel: bool
    ) -> Outcome:
        try:
            found = outcome(result, context.store)
        except BadReferenceError:
            raise
        except AgentError as error:
            raise ToolError(
                f"The tool server {self.name!r} answered, but {error}", unknown=effects is not Effects.NONE
            ) from error
        if not told_to_cancel:
            return found
        note = (
            "The server asked a human in the middle of the call, in the old protocol, where a call can't wait for an "
            "answer; it was told 'cancel', and this is what it answered then."
        )
        return Outcome(found.status, {"note": note, "result": found.content}, found.references)

    def _described(self, tools: list[dict[str, Any]]) -> tuple[ToolDescription, ...]:
        server = f"The tool server {self.name!r}"
        times = Counter(tool["name"] for tool in tools)
        if twice := [name for name in self._allow if times[name] > 1]:
            raise AgentDefinitionError(
                f"{server} has {twice[0]!r} {times[twice[0]]} times, so it is not known which is meant."
            )
        if missing := [name for name in self._allow if not times[name]]:
            raise AgentDefinitionError(
                f"{server} has no tool {', '.join(map(repr, missing[:5]))}, which the agent is allowed: "
                "take its full name, with the target's in front at a gateway."
            )
        offered = {tool["name"]: tool for tool in tools if tool["name"] in self._allow}
        described = []
        for alias, full in sorted(self._names.items(), key=lambda each: list(self._allow).index(each[1])):
            allowed, tool = self._allow[full], offered[full]
            parameters = tool.get("inputSchema")
            try:
                check_schema(parameters)
            except ToolError as error:
                raise AgentDefinitionError(f"{server} has {full!r} with a schema that can't be used: {error}") from None
            text = allowed.description
            if text is None:
                text = clean(tool.get("description") or tool.get("title") or "", DESCRIPTION_CHARACTERS)
            described.append(
                ToolDescription(
                    name=alias,
                    description=text,
                    parameters=cast("Mapping[str, Any]", parameters),
                    effects=allowed.effects,
                    approval=allowed.approval,
                    seconds=allowed.seconds,
                    turn=allowed.turn,
                )
            )
        size = sum(len(each.description.encode()) + len(json.dumps(each.parameters)) for each in described)
        if size > DESCRIPTIONS_BYTES:
            raise AgentDefinitionError(
                f"{server} describes the {len(described)} allowed tools in {size:,} bytes; at most "
                f"{DESCRIPTIONS_BYTES:,} are taken: allow fewer."
            )
        return tuple(described)

    def _run(self, ask: Callable[[], Awaitable[_T]], guard: Guard, seconds: float, effects: Effects) -> _T:
        """Run with a deadline; whatever goes wrong is an `AgentError`."""

        async def within() -> list[_T]:
            found: list[_T] = []
            with anyio.fail_after(seconds), anyio.CancelScope() as guard.scope:
                found.append(await ask())
            return found

        try:
            found = anyio.run(within)
        except Exception as failure:
            raise failed(f"The tool server {self.name!r}", failure, guard, seconds, effects) from failure
        if not found:  # the guard cancelled it
            raise failed(f"The tool server {self.name!r}", None, guard, seconds, effects)
        return found[0]


def _resumed(context: CallContext) -> tuple[tuple[Mapping[str, Any], str | None] | None, Mapping[str, Any], int]:
    """What an answer continues: for the newer protocol, for the older one, and how often was asked."""
    answer = context.answer
    if answer is None or not isinstance(answer.state, Mapping):
        return None, {}, 0
    state = answer.state
    if state.get("first") and answer.action != "accept":
        raise ToolError(f"The tool wants a page opened first, and the human's answer was {answer.action!r}.")
    given = responses(state["keys"], state["urls"], answer)
    if "asked" in state:
        return None, {**state["answers"], **{state["asked"][key]: each for key, each in given.items()}}, state["round"]
    return (given, state["request_state"]), {}, state["round"]
