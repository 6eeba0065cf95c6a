"""Responses over chat completions: the same conversation there, the same answer back, and nothing dropped."""

import copy
import importlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import Response
from openai.types.responses.response_create_params import ResponseCreateParamsBase

from lambda_llm.backends.contract import Operation, Usage
from lambda_llm.backends.converse import Converse
from lambda_llm.backends.errors import Kind
from lambda_llm.backends.openai_http import OpenAIHTTP
from lambda_llm.backends.responses_chat import ResponsesOverChat, chat_request
from support.backends import HELLO, answered, asking, failure, signed
from support.event_streams import JSON, Answer, answering

BODY: dict[str, Any] = {"model": "theirs", "input": "Hello"}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
TOOL = {"type": "function", "name": "look", "parameters": SCHEMA, "strict": True, "description": None}
CALL = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "c1",
    "name": "look",
    "arguments": "{}",
    "status": "completed",
}
CHAT_CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
USAGE = {
    "prompt_tokens": 12,
    "completion_tokens": 5,
    "total_tokens": 17,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 2},
}


def completion(message: dict[str, Any], finish: str = "stop", **more: Any) -> Answer:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return Answer([json.dumps({"choices": [choice], "usage": USAGE, **more}).encode()], headers=JSON)


def over(url: str) -> ResponsesOverChat:
    return ResponsesOverChat("b", OpenAIHTTP("b", url, "m"))


async def asked(answer: Answer, **more: Any) -> tuple[dict[str, Any], Response]:
    """What the server got, and what came of its answer, by the types of OpenAI's client."""
    with answering(answer) as server:
        [response] = await answered(over(server.url), asking(BODY | more, operation=Operation.RESPONSES))
    [sent] = server.asked
    assert sent.path == "/v1/chat/completions"
    return sent.json, Response.model_validate(response)


async def test_a_question_and_its_answer() -> None:
    sent, response = await asked(
        completion({"content": "Hi"}),
        instructions="Be brief.",
        max_output_tokens=50,
        temperature=0.5,
        metadata={"a": "b"},
    )
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
    assert sent == {"model": "m", "messages": messages, "max_tokens": 50, "temperature": 0.5}
    assert (response.status, response.output_text, response.error, response.incomplete_details) == (
        "completed",
        "Hi",
        None,
        None,
    )
    assert (response.model, response.instructions, response.metadata) == ("theirs", "Be brief.", {"a": "b"})
    assert response.usage is not None
    assert response.usage.to_dict() == {
        "input_tokens": 12,
        "input_tokens_details": {"cache_write_tokens": 0, "cached_tokens": 4},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 17,
    }


async def test_the_chunk_has_the_usage() -> None:
    with answering(completion({"content": "Hi"})) as server:
        backend = over(server.url)
        [chunk] = [each async for each in backend.open(asking(BODY, operation=Operation.RESPONSES))]
        await backend.close()
    assert chunk.usage == Usage(12, 5, 4)


async def test_reasoning_and_calls_are_items() -> None:
    """Before and after the text; without a text there is no message."""
    _, response = await asked(
        completion({"reasoning_content": "Hm.", "content": "Let me see.", "tool_calls": [CHAT_CALL]}, "tool_calls")
    )
    assert [item.type for item in response.output] == ["reasoning", "message", "function_call"]
    reasoning, _, call = (item.to_dict() for item in response.output)
    assert reasoning["content"] == [{"type": "reasoning_text", "text": "Hm."}]
    assert {name: call[name] for name in ("call_id", "name", "arguments", "status")} == {
        name: CALL[name] for name in ("call_id", "name", "arguments", "status")
    }
    _, response = await asked(completion({"content": None, "tool_calls": [CHAT_CALL]}, "tool_calls"))
    assert [item.type for item in response.output] == ["function_call"]
    _, response = await asked(completion({"content": None, "refusal": "No."}))
    assert response.output[0].to_dict()["content"] == [{"type": "refusal", "refusal": "No."}]


@pytest.mark.parametrize(
    ("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter"), ("stop", None)]
)
async def test_an_answer_that_was_cut_is_incomplete(finish: str, reason: str | None) -> None:
    _, response = await asked(completion({"content": "Hi"}, finish))
    assert response.status == ("completed" if reason is None else "incomplete")
    assert (response.incomplete_details.reason if response.incomplete_details else None) == reason


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (
            {"tools": [TOOL]},
            {"tools": [{"type": "function", "function": {"name": "look", "parameters": SCHEMA, "strict": True}}]},
        ),
        ({"tool_choice": "required"}, {"tool_choice": "required"}),
        (
            {"tool_choice": {"type": "function", "name": "look"}},
            {"tool_choice": {"type": "function", "function": {"name": "look"}}},
        ),
        ({"text": {"format": {"type": "text"}}}, {}),
        (
            {"text": {"format": {"type": "json_object"}, "verbosity": "low"}},
            {"response_format": {"type": "json_object"}, "verbosity": "low"},
        ),
        (
            {"text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}}},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "schema": SCHEMA, "strict": True},
                }
            },
        ),
        ({"reasoning": {"effort": "low", "summary": None}}, {"reasoning_effort": "low"}),
        (
            {"top_p": 0.5, "parallel_tool_calls": False, "service_tier": "flex"},
            {"top_p": 0.5, "parallel_tool_calls": False, "service_tier": "flex"},
        ),
        ({"user": "u", "prompt_cache_key": "k"}, {"user": "u", "prompt_cache_key": "k"}),
        ({"store": True, "background": False, "stream": False, "include": [], "truncation": "disabled"}, {}),
        ({"tools": [], "previous_response_id": None, "reasoning": None}, {}),
    ],
)
def test_fields_have_the_words_of_chat_completions(given: dict[str, Any], sent: dict[str, Any]) -> None:
    assert chat_request(BODY | given) == {"model": "theirs", "messages": [{"role": "user", "content": "Hello"}], **sent}


