"""What a chat request can ask for besides text: several answers, probabilities, forms, tools, thoughts."""

import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import jsonschema
import pytest

from lambda_llm.engine.decoder import Decoder
from lambda_llm.engine.engine import Engine
from lambda_llm.openai_types.chat import ChatCompletion, ChatCompletionChunk
from support.answers import EXPECTED, LONG_QUESTION, OpenEngine, user
from support.chat import PATH, body, events, made
from support.models import damaged
from support.rewrite import rewrite

CITY = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 8}}, "required": ["city"]}
WEATHER = {"type": "function", "function": {"name": "get_weather", "description": "Tells it", "parameters": CITY}}
ADD: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "add",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer", "minimum": 1, "maximum": 9}, "b": {"enum": ["x", 'y"']}},
            "required": ["a", "b"],
            "additionalProperties": False,
        },
    },
}


async def ask(client: httpx2.AsyncClient, **changes: Any) -> Any:
    response = await client.post(PATH, json=body(**changes))
    assert response.status_code == 200, response.text
    ChatCompletion.model_validate(response.json())
    return response.json()


async def stream(client: httpx2.AsyncClient, **changes: Any) -> list[Any]:
    response = await client.post(PATH, json=body(stream=True, **changes))
    assert response.status_code == 200, response.text
    *chunks, done = events(response.text)
    assert done == "[DONE]"
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk)
    return chunks


def put_together(chunks: list[Any]) -> list[dict[str, Any]]:
    """What a stream's chunks add up to, one entry for each choice, as a client does it."""
    choices: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        for choice in chunk["choices"]:
            made_of = choices.setdefault(choice["index"], {"tool_calls": [], "logprobs": []})
            assert "finish_reason" not in made_of, "nothing comes behind the reason"
            delta = choice["delta"]
            assert ("role" in delta) is (len(made_of) == 2), "the role comes first, and once"
            for name in ("role", "content", "reasoning_content"):
                if name in delta:
                    made_of[name] = made_of.get(name, "") + delta[name]
            for call in delta.get("tool_calls", []):
                if call["index"] == len(made_of["tool_calls"]):
                    made_of["tool_calls"].append({"id": call["id"], "type": call["type"], "function": call["function"]})
                else:
                    assert list(call) == ["index", "function"]
                    assert list(call["function"]) == ["arguments"]
                    made_of["tool_calls"][call["index"]]["function"]["arguments"] += call["function"]["arguments"]
            made_of["logprobs"] += (choice["logprobs"] or {"content": []})["content"]
            if choice["finish_reason"]:
                made_of["finish_reason"] = choice["finish_reason"]
    return [choices[index] for index in sorted(choices)]


def arguments(call: Any) -> Any:
    return json.loads(call["function"]["arguments"])


# -- several answers --------------------------------------------------------------------------------


async def test_several_answers_share_one_prompt(client: httpx2.AsyncClient) -> None:
    whole = await ask(client, n=3, temperature=2, seed=5, max_tokens=20)
    assert [choice["index"] for choice in whole["choices"]] == [0, 1, 2]
    texts = [choice["message"]["content"] for choice in whole["choices"]]
    assert len(set(texts)) > 1, "a seed makes the answers repeatable, not equal"
    once = await ask(client, temperature=2, seed=5, max_tokens=20)
    assert once["usage"]["prompt_tokens"] == whole["usage"]["prompt_tokens"]
    assert whole["usage"]["completion_tokens"] > once["usage"]["completion_tokens"]
    again = put_together(await stream(client, n=3, temperature=2, seed=5, max_tokens=20))
    assert [choice["content"] for choice in again] == texts
    assert [choice["finish_reason"] for choice in again] == [c["finish_reason"] for c in whole["choices"]]
    counts = (await client.get("/health")).json()["requests"]
    assert (counts["active"], counts["completed"]) == (0, 7)


# -- choosing ---------------------------------------------------------------------------------------


async def test_penalties_and_biases_change_the_answer(client: httpx2.AsyncClient, engine: Engine) -> None:
    plain = await ask(client, max_tokens=20)
    (first, *_) = engine.model.tokenize(plain["choices"][0]["message"]["content"], add_special=False)
    biased = await ask(client, max_tokens=20, logit_bias={str(first): -100})
    assert biased["choices"][0]["message"]["content"] != plain["choices"][0]["message"]["content"]
    hot = {"temperature": 2, "top_k": 1, "min_p": 0.1, "repeat_penalty": 1.0, "max_tokens": 20}
    assert (await ask(client, **hot))["choices"] == plain["choices"]


