"""A model that waits to be told to go on, and clients that can leave at any moment."""

import asyncio
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx2
from fastapi import FastAPI

from lambda_llm.engine.cancellation import Cancellation
from lambda_llm.engine.decoder import Decoder
from support.chat import PATH, text_of

LIMIT_SECONDS = 60


class Stepwise(Decoder):
    """Gives one token for each permission."""

    def __init__(self, *positional: Any, **named: Any) -> None:
        super().__init__(*positional, **named)
        self.permissions = threading.Semaphore(0)
        self.asked_for = 0
        self.prompts: list[list[int]] = []
        self.cancellation = Cancellation()

    def evaluate(self, tokens: Sequence[int], cancellation: Cancellation | None = None) -> int:
        self.prompts.append(list(tokens))
        self.cancellation = cancellation or Cancellation()
        return super().evaluate(tokens, cancellation)

    def sample(self, sampler: Any) -> int:
        self.asked_for += 1
        assert self.permissions.acquire(timeout=LIMIT_SECONDS)
        return super().sample(sampler)

    def permit(self, count: int = 10_000) -> None:
        self.permissions.release(count)


class Client:
    """A caller of the application that can leave at any moment, as a server would tell it."""

    def __init__(
        self, app: FastAPI, request: dict[str, Any], headers: Mapping[str, str] = {}, **scope_of_it: Any
    ) -> None:
        self.status = 0
        self.received = ""
        self.headers: dict[bytes, bytes] = {}
        self.reading = asyncio.Event()
        self.reading.set()
        self._messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._messages.put_nowait({"type": "http.request", "body": json.dumps(request).encode(), "more_body": False})
        given = {"content-type": "application/json", **headers}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": PATH,
            "raw_path": PATH.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in given.items()],
            **scope_of_it,
        }
        self._task = asyncio.ensure_future(app(scope, self._messages.get, self._send))

    async def _send(self, message: Any) -> None:
        await self.reading.wait()
        self.status = message.get("status", self.status)
        self.headers |= dict(message.get("headers", ()))
        self.received += message.get("body", b"").decode()

    @property
    def text(self) -> str:
        """What arrived so far."""
        if not self.received:
            return ""
        if self.received.startswith("data: "):
            whole, _, _ = self.received.rpartition("\n\n")
            data = [event.removeprefix("data: ") for event in whole.split("\n\n") if not event.startswith(":")]
            return text_of([json.loads(each) for each in data if each != "[DONE]"])
        return str(json.loads(self.received)["choices"][0]["message"]["content"])

    def leave(self) -> None:
        self._messages.put_nowait({"type": "http.disconnect"})

    async def ended(self) -> None:
        await asyncio.wait_for(self._task, LIMIT_SECONDS)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_SECONDS):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in llama.cpp's thread
            await asyncio.sleep(0.001)


async def until_active(client: httpx2.AsyncClient, count: int) -> None:
    """Wait until so many requests are in the queue, and none is on its way there."""
    async with asyncio.timeout(LIMIT_SECONDS):
        while True:
            counts = await requests(client)
            if (counts["active"], counts["planning"]) == (count, 0):
                return
            await asyncio.sleep(0.001)


async def requests(client: httpx2.AsyncClient) -> dict[str, int]:
    counts: dict[str, int] = (await client.get("/health")).json()["requests"]
    return counts
