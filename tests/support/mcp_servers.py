"""MCP servers on loopback: the official one, in both generations of the protocol, and one that does what it is told.

The hostile one writes bytes to a socket, because no server library would send what it sends.
"""

import asyncio
import base64
import hashlib
import json
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import anyio
import mcp_types
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.resolve import AcceptedElicitation, Elicit, ElicitationResult, Resolve
from mcp.shared.exceptions import UrlElicitationRequiredError
from pydantic import BaseModel
from starlette.types import ASGIApp

from lambda_llm.agent.errors import BadReferenceError, TooLargeError
from lambda_llm.agent.references import Reference
from lambda_llm.agent.tools.tool import Answer, CallContext
from support.function_url import listening

KEY = hashlib.sha256(b"a call").hexdigest()
PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)


class MemoryStore:
    """A store whose content is here."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}

    def put(self, content: bytes, kind: str) -> Reference:
        digest = hashlib.sha256(content).hexdigest()
        self.contents[digest] = content
        return Reference(f"memory://{digest}", digest, len(content), kind)

    def get(self, reference: Reference, most: int) -> bytes:
        if reference.size > most:
            raise TooLargeError("too large")
        if reference.sha256 not in self.contents:
            raise BadReferenceError("gone")
        return self.contents[reference.sha256]


def context(seconds: float = 10, answer: Answer | None = None, store: MemoryStore | None = None) -> CallContext:
    return CallContext(KEY, "execution", seconds, store or MemoryStore(), answer=answer)


class Seat(BaseModel):
    seat: str


@dataclass
class Official:
    """The official server and what its tools saw.

    Attributes:
        url: of its endpoint.
        keys: idempotency keys that came with calls.
        booked: effects of `book`.
        signed_in: whether `sign_in` has asked.
        cancelled: set when a call of `sleep` was cancelled.
        began: set when it began.
    """

    url: str = ""
    keys: list[Any] = field(default_factory=list)
    booked: list[str] = field(default_factory=list)
    signed_in: bool = False
    began: threading.Event = field(default_factory=threading.Event)
    cancelled: threading.Event = field(default_factory=threading.Event)

    def forget(self) -> None:
        """As if nothing had been called."""
        self.keys.clear()
        self.booked.clear()
        self.signed_in = False
        self.began.clear()
        self.cancelled.clear()


def official() -> tuple[Official, MCPServer]:
    """The server: a weather service and some tools of every kind."""
    seen = Official()
    server = MCPServer("weather", log_level="CRITICAL")

    @server.tool(name="weather___get_weather", annotations=mcp_types.ToolAnnotations(read_only_hint=True))
    def get_weather(city: str, context: Context[Any, Any]) -> dict[str, Any]:
        """Weather of a city."""
        meta = context.request_context.meta
        seen.keys.append(dict(meta or {}).get("lambda-llm/idempotency-key"))
        return {"city": city, "degrees": 21}

    @server.tool(structured_output=False)
    def say(text: str, times: int = 1) -> str:
        """Repeat a text."""
        return text * times

    @server.tool(structured_output=False)
    def show() -> list[Any]:
        """A text, a picture and a link."""
        return [
            "a chart",
            mcp_types.ImageContent(data=base64.b64encode(PNG).decode(), mime_type="image/png"),
            mcp_types.ResourceLink(uri="file:///chart", name="chart"),
        ]

    @server.tool(structured_output=False)
    def fail() -> str:
        """Fails."""
        raise ValueError("no such city: Atlantis")

    @server.tool()
    async def sleep() -> dict[str, bool]:
        """Sleeps for long."""
        seen.began.set()
        try:
            await anyio.sleep(60)
        except BaseException:
            seen.cancelled.set()
            raise
        return {"slept": True}

    _add_asking_tools(seen, server)
    return seen, server


def _add_asking_tools(seen: Official, server: MCPServer) -> None:
    async def ask_seat() -> Elicit[Seat]:
        return Elicit("Which seat?", Seat)

    @server.tool()
    async def book(seat: Annotated[ElicitationResult[Seat], Resolve(ask_seat)]) -> dict[str, str]:
        """Books a seat."""
        if isinstance(seat, AcceptedElicitation):
            seen.booked.append(seat.data.seat)
            return {"booked": seat.data.seat}
        return {"booked": "nothing"}

    @server.tool()
    async def sign_in() -> dict[str, bool]:
        """Wants a page opened first."""
        page = mcp_types.ElicitRequestURLParams(
            message="Sign in.", url="https://login.example.com/start", elicitation_id="1"
        )
        if not seen.signed_in:
            seen.signed_in = True
            raise UrlElicitationRequiredError([page])
        return {"signed_in": True}


@contextmanager
def serving_official(
    wrap: Callable[[ASGIApp], ASGIApp] = lambda app: app, *, json_response: bool = False
) -> Iterator[Official]:
    """Serve it on loopback, perhaps behind something."""
    seen, server = official()
    app = server.streamable_http_app(json_response=json_response)
    with listening(wrap(app)) as address:
        seen.url = f"{address}/mcp"
        yield seen


Send = Callable[[bytes], Awaitable[None]]


@dataclass
class Request:
    """As the hostile server reads it."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def message(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body or b"{}")
        return found


