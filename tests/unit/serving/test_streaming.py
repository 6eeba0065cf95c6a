"""Requests that wait for each other, and clients that leave, step by step: a model that waits to be told to go on."""

import json
from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest
from fastapi import FastAPI

from lambda_llm.engine.decoder import Decoder
from lambda_llm.engine.engine import Engine
from support.answers import EXPECTED, LONG_QUESTION, OTHER_EXPECTED, OTHER_QUESTION, OpenEngine
from support.chat import PATH, body, events, made, text_of
from support.stepwise import Client, Stepwise, requests, until, until_active


@pytest.fixture
def engine(open_engine: OpenEngine) -> Engine:
    return open_engine(kind=Stepwise)


@pytest.fixture
def decoder(engine: Engine) -> Decoder:
    return engine.decoder


@pytest.fixture(autouse=True)
def _let_go(app: FastAPI, decoder: Stepwise) -> Iterator[None]:  # noqa: ARG001 - goes before it
    """Whatever fails, the application must not wait for a model that waits for the test."""
    yield
    decoder.permit()


async def test_other_requests_are_answered_while_a_token_is_being_computed(
    app: FastAPI, client: httpx2.AsyncClient, decoder: Stepwise
) -> None:
    asking = Client(app, body())
    await until(lambda: decoder.asked_for == 1)
    assert (await requests(client))["active"] == 1
    assert (await client.get("/v1/models")).status_code == 200
    assert (await client.post(PATH, json=body("word " * 3000))).status_code == 400
    decoder.permit()
    await asking.ended()
    assert EXPECTED in asking.text


async def test_each_piece_of_a_stream_is_sent_when_it_is_there(app: FastAPI, decoder: Stepwise) -> None:
    asking = Client(app, body(stream=True))
    await until(lambda: '"role":"assistant"' in asking.received)
    assert asking.text == ""
    shown = ""
    for _ in range(3):
        decoder.permit(1)
        await until(lambda: asking.text != shown)  # noqa: B023 - awaited in the same turn
        shown = asking.text
    decoder.permit()
    await asking.ended()
    assert EXPECTED in asking.text


async def test_requests_wait_for_their_turn_and_are_all_answered(
    app: FastAPI, client: httpx2.AsyncClient, decoder: Stepwise
) -> None:
    first = Client(app, body(stream=True))
    await until(lambda: decoder.asked_for == 1)
    second, third = Client(app, body(OTHER_QUESTION)), Client(app, body(stream=True))
    await until_active(client, 3)
    assert len(decoder.prompts) == 1
    decoder.permit()
    for asking in (first, second, third):
        await asking.ended()
    assert [EXPECTED in first.text, OTHER_EXPECTED in second.text, EXPECTED in third.text] == [True] * 3
    counts = await requests(client)
    assert (counts["active"], counts["completed"]) == (0, 3)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_stops_the_model_within_one_token(
    app: FastAPI, client: httpx2.AsyncClient, decoder: Stepwise, *, stream: bool
) -> None:
    leaving = Client(app, body(LONG_QUESTION, stream=stream))
    decoder.permit(3)
    await until(lambda: decoder.asked_for == 4)
    assert not decoder.cancellation.cancelled
    leaving.leave()
    await until(lambda: decoder.cancellation.cancelled)
    decoder.permit()
    await leaving.ended()
    counts = await requests(client)
    assert (counts["active"], counts["cancelled"], counts["completed"]) == (0, 1, 0)
    assert counts["generated_tokens"] == 4
    asking = Client(app, body())
    await asking.ended()
    assert EXPECTED in asking.text


async def test_a_client_that_stopped_reading_before_it_leaves_stops_the_model_too(
    app: FastAPI, client: httpx2.AsyncClient, decoder: Stepwise
) -> None:
    leaving = Client(app, body(LONG_QUESTION, stream=True))
    decoder.permit(1)
    await until(lambda: leaving.text != "")
    leaving.reading.clear()
    decoder.permit(2)
    await until(lambda: decoder.asked_for == 4)
    leaving.leave()
    await until(lambda: decoder.cancellation.cancelled)
    decoder.permit()
    await until_active(client, 0)
    counts = await requests(client)
    assert (counts["cancelled"], counts["generated_tokens"]) == (1, 4)
    await leaving.ended()


