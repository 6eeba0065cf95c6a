"""Events that are no HTTP request, as the web adapter sends them; the buffered door's are in test_handler.py."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from lambda_llm.engine.engine import Engine
from lambda_llm.inference.raw_events import add_route
from lambda_llm.web.adapter import EVENTS_PATH as PATH
from lambda_llm.web.adapter import UNANSWERED
from support.answers import EXPECTED, LONG_QUESTION, OpenEngine
from support.chat import body, made
from support.encoders import OpenEncoder
from support.service_events import EVENTS

MODULE = Path(__file__).parents[3] / "modules/inference/main.tf"


@pytest.fixture
async def app(engine: Engine) -> AsyncIterator[FastAPI]:
    app = made(engine)
    add_route(app, engine)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://server") as client:
        yield client


async def test_a_body_is_answered_as_the_buffered_door_does(client: httpx2.AsyncClient) -> None:
    answer = await client.post(PATH, json=body())
    assert answer.status_code == 200
    assert EXPECTED in answer.json()["choices"][0]["message"]["content"]
    streamed = await client.post(PATH, json=body(stream=True))
    assert streamed.json()["choices"] == answer.json()["choices"], "such an invocation returns one result"


async def test_a_body_that_can_t_be_used_gets_the_api_s_error(client: httpx2.AsyncClient) -> None:
    for content, status in ((body(LONG_QUESTION, temperature=9), 400), ({}, 400), ([], 400), (5, 400)):
        answer = await client.post(PATH, json=content)
        assert (answer.status_code, "error" in answer.json()) == (status, True)


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
async def test_the_event_of_a_service_fails_its_invocation(client: httpx2.AsyncClient, event: Any) -> None:
    answer = await client.post(PATH, json=event)
    assert (answer.status_code, answer.json()["error"]["code"]) == (UNANSWERED, "unanswered_event")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000])
async def test_so_does_what_is_no_json(client: httpx2.AsyncClient, content: bytes) -> None:
    assert (await client.post(PATH, content=content)).status_code == UNANSWERED


async def test_an_encoder_s_body_leads_to_its_own_endpoint(open_encoder: OpenEncoder) -> None:
    engine = open_encoder("embeddings")
    app = made(engine)
    add_route(app, engine)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://server") as client,
    ):
        assert len((await client.post(PATH, json={"input": ["a", "b"]})).json()["data"]) == 2


def test_the_module_makes_that_status_a_failed_invocation_and_no_other_answer_has_it(
    open_engine: OpenEngine,
) -> None:
    (codes,) = re.findall(r'AWS_LWA_ERROR_STATUS_CODES\s*=\s*"(.*)"', MODULE.read_text(encoding="utf-8"))
    assert json.loads(codes) == UNANSWERED
    described = json.dumps(made(open_engine()).openapi())
    assert str(UNANSWERED) not in described