def body(content: bytes, kind: str = "application/json", status: str = "200 OK", **headers: str) -> bytes:
    """A whole answer."""
    given = {"content-type": kind, "content-length": str(len(content))}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + content


def result(request: Request, value: Any, **headers: str) -> bytes:
    """A JSON-RPC result."""
    return body(json.dumps({"jsonrpc": "2.0", "id": request.message["id"], "result": value}).encode(), **headers)


TOOL = {"name": "t", "description": "A tool.", "inputSchema": {"type": "object"}}
DISCOVERED = {
    "resultType": "complete",
    "supportedVersions": ["2026-07-28"],
    "capabilities": {"tools": {}},
    "ttlMs": 0,
    "cacheScope": "private",
}


def called(content: Any = None, **more: Any) -> dict[str, Any]:
    """Result of a call."""
    return {"resultType": "complete", "content": content or [], "isError": False, **more}


def listed(tools: list[Any], **more: Any) -> dict[str, Any]:
    """Result of listing tools."""
    return {"resultType": "complete", "tools": tools, "ttlMs": 0, "cacheScope": "private", **more}


@dataclass
class Hostile:
    """Answers `server/discover` rightly, and the rest as told.

    Attributes:
        listing: answers `tools/list`.
        discover: answers `server/discover`.
        call: answers `tools/call`.
        url: of its endpoint.
        requests: that came.
        closed: set when the client went away in the middle of an answer.
    """

    listing: Callable[[Request, Send], Awaitable[None]] | None = None
    call: Callable[[Request, Send], Awaitable[None]] | None = None
    discover: Callable[[Request, Send], Awaitable[None]] | None = None
    url: str = ""
    requests: list[Request] = field(default_factory=list)
    closed: threading.Event = field(default_factory=threading.Event)

    async def answer(self, request: Request, send: Send) -> None:
        method = request.message.get("method")
        special = {"tools/list": self.listing, "tools/call": self.call, "server/discover": self.discover}.get(
            str(method)
        )
        if special is not None:
            await special(request, send)
        elif method == "server/discover":
            await send(result(request, DISCOVERED))
        elif method == "tools/list":
            await send(result(request, listed([TOOL])))
        elif method == "tools/call":
            await send(result(request, called([{"type": "text", "text": "done"}])))
        else:
            await send(body(b"", status="405 Method Not Allowed"))


def with_bytes(content: bytes) -> Callable[[Request, Send], Awaitable[None]]:
    """Answers with these, whatever is asked."""

    async def answer(_: Request, send: Send) -> None:
        await send(content)

    return answer


def with_result(value: Any) -> Callable[[Request, Send], Awaitable[None]]:
    """Answers with this result."""

    async def answer(request: Request, send: Send) -> None:
        await send(result(request, value))

    return answer


@contextmanager
def serving(hostile: Hostile) -> Iterator[Hostile]:
    """Serve it on loopback."""
    started, loops = threading.Event(), []

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def send(content: bytes) -> None:
            writer.write(content)
            await writer.drain()

        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode("latin-1").strip().split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                content = await reader.readexactly(int(headers.get("content-length", "0")))
                method, path, _ = first.split(" ")
                request = Request(method, path, headers, content)
                hostile.requests.append(request)
                await hostile.answer(request, send)
        except (asyncio.IncompleteReadError, ConnectionError):
            hostile.closed.set()
        finally:
            with suppress(ConnectionError):
                writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(connection, "127.0.0.1", 0)
        hostile.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"
        stop = asyncio.Event()
        loops.append((asyncio.get_running_loop(), stop))
        started.set()
        await stop.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert started.wait(10)
    try:
        yield hostile
    finally:
        loop, stop = loops[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)


Generation = Literal["legacy", "2026-07-28"]
GENERATIONS: tuple[Generation, ...] = ("legacy", "2026-07-28")
