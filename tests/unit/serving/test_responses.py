"""Responses: the whole answer and its events, in OpenAI's order, without any memory."""

import json
from typing import TYPE_CHECKING, Any

import httpx2
import jsonschema
import pytest

from lambda_llm.engine.engine import Engine
from lambda_llm.engine.errors import EngineError
from lambda_llm.openai_types.responses import ResponseObject
from support.answers import EXPECTED, QUESTION
from support.chat import MODEL_ID, made

if TYPE_CHECKING:
    from fastapi import FastAPI

PATH = "/v1/responses"
PARAMETERS = {
    "type": "object",
    "properties": {"a": {"type": "integer", "minimum": 1, "maximum": 9}},
    "required": ["a"],
    "additionalProperties": False,
}
ADD = {"type": "function", "name": "add", "parameters": PARAMETERS, "strict": True}


def asked(**changes: Any) -> dict[str, Any]:
    return {"model": MODEL_ID, "input": QUESTION, "temperature": 0} | changes


async def ask(client: httpx2.AsyncClient, **changes: Any) -> Any:
    response = await client.post(PATH, json=asked(**changes))
    assert response.status_code == 200, response.text
    ResponseObject.model_validate(response.json())
    return response.json()


async def stream(client: httpx2.AsyncClient, **changes: Any) -> list[Any]:
    response = await client.post(PATH, json=asked(stream=True, **changes))
    assert response.status_code == 200, response.text
    events: list[Any] = []
    for part in response.text.removesuffix("\n\n").split("\n\n"):
        kind, data = part.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert kind == f"event: {event['type']}"
        assert event["sequence_number"] == len(events)
        events.append(event)
    return events


def kinds(events: list[Any]) -> list[str]:
    """The types, several deltas in a row as one."""
    found = [event["type"].removeprefix("response.") for event in events]
    return [kind for number, kind in enumerate(found) if not number or kind != found[number - 1]]


def settled(response: Any) -> Any:
    """What is the same each time."""
    found = json.loads(json.dumps(response))
    for item in (found, *found["output"]):
        for name in ("id", "created_at", "call_id"):
            item.pop(name, None)
    found["usage"]["input_tokens_details"].pop("cached_tokens")
    return found


async def test_a_question_is_answered(client: httpx2.AsyncClient) -> None:
    response = await ask(client)
    assert response["id"].startswith("resp_")
    assert (response["object"], response["status"], response["error"]) == ("response", "completed", None)
    (item,) = response["output"]
    assert (item["type"], item["role"], item["status"]) == ("message", "assistant", "completed")
    (part,) = item["content"]
    assert (part["type"], part["annotations"]) == ("output_text", [])
    assert EXPECTED in part["text"]
    usage = response["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert (response["store"], response["previous_response_id"], response["text"]) == (
        False,
        None,
        {"format": {"type": "text"}},
    )


async def test_events_come_in_openai_s_order_and_add_up_to_the_answer(client: httpx2.AsyncClient) -> None:
    events = await stream(client)
    assert kinds(events) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert events[0]["response"]["status"] == "in_progress"
    text = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
    assert EXPECTED in text
    assert [event["text"] for event in events if event["type"] == "response.output_text.done"] == [text]
    final = events[-1]["response"]
    assert settled(final) == settled(await ask(client))
    assert final["id"] == events[0]["response"]["id"]
    names = {event["item_id"] for event in events if "item_id" in event}
    assert names == {final["output"][0]["id"]}


async def test_an_answer_that_is_cut_short_says_so(client: httpx2.AsyncClient) -> None:
    response = await ask(client, max_output_tokens=2)
    assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert response["output"][0]["status"] == "incomplete"
    assert kinds(await stream(client, max_output_tokens=2))[-1] == "incomplete"


@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "add"}])
async def test_a_call_comes_with_its_events(client: httpx2.AsyncClient, choice: Any) -> None:
    wanted = {"tools": [ADD], "tool_choice": choice, "temperature": 1}
    (item,) = (await ask(client, **wanted))["output"]
    assert (item["type"], item["name"], item["status"]) == ("function_call", "add", "completed")
    assert item["call_id"].startswith("call_")
    jsonschema.validate(json.loads(item["arguments"]), PARAMETERS)
    events = await stream(client, **wanted)
    assert kinds(events) == [
        "created",
        "in_progress",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    assert events[2]["item"]["arguments"] == ""
    written = "".join(event["delta"] for event in events if event["type"].endswith("arguments.delta"))
    assert events[-3]["arguments"] == written == events[-1]["response"]["output"][0]["arguments"]


async def test_an_answer_is_held_to_a_schema(client: httpx2.AsyncClient) -> None:
    text = {"format": {"type": "json_schema", "name": "answer", "schema": PARAMETERS, "strict": True}}
    response = await ask(client, text=text)
    jsonschema.validate(json.loads(response["output"][0]["content"][0]["text"]), PARAMETERS)
    assert response["text"] == text
    anything = await ask(client, text={"format": {"type": "json_object"}}, max_output_tokens=100)
    assert anything["output"][0]["content"][0]["text"].startswith("{")


async def test_items_become_the_conversation_that_they_tell(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: list[str] = []
    tokenize = engine.model.tokenize

    def record(text: str, **options: Any) -> list[int]:
        rendered.append(text)
        return tokenize(text, **options)

    monkeypatch.setattr(engine.model, "tokenize", record)
    app: FastAPI = made(engine)
    items = [
        {"role": "user", "content": "Add."},
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]},
        {
            "type": "message",
            "id": "msg_1",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Let me see.", "annotations": [], "logprobs": []}],
        },
        {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "add", "arguments": '{"a": 1}'},
        {"type": "function_call_output", "call_id": "call_1", "output": "2"},
        {"type": "message", "role": "assistant", "content": "It is 2."},
        {"role": "user", "content": [{"type": "input_text", "text": "Thanks"}]},
    ]
    transport = httpx2.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://server") as client,
    ):
        await ask(client, input=items, instructions="Be brief.", max_output_tokens=1)
    turns = [part.partition("<|end_header_id|>\n\n") for part in rendered[0].split("<|start_header_id|>")[1:]]
    assert [(role, said.removesuffix("<|eot_id|>")) for role, _, said in turns][:-1] == [
        ("system", "Be brief."),
        ("user", "Add."),
        ("assistant", 'Let me see.\n{"name": "add", "parameters": {"a": 1}}'),
        ("tool", "2"),
        ("assistant", "It is 2."),
        ("user", "Thanks"),
    ]


