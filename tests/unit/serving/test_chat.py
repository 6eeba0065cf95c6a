"""Answers, streamed and whole, as OpenAI's clients expect them."""

import time
from typing import Any

import httpx2
import pytest

from lambda_llm.engine import backend
from lambda_llm.engine.engine import Engine
from lambda_llm.engine.errors import EngineError
from lambda_llm.limits import MIB
from support.answers import EXPECTED, LONG_QUESTION, user
from support.chat import MODEL_ID, PATH, body, events, text_of


async def ask(client: httpx2.AsyncClient, **changes: Any) -> Any:
    response = await client.post(PATH, json=body(**changes))
    assert response.status_code == 200, response.text
    return response.json()


async def stream(client: httpx2.AsyncClient, **changes: Any) -> list[Any]:
    response = await client.post(PATH, json=body(stream=True, **changes))
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["cache-control"] == "no-cache"
    return events(response.text)


def content(completion: Any) -> str:
    text: str = completion["choices"][0]["message"]["content"]
    return text


async def test_a_whole_answer_has_openai_s_form(client: httpx2.AsyncClient, engine: Engine) -> None:
    before = int(time.time())
    completion = await ask(client)
    assert completion.pop("id").startswith("chatcmpl-")
    assert before <= completion.pop("created") <= time.time()
    text = completion["choices"][0]["message"].pop("content")
    usage = completion.pop("usage")
    timings = completion.pop("timings")
    assert EXPECTED in text
    assert completion == {
        "object": "chat.completion",
        "model": MODEL_ID,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
    }
    assert usage["completion_tokens"] == len(engine.model.tokenize(text, add_special=False)) + 1
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["prompt_tokens_details"] == {"cached_tokens": 0}
    assert (timings["prompt_n"], timings["predicted_n"]) == (usage["prompt_tokens"], usage["completion_tokens"])


async def test_a_stream_is_role_then_content_then_reason_then_done(client: httpx2.AsyncClient) -> None:
    *chunks, done = await stream(client)
    assert done == "[DONE]"
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert {(chunk["object"], chunk["model"]) for chunk in chunks} == {("chat.completion.chunk", MODEL_ID)}
    assert not any("usage" in chunk for chunk in chunks)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert deltas[-1] == {}
    assert all(list(delta) == ["content"] and delta["content"] for delta in deltas[1:-1])
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert EXPECTED in text_of(chunks)


async def test_usage_is_streamed_last_and_only_when_asked_for(client: httpx2.AsyncClient) -> None:
    *chunks, last, done = await stream(client, stream_options={"include_usage": True})
    assert done == "[DONE]"
    assert all(chunk["usage"] is None for chunk in chunks)
    assert last["choices"] == []
    whole = await ask(client)
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert last["usage"][name] == whole["usage"][name]
    without = await stream(client, stream_options={"include_usage": False})
    assert not any("usage" in chunk for chunk in without[:-1])


@pytest.mark.parametrize(
    "changes", [{}, {"max_tokens": 5}, {"stop": [" of", "MB"]}, {"temperature": 2, "seed": 3, "max_tokens": 30}]
)
async def test_streamed_and_whole_answers_are_the_same(client: httpx2.AsyncClient, changes: dict[str, Any]) -> None:
    whole = await ask(client, **changes)
    chunks = await stream(client, **changes)
    assert text_of(chunks) == content(whole)
    assert chunks[-2]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
async def test_the_length_is_limited_under_either_name(client: httpx2.AsyncClient, name: str) -> None:
    completion = await ask(client, question=LONG_QUESTION, **{name: 7})
    assert completion["usage"]["completion_tokens"] == 7
    assert completion["choices"][0]["finish_reason"] == "length"


async def test_the_newer_name_of_the_length_wins(client: httpx2.AsyncClient) -> None:
    completion = await ask(client, question=LONG_QUESTION, max_tokens=9, max_completion_tokens=4)
    assert completion["usage"]["completion_tokens"] == 4


async def test_a_stop_text_may_be_one_or_several(client: httpx2.AsyncClient) -> None:
    whole = content(await ask(client))
    assert EXPECTED in whole
    for stop in (EXPECTED, [EXPECTED], ["never said", EXPECTED]):
        completion = await ask(client, stop=stop)
        assert content(completion) == whole[: whole.index(EXPECTED)]
        assert completion["choices"][0]["finish_reason"] == "stop"
    assert content(await ask(client, stop=[])) == whole


async def test_a_seed_repeats_an_answer(client: httpx2.AsyncClient) -> None:
    hot = {"temperature": 2, "max_tokens": 20}
    assert content(await ask(client, seed=5, **hot)) == content(await ask(client, seed=5, **hot))
    assert len({content(await ask(client, **hot)) for _ in range(8)}) > 3


