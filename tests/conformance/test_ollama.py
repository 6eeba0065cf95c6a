"""Ollama's own client against `/api`."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import ollama
import pytest

from lambda_llm import __version__
from support.answers import EXPECTED, QUESTION, user
from support.servers import Server

MODEL = "lambda-llm-demo"
GREEDY: Any = {"temperature": 0, "repeat_penalty": 1, "num_ctx": 4096, "mirostat": 0}
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells the weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 8}},
            "required": ["city"],
        },
    },
}


@pytest.fixture
def client(demo_server: Server) -> Iterator[ollama.Client]:
    with ollama.Client(demo_server.url) as client:
        yield client


@pytest.mark.parametrize("model", [MODEL, f"{MODEL}:latest", "lambda-llm demo"])
def test_a_chat_is_answered(client: ollama.Client, model: str) -> None:
    answer = client.chat(model, [user(QUESTION)], options=GREEDY)
    assert EXPECTED in (answer.message.content or "")
    assert (answer.done, answer.done_reason, answer.model) == (True, "stop", MODEL)
    assert answer.eval_count
    assert answer.prompt_eval_count
    assert answer.eval_count > 5


def test_a_stream_adds_up_to_the_whole(client: ollama.Client) -> None:
    parts = list(client.chat(MODEL, [user(QUESTION)], options=GREEDY, stream=True))
    whole = client.chat(MODEL, [user(QUESTION)], options=GREEDY)
    assert len(parts) > 5
    assert "".join(part.message.content or "" for part in parts) == whole.message.content
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]
    assert parts[-1].eval_count == whole.eval_count


def test_a_prompt_is_a_conversation_or_raw(client: ollama.Client) -> None:
    asked = client.generate(MODEL, QUESTION, system="Be brief.", options=GREEDY)
    assert EXPECTED in (asked.response or "")
    raw = client.generate(MODEL, "The function gets", raw=True, options=GREEDY | {"num_predict": 4})
    assert (raw.eval_count, raw.done_reason) == (4, "length")
    streamed = client.generate(MODEL, QUESTION, system="Be brief.", options=GREEDY, stream=True)
    assert "".join(part.response or "" for part in streamed) == asked.response


BOOLEAN: Any = {
    "type": "object",
    "properties": {"a": {"type": "boolean"}},
    "required": ["a"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("form", ["json", BOOLEAN])
def test_the_answer_can_be_constrained(client: ollama.Client, form: Any) -> None:
    answer = client.chat(MODEL, [user(QUESTION)], format=form, options=GREEDY | {"num_predict": 60})
    if form != "json":
        assert isinstance(json.loads(answer.message.content or "")["a"], bool)
    assert (answer.message.content or "").startswith("{")


def test_a_call_and_its_result_are_parts_of_a_conversation(client: ollama.Client) -> None:
    called = {
        "role": "assistant",
        "tool_calls": [{"function": {"name": "get_weather", "arguments": {"city": "Paris"}}}],
    }
    messages: Any = [user("Weather in Paris?"), called, {"role": "tool", "tool_name": "get_weather", "content": "21"}]
    answer = client.chat(MODEL, messages, tools=[TOOL], options=GREEDY | {"num_predict": 8})
    assert answer.done
    with_result = answer.prompt_eval_count or 0
    without = client.chat(MODEL, messages[:2], tools=[TOOL], options=GREEDY | {"num_predict": 1}).prompt_eval_count or 0
    assert with_result > without


def test_the_model_is_listed_and_described(client: ollama.Client, demo_server: Server) -> None:
    (listed,) = client.list().models
    assert listed.model == MODEL
    assert listed.size
    assert listed.details
    assert (listed.details.family, listed.details.format) == ("llama", "gguf")
    assert [each.model for each in client.ps().models] == [MODEL]
    shown = client.show(MODEL)
    assert {"completion", "tools"} <= set(shown.capabilities or ())
    assert shown.modelinfo
    assert shown.modelinfo["general.architecture"] == "llama"
    assert "<|start_header_id|>" in (shown.template or "")
    assert httpx2.get(f"{demo_server.url}/api/version").json() == {"version": __version__}


def test_an_empty_request_loads_what_is_loaded(client: ollama.Client) -> None:
    assert client.generate(MODEL, "").done_reason == "load"
    assert client.chat(MODEL, []).done_reason == "load"


@pytest.mark.parametrize(
    ("ask", "status", "says"),
    [
        (lambda client: client.chat("llama3.2", [user("Hi")]), 404, "does not exist here"),
        (lambda client: client.chat(MODEL, [user("word " * 3000)]), 400, "context length"),
        (lambda client: client.chat(MODEL, [user("Hi")], think=True), 400, "does not support thinking"),
        (lambda client: client.embed(MODEL, "Hi"), 400, "makes no embeddings"),
        (lambda client: client.chat(MODEL, [user("Hi")], options={"temperature": -1}), 400, "'options.temperature'"),
        (lambda client: client.show("other"), 404, "does not exist here"),
    ],
)
def test_a_refusal_has_the_api_s_own_form(client: ollama.Client, ask: Any, status: int, says: str) -> None:
    with pytest.raises(ollama.ResponseError) as raised:
        ask(client)
    assert (raised.value.status_code, says in raised.value.error) == (status, True), raised.value.error


async def test_the_asynchronous_client_gets_the_same(demo_server: Server) -> None:
    async with ollama.AsyncClient(demo_server.url) as client:
        answer = await client.chat(MODEL, [user(QUESTION)], options=GREEDY)
    assert EXPECTED in (answer.message.content or "")