# -- probabilities ----------------------------------------------------------------------------------


async def test_probabilities_are_told_of_each_token_whole_and_streamed_alike(client: httpx2.AsyncClient) -> None:
    wanted = {"logprobs": True, "top_logprobs": 2, "stop": [" MB"]}
    (choice,) = (await ask(client, **wanted))["choices"]
    tokens = choice["logprobs"]["content"]
    assert "".join(token["token"] for token in tokens) == choice["message"]["content"]
    assert choice["logprobs"]["refusal"] is None
    for token in tokens:
        assert bytes(token["bytes"]).decode() == token["token"]
        assert token["logprob"] <= 0
        assert token["top_logprobs"][0]["token"] == token["token"]
        assert sum(math.exp(each["logprob"]) for each in token["top_logprobs"]) <= 1 + 1e-6
    (streamed,) = put_together(await stream(client, **wanted))
    assert streamed["content"] == choice["message"]["content"]
    assert [token["token"] for token in streamed["logprobs"]] == [token["token"] for token in tokens]
    (bare,) = (await ask(client, logprobs=True))["choices"]
    assert {len(token["top_logprobs"]) for token in bare["logprobs"]["content"]} == {0}
    (without,) = (await ask(client, logprobs=False))["choices"]
    assert without["logprobs"] is None


async def test_probabilities_are_those_of_the_content_where_there_are_tools(client: httpx2.AsyncClient) -> None:
    wanted = {"logprobs": True, "top_logprobs": 2, "tools": [ADD]}
    (free,) = (await ask(client, **wanted, seed=1, max_tokens=30))["choices"]
    assert free["message"]["content"]
    assert "".join(each["token"] for each in free["logprobs"]["content"]) == free["message"]["content"]
    (streamed,) = put_together(await stream(client, **wanted, seed=1, max_tokens=30))
    assert streamed["logprobs"] == free["logprobs"]["content"]
    (called,) = (await ask(client, **wanted, tool_choice="required"))["choices"]
    assert called["message"]["tool_calls"]
    assert called["logprobs"] == {"content": [], "refusal": None}


async def test_probabilities_leave_out_thoughts_and_calls(
    open_engine: OpenEngine, demo_model: Path, tmp_path: Path
) -> None:
    """Thoughts, content with white space around it, and a call, each of known tokens."""
    said = "I see.</think>\n\nIt is nine.\n<tool_call>\n" + '{"name": "add", "arguments": {"a": 9}}\n</tool_call>'
    async with speaking(open_engine, demo_model, tmp_path, HERMES + "<think>", saying(said)) as client:
        wanted = {
            "tools": [WEATHER | {"function": {"name": "add", "parameters": {"type": "object"}}}],
            "logprobs": True,
            "top_logprobs": 1,
        }
        (whole,) = (await ask(client, **wanted))["choices"]
        (streamed,) = put_together(await stream(client, **wanted))
    message = whole["message"]
    assert (message["reasoning_content"], message["content"]) == ("I see.", "It is nine.")
    assert arguments(message["tool_calls"][0]) == {"a": 9}
    told = [each["token"] for each in whole["logprobs"]["content"]]
    assert "".join(told).strip() == "It is nine."
    assert told == [each["token"] for each in streamed["logprobs"]]


# -- forms ------------------------------------------------------------------------------------------

PERSON = {
    "type": "object",
    "properties": {
        "kind": {"enum": ["a", "b"]},
        "sizes": {"type": "array", "items": {"type": "integer"}, "maxItems": 2},
    },
    "required": ["kind", "sizes"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("hot", [{}, {"temperature": 1.5, "seed": 1}])
async def test_an_answer_is_held_to_a_schema(client: httpx2.AsyncClient, hot: dict[str, Any]) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON, "strict": True}}
    whole = await ask(client, response_format=wanted, **hot)
    (choice,) = whole["choices"]
    jsonschema.validate(json.loads(choice["message"]["content"]), PERSON)
    assert choice["finish_reason"] == "stop"
    (streamed,) = put_together(await stream(client, response_format=wanted, **hot))
    assert streamed["content"] == choice["message"]["content"]


