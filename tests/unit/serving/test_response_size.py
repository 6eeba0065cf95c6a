"""Answers in one piece that would be too large for the front door."""

import json
from typing import Any

import httpx2
import pytest

from lambda_llm.engine.engine import Engine
from support.answers import LONG_QUESTION
from support.chat import PATH, answering, body, made

SMALL = 10_000
SCORED = {"logprobs": True, "top_logprobs": 20}


def post(engine: Engine, request: dict[str, Any], path: str = PATH, **options: Any) -> httpx2.Response:
    with answering(made(engine, response_bytes=SMALL, **options)) as send:
        return send(path, json.dumps(request))


@pytest.mark.parametrize(
    ("path", "request_", "param"),
    [
        (PATH, body(LONG_QUESTION, max_tokens=100, **SCORED), "max_tokens"),
        (PATH, body(LONG_QUESTION, max_completion_tokens=100, **SCORED), "max_completion_tokens"),
        (PATH, body(LONG_QUESTION, max_tokens=200, n=16), "max_tokens"),
        ("/v1/completions", {"prompt": ["a"] * 16, "max_tokens": 200}, "max_tokens"),
        ("/v1/responses", {"input": "a", "max_output_tokens": 2000}, "max_output_tokens"),
    ],
)
def test_what_can_t_be_returned_is_refused_before_it_is_computed(
    engine: Engine, path: str, request_: dict[str, Any], param: str
) -> None:
    response = post(engine, request_, path)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, "response_too_large", param)
    assert f"at most {SMALL:,} can be returned in one piece: ask for at most" in error["message"]
    assert engine.decoder.evaluated == []


def test_an_answer_of_any_length_is_cut_where_no_more_can_be_returned(engine: Engine) -> None:
    response = post(engine, body(LONG_QUESTION, **SCORED))
    assert response.status_code == 200, response.text
    assert response.json()["choices"][0]["finish_reason"] == "length"
    assert len(response.content) <= SMALL


def test_a_stream_of_the_same_is_not_bounded(engine: Engine) -> None:
    response = post(engine, body(LONG_QUESTION, max_tokens=100, stream=True, **SCORED))
    assert response.status_code == 200
    assert len(response.content) > SMALL


def test_a_setting_bounds_every_answer(engine: Engine) -> None:
    for asked in ({}, {"max_tokens": 5}, {"max_tokens": 2}):
        response = post(engine, body(LONG_QUESTION, **asked), max_tokens=3)
        assert response.json()["usage"]["completion_tokens"] == min(3, asked.get("max_tokens", 3))


def test_too_long_a_list_of_pieces_is_an_error_and_not_half_a_list(engine: Engine) -> None:
    response = post(engine, {"content": "a b " * 2000, "with_pieces": True}, "/tokenize")
    assert (response.status_code, response.json()["error"]["code"]) == (500, "response_too_large")


@pytest.mark.parametrize(
    ("path", "request_"),
    [("/tokenize", {"content": "word " * 200_000}), ("/detokenize", {"tokens": [1] * 200_000})],
)
def test_more_tokens_than_anybody_needs_are_refused(engine: Engine, path: str, request_: dict[str, Any]) -> None:
    response = post(engine, request_, path)
    assert response.status_code == 400
    assert "100" in response.json()["error"]["message"]
