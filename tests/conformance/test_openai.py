"""OpenAI's official client works unchanged, through both front doors."""

import json
import os
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from support.answers import EXPECTED, QUESTION, user
from support.servers import serving

MODEL = "lambda-llm-demo"
ASKED: Any = {"model": MODEL, "messages": [user(QUESTION)], "temperature": 0}
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"enum": ["Rome", "Oslo"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


class Limit(BaseModel):
    """What an answer is to look like."""

    megabytes: int
    largest: bool


def test_models_are_listed_and_found(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).owned_by == "lambda-llm"


def test_a_whole_answer_has_its_usage(client: OpenAI) -> None:
    answer = client.chat.completions.create(**ASKED)
    assert EXPECTED in (answer.choices[0].message.content or "")
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_a_prediction_changes_nothing_but_what_was_guessed(demo_model: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "LAMBDA_LLM_MODEL": str(demo_model), "LAMBDA_LLM_GUESS": "on"}
    with (
        serving(tmp_path, environment) as server,
        OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0) as client,
    ):
        expected = client.chat.completions.create(**ASKED)
        text = expected.choices[0].message.content or ""
        answer = client.chat.completions.create(**ASKED, prediction={"type": "content", "content": text})
    assert answer.choices == expected.choices
    assert EXPECTED in text
    details = answer.usage.completion_tokens_details
    assert details.accepted_prediction_tokens > answer.usage.completion_tokens / 2
    assert details.rejected_prediction_tokens >= 0


def test_a_stream_comes_in_openai_s_order(client: OpenAI) -> None:
    chunks = list(client.chat.completions.create(**ASKED, stream=True, stream_options={"include_usage": True}))
    first, *middle, last, usage = chunks
    assert (first.choices[0].delta.role, first.choices[0].delta.content) == ("assistant", "")
    assert EXPECTED in "".join(chunk.choices[0].delta.content or "" for chunk in middle)
    assert all(chunk.choices[0].finish_reason is None for chunk in (first, *middle))
    assert last.choices[0].finish_reason == "stop"
    assert usage.choices == []
    assert usage.usage
    assert len({chunk.id for chunk in chunks}) == 1


def test_several_answers_with_probabilities_that_a_seed_repeats(client: OpenAI) -> None:
    given: Any = ASKED | {"temperature": 1.5, "n": 3, "seed": 7, "logprobs": True, "top_logprobs": 2, "max_tokens": 8}
    first, second = (client.chat.completions.create(**given) for _ in range(2))
    assert [choice.index for choice in first.choices] == [0, 1, 2]
    assert [choice.message.content for choice in first.choices] == [choice.message.content for choice in second.choices]
    for choice in first.choices:
        assert choice.logprobs
        told = choice.logprobs.content or []
        assert len(told) <= 8
        assert all(len(token.top_logprobs) == 2 and token.logprob <= 0 for token in told)


def test_an_answer_is_parsed_into_a_class(client: OpenAI) -> None:
    answer = client.chat.completions.parse(**ASKED, response_format=Limit, max_completion_tokens=200)
    assert isinstance(answer.choices[0].message.parsed, Limit)


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_that_must_be_called_is_called(client: OpenAI, *, stream: bool) -> None:
    given: Any = ASKED | {"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "get_weather"}}}
    if stream:
        with client.chat.completions.stream(**given) as events:
            message: Any = events.get_final_completion().choices[0]
    else:
        message = client.chat.completions.create(**given).choices[0]
    (call,) = message.message.tool_calls
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments)["city"] in {"Rome", "Oslo"}


def test_a_completion_goes_on_from_a_text(client: OpenAI) -> None:
    whole = client.completions.create(model=MODEL, prompt="How much", max_tokens=6, temperature=0)
    streamed = client.completions.create(model=MODEL, prompt="How much", max_tokens=6, temperature=0, stream=True)
    assert "".join(chunk.choices[0].text for chunk in streamed if chunk.choices) == whole.choices[0].text


def test_a_response_whole_and_as_events(client: OpenAI) -> None:
    whole = client.responses.create(model=MODEL, input=QUESTION, temperature=0)
    assert EXPECTED in whole.output_text
    kinds: list[str] = []
    text = ""
    for event in client.responses.create(model=MODEL, input=QUESTION, temperature=0, stream=True):
        kinds.append(event.type)
        if event.type == "response.output_text.delta":
            text += event.delta
    assert text == whole.output_text
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
    assert kinds.index("response.output_item.added") < kinds.index("response.output_text.delta")


@pytest.mark.parametrize(
    ("changes", "kind", "code", "param"),
    [
        ({"model": "gpt-5"}, openai.NotFoundError, "model_not_found", "model"),
        ({"temperature": 9}, openai.BadRequestError, "invalid_value", "temperature"),
        ({"audio": {}}, openai.BadRequestError, "unsupported_parameter", "audio"),
        ({"messages": [user("word " * 5000)]}, openai.BadRequestError, "context_length_exceeded", "messages"),
    ],
    ids=str,
)
def test_what_is_wrong_arrives_as_openai_s_own_errors(
    client: OpenAI, changes: dict[str, Any], kind: type[openai.APIStatusError], code: str, param: str
) -> None:
    with pytest.raises(kind) as refused:
        client.chat.completions.create(**(ASKED | changes))
    assert (refused.value.code, refused.value.param) == (code, param)


def test_a_chat_model_makes_no_embeddings(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.embeddings.create(model=MODEL, input="text")
    assert refused.value.code == "unsupported_model"


async def test_the_asynchronous_client_streams(base_url: str) -> None:
    async with AsyncOpenAI(base_url=base_url, api_key="unused", max_retries=0) as client:
        stream = await client.chat.completions.create(**ASKED, stream=True)
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert EXPECTED in text
