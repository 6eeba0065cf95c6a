"""Every way from a request to a generation knows whose request it is."""

import ast
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

import lambda_llm
from lambda_llm.engine.engine import Engine
from lambda_llm.serving.app import ROUTERS
from lambda_llm.web.origin import Tenancy
from support.answers import LONG_QUESTION, user
from support.chat import MODEL_ID, made

PACKAGE = Path(lambda_llm.__file__).parent
SECRET = "alice's contract number is 4711. " * 8 + LONG_QUESTION
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [user(SECRET)], "max_tokens": 1},
    "/v1/completions": {"prompt": SECRET, "max_tokens": 1},
    "/v1/responses": {"input": SECRET, "max_output_tokens": 1},
    "/v1/messages": {"messages": [user(SECRET)], "max_tokens": 1},
}
"""A request for each endpoint that generates for a caller who can be told from others."""

NAMELESS = {
    "/api/chat": {"messages": [user(SECRET)], "stream": False, "options": {"num_predict": 1}},
    "/api/generate": {"prompt": SECRET, "stream": False, "options": {"num_predict": 1}},
}
"""The same for all others."""

COUNTS = {"/v1/chat/completions/input_tokens", "/v1/responses/input_tokens", "/v1/messages/count_tokens"}
ENCODES = {"/v1/embeddings", "/v1/classify", "/v1/rerank", "/v1/score", "/api/embed", "/api/embeddings"}
KEEP_NOTHING = {*ENCODES, *COUNTS, "/tokenize", "/detokenize", "/api/show"}
"""Endpoints without a KV cache behind them, so that there is nothing of one caller's for another."""


@pytest.fixture
async def app(engine: Engine) -> AsyncIterator[FastAPI]:
    app = made(engine, tenancy=Tenancy.USER)
    async with app.router.lifespan_context(app):
        yield app


async def cached_tokens(client: httpx2.AsyncClient, path: str, caller: str | None) -> tuple[int, int]:
    """Tokens that needed no prefill, and tokens of the whole prompt."""
    named: dict[str, Any] = {"user": caller} if path != "/v1/messages" else {"metadata": {"user_id": caller}}
    body = {"model": MODEL_ID, "temperature": 0, **named, **BODIES[path]}
    response = await client.post(path, json={name: value for name, value in body.items() if value is not None})
    assert response.status_code == 200, response.text
    usage = response.json()["usage"]
    if path == "/v1/messages":
        cached: int = usage["cache_read_input_tokens"]
        return cached, cached + int(usage["input_tokens"])
    details = usage.get("prompt_tokens_details") or usage["input_tokens_details"]
    return details["cached_tokens"], usage.get("prompt_tokens") or usage["input_tokens"]


def test_requests_to_the_engine_are_made_in_one_place() -> None:
    """Besides the warm-up's, whose prompts belong to no tenant."""
    makers = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "GenerationRequest"
    }
    assert makers == {"inference/warm_up.py", "serving/generations.py"}


def test_every_endpoint_is_known_here(app: FastAPI) -> None:
    # Not by /openapi.json, which may leave a route out.
    routes = [route for router in ROUTERS for route in router(app.state.service).routes]
    posted = {route.path for route in routes if isinstance(route, APIRoute) and "POST" in (route.methods or ())}
    assert posted == BODIES.keys() | NAMELESS.keys() | KEEP_NOTHING


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("other", ["bob", None])
async def test_nobody_finds_what_was_evaluated_for_another_tenant(
    client: httpx2.AsyncClient, path: str, other: str | None
) -> None:
    first, prompt = await cached_tokens(client, path, "alice")
    assert first == 0
    assert (await cached_tokens(client, path, "alice"))[0] == prompt - 1
    assert (await cached_tokens(client, path, other))[0] == 0
    # What bob asked has taken the place of what alice asked, which is gone and not found by anybody.
    assert (await cached_tokens(client, path, "alice"))[0] == 0


@pytest.mark.parametrize("asks", BODIES)
@pytest.mark.parametrize("finds", BODIES)
async def test_no_endpoint_finds_what_another_endpoint_evaluated_for_another_tenant(
    client: httpx2.AsyncClient, asks: str, finds: str
) -> None:
    await cached_tokens(client, asks, "alice")
    assert (await cached_tokens(client, finds, "bob"))[0] == 0


@pytest.mark.parametrize("path", NAMELESS)
async def test_a_caller_without_a_name_finds_nothing_of_those_with_one(
    app: FastAPI, client: httpx2.AsyncClient, path: str
) -> None:
    await cached_tokens(client, "/v1/chat/completions", "alice")
    seen: list[int] = []
    app.state.service.worker.listeners.append(lambda generation: seen.append(generation.stats.cached_tokens))
    response = await client.post(path, json=NAMELESS[path])
    assert (response.status_code, seen) == (200, [0])


@pytest.mark.parametrize("session", ["one", "two"])
async def test_a_conversation_with_a_key_of_its_own_shares_nothing_with_others(
    client: httpx2.AsyncClient, session: str
) -> None:
    async def cached(key: str) -> int:
        body = {**BODIES["/v1/chat/completions"], "prompt_cache_key": key}
        response = await client.post("/v1/chat/completions", json=body)
        return int(response.json()["usage"]["prompt_tokens_details"]["cached_tokens"])

    assert await cached("one") == 0
    assert (await cached(session) > 0) is (session == "one")


@pytest.mark.parametrize("path", BODIES)
async def test_where_the_user_is_not_trusted_all_callers_are_one_tenant(engine: Engine, path: str) -> None:
    app = made(engine)
    transport = httpx2.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://server") as client,
    ):
        await cached_tokens(client, path, "alice")
        cached, prompt = await cached_tokens(client, path, "bob")
    assert cached == prompt - 1