async def test_fields_that_are_null_count_as_left_out(client: httpx2.AsyncClient) -> None:
    names = ("stream", "stream_options", "top_p", "seed", "stop", "max_tokens", "max_completion_tokens", "n", "user")
    response = await client.post(PATH, json=body() | dict.fromkeys(names))
    assert EXPECTED in content(response.json())


async def test_what_every_client_sends_is_accepted(client: httpx2.AsyncClient) -> None:
    completion = await ask(client, n=1, user="somebody", messages=[{**user("Hello"), "name": "somebody"}])
    assert content(completion)


async def test_a_message_may_come_in_parts(client: httpx2.AsyncClient) -> None:
    parts = [{"type": "text", "text": text} for text in ("How much memory does ", "the function get?")]
    assert EXPECTED in content(await ask(client, messages=[{"role": "user", "content": parts}]))


async def test_developer_is_another_name_for_system(client: httpx2.AsyncClient) -> None:
    system, developer = (
        [{"role": role, "content": "Answer in one word."}, user("Hello")] for role in ("system", "developer")
    )
    first = await ask(client, messages=system)
    second = await ask(client, messages=developer)
    assert second["usage"]["prompt_tokens_details"]["cached_tokens"] == first["usage"]["prompt_tokens"] - 1
    assert content(first) == content(second)


async def test_a_conversation_finds_its_beginning_in_the_cache(client: httpx2.AsyncClient) -> None:
    first = await ask(client)
    turns = [user(body()["messages"][0]["content"]), {"role": "assistant", "content": content(first)}, user("Hello")]
    second = await ask(client, messages=turns)
    assert second["usage"]["prompt_tokens_details"]["cached_tokens"] >= first["usage"]["prompt_tokens"]


async def test_the_models_are_listed(client: httpx2.AsyncClient) -> None:
    listed = (await client.get("/v1/models")).json()
    created = listed["data"][0].pop("created")
    assert listed == {"object": "list", "data": [{"id": MODEL_ID, "object": "model", "owned_by": "lambda-llm"}]}
    assert created <= time.time()


async def test_health_tells_what_is_served_and_what_was_done(client: httpx2.AsyncClient, engine: Engine) -> None:
    completion = await ask(client, max_tokens=3)
    health = (await client.get("/health")).json()
    assert health["memory"].pop("resident") > MIB
    assert health == {
        "status": "ok",
        "worker": "idle",
        "model": MODEL_ID,
        "context": engine.decoder.context_length,
        "threads": 1,
        "placement": "copied",
        "backend": backend.variant(),
        "checksums": [],
        "environment": None,
        "memory": {
            "model_file": 0,
            "weights": 2,
            "kv_cache": 3,
            "compute_buffers": 4,
            "prefixes": 0,
            "process": 0,
            "peak": 7,
        },
        "sessions": None,
        "requests": {
            "active": 0,
            "planning": 0,
            "completed": 1,
            "cancelled": 0,
            "failed": 0,
            "generated_tokens": completion["usage"]["completion_tokens"],
        },
    }


# -- when the engine fails --------------------------------------------------------------------------


@pytest.fixture
def failing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A model that breaks after its third token."""
    real = engine.decoder.append
    count = 0

    def append(token: int, **_: Any) -> None:
        nonlocal count
        count += 1
        if count == 3:
            raise EngineError("it broke")
        real(token)

    monkeypatch.setattr(engine.decoder, "append", append)
    return monkeypatch


async def test_a_failure_in_the_midst_of_a_stream_is_told_in_the_stream(
    client: httpx2.AsyncClient, failing: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    role, *chunks, last = await stream(client)
    assert role["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert text_of(chunks)
    assert last == {
        "error": {
            "message": "The server failed to answer; its log says why. Try again.",
            "type": "server_error",
            "param": None,
            "code": "internal_error",
        }
    }
    assert "it broke" in caplog.text
    assert (await client.get("/health")).json()["requests"]["failed"] == 1
    failing.undo()
    assert EXPECTED in content(await ask(client))


async def test_a_failure_of_a_whole_answer_is_a_500_that_tells_nothing(
    client: httpx2.AsyncClient, failing: pytest.MonkeyPatch
) -> None:
    response = await client.post(PATH, json=body())
    assert response.status_code == 500
    assert response.json()["error"]["code"] == "internal_error"
    assert "it broke" not in response.text
    failing.undo()
    assert EXPECTED in content(await ask(client))


async def test_a_prompt_is_not_logged_even_when_its_answer_fails(
    client: httpx2.AsyncClient, failing: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    await client.post(PATH, json=body("Xylophone zebra"))
    failing.undo()
    text = content(await ask(client, question="Xylophone quartz"))
    await client.post(PATH, json=body("Xylophone amber", tools=[]))
    assert "generation ended" in caplog.text
    for word in ("Xylophone", "zebra", "quartz", "amber", text):
        assert word not in caplog.text