async def test_an_answer_is_held_to_be_an_object(client: httpx2.AsyncClient) -> None:
    (choice,) = (await ask(client, response_format={"type": "json_object"}, max_tokens=200))["choices"]
    assert choice["message"]["content"].startswith("{")
    if choice["finish_reason"] == "stop":
        assert isinstance(json.loads(choice["message"]["content"]), dict)
    (plain,) = (await ask(client, response_format={"type": "text"}))["choices"]
    assert EXPECTED in plain["message"]["content"]


async def test_a_model_that_computes_no_numbers_fails_the_request_and_not_the_server(
    open_engine: OpenEngine, demo_model: Path, tmp_path: Path
) -> None:
    app = made(open_engine(damaged(demo_model, tmp_path / "m.gguf", math.nan)))
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://server") as client,
    ):
        for changes in ({}, {"temperature": 1}, {"response_format": {"type": "json_object"}}):
            response = await client.post(PATH, json=body(**changes))
            assert (response.status_code, response.json()["error"]["code"]) == (500, "internal_error")
        *_, last = events((await client.post(PATH, json=body(stream=True))).text)
        assert last["error"]["code"] == "internal_error"
        assert (await client.get("/health")).status_code == 200


async def test_a_tiny_temperature_is_greedy_under_a_schema(client: httpx2.AsyncClient) -> None:
    wanted = {"response_format": {"type": "json_object"}, "max_tokens": 40}
    (greedy,) = (await ask(client, **wanted))["choices"]
    (tiny,) = (await ask(client, **wanted, temperature=1e-40))["choices"]
    assert tiny == greedy


# -- tools ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "choice",
    [
        "required",
        {"type": "function", "function": {"name": "add"}},
        {
            "type": "allowed_tools",
            "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "add"}}]},
        },
    ],
    ids=str,
)
async def test_a_call_that_is_asked_for_comes(client: httpx2.AsyncClient, choice: Any) -> None:
    wanted = {
        "tools": [WEATHER, ADD] if choice != "required" else [ADD],
        "tool_choice": choice,
        "temperature": 1,
        "seed": 2,
    }
    (whole,) = (await ask(client, **wanted))["choices"]
    message = whole["message"]
    assert (message["role"], message["content"], whole["finish_reason"]) == ("assistant", None, "tool_calls")
    (call,) = message["tool_calls"]
    assert call["id"].startswith("call_")
    assert (call["type"], call["function"]["name"]) == ("function", "add")
    jsonschema.validate(arguments(call), ADD["function"]["parameters"])
    (streamed,) = put_together(await stream(client, **wanted))
    assert (streamed["role"], streamed["content"], streamed["finish_reason"]) == ("assistant", "", "tool_calls")
    assert streamed["tool_calls"][0]["function"] == call["function"]
    assert streamed["tool_calls"][0]["id"] != call["id"]


async def test_without_a_need_the_model_may_answer(client: httpx2.AsyncClient) -> None:
    unneeded: list[dict[str, Any]] = [{"tools": []}, {"tools": [ADD], "tool_choice": "none"}, {"tool_choice": "auto"}]
    for changes in unneeded:
        (choice,) = (await ask(client, **changes))["choices"]
        assert EXPECTED in choice["message"]["content"]
        assert "tool_calls" not in choice["message"]
    hidden = await ask(client, tools=[ADD], tool_choice="none")
    assert hidden["usage"]["prompt_tokens"] == (await ask(client))["usage"]["prompt_tokens"]
    assert (await ask(client, tools=[ADD], max_tokens=1))["usage"]["prompt_tokens"] > hidden["usage"]["prompt_tokens"]


async def test_a_call_or_a_form_is_what_comes_when_both_are_wanted(client: httpx2.AsyncClient) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON, "strict": True}}
    for seed in range(5):
        asked = {"tools": [ADD], "response_format": wanted, "temperature": 2, "seed": seed}
        (choice,) = (await ask(client, **asked))["choices"]
        message = choice["message"]
        if choice["finish_reason"] == "tool_calls":
            jsonschema.validate(arguments(message["tool_calls"][0]), ADD["function"]["parameters"])
        else:
            jsonschema.validate(json.loads(message["content"]), PERSON)


