"""Every refusal is one sentence in OpenAI's shape, and names the field at fault."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from lambda_llm import limits
from lambda_llm.openai_types.common import CHOICES_MAX, STOP_TEXTS_MAX
from support.answers import user
from support.chat import PATH, body


def part(**fields: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [fields]}]


def form(schema: Any, name: str = "answer", **more: Any) -> dict[str, Any]:
    given = {"name": name, "schema": schema, **more}
    return {"response_format": {"type": "json_schema", "json_schema": given}}


def tool(name: str = "add", **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **more}}


def named(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def allowed(name: str) -> dict[str, Any]:
    return {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [named(name)]}}


def called(function: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "tool_calls": [{"id": "x", "type": "function", "function": function}]}


SCHEMA, PARAMETERS = "response_format.json_schema.schema", "function.parameters"
CALL = "messages.0.tool_calls.0.function"


@pytest.mark.parametrize(
    ("changes", "param", "code", "says"),
    [
        ({"model": 5}, "model", "invalid_value", "valid string"),
        ({"messages": []}, "messages", "invalid_value", "at least 1 item"),
        ({"messages": "Hello"}, "messages", "invalid_value", "valid list"),
        ({"messages": ["Hello"]}, "messages.0", "invalid_value", "valid dict"),
        ({"messages": [{"role": "user"}]}, "messages.0.content", "missing_required_parameter", "required"),
        ({"messages": [{"content": "x"}]}, "messages.0.role", "missing_required_parameter", "required"),
        (
            {"messages": [{"role": "robot", "content": "x"}]},
            "messages.0.role",
            "invalid_value",
            "'system', 'developer'",
        ),
        ({"messages": [user("x"), user("y") | {"content": None}]}, "messages.1.content", "invalid_value", "string"),
        (
            {"messages": [called({"name": "x", "arguments": ""}) | {"role": "user"}]},
            "messages.0.tool_calls",
            "invalid_value",
            "role 'user' must have none",
        ),
        (
            {"messages": [user("x") | {"audio": {"id": "x"}}]},
            "messages.0.audio",
            "unsupported_parameter",
            "leave it out",
        ),
        ({"messages": [user("half \ud800")]}, "messages.0.content", "invalid_value", "valid Unicode"),
        ({"messages": part(type="text", text="\udfff")}, "messages.0.content.0.text", "invalid_value", "valid Unicode"),
        ({"messages": part(type="image_url", text="")}, "messages.0.content.0.type", "invalid_value", "be 'text'"),
        ({"messages": part(type="text")}, "messages.0.content.0.text", "missing_required_parameter", "required"),
        ({"messages": [user("") | {"content": []}]}, "messages.0.content", "invalid_value", "at least 1 item"),
        ({"temperature": -0.1}, "temperature", "invalid_value", "greater than or equal to 0"),
        ({"temperature": 2.1}, "temperature", "invalid_value", "less than or equal to 2"),
        ({"temperature": "1"}, "temperature", "invalid_value", "valid number"),
        ({"temperature": True}, "temperature", "invalid_value", "valid number"),
        ({"temperature": float("nan")}, "temperature", "invalid_value", "less than or equal to 2"),
        ({"top_p": -0.1}, "top_p", "invalid_value", "greater than or equal to 0"),
        ({"top_p": 1.5}, "top_p", "invalid_value", "less than or equal to 1"),
        ({"seed": 2**63}, "seed", "invalid_value", "less than or equal"),
        ({"seed": "5"}, "seed", "invalid_value", "valid integer"),
        ({"seed": 1.5}, "seed", "invalid_value", "valid integer"),
        ({"max_tokens": 0}, "max_tokens", "invalid_value", "at least 1, or -1 for as many as the context allows"),
        ({"max_tokens": True}, "max_tokens", "invalid_value", "valid integer"),
        ({"max_completion_tokens": -3}, "max_completion_tokens", "invalid_value", "greater than or equal to -1"),
        ({"stop": ["x"] * (STOP_TEXTS_MAX + 1)}, "stop", "invalid_value", f"at most {STOP_TEXTS_MAX} items"),
        ({"stop": ""}, "stop", "invalid_value", "at least 1 character"),
        ({"stop": 5}, "stop", "invalid_value", "valid string, or Input should be a valid list"),
        ({"stop": [5]}, "stop.0", "invalid_value", "valid string"),
        ({"stream": "yes"}, "stream", "invalid_value", "valid boolean"),
        ({"stream": True, "stream_options": {"x": 1}}, "stream_options.x", "unsupported_parameter", "not supported"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "invalid_value", "set 'stream' to true"),
        ({"n": 0}, "n", "invalid_value", "greater than or equal to 1"),
        ({"n": CHOICES_MAX + 1}, "n", "invalid_value", f"less than or equal to {CHOICES_MAX}"),
        ({"n": True}, "n", "invalid_value", "valid integer"),
        ({"n": 1.0}, "n", "invalid_value", "valid integer"),
        ({"top_k": -2}, "top_k", "invalid_value", "greater than or equal to -1"),
        ({"min_p": 1.5}, "min_p", "invalid_value", "less than or equal to 1"),
        ({"repeat_penalty": 0}, "repeat_penalty", "invalid_value", "greater than or equal to 0.01"),
        ({"repeat_penalty": 1e-38}, "repeat_penalty", "invalid_value", "greater than or equal to 0.01"),
        ({"presence_penalty": 2.5}, "presence_penalty", "invalid_value", "less than or equal to 2"),
        ({"frequency_penalty": "1"}, "frequency_penalty", "invalid_value", "valid number"),
        ({"logit_bias": {"x": 1}}, "logit_bias.x", "invalid_value", "match pattern"),
        ({"logit_bias": {"5": 101}}, "logit_bias.5", "invalid_value", "less than or equal to 100"),
        (
            {"logit_bias": {"999999": 1}},
            "logit_bias",
            "invalid_value",
            "999999 is not a token of this model, whose ids",
        ),
        ({"logit_bias": [1]}, "logit_bias", "invalid_value", "valid dictionary"),
        ({"top_logprobs": 3}, "top_logprobs", "invalid_value", "set 'logprobs' to true with it"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "invalid_value", "less than or equal to 20"),
        ({"logprobs": 1}, "logprobs", "invalid_value", "valid boolean"),
        ({"modalities": ["text", "audio"]}, "modalities", "invalid_value", "at most 1 item"),
        ({"verbosity": "highest"}, "verbosity", "invalid_value", "should be 'low', 'medium' or 'high'"),
        (
            {"audio": {"voice": "x"}},
            "audio",
            "unsupported_parameter",
            "'audio' is not supported by this server: leave it",
        ),
        ({"function_call": "auto"}, "function_call", "unsupported_parameter", "not supported"),
        ({"prediction": {}}, "prediction.type", "missing_required_parameter", "Field required"),
        ({"prediction": {"type": "content"}}, "prediction.content", "missing_required_parameter", "Field required"),
        ({"prediction": {"type": "text", "content": "a"}}, "prediction.type", "invalid_value", "should be 'content'"),
        (
            {"prediction": {"type": "content", "content": "words " * 3000}},
            "prediction",
            "context_length_exceeded",
            "'prediction' has",
        ),
        ({"web_search_options": {}}, "web_search_options", "unsupported_parameter", "not supported"),
        ({"mirostat": 2}, "mirostat", "unsupported_parameter", "not supported"),
        ({"reasoning_effort": "much"}, "reasoning_effort", "invalid_value", "'none', 'minimal', 'low'"),
        ({"reasoning_effort": "low"}, "reasoning_effort", "unsupported_parameter", "not supported by this model"),
        (
            {"chat_template_kwargs": {"messages": []}},
            "chat_template_kwargs",
            "invalid_value",
            "is set by the server; l",
        ),
        ({"chat_template_kwargs": {"x": "\ud800"}}, "chat_template_kwargs", "invalid_value", "valid Unicode"),
        # what the answer must look like
        ({"response_format": "json"}, "response_format", "invalid_value", "valid dict"),
        (
            {"response_format": {"type": "xml"}},
            "response_format.type",
            "invalid_value",
            "'text', 'json_object' or 'json",
        ),
        ({"response_format": {"type": "json_schema"}}, SCHEMA[:-7], "missing_required_parameter", "required"),
        (
            {"response_format": {"type": "text", "json_schema": {"name": "x"}}},
            SCHEMA[:-7],
            "invalid_value",
            "is 'text'",
        ),
        (form("string"), SCHEMA, "invalid_value", "valid dictionary"),
        (form({"type": "strin"}, strict=True), SCHEMA, "invalid_schema", "'type' must be one of object, array"),
        (form({"oneOf": []}, strict=True), SCHEMA, "invalid_schema", "'oneOf' must be a list of schemas"),
        (form({"$ref": "#"}, strict=True), SCHEMA, "invalid_schema", "(it refers to itself): leave it out"),
        (form({"const": float("nan")}), SCHEMA, "invalid_value", "finite numbers"),
        # tools
        ({"tools": [{"type": "function"}]}, "tools.0.function", "missing_required_parameter", "required"),
        ({"tools": [{"type": "retrieval"}]}, "tools.0.type", "invalid_value", "should be 'function'"),
        ({"tools": [tool("a b")]}, "tools.0.function.name", "invalid_value", "match pattern"),
        ({"tools": [tool(), tool()]}, "tools.1.function.name", "invalid_value", "two functions of the name 'add'"),
        (
            {"tools": [tool(), tool("b", parameters={"type": 5}, strict=True)]},
            f"tools.1.{PARAMETERS}",
            "invalid_schema",
            "'type' must",
        ),
        ({"tools": [tool(parameters={"a": "\ud800"})]}, f"tools.0.{PARAMETERS}", "invalid_value", "valid Unicode"),
        ({"tool_choice": "required"}, "tool_choice", "invalid_value", "no 'tools' to choose from"),
        (
            {"tool_choice": {"type": "function", "function": {"name": "add"}}},
            "tool_choice",
            "invalid_value",
            "no 'tools' to choose from",
        ),
        ({"tools": [tool()], "tool_choice": "any"}, "tool_choice", "invalid_value", "'none', 'auto' or 'required'"),
        (
            {"tools": [tool()], "tool_choice": named("b")},
            "tool_choice",
            "invalid_value",
            "'b' is not one of the 'tools'",
        ),
        ({"tools": [tool()], "tool_choice": {"type": "function"}}, "tool_choice.function", "invalid_value", "belongs"),
        (
            {"tools": [tool()], "tool_choice": allowed("b")},
            "tool_choice",
            "invalid_value",
            "'b' is not one of the 'tools'",
        ),
        (
            {"messages": [{"role": "tool", "content": "x"}]},
            "messages.0.tool_call_id",
            "missing_required_parameter",
            "re",
        ),
        ({"messages": [{"role": "assistant"}]}, "messages.0.content", "missing_required_parameter", "required"),
        ({"messages": [called({"name": "x"})]}, f"{CALL}.arguments", "missing_required_parameter", "required"),
        ({"messages": [called({"name": "\ud800", "arguments": ""})]}, f"{CALL}.name", "invalid_value", "valid Unicode"),
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


async def test_a_field_that_is_needed_is_asked_for(client: httpx2.AsyncClient) -> None:
    left_out: dict[str, Any] = {"messages": None}
    error = (await client.post(PATH, json=body(**left_out))).json()["error"]
    assert (error["param"], error["code"]) == ("messages", "missing_required_parameter")


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


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_that_lambda_would_not_take_is_refused(client: httpx2.AsyncClient, *, announced: bool) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(7):
            yield b" " * limits.MIB

    content = b" " * (limits.BUFFERED_PAYLOAD_BYTES + 1) if announced else parts()
    response = await client.post(PATH, content=content, headers={"content-type": "application/json"})
    assert response.status_code == 413
    error = response.json()["error"]
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", "request_too_large", None)
    assert "6,291,456 bytes" in error["message"]


async def test_a_body_that_lambda_takes_is_read(client: httpx2.AsyncClient) -> None:
    content = json.dumps(body(max_tokens=1)).encode().ljust(limits.BUFFERED_PAYLOAD_BYTES)
    response = await client.post(PATH, content=content, headers={"content-type": "application/json"})
    assert response.status_code == 200


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
        ("POST", "/v1/audio/speech", 404, "not_found"),
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
