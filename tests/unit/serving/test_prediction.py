"""Guessed tokens in the API: `prediction`, and what usage, timings, metrics and the log say of them."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from lambda_llm.gguf.options import Guess
from support.answers import LONG_QUESTION, OpenEngine, user
from support.chat import PATH, body, made

COUNTS = ("accepted_prediction_tokens", "rejected_prediction_tokens")


async def client_of(open_engine: OpenEngine, guess: Guess) -> AsyncIterator[httpx2.AsyncClient]:
    app = made(open_engine(guess=guess), with_metrics=True)
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://server") as client,
    ):
        yield client


@pytest.fixture
async def guessing(open_engine: OpenEngine) -> AsyncIterator[httpx2.AsyncClient]:
    async for client in client_of(open_engine, Guess.ON):
        yield client


@pytest.fixture
async def plain(open_engine: OpenEngine) -> AsyncIterator[httpx2.AsyncClient]:
    async for client in client_of(open_engine, Guess.OFF):
        yield client


async def asked(client: httpx2.AsyncClient, **changes: Any) -> dict[str, Any]:
    answer = await client.post(PATH, json=body(LONG_QUESTION, **changes))
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def said(answer: dict[str, Any]) -> str:
    return str(answer["choices"][0]["message"]["content"])


def predicted(text: Any) -> dict[str, Any]:
    return {"type": "content", "content": text}


async def test_a_prediction_makes_the_same_answer_of_fewer_evaluations(
    guessing: httpx2.AsyncClient, plain: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    expected = await asked(plain)
    text = said(expected)
    half = len(text) // 2
    caplog.set_level("INFO")
    answer = await asked(guessing, prediction=predicted(text))
    assert said(answer) == text
    usage = answer["usage"]
    accepted, rejected = (usage["completion_tokens_details"][name] for name in COUNTS)
    # The first token is chosen behind the prompt, and the last one, which ends the turn, is not in the prediction.
    assert accepted > 0.7 * usage["completion_tokens"]
    assert 0 <= rejected < 20
    assert usage["completion_tokens"] == expected["usage"]["completion_tokens"]
    assert usage["total_tokens"] == expected["usage"]["total_tokens"]
    timings = answer["timings"]
    assert (timings["draft_n"], timings["draft_n_accepted"]) == (accepted + rejected, accepted)
    assert f"(guessed {accepted + rejected}, {accepted} of them right)" in caplog.text
    parts = [{"type": "text", "text": part} for part in (text[:half], text[half:])]
    in_parts = await asked(guessing, prediction=predicted(parts))
    assert in_parts["usage"]["completion_tokens_details"] == usage["completion_tokens_details"]


async def test_a_wrong_prediction_changes_nothing(guessing: httpx2.AsyncClient, plain: httpx2.AsyncClient) -> None:
    expected = await asked(plain, max_tokens=40)
    answer = await asked(guessing, max_tokens=40, prediction=predicted("1, 2, 3, 4, 50, 60, 70, 80, 90"))
    assert said(answer) == said(expected)
    assert answer["usage"]["completion_tokens_details"]["rejected_prediction_tokens"] > 0


@pytest.mark.parametrize("text", ["", []])
async def test_an_empty_prediction_is_none(guessing: httpx2.AsyncClient, text: Any) -> None:
    assert said(await asked(guessing, max_tokens=9, prediction=predicted(text)))


async def test_where_nothing_is_guessed_a_prediction_counts_nothing(plain: httpx2.AsyncClient) -> None:
    answer = await asked(plain, max_tokens=20)
    again = await asked(plain, max_tokens=20, prediction=predicted(said(answer)))
    assert said(again) == said(answer)
    assert [again["usage"]["completion_tokens_details"][name] for name in COUNTS] == [0, 0]
    assert (again["timings"]["draft_n"], again["timings"]["draft_n_accepted"]) == (0, 0)


async def test_each_chunk_and_the_metrics_tell_what_was_guessed(
    guessing: httpx2.AsyncClient, plain: httpx2.AsyncClient
) -> None:
    text = said(await asked(plain, max_tokens=60))
    request = body(
        LONG_QUESTION,
        max_tokens=60,
        stream=True,
        timings_per_token=True,
        stream_options={"include_usage": True},
        prediction=predicted(text),
        logprobs=True,
        top_logprobs=1,
    )
    events = (await guessing.post(PATH, json=request)).text.split("\n\n")
    chunks = [json.loads(each.removeprefix("data: ")) for each in events if each.startswith("data: {")]
    timings = [chunk["timings"] for chunk in chunks if "timings" in chunk]
    for name in ("draft_n", "draft_n_accepted"):
        counts = [each[name] for each in timings]
        assert counts == sorted(counts)
        assert counts[0] == 0 < counts[-1]
    assert all(each["draft_n_accepted"] < each["predicted_n"] for each in timings)
    details = chunks[-1]["usage"]["completion_tokens_details"]
    assert timings[-1]["draft_n"] == sum(details[name] for name in COUNTS)
    assert timings[-1]["draft_n_accepted"] == details["accepted_prediction_tokens"]
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    scored = [each for choice in choices if choice["logprobs"] for each in choice["logprobs"]["content"]]
    assert len(scored) == chunks[-1]["usage"]["completion_tokens"]
    assert all(each["logprob"] == each["top_logprobs"][0]["logprob"] for each in scored), "it is greedy"
    page = (await guessing.get("/metrics")).text
    for name, key in (("guessed", "draft_n"), ("accepted_guessed", "draft_n_accepted")):
        (line,) = [each for each in page.splitlines() if each.startswith(f"lambda_llm_{name}_tokens_total{{")]
        assert float(line.split()[-1]) == timings[-1][key]


async def test_control_tokens_in_a_prediction_are_plain_text(guessing: httpx2.AsyncClient) -> None:
    answer = await asked(guessing, max_tokens=30, prediction=predicted("1, 2, 3<|eot_id|>, 4, 5"))
    assert answer["choices"][0]["finish_reason"] == "length"


async def test_each_choice_is_guessed_by_itself(guessing: httpx2.AsyncClient, plain: httpx2.AsyncClient) -> None:
    sampling = {"temperature": 0.3, "seed": 5, "n": 3, "max_tokens": 30, "messages": [user("Who are you?")]}
    expected = await asked(plain, **sampling)
    answer = await asked(guessing, **sampling, prediction=predicted(said(expected)))
    assert [each["message"] for each in answer["choices"]] == [each["message"] for each in expected["choices"]]
    assert answer["usage"]["completion_tokens_details"]["accepted_prediction_tokens"] > 0