@pytest.mark.parametrize("stream", [True, False])
async def test_a_queued_request_whose_client_leaves_is_dropped_at_once_and_never_runs(
    app: FastAPI, client: httpx2.AsyncClient, decoder: Stepwise, *, stream: bool
) -> None:
    running = Client(app, body())
    await until(lambda: decoder.asked_for == 1)
    queued = Client(app, body(LONG_QUESTION, stream=stream))
    last = Client(app, body(OTHER_QUESTION))
    await until_active(client, 3)
    queued.leave()
    # The running answer has not moved on: nothing waits for it.
    await queued.ended()
    await until_active(client, 2)
    counts = await requests(client)
    assert (counts["cancelled"], counts["generated_tokens"]) == (1, 0)
    decoder.permit()
    await running.ended()
    await last.ended()
    assert EXPECTED in running.text
    assert OTHER_EXPECTED in last.text
    assert len(decoder.prompts) == 2


async def test_a_server_that_stops_cuts_every_answer_short_and_says_so(
    app: FastAPI, client: httpx2.AsyncClient, decoder: Stepwise
) -> None:
    running = Client(app, body(LONG_QUESTION, stream=True))
    decoder.permit(3)
    await until(lambda: decoder.asked_for == 4)
    waiting = Client(app, body())
    await until_active(client, 2)
    app.state.stop_answering()
    decoder.permit(1)
    await running.ended()
    await waiting.ended()
    *chunks, last = events(running.received)
    assert text_of(chunks)
    assert last["error"]["code"] == json.loads(waiting.received)["error"]["code"] == "server_stopping"
    assert waiting.status == 503
    counts = await requests(client)
    assert (counts["active"], counts["cancelled"], counts["generated_tokens"]) == (0, 2, 4)


async def test_a_client_that_leaves_when_all_was_sent_changes_nothing(
    app: FastAPI, client: httpx2.AsyncClient, decoder: Stepwise
) -> None:
    decoder.permit()
    asking = Client(app, body(stream=True))
    await until(lambda: asking.received.endswith("data: [DONE]\n\n"))
    asking.leave()
    await asking.ended()
    counts = await requests(client)
    assert (counts["completed"], counts["cancelled"]) == (1, 0)


# -- a queue that is full, and signs of life --------------------------------------------------------


@pytest.fixture
async def impatient(engine: Engine, decoder: Stepwise) -> AsyncIterator[FastAPI]:
    """An application in which one request may wait, and which is never silent for long."""
    app = made(engine, queue=1, keep_alive_seconds=0.001)
    async with app.router.lifespan_context(app):
        yield app
        decoder.permit()


@pytest.mark.parametrize("stream", [True, False])
async def test_a_request_for_which_there_is_no_room_is_told_when_to_come_again(
    impatient: FastAPI, decoder: Stepwise, *, stream: bool
) -> None:
    running, queued = Client(impatient, body(stream=True)), Client(impatient, body(OTHER_QUESTION, stream=True))
    await until(lambda: decoder.asked_for == 1 and queued.status == 200)
    refused = Client(impatient, body(stream=stream))
    await refused.ended()
    assert refused.status == 429
    error = json.loads(refused.received)["error"]
    assert (error["type"], error["code"], error["param"]) == ("rate_limit_error", "rate_limit_exceeded", None)
    assert error["message"].startswith("The queue is full (requests waiting: 1): try again in ")
    assert 1 <= int(refused.headers[b"retry-after"]) <= 60
    decoder.permit()
    for asking in (running, queued):
        await asking.ended()
    assert [EXPECTED in running.text, OTHER_EXPECTED in queued.text] == [True, True]
    again = Client(impatient, body(stream=stream))
    await again.ended()
    assert EXPECTED in again.text


async def test_a_stream_that_waits_shows_that_it_lives(impatient: FastAPI, decoder: Stepwise) -> None:
    running, queued = Client(impatient, body(stream=True)), Client(impatient, body(OTHER_QUESTION, stream=True))
    for asking in (running, queued):
        await until(lambda: asking.received.count("\n\n: ") > 3)  # noqa: B023 - awaited in the same turn
        assert events(asking.received)[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
        assert asking.text == ""
    decoder.permit()
    for asking, expected in ((running, EXPECTED), (queued, OTHER_EXPECTED)):
        await asking.ended()
        assert expected in asking.text
        assert events(asking.received)[-1] == "[DONE]"
