"""A real server process, spoken to by the official client."""

import asyncio
import platform
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from openai import (
    AsyncOpenAI,
    BadRequestError,
    NotFoundError,
    OpenAI,
)

from scripts.demo import MODEL
from support.answers import EXPECTED, LONG_QUESTION, OTHER_EXPECTED, OTHER_QUESTION, QUESTION, user
from support.chat import PATH
from support.endless import CONTEXT, NAME
from support.servers import SYSTEM_PROMPT, Server, raw_request, until

MODEL_ID = "lambda-llm-demo"


def asked(question: str = QUESTION, **changes: Any) -> Any:
    return {"model": MODEL_ID, "messages": [user(question)], "temperature": 0} | changes


def endless(question: str = QUESTION, **changes: Any) -> Any:
    return asked(question, model=NAME, **changes)


@pytest.fixture
def client(demo_server: Server) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{demo_server.url}/v1", api_key="unused", max_retries=0) as client:
        yield client


# -- answers ----------------------------------------------------------------------------------------


def test_the_model_is_listed(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [MODEL_ID]


def test_health_tells_how_the_model_is_served(demo_server: Server) -> None:
    health = demo_server.health()
    assert (health["status"], health["model"], health["threads"]) == ("ok", MODEL_ID, 1)
    # llama.cpp has a layout of its own for Q8_0 on arm64 only; where it has none, a copy would win nothing.
    placement = "mapped" if platform.machine() == "x86_64" else "copied"
    assert (health["context"], health["placement"]) == (2048, placement)
    memory = health["memory"]
    # A copy lets the memory file go.
    assert memory["model_file"] == (MODEL.stat().st_size if placement == "mapped" else 0)
    assert memory["resident"] > memory["weights"] + memory["kv_cache"]


def test_a_question_is_answered_whole_and_streamed_alike(client: OpenAI) -> None:
    whole = client.chat.completions.create(**asked())
    assert EXPECTED in (whole.choices[0].message.content or "")
    assert whole.usage
    with client.chat.completions.create(**asked(stream=True, stream_options={"include_usage": True})) as stream:
        *chunks, last = list(stream)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole.choices[0].message.content
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason == "stop"
    assert last.choices == []
    assert last.usage
    assert last.usage.completion_tokens == whole.usage.completion_tokens


async def test_many_clients_at_once_are_all_answered(demo_server: Server) -> None:
    async with AsyncOpenAI(base_url=f"{demo_server.url}/v1", api_key="unused", max_retries=0) as client:

        async def ask(number: int) -> bool:
            question, expected = ((QUESTION, EXPECTED), (OTHER_QUESTION, OTHER_EXPECTED))[number % 2]
            if number % 3:
                return expected in str((await client.chat.completions.create(**asked(question))).choices)
            stream = await client.chat.completions.create(**asked(question, stream=True))
            async with stream:
                return expected in "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

        assert await asyncio.gather(*map(ask, range(8))) == [True] * 8


def test_refusals_are_the_client_s_own_exceptions(client: OpenAI) -> None:
    with pytest.raises(NotFoundError) as missing:
        client.chat.completions.create(**asked(model="gpt-5"))
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    with pytest.raises(BadRequestError) as unsupported:
        client.chat.completions.create(**asked(functions=[{"name": "x"}]))
    assert (unsupported.value.code, unsupported.value.param) == ("unsupported_parameter", "functions")
    for stream in (False, True):
        with pytest.raises(BadRequestError, match="context length is 2048 tokens") as too_long:
            client.chat.completions.create(**asked("word " * 3000, stream=stream))
        assert (too_long.value.code, too_long.value.param) == ("context_length_exceeded", "messages")


def test_the_log_is_json_and_knows_no_prompt_and_no_answer(client: OpenAI, demo_server: Server) -> None:
    answer = client.chat.completions.create(**asked("Xylophone zebra")).choices[0].message.content
    with pytest.raises(BadRequestError):
        client.chat.completions.create(**asked("Xylophone quartz", n=0))
    lines = demo_server.lines()
    assert any("generation ended" in line["message"] for line in lines)
    logged = demo_server.log.read_text()
    for text in ("Xylophone", "zebra", "quartz", answer, SYSTEM_PROMPT):
        assert text not in logged


# -- while an answer is on its way ------------------------------------------------------------------


def generating(server: Server, before: dict[str, int], count: int = 1) -> None:
    until(lambda: server.requests()["active"] == before["active"] + count)


@pytest.fixture
def quiet(endless_server: Server) -> Iterator[dict[str, int]]:
    """The counts before; afterwards nobody may be left in the queue."""
    yield endless_server.requests()
    until(lambda: endless_server.requests()["active"] == 0)


def test_other_requests_are_answered_during_a_long_answer(endless_server: Server, quiet: dict[str, int]) -> None:
    with raw_request(endless_server, "POST", PATH, endless(stream=True)):
        generating(endless_server, quiet)
        assert httpx2.get(f"{endless_server.url}/v1/models").json()["data"][0]["id"] == NAME
        refused = httpx2.post(f"{endless_server.url}{PATH}", json=endless(n=0))
        assert refused.status_code == 400
        # Had the answer blocked them, it would have come to its end by now.
        assert endless_server.requests()["active"] == 1


def test_a_client_that_leaves_a_stream_stops_the_model(endless_server: Server, quiet: dict[str, int]) -> None:
    with OpenAI(base_url=f"{endless_server.url}/v1", api_key="unused", max_retries=0) as client:
        with client.chat.completions.create(**endless(stream=True)) as stream:
            pieces = [chunk for chunk, _ in zip(stream, range(5), strict=False)]
        assert len(pieces) == 5
        until(lambda: endless_server.requests()["cancelled"] == quiet["cancelled"] + 1)
        counts = endless_server.requests()
        assert counts["generated_tokens"] - quiet["generated_tokens"] < CONTEXT / 4
        answer = client.chat.completions.create(**endless(max_tokens=3))
        assert answer.usage
        assert answer.usage.completion_tokens == 3


def test_a_client_that_leaves_a_whole_answer_stops_the_model(endless_server: Server, quiet: dict[str, int]) -> None:
    with raw_request(endless_server, "POST", PATH, endless()):
        generating(endless_server, quiet)
    until(lambda: endless_server.requests()["cancelled"] == quiet["cancelled"] + 1)
    assert endless_server.requests()["generated_tokens"] - quiet["generated_tokens"] < CONTEXT / 4


def test_a_client_that_leaves_while_its_prompt_is_read_stops_the_model(
    endless_server: Server, quiet: dict[str, int]
) -> None:
    with raw_request(endless_server, "POST", PATH, endless("word " * 1850, stream=True)) as connection:
        # The beginning of the stream is sent before the prompt is read.
        assert connection.recv(1)
        generating(endless_server, quiet)
    until(lambda: endless_server.requests()["cancelled"] == quiet["cancelled"] + 1)
    assert endless_server.requests()["generated_tokens"] - quiet["generated_tokens"] < CONTEXT / 4


def test_a_client_that_leaves_the_queue_never_has_its_turn(endless_server: Server, quiet: dict[str, int]) -> None:
    with raw_request(endless_server, "POST", PATH, endless(stream=True)):
        generating(endless_server, quiet, 1)
        with raw_request(endless_server, "POST", PATH, endless(LONG_QUESTION)):
            generating(endless_server, quiet, 2)
        until(lambda: endless_server.requests()["cancelled"] == quiet["cancelled"] + 1)
        counts = endless_server.requests()
        assert counts["active"] == 1
        assert counts["generated_tokens"] == quiet["generated_tokens"]
    until(lambda: endless_server.requests()["cancelled"] == quiet["cancelled"] + 2)