async def test_a_conversation_with_calls_and_results_goes_on(client: httpx2.AsyncClient) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Bern"}'}}
    turns = [
        user("Weather?"),
        {"role": "assistant", "content": None, "tool_calls": [call], "refusal": None, "annotations": []},
        {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "Sunny"}]},
    ]
    assert (await ask(client, messages=turns, tools=[WEATHER], max_tokens=5))["choices"][0]["message"]["role"]


# -- other families of models -----------------------------------------------------------------------


@asynccontextmanager
async def speaking(
    open_engine: OpenEngine, demo_model: Path, folder: Path, template: str, kind: type[Decoder] = Decoder
) -> AsyncIterator[httpx2.AsyncClient]:
    """The demo model with another chat template."""
    engine = open_engine(rewrite(demo_model, folder / "m.gguf", {"tokenizer.chat_template": template}), kind)
    app = made(engine)
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://server") as client,
    ):
        yield client


def saying(text: str) -> type[Decoder]:
    """A decoder that says this."""

    class Saying(Decoder):
        def evaluate(self, *given: Any) -> int:
            (end,) = self.model.tokenize(self.model.eos, add_special=False)
            self.script, self.said = [*self.model.tokenize(text, add_special=False), end], 0
            return super().evaluate(*given)

        def append(self, *tokens: int, **more: Any) -> None:
            self.said += len(tokens)
            super().append(*tokens, **more)

        def logits(self) -> Any:
            logits = super().logits().copy()
            logits[self.script[self.said]] = 100
            return logits

        def sample(self, _: Any) -> int:
            return self.script[self.said]

    return Saying


HERMES = (
    "{% if tools %}{{ tools | tojson }}{% endif %}"
    "{% for message in messages %}{{ message.role }}: {{ message.content or '' }}"
    '{% for call in message.tool_calls or [] %}<tool_call>\n{"name": "{{ call.function.name }}", "arguments": '
    "{{ call.function.arguments | tojson }}}\n</tool_call>{% endfor %}\n{% endfor %}assistant:"
)
PLAIN = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}assistant:"


@pytest.mark.parametrize("template", [HERMES, PLAIN])
@pytest.mark.parametrize("parallel", [True, False])
async def test_calls_are_written_as_the_model_s_template_does(
    open_engine: OpenEngine, demo_model: Path, tmp_path: Path, template: str, *, parallel: bool
) -> None:
    async with speaking(open_engine, demo_model, tmp_path, template) as client:
        wanted = {"tools": [ADD], "tool_choice": "required", "parallel_tool_calls": parallel, "temperature": 2}
        await ask(client, max_tokens=1, **wanted)  # a prompt from the cache gives other roundings than a new one
        counts = set()
        for seed in range(6):
            (whole,) = (await ask(client, seed=seed, max_tokens=300, **wanted))["choices"]
            calls = whole["message"]["tool_calls"]
            counts.add(len(calls))
            if whole["finish_reason"] == "tool_calls":
                for call in calls:
                    jsonschema.validate(arguments(call), ADD["function"]["parameters"])
            (streamed,) = put_together(await stream(client, seed=seed, max_tokens=300, **wanted))
            assert [call["function"] for call in streamed["tool_calls"]] == [call["function"] for call in calls]
        assert parallel or counts == {1}


THINKING = PLAIN + "<think>\n{# </think> enable_thinking #}"


async def test_thoughts_are_told_apart_and_counted(open_engine: OpenEngine, demo_model: Path, tmp_path: Path) -> None:
    async with speaking(open_engine, demo_model, tmp_path, THINKING) as client:
        (whole,) = (completion := await ask(client, max_tokens=12))["choices"]
        assert whole["message"]["reasoning_content"]
        assert whole["message"]["content"] == ""
        assert completion["usage"]["completion_tokens_details"]["reasoning_tokens"] > 6
        (streamed,) = put_together(await stream(client, max_tokens=12))
        assert streamed["reasoning_content"] == whole["message"]["reasoning_content"]
        form = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON, "strict": True}}
        (free,) = (await ask(client, max_tokens=12, response_format=form))["choices"]
        assert free["message"]["reasoning_content"] == whole["message"]["reasoning_content"], "thoughts stay free"


async def test_streamed_reasoning_is_escaped_to_ascii_as_content_is(
    open_engine: OpenEngine, demo_model: Path, tmp_path: Path
) -> None:
    async with speaking(open_engine, demo_model, tmp_path, THINKING) as client:
        tokens = (await client.post("/tokenize", json={"content": "\u2028"})).json()["tokens"]
        biases = {str(token): 100 for token in tokens}
        response = await client.post(PATH, json=body(stream=True, max_tokens=4, logit_bias=biases))
    assert r'"reasoning_content":"\u' in response.text
    assert response.text.isascii()


