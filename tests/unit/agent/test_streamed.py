"""Inference over HTTP: the stream adds up to the answer in one piece, and a broken one is none."""

import json
from typing import Any

from lambda_llm.agent import inference
from lambda_llm.agent.inference import Thought, Unanswered
from lambda_llm.agent.streamed import HTTPInference
from support.durable import called, refused, said
from support.model_server import model_server


def asked(*script: Any) -> tuple[Thought | Unanswered, list[str], list[dict[str, Any]]]:
    shown: list[str] = []
    with model_server(*script) as (url, requests):
        server = HTTPInference(url, shown=shown.append)
        outcome = inference.parse_body(*_as_parse(server.ask({"model": "demo", "messages": []})))
        server.close()
    return outcome, shown, requests


def _as_parse(answer: tuple[int, bytes, float]) -> tuple[int, bytes, str, float]:
    return answer[0], answer[1], "t", answer[2]


def test_text_is_shown_as_it_arrives() -> None:
    outcome, shown, requests = asked(said("It is done."))
    assert isinstance(outcome, Thought)
    assert (outcome.text, outcome.finish, outcome.tokens) == ("Itisdone.", "stop", 15)
    assert shown == ["It", "is", "done.", "\n"]
    assert requests[0]["stream"] is True
    assert requests[0]["stream_options"] == {"include_usage": True}


def test_calls_come_in_pieces() -> None:
    outcome, _, _ = asked(called("look", {"city": "Paris"}, {"city": "Rome"}))
    assert isinstance(outcome, Thought)
    assert [(call.name, json.loads(call.arguments)) for call in outcome.calls] == [
        ("look", {"city": "Paris"}),
        ("look", {"city": "Rome"}),
    ]


def test_a_refusal_has_its_status_and_the_time_to_wait() -> None:
    outcome, _, _ = asked(refused(429, "rate_limit"))
    assert outcome == Unanswered(429, "rate_limit", "The model's server answered with status 429 (rate_limit).", 7.0)


def test_a_stream_that_is_cut_is_no_answer() -> None:
    outcome, _, _ = asked(said("It is done.") | {"cut": True})
    assert isinstance(outcome, Unanswered)
    assert outcome.later


def test_a_server_that_is_not_there_is_no_answer() -> None:
    server = HTTPInference("http://127.0.0.1:1/v1")
    assert server.ask({"messages": []}) == (0, b"", 0.0)
    server.close()