def test_a_conversation_is_the_same_one() -> None:
    """With the items of earlier responses as they were: one turn of the model is one message."""
    items = [
        {"role": "developer", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "Look"},
                {"type": "input_image", "image_url": "data:image/png;base64,AA", "detail": "auto"},
            ],
        },
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]},
        {
            "type": "message",
            "id": "msg_1",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "I look.", "annotations": []}],
        },
        CALL,
        CALL | {"call_id": "c2"},
        {"type": "function_call_output", "call_id": "c1", "output": "one"},
        {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "two"}]},
        {"type": "message", "role": "assistant", "content": "Done."},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Well."}]},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        {"role": "user", "content": "Why?"},
    ]
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA", "detail": "auto"}}
    assert chat_request({"input": items, "model": "m"})["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Look"}, image]},
        {
            "role": "assistant",
            "content": "I look.",
            "reasoning_content": "Hm.",
            "tool_calls": [CHAT_CALL, CHAT_CALL | {"id": "c2"}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "one"},
        {"role": "tool", "tool_call_id": "c2", "content": "two"},
        {"role": "assistant", "content": "Done."},
        {"role": "assistant", "content": "No.", "reasoning_content": "Well."},
        {"role": "user", "content": "Why?"},
    ]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"stream": True}, "stream"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": {"id": "c"}}, "conversation"),
        ({"include": ["reasoning.encrypted_content"]}, "include"),
        ({"truncation": "auto"}, "truncation"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"what_is_new": 1}, "what_is_new"),
        ({"tools": [TOOL, {"type": "web_search"}]}, "tools.1"),
        ({"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": []}}, "tool_choice"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format"),
        ({"text": {"other": 1}}, "text.other"),
        ({"reasoning": {"summary": "auto"}}, "reasoning.summary"),
        ({"reasoning": "low"}, "reasoning"),
        ({"input": None}, "input"),
        ({"input": {}}, "input"),
        ({"input": ["Hello"]}, "input.0"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input.0"),
        ({"input": [{"role": "user", "content": "a"}, {"role": "tool", "content": "b"}]}, "input.1"),
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]}, "input.0.content.0"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]}, "input.0.content.0"),
        ({"input": [{"role": "user", "content": "a", "name": "b"}]}, "input.0.name"),
        ({"input": [{"type": "reasoning", "summary": [], "encrypted_content": "x"}]}, "input.0.encrypted_content"),
        ({"input": [CALL | {"namespace": "n"}]}, "input.0.namespace"),
    ],
)
async def test_what_chat_completions_have_no_word_for_is_refused_by_name(given: dict[str, Any], field: str) -> None:
    request = asking(BODY | given, operation=Operation.RESPONSES)
    backend = over("http://127.0.0.1:9")
    assert backend.unsupported(request) == field
    failed = await failure(backend, request)
    assert (failed.kind, failed.param, failed.started) == (Kind.UNSUPPORTED, field, False)


@pytest.mark.parametrize("field", sorted({*ResponseCreateParamsBase.__annotations__} - {"model", "input"}))
def test_no_field_of_openais_is_dropped(field: str) -> None:
    """Whatever it says, it is sent, or refused; but for what concerns OpenAI's storage."""
    value = {"what": "no server knows"}
    backend = over("http://127.0.0.1:9")
    refused = backend.unsupported(asking(BODY | {field: value}, operation=Operation.RESPONSES))
    if refused is not None:
        assert refused.partition(".")[0] == field
    elif field != "metadata":
        assert value in chat_request(BODY | {field: value}).values() or field == "instructions"


def test_what_the_backend_can_t_honour_has_the_name_that_the_client_wrote() -> None:
    converse = ResponsesOverChat("b", Converse("b", "", "m", auth=signed("bedrock")))

    def refused(**more: Any) -> str | None:
        return converse.unsupported(asking(BODY | more, operation=Operation.RESPONSES))

    assert refused() is None
    assert refused(max_output_tokens=0) == "max_output_tokens"
    assert refused(reasoning={"effort": "none"}) == "reasoning.effort"
    assert refused(text={"format": {"type": "json_object"}}) == "text.format"
    assert refused(input=[CALL | {"name": "no name"}]) == "input"
    assert refused(parallel_tool_calls=False) == "parallel_tool_calls"


