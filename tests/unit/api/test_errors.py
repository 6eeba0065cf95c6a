"""Every refusal is one sentence in OpenAI's shape, and names the field at fault."""

import json
from typing import Any

import httpx2
import pytest

from lambda_llm.api.schema import STOP_TEXTS_MAX
from support.answers import user
from support.chat import PATH, body


def part(**fields: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [fields]}]


@pytest.mark.parametrize(
    ("changes", "param", "code", "says"),
    [
        ({"model": 5}, "model", "invalid_value", "valid string"),
        ({"messages": []}, "messages", "invalid_value", "at least 1 item"),
        ({"messages": "Hello"}, "messages", "invalid_value", "valid list"),
        ({"messages": ["Hello"]}, "messages.0", "invalid_value", "valid dict"),
        ({"messages": [{"role": "user"}]}, "messages.0.content", "missing_required_parameter", "required"),
        ({"messages": [{"content": "x"}]}, "messages.0.role", "missing_required_parameter", "required"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role", "invalid_value", "'system', 'developer'"),
        ({"messages": [user("x"), user("y") | {"content": None}]}, "messages.1.content", "invalid_value", "string"),
        ({"messages": [user("x") | {"tool_calls": []}]}, "messages.0.tool_calls", "unsupported_parameter", "leave it"),
        ({"messages": [user("half \ud800")]}, "messages.0.content", "invalid_value", "whole characters"),
        ({"messages": part(type="text", text="\udfff")}, "messages.0.content.0.text", "invalid_value", "whole char"),
        ({"messages": part(type="image_url", text="")}, "messages.0.content.0.type", "invalid_value", "be 'text'"),
        ({"messages": part(type="text")}, "messages.0.content.0.text", "missing_required_parameter", "required"),
        ({"messages": [user("") | {"content": []}]}, "messages.0.content", "invalid_value", "at least 1 item"),
        ({"temperature": -0.1}, "temperature", "invalid_value", "greater than or equal to 0"),
        ({"temperature": 2.1}, "temperature", "invalid_value", "less than or equal to 2"),
        ({"temperature": "1"}, "temperature", "invalid_value", "valid number"),
        ({"temperature": True}, "temperature", "invalid_value", "valid number"),
        ({"temperature": float("nan")}, "temperature", "invalid_value", "less than or equal to 2"),
        ({"top_p": 0}, "top_p", "invalid_value", "greater than 0"),
        ({"top_p": 1.5}, "top_p", "invalid_value", "less than or equal to 1"),
        ({"seed": 2**63}, "seed", "invalid_value", "less than or equal"),
        ({"seed": "5"}, "seed", "invalid_value", "valid integer"),
        ({"seed": 1.5}, "seed", "invalid_value", "valid integer"),
        ({"max_tokens": 0}, "max_tokens", "invalid_value", "greater than or equal to 1"),
        ({"max_tokens": True}, "max_tokens", "invalid_value", "valid integer"),
        ({"max_completion_tokens": -3}, "max_completion_tokens", "invalid_value", "greater than or equal to 1"),
        ({"stop": ["x"] * (STOP_TEXTS_MAX + 1)}, "stop", "invalid_value", f"at most {STOP_TEXTS_MAX} items"),
        ({"stop": ""}, "stop", "invalid_value", "at least 1 character"),
        ({"stop": 5}, "stop", "invalid_value", "valid string, or Input should be a valid list"),
        ({"stop": [5]}, "stop.0", "invalid_value", "valid string"),
        ({"stream": "yes"}, "stream", "invalid_value", "valid boolean"),
        ({"stream": True, "stream_options": {"x": 1}}, "stream_options.x", "unsupported_parameter", "not supported"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "invalid_value", "set 'stream' to true"),
        ({"n": 2}, "n", "invalid_value", "should be 1"),
        ({"tools": []}, "tools", "unsupported_parameter", "'tools' is not supported by this server: leave it out."),
        ({"logprobs": True}, "logprobs", "unsupported_parameter", "not supported"),
    ],
)
async def test_a_field_that_can_t_be_used_is_refused_by_name(
    client: httpx2.AsyncClient, changes: dict[str, Any], param: str, code: str, says: str
) -> None:
    # Written by hand: a client would not send half characters or numbers that are none.
    response = await client.post(
        PATH, content=json.dumps(body() | changes), headers={"content-type": "application/json"}
    )
    assert response.status_code == 400
    error = response.json()["error"]
    assert (error["param"], error["code"], error["type"]) == (param, code, "invalid_request_error")
    assert says in error["message"]
    assert error["message"].endswith(".")


@pytest.mark.parametrize("name", ["model", "messages"])
async def test_a_field_that_is_needed_is_asked_for(client: httpx2.AsyncClient, name: str) -> None:
    error = (await client.post(PATH, json=body(**{name: None}))).json()["error"]
    assert (error["param"], error["code"]) == (name, "missing_required_parameter")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"{", "invalid_json"),
        (b'{"model": "demo",}', "invalid_json"),
        (b"\xff\xfe", "invalid_json"),
        (b'{"model": "\xff"}', "invalid_json"),
        (b"[" * 100_000, "invalid_json"),
        (b'{"seed": ' + b"9" * 10_000 + b"}", "invalid_json"),
        (b"", "invalid_body"),
        (b"null", "invalid_body"),
        (b"[]", "invalid_body"),
        (b'"text"', "invalid_body"),
    ],
)
async def test_a_body_that_is_no_json_object_is_refused(client: httpx2.AsyncClient, content: bytes, code: str) -> None:
    response = await client.post(PATH, content=content, headers={"content-type": "application/json"})
    assert response.status_code == 400
    error = response.json()["error"]
    assert (error["code"], error["param"], error["type"]) == (code, None, "invalid_request_error")
    assert "JSON object" in error["message"]


