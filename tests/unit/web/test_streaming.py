"""Event streams between their first event and their last, and clients that leave."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from starlette.requests import ClientDisconnect, Request

from lambda_llm.openai_types.sse import KEEP_ALIVE
from lambda_llm.web.streaming import EventStream, while_connected

GUARD_SECONDS = 60


class Events:
    """A stream that waits to be told to go on; `closed` once it has ended, in whatever way."""

    def __init__(self, *texts: str) -> None:
        self.may_go_on = asyncio.Event()
        self.closed = False
        self._texts = texts

    async def all(self) -> AsyncGenerator[str]:
        try:
            yield "first"
            await self.may_go_on.wait()
            for text in self._texts:
                yield text
        finally:
            self.closed = True


class Client:
    """What an ASGI server is to an application."""

    def __init__(self) -> None:
        self.left = asyncio.Event()
        self.messages: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.messages.append(message)

    @property
    def bodies(self) -> list[str]:
        return [each["body"].decode() for each in self.messages[1:]]


def failure(error: Exception) -> str:
    return f"failed: {error}"


async def sent(events: Events, client: Client, **options: Any) -> None:
    response = await EventStream.begun(events.all(), failure, **options)
    await response({"type": "http"}, client.receive, client.send)


async def until_sent(client: Client, count: int) -> None:
    async with asyncio.timeout(GUARD_SECONDS):
        while len(client.messages) < count:  # noqa: ASYNC110 - the client is told nothing
            await asyncio.sleep(0.001)


async def test_silence_is_broken_by_comments_between_events() -> None:
    events, client = Events("second", "third"), Client()
    sending = asyncio.create_task(sent(events, client, keep_alive_seconds=0.01))
    await until_sent(client, 4)
    assert client.messages[0]["type"] == "http.response.start"
    assert client.bodies[:3] == ["first", KEEP_ALIVE, KEEP_ALIVE]
    events.may_go_on.set()
    await sending
    assert [each for each in client.bodies if each != KEEP_ALIVE] == ["first", "second", "third", ""]
    assert [each["more_body"] for each in client.messages[1:]] == [True] * (len(client.bodies) - 1) + [False]
    count = len(client.messages)
    await asyncio.sleep(0.05)
    assert len(client.messages) == count


async def test_nothing_is_sent_to_whoever_has_left() -> None:
    events, client = Events(), Client()
    sending = asyncio.create_task(sent(events, client, keep_alive_seconds=0.01))
    await until_sent(client, 3)
    client.left.set()
    await sending
    assert events.closed
    count = len(client.messages)
    await asyncio.sleep(0.05)
    assert len(client.messages) == count


async def test_without_a_time_there_are_no_comments() -> None:
    events, client = Events("second"), Client()
    sending = asyncio.create_task(sent(events, client))
    await until_sent(client, 2)
    await asyncio.sleep(0.05)
    events.may_go_on.set()
    await sending
    assert client.bodies == ["first", "second", ""]


async def test_whoever_leaves_when_the_first_event_comes_ends_the_stream() -> None:
    """Both at once: the stream has begun, and nobody is left to send it to."""
    events, client = Events(), Client()

    async def begun() -> EventStream:
        response = await EventStream.begun(events.all(), failure)
        client.left.set()
        await asyncio.sleep(0)  # the server tells it
        return response

    request = Request({"type": "http", "method": "POST", "path": "/", "headers": []}, client.receive)
    with pytest.raises(ClientDisconnect):
        await while_connected(request, begun())
    assert events.closed
