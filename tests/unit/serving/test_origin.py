"""Who names a request's tenant, in the application itself; what a front door tells it is in tests/integration."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from lambda_llm.engine.engine import Engine
from lambda_llm.web.origin import SCOPE, Origin, Tenancy, origin_of
from support.answers import LONG_QUESTION, user
from support.chat import MODEL_ID, made

QUESTION = "alice's contract number is 4711. " * 8 + LONG_QUESTION
REQUESTS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [user(QUESTION)], "max_tokens": 1, "user": "alice"},
    "/v1/completions": {"prompt": QUESTION, "max_tokens": 1, "user": "alice"},
    "/v1/responses": {"input": QUESTION, "max_output_tokens": 1, "user": "alice"},
    "/v1/messages": {"messages": [user(QUESTION)], "max_tokens": 1, "metadata": {"user_id": "alice"}},
    "/api/chat": {"messages": [user(QUESTION)], "stream": False, "options": {"num_predict": 1}},
    "/api/generate": {"prompt": QUESTION, "stream": False, "options": {"num_predict": 1}},
}
"""One for each endpoint that generates, by somebody who would like to be alice."""


class Door:
    """A front door that lets everything in and says where it comes from."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.origin: Origin | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope if self.origin is None else {**scope, SCOPE: self.origin}, receive, send)


@asynccontextmanager
async def behind(engine: Engine, **changes: Any) -> AsyncIterator[tuple[Door, httpx2.AsyncClient, list[Any]]]:
    """The door, a client before it, and the generations that have ended behind it."""
    app = made(engine, **changes)
    door = Door(app)
    ended: list[Any] = []
    app.state.service.worker.listeners.append(ended.append)
    transport = httpx2.ASGITransport(door)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://server") as client,
    ):
        yield door, client, ended


@pytest.mark.parametrize("path", REQUESTS)
async def test_the_front_door_names_the_tenant_at_every_endpoint(engine: Engine, path: str) -> None:
    async with behind(engine, tenancy=Tenancy.AUTHORIZER) as (door, client, ended):
        for tenant in ("alice", "alice", "bob"):
            door.origin = Origin(tenant)
            response = await client.post(path, json={"model": MODEL_ID, **REQUESTS[path]})
            assert response.status_code == 200, response.text
    first, second, other = (generation.stats.cached_tokens for generation in ended)
    assert (first, other) == (0, 0)
    assert second > 0


@pytest.mark.parametrize("path", REQUESTS)
@pytest.mark.parametrize("origin", [None, Origin(), Origin(stage="prod", max_tokens=5)], ids=str)
async def test_without_its_word_nothing_is_generated(engine: Engine, path: str, origin: Origin | None) -> None:
    async with behind(engine, tenancy=Tenancy.AUTHORIZER) as (door, client, ended):
        door.origin = origin
        response = await client.post(path, json={"model": MODEL_ID, **REQUESTS[path]})
    assert response.status_code == 403
    assert "the authorizer of the API Gateway in front of it" in response.text
    assert ended == []


async def test_its_word_counts_for_nothing_where_it_is_not_asked(engine: Engine) -> None:
    path = "/v1/chat/completions"
    async with behind(engine) as (door, client, ended):
        for tenant in ("alice", "bob"):
            door.origin = Origin(tenant)
            await client.post(path, json={"model": MODEL_ID, **REQUESTS[path]})
    assert ended[1].stats.cached_tokens > 0


@pytest.mark.parametrize(
    ("asks", "option", "allowed", "gets"),
    [(9, None, 3, 3), (9, 5, 3, 3), (9, 3, 5, 3), (2, 5, 3, 2), (None, None, 3, 3), (9, 4, None, 4)],
)
async def test_the_least_of_all_limits_holds(
    engine: Engine, asks: int | None, option: int | None, allowed: int | None, gets: int
) -> None:
    body = {"model": MODEL_ID, "messages": [user(LONG_QUESTION)], "max_tokens": asks}
    async with behind(engine, max_tokens=option) as (door, client, _):
        door.origin = Origin(max_tokens=allowed)
        response = await client.post("/v1/chat/completions", json=body)
    assert response.json()["usage"]["completion_tokens"] == gets


def test_what_is_no_origin_is_none() -> None:
    assert origin_of({}) == Origin()
    assert origin_of({SCOPE: {"tenant": "alice"}}) == Origin()
