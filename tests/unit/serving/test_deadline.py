"""Requests that take too long: an answer ends where it is, before its time is over."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from lambda_llm.engine.decoder import Decoder
from lambda_llm.engine.engine import Engine
from lambda_llm.serving import worker
from lambda_llm.web.deadline import LAMBDA_CONTEXT
from support.answers import LONG_QUESTION, OpenEngine
from support.chat import body, events, made, text_of
from support.deadlines import buffered, ends_in
from support.sessions import Shelf, sessions
from support.stepwise import Client, Stepwise, requests, until


@pytest.fixture
def engine(open_engine: OpenEngine) -> Engine:
    return open_engine(kind=Stepwise)


@pytest.fixture
async def app(engine: Engine) -> AsyncIterator[FastAPI]:
    app = made(engine)
    async with app.router.lifespan_context(app):
        yield app
        engine.decoder.permit()  # type: ignore[attr-defined] # nothing may wait for the test any more


@pytest.fixture
def decoder(engine: Engine) -> Decoder:
    return engine.decoder


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("door", ["buffered", "streaming"])
async def test_an_answer_that_outlasts_its_invocation_ends_with_its_length_and_its_usage(
    app: FastAPI, decoder: Stepwise, door: str, *, stream: bool
) -> None:
    decoder.permit(3)
    request = body(LONG_QUESTION, stream=stream) | ({"stream_options": {"include_usage": True}} if stream else {})
    asking = (
        Client(app, request, **{"aws.context": buffered(2)})
        if door == "buffered"
        else Client(app, request, {LAMBDA_CONTEXT: ends_in(2)})
    )
    await until(lambda: decoder.cancellation.cancelled)
    assert decoder.cancellation.expired
    decoder.permit(1)
    await asking.ended()
    assert asking.status == 200
    if stream:
        *chunks, usage, done = events(asking.received)
        assert done == "[DONE]"
        text, reason = text_of(chunks), chunks[-1]["choices"][0]["finish_reason"]
    else:
        usage = json.loads(asking.received)
        text, reason = asking.text, usage["choices"][0]["finish_reason"]
    assert (reason, usage["usage"]["completion_tokens"]) == ("length", 4)
    assert text


async def test_its_conversation_is_saved(engine: Engine, decoder: Stepwise) -> None:
    shelf = Shelf()
    with sessions(engine, shelf) as store:
        engine.sessions = store
        app = made(engine)
        async with app.router.lifespan_context(app):
            asking = Client(app, body("word " * 200, stream=True))
            decoder.permit(2)
            await until(lambda: decoder.asked_for == 3)
            decoder.cancellation.expire()
            decoder.permit(1)
            await asking.ended()
        assert '"finish_reason":"length"' in asking.received
        end = len(decoder.evaluated)
        name = store.names(decoder.evaluated, _scope()).until(end).hex()
        assert any(each.endswith(name) for each in shelf.objects)


def _scope() -> Any:
    from lambda_llm.engine.prefix_cache import CacheScope  # noqa: PLC0415

    return CacheScope()


async def test_further_choices_that_were_not_reached_are_empty(app: FastAPI, decoder: Stepwise) -> None:
    asking = Client(app, body(LONG_QUESTION, n=2))
    decoder.permit(2)
    await until(lambda: decoder.asked_for == 3)
    decoder.cancellation.expire()
    decoder.permit(1)
    await asking.ended()
    choices = json.loads(asking.received)["choices"]
    assert [choice["finish_reason"] for choice in choices] == ["length", "length"]
    assert (bool(choices[0]["message"]["content"]), choices[1]["message"]["content"]) == (True, "")


async def test_a_request_without_time_for_a_token_says_so_even_in_the_queue(app: FastAPI, decoder: Stepwise) -> None:
    running = Client(app, body(LONG_QUESTION))
    await until(lambda: decoder.asked_for == 1)
    waiting = Client(app, body(), **{"aws.context": buffered(0)})
    await waiting.ended()
    assert (waiting.status, json.loads(waiting.received)["error"]["code"]) == (504, "deadline_exceeded")
    running.leave()
    decoder.permit()
    await running.ended()
    assert len(decoder.prompts) == 1


async def test_a_thread_that_does_not_leave_a_cancelled_request_is_stuck(
    app: FastAPI, client: httpx2.AsyncClient, decoder: Stepwise, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def seen() -> tuple[int, str, str]:
        response = await client.get("/health")
        return response.status_code, response.json()["status"], response.json()["worker"]

    assert await seen() == (200, "ok", "idle")
    asking = Client(app, body())
    await until(lambda: decoder.asked_for == 1)
    assert await seen() == (200, "ok", "busy")
    asking.leave()
    await until(lambda: decoder.cancellation.cancelled)
    assert await seen() == (200, "ok", "busy")
    monkeypatch.setattr(worker, "STUCK_SECONDS", 0.0)
    assert await seen() == (503, "stuck", "stuck")
    decoder.permit()
    await asking.ended()
    assert await seen() == (200, "ok", "idle")
    assert (await requests(client))["active"] == 0


async def test_a_place_in_the_queue_is_free_when_the_answer_is_computed_not_when_it_is_read(
    app: FastAPI, client: httpx2.AsyncClient, decoder: Stepwise
) -> None:
    asking = Client(app, body(stream=True))
    asking.reading.clear()
    decoder.permit()
    await until(lambda: app.state.service.worker.counts.completed == 1)
    assert (await requests(client))["active"] == 0
    asking.reading.set()
    await asking.ended()