async def test_thinking_can_be_turned_off_where_the_template_knows_how(
    open_engine: OpenEngine, demo_model: Path, tmp_path: Path
) -> None:
    template = PLAIN + "{% if enable_thinking is not defined or enable_thinking %}<think>{% endif %}"
    async with speaking(open_engine, demo_model, tmp_path, template) as client:
        (thinking,) = (await ask(client, max_tokens=5))["choices"]
        assert thinking["message"]["reasoning_content"]
        for off in ({"reasoning_effort": "none"}, {"chat_template_kwargs": {"enable_thinking": False}}):
            (choice,) = (await ask(client, max_tokens=5, **off))["choices"]
            assert "reasoning_content" not in choice["message"]
            assert choice["message"]["content"]
        (thinking,) = (await ask(client, max_tokens=5, reasoning_effort="high"))["choices"]
        assert thinking["message"]["reasoning_content"]


# -- what clients always send -----------------------------------------------------------------------


async def test_neutral_values_are_accepted(client: httpx2.AsyncClient) -> None:
    neutral = {
        "store": False,
        "service_tier": "auto",
        "metadata": {},
        "modalities": ["text"],
        "verbosity": "medium",
        "parallel_tool_calls": True,
        "prompt_cache_key": "x",
        "safety_identifier": "x",
        "logit_bias": {},
        "presence_penalty": 0,
        "frequency_penalty": 0.0,
        "reasoning_effort": "none",
        "stream_options": None,
        "functions": None,
        "function_call": None,
        "audio": None,
    }
    completion = await client.post(PATH, json=body() | neutral)
    assert EXPECTED in completion.json()["choices"][0]["message"]["content"], completion.text


async def test_each_chunk_tells_the_server_s_time_where_it_is_asked_for(client: httpx2.AsyncClient) -> None:
    chunks = await stream(
        client, question=LONG_QUESTION, stream_options={"include_usage": True}, timings_per_token=True, max_tokens=9
    )
    role, *timed, usage = chunks
    assert "timings" not in role
    assert "timings" not in usage
    timings = [chunk["timings"] for chunk in timed]
    counts = [each["predicted_n"] for each in timings]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (1, usage["usage"]["completion_tokens"])
    times = [each["predicted_ms"] for each in timings]
    assert times == sorted(times)
    assert times[0] < times[-1]
    assert {(each["cache_n"] + each["prompt_n"], each["prompt_ms"] > 0) for each in timings} == {
        (usage["usage"]["prompt_tokens"], True)
    }
    untimed = await stream(client, question=LONG_QUESTION, max_tokens=9)
    assert put_together(untimed) == put_together(chunks)
    assert not any("timings" in chunk for chunk in untimed)


async def test_an_answer_in_one_piece_tells_the_server_s_time(client: httpx2.AsyncClient) -> None:
    answer = (await client.post(PATH, json=body())).json()
    timings, usage = answer["timings"], answer["usage"]
    assert timings["cache_n"] + timings["prompt_n"] == usage["prompt_tokens"]
    assert timings["predicted_n"] == usage["completion_tokens"]
    assert min(timings["prompt_ms"], timings["predicted_ms"]) > 0
    several = (await client.post(PATH, json=body(n=2))).json()
    assert "timings" not in several


async def test_times_of_each_token_of_an_answer_in_one_piece_are_refused(client: httpx2.AsyncClient) -> None:
    refused = await client.post(PATH, json=body(timings_per_token=True))
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "timings_per_token"
    neutral = await client.post(PATH, json=body(timings_per_token=False))
    assert neutral.status_code == 200


async def test_a_chunk_that_is_put_together_is_the_one_that_pydantic_would_write(client: httpx2.AsyncClient) -> None:
    chunks = await stream(client, question=LONG_QUESTION, stream_options={"include_usage": True}, max_tokens=9)
    for chunk in chunks[1:-2]:
        engine = ChatCompletionChunk.model_validate(chunk)
        absent: Any = {"choices": {"__all__": {"delta": {"role", "reasoning_content", "tool_calls"}}}, "timings": True}
        assert chunk == json.loads(engine.model_dump_json(exclude=absent))