@pytest.mark.parametrize("headers", [{}, {"content-type": "application/x-www-form-urlencoded"}])
async def test_a_body_without_its_content_type_is_told_what_is_missing(
    client: httpx2.AsyncClient, headers: dict[str, str]
) -> None:
    response = await client.post(PATH, content=json.dumps(body()), headers=headers)
    assert response.status_code == 400
    assert "Content-Type: application/json" in response.json()["error"]["message"]


async def test_another_model_is_not_found(client: httpx2.AsyncClient) -> None:
    response = await client.post(PATH, json=body(model="gpt-5"))
    assert response.status_code == 404
    error = response.json()["error"]
    assert (error["param"], error["code"]) == ("model", "model_not_found")
    assert error["message"] == "The model 'gpt-5' does not exist here: this server has 'demo'."


@pytest.mark.parametrize("stream", [False, True])
async def test_messages_longer_than_the_context_are_refused_before_the_stream_begins(
    client: httpx2.AsyncClient, *, stream: bool
) -> None:
    response = await client.post(PATH, json=body("word " * 3000, stream=stream))
    assert response.status_code == 400
    error = response.json()["error"]
    assert (error["param"], error["code"]) == ("messages", "context_length_exceeded")
    assert "2048 tokens" in error["message"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "not_found"),
        ("POST", "/v1/embeddings", 404, "not_found"),
        ("GET", PATH, 405, "method_not_allowed"),
        ("POST", "/v1/models", 405, "method_not_allowed"),
        ("DELETE", "/health", 405, "method_not_allowed"),
    ],
)
async def test_what_is_not_there_has_openai_s_shape_too(
    client: httpx2.AsyncClient, method: str, path: str, status: int, code: str
) -> None:
    response = await client.request(method, path)
    assert response.status_code == status
    error = response.json()["error"]
    assert (error["code"], error["type"], error["param"]) == (code, "invalid_request_error", None)
    assert f"{method} {path}" in error["message"]
    assert ("allow" in response.headers) is (status == 405)