async def test_every_other_operation_is_the_backends_own() -> None:
    with answering(completion({"content": "Hi"})) as server:
        backend = over(server.url)
        assert backend.unsupported(asking()) is None
        assert backend.unsupported(asking(operation=Operation.EMBEDDINGS)) == "/v1/embeddings"
        [response] = await answered(backend, asking())
    assert server.asked[0].json == HELLO | {"model": "m"}
    assert response["choices"][0]["message"]["content"] == "Hi"


@pytest.mark.parametrize("content", [b"{}", b'{"choices": []}', b'{"choices": [{"message": 1}]}'])
async def test_an_answer_that_is_no_chat_completion(content: bytes) -> None:
    with answering(Answer([content], headers=JSON)) as server:
        failed = await failure(over(server.url), asking(BODY, operation=Operation.RESPONSES))
    assert failed.kind is Kind.BROKEN


anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["role", "content", "type", "name", "call_id", "output", "text"]), inner),
    ),
    max_leaves=6,
)


@settings(max_examples=200)
@given(
    body=st.dictionaries(
        st.sampled_from(["input", "instructions", "tools", "tool_choice", "text", "reasoning", "include"]), anything
    )
)
def test_whatever_comes_is_a_request_or_refused_by_name(body: dict[str, Any]) -> None:
    whole = BODY | body
    path = over("").unsupported(asking(whole, operation=Operation.RESPONSES))
    if path is None:
        assert chat_request(whole)["messages"]
    else:
        assert path.split(".")[0] in whole


# -- LiteLLM as a second opinion --------------------------------------------------------------------


@pytest.fixture(scope="module")
def transformation() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else it asks the network as it is imported
        module = importlib.import_module("litellm.responses.litellm_completion_transformation.transformation")
        yield module.LiteLLMCompletionResponsesConfig


words = st.text(st.characters(codec="utf-8", categories=("L", "N")), min_size=1, max_size=8)
questions = st.one_of(words, st.lists(words.map(lambda text: {"type": "input_text", "text": text}), min_size=1)).map(
    lambda content: {"role": "user", "content": content}
)


@st.composite
def rounds(draw: st.DrawFn, number: int) -> list[dict[str, Any]]:
    """A question, a call with its result or none, and an answer."""
    items: list[dict[str, Any]] = [draw(questions)]
    if draw(st.booleans()):
        call_id = f"call_{number}"
        items.append(
            CALL | {"call_id": call_id, "arguments": json.dumps(draw(st.dictionaries(words, words, max_size=2)))}
        )
        items.append({"type": "function_call_output", "call_id": call_id, "output": draw(words)})
    answer = [{"type": "output_text", "text": draw(words), "annotations": []}]
    return [*items, {"type": "message", "role": "assistant", "content": answer}]


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    past = [item for number in range(draw(st.integers(0, 3))) for item in draw(rounds(number))]
    schema = {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}
    optional = {
        "instructions": words,
        "max_output_tokens": st.integers(1, 99),
        "temperature": st.sampled_from([0.0, 0.5, 1.0]),
        "top_p": st.sampled_from([0.1, 1.0]),
        "tool_choice": st.sampled_from(["auto", "required", "none"]),
        "parallel_tool_calls": st.booleans(),
        "text": st.just({"format": schema}),
    }
    question = draw(st.one_of(words, questions.map(lambda asked: [*past, asked])))
    return {"input": question, "tools": [TOOL], **draw(st.fixed_dictionaries({}, optional=optional))}


def alike(message: dict[str, Any]) -> dict[str, Any]:
    """A message, whose text is one or has parts, without what is nothing."""
    content = message.get("content")
    if isinstance(content, list):
        content = "\n".join(part["text"] for part in content)
    calls = [{name: each[name] for name in ("id", "type", "function")} for each in message.get("tool_calls") or ()]
    told = {"role": message["role"], "tool_call_id": message.get("tool_call_id"), "content": content}
    return {name: value for name, value in (told | {"tool_calls": calls}).items() if value not in (None, [])}


@settings(max_examples=60)
@given(body=requests())
def test_litellm_makes_the_same_of_it(transformation: Any, body: dict[str, Any]) -> None:
    parameters = copy.deepcopy({name: value for name, value in body.items() if name != "input"})
    translate = transformation.transform_responses_api_request_to_chat_completion_request
    theirs = translate(model="m", input=copy.deepcopy(body["input"]), responses_api_request=parameters)
    theirs = json.loads(json.dumps(theirs, default=lambda each: each.model_dump(exclude_none=True)))
    ours = chat_request({"model": "m", **body})
    assert [alike(message) for message in ours.pop("messages")] == [alike(each) for each in theirs.pop("messages")]
    for each in theirs["tools"]:
        each["function"].pop("description")  # an empty one
    assert ours == {name: value for name, value in theirs.items() if value is not None}