async def test_what_every_client_sends_is_accepted(client: httpx2.AsyncClient) -> None:
    neutral = {
        "store": False, "background": False, "truncation": "disabled", "service_tier": "auto", "metadata": {},
        "include": [], "parallel_tool_calls": True, "tools": [], "tool_choice": "auto", "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None}, "text": {"format": {"type": "text"}}, "user": "somebody",
        "top_logprobs": 0, "prompt_cache_key": "x",
    }  # fmt: skip
    assert EXPECTED in json.dumps((await ask(client, **neutral))["output"])


@pytest.mark.parametrize(
    ("changes", "param", "code", "says"),
    [
        ({"input": None}, "input", "invalid_value", "valid string"),
        ({"input": []}, "input", "invalid_value", "at least 1 item"),
        ({"input": [{"role": "user"}]}, "input.0.content", "missing_required_parameter", "required"),
        ({"input": [{"content": "x"}]}, "input.0.role", "missing_required_parameter", "required"),
        ({"input": [{"type": "function_call"}]}, "input.0.call_id", "missing_required_parameter", "required"),
        ({"input": [{"type": "file_search_call"}]}, "input.0.type", "invalid_value", "'message', 'function_call'"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image"}]}]},
            "input.0.content.0.type",
            None,
            "input_text",
        ),
        ({"input": "word " * 3000}, "input", "context_length_exceeded", "2048 tokens"),
        ({"previous_response_id": "resp_1"}, "previous_response_id", "unsupported_parameter", "leave it out"),
        ({"conversation": "conv_1"}, "conversation", "unsupported_parameter", "leave it out"),
        ({"background": True}, "background", "invalid_value", "should be False"),
        ({"truncation": "always"}, "truncation", "invalid_value", "should be 'auto' or 'disabled'"),
        ({"max_tool_calls": 1}, "max_tool_calls", "unsupported_parameter", "leave it out"),
        ({"max_output_tokens": 0}, "max_output_tokens", "invalid_value", "at least 1, or -1"),
        ({"tools": [{"type": "web_search"}]}, "tools.0.type", "invalid_value", "should be 'function'"),
        ({"tools": [ADD, ADD]}, "tools.1.name", "invalid_value", "two functions of the name 'add'"),
        ({"tools": [ADD | {"parameters": {"type": 1}}]}, "tools.0.parameters", "invalid_schema", "'type' must be one"),
        ({"tool_choice": "required"}, "tool_choice", "invalid_value", "no 'tools'"),
        ({"tool_choice": {"type": "function", "name": "add"}}, "tool_choice", "invalid_value", "no 'tools'"),
        (
            {"tools": [ADD], "tool_choice": {"type": "function"}},
            "tool_choice.name",
            "missing_required_parameter",
            "req",
        ),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format.schema", None, "required"),
        (
            {"text": {"format": {"type": "json_schema", "name": "x", "strict": True, "schema": {"not": {}}}}},
            "text.format.schema",
            "invalid_schema",
            "'not' can't be enforced",
        ),
        ({"reasoning": {"effort": "high"}}, "reasoning.effort", "unsupported_parameter", "not supported by this model"),
        ({"stream_options": {}}, "stream_options", "invalid_value", "set 'stream' to true"),
        ({"model": "gpt-5"}, "model", "model_not_found", "does not exist here"),
    ],
    ids=str,
)
async def test_what_can_t_be_used_is_refused_by_name(
    client: httpx2.AsyncClient, changes: dict[str, Any], param: str, code: str | None, says: str
) -> None:
    response = await client.post(PATH, json=asked(**changes))
    assert response.status_code == (404 if code == "model_not_found" else 400)
    error = response.json()["error"]
    assert error["param"] == param
    assert code in {None, error["code"]}
    assert says in error["message"]


async def test_a_failure_in_the_midst_of_a_stream_is_an_event(
    client: httpx2.AsyncClient, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise EngineError("it broke")

    monkeypatch.setattr(engine.decoder, "append", fail)
    *_, last = await stream(client)
    assert last["type"] == "response.failed"
    assert last["response"]["status"] == "failed"
    assert last["response"]["error"]["code"] == "internal_error"
    assert "it broke" not in json.dumps(last)
