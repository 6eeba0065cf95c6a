"""What comes back from inference, whichever door it went through, and whatever it is."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_llm.agent import inference
from lambda_llm.agent.agent import Agent
from lambda_llm.agent.inference import Thought, Unanswered
from lambda_llm.openai_types.chat import ChatCompletionRequest
from support.durable import called, completion, refused, said


def buffered(answer: Any, status: int = 200) -> str:
    return json.dumps({"statusCode": status, "headers": {}, "body": json.dumps(answer), "isBase64Encoded": False})


def encoded(answer: Any, status: int = 200) -> str:
    body = base64.b64encode(json.dumps(answer).encode()).decode()
    return json.dumps({"statusCode": status, "headers": {}, "body": body, "isBase64Encoded": True})


def streamed(answer: Any, status: int = 200) -> str:
    return json.dumps({"statusCode": status, "headers": {}}) + "\0" * 8 + json.dumps(answer)


@pytest.mark.parametrize("form", [buffered, encoded, streamed])
def test_every_form_of_an_answer(form: Any) -> None:
    thought = inference.parse(form(called("look", {"a": 1}, {"a": 2}, text="Well.")), "think-7")
    assert isinstance(thought, Thought)
    assert (thought.text, thought.finish, thought.tokens, thought.seconds) == ("Well.", "tool_calls", 15, 0.2)
    assert [(call.id, call.name, call.arguments) for call in thought.calls] == [
        ("think-7-0", "look", '{"a": 1}'),
        ("think-7-1", "look", '{"a": 2}'),
    ]
    trouble = inference.parse(form(refused(429, "rate_limit"), 429), "think-7")
    assert trouble == Unanswered(429, "rate_limit", "The model's server answered with status 429 (rate_limit).")
    assert trouble.later


@given(
    st.text()
    | st.none()
    | st.recursive(
        st.none() | st.text() | st.floats(),
        lambda one: (
            st.lists(one)
            | st.dictionaries(st.sampled_from(["choices", "message", "content", "tool_calls", "usage", "error"]), one)
        ),
    ).map(buffered)
)
def test_nonsense_is_a_value(text: str | None) -> None:
    outcome = inference.parse(text, "think-1")
    assert isinstance(outcome, Thought | Unanswered)
    if isinstance(outcome, Thought):
        json.dumps(outcome.text).encode()


def test_an_answer_is_bounded() -> None:
    many = called("look", *({"n": number} for number in range(100)), text="x" * 1_000_000)
    many["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] = "y" * 1_000_000
    thought = inference.parse(buffered(many), "t")
    assert isinstance(thought, Thought)
    assert (len(thought.calls), len(thought.text)) == (inference.CALLS, inference.TEXT_CHARACTERS)
    assert len(thought.calls[0].arguments) == inference.CALL_CHARACTERS + 1


def test_arguments_as_an_object_and_text_that_is_none() -> None:
    message = {"content": "\ud800", "tool_calls": [{"function": {"name": "look", "arguments": {"a": 1}}}]}
    thought = inference.parse(buffered(completion(message, "tool_calls")), "t")
    assert isinstance(thought, Thought)
    assert (thought.text, thought.calls[0].arguments) == ("?", '{"a": 1}')


@pytest.mark.parametrize(
    ("status", "later"), [(0, True), (429, True), (503, True), (400, False), (404, False), (413, False)]
)
def test_which_failures_pass(status: int, later: bool) -> None:  # noqa: FBT001
    assert Unanswered(status, "", "").later is later


def test_what_a_server_says_of_a_prompt_is_not_passed_on() -> None:
    text = json.dumps(refused(400, "secret prompt!"))
    outcome = inference.parse_body(400, text.encode(), "t")
    assert isinstance(outcome, Unanswered)
    assert outcome.why == "The model's server answered with status 400."


def test_a_request_is_one_that_our_server_takes() -> None:
    agent = Agent("You act.", "demo", options={"temperature": 0})
    request = inference.body(agent, {}, [{"role": "user", "content": "Hi"}])
    ChatCompletionRequest.model_validate(request)
    event = json.loads(inference.payload(request))
    assert (event["rawPath"], json.loads(event["body"])) == ("/v1/chat/completions", request)
    assert inference.parse(buffered(said("Hello.")), "t") == Thought(
        "Hello.", (), "stop", "", 15, 1_764_000_000.0, 0.2, 10, 5
    )
