"""Servers of OpenAI's API that fail by a plan: which follows from the request's `seed`, and from their name.

async with faulty_backends("a", "b") as servers:
    ...                                            # asks f"{servers.url}/a/v1/chat/completions"
    assert servers.sent["a", 17] == [" a17.0", " a17.1"]
"""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

REFUSALS = (429, 500, 503, 404, 403, 408)


@dataclass(frozen=True)
class Plan:
    """`status` of the answer, its `tokens`, after how many bytes it is `cut`, and whether it is JSON at all."""

    status: int
    tokens: list[str]
    cut: int | None
    garbage: bool

    @property
    def whole(self) -> bool:
        return self.status == 200 and self.cut is None and not self.garbage


def plan(name: str, seed: int) -> Plan:
    mine = random.Random(f"{name} {seed}")  # noqa: S311 - no secret
    tokens = [f" {name}{seed}.{number}" for number in range(mine.randint(1, 6))]
    length = len(b"".join(events(tokens)))
    match mine.choices(["whole", "refused", "cut", "garbage"], [5, 3, 3, 1])[0]:
        case "refused":
            return Plan(mine.choice(REFUSALS), [], None, garbage=False)
        case "cut":
            return Plan(200, tokens, mine.randrange(length), garbage=False)
        case "garbage":
            return Plan(200, tokens, None, garbage=True)
        case _:
            return Plan(200, tokens, None, garbage=False)


def events(tokens: list[str]) -> list[bytes]:
    """A stream of chat completions, an event each, with usage and its end."""
    made = [{"choices": [{"index": 0, "delta": {"content": token}}]} for token in tokens]
    usage = {"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": len(tokens)}}
    return [*(f"data: {json.dumps(each)}\n\n".encode() for each in [*made, usage]), b"data: [DONE]\n\n"]


@dataclass
class FaultyBackends:
    """`url` of all of them, and the tokens that each has `sent` by its name and the seed."""

    url: str = ""
    sent: dict[tuple[str, int], list[str]] = field(default_factory=dict)
    asked: dict[int, list[str]] = field(default_factory=dict)
    connections: set[asyncio.Task[None]] = field(default_factory=set)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.connections.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self.one(reader, writer):
                    pass
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            self.connections.discard(task)

    async def one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection goes on."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        size = int(head.partition("content-length:")[2].split("\r\n")[0])
        body: dict[str, Any] = json.loads(await reader.readexactly(size))
        name, seed = head.split("/")[1], body["seed"]
        planned = plan(name, seed)
        self.asked.setdefault(seed, []).append(name)
        writer.write(f"HTTP/1.1 {planned.status} X\r\ntransfer-encoding: chunked\r\n".encode())
        if planned.status != 200:
            writer.write(b"content-type: application/json\r\n\r\n2\r\n{}\r\n0\r\n\r\n")
            await writer.drain()
            return True
        writer.write(b"content-type: text/event-stream\r\n\r\n")
        sent = self.sent.setdefault((name, seed), [])
        left = planned.cut
        for token, event in zip([*planned.tokens, None, None], events(planned.tokens), strict=True):
            piece = b"data: what is this?\n\n" if planned.garbage else event
            part = piece if left is None else piece[:left]
            if part:
                writer.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
                await writer.drain()
                await asyncio.sleep(0)
            if left is not None:
                left -= len(part)
                if len(part) < len(piece):
                    return False
            if token is not None and not planned.garbage:
                sent.append(token)
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True


@asynccontextmanager
async def faulty_backends() -> AsyncIterator[FaultyBackends]:
    running = FaultyBackends()
    server = await asyncio.start_server(running.answer, "127.0.0.1", 0)
    running.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield running
        left = list(running.connections)
        for connection in left:
            connection.cancel()
        await asyncio.gather(*left, return_exceptions=True)
