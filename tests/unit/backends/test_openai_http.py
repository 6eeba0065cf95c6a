"""A server of OpenAI's API: its events are passed on as they are, and their end is known."""

import json
from typing import Any

import pytest

from lambda_llm.backends.contract import Operation, Usage
from lambda_llm.backends.errors import Kind
from lambda_llm.backends.openai_http import OpenAIHTTP, usage_of
from support.backends import asking, chunks, failure
from support.event_streams import JSON, SSE, Answer, answering, cut

USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}}
ALL = frozenset(Operation)


def delta(**fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields}]}


CHAT = [delta(role="assistant"), delta(content='Grüezi, "error" and "usage"'), {"choices": [], "usage": USAGE}]


def lines(*events: Any, names: bool = False) -> bytes:
    texts = [each if isinstance(each, str) else json.dumps(each) for each in events]
    heads = [f"event: {each['type']}\n" if names else "" for each in events]
    return "".join(f"{head}data: {text}\n\n" for head, text in zip(heads, texts, strict=True)).encode()


def backend(url: str, **more: Any) -> OpenAIHTTP:
    return OpenAIHTTP("b", url, "ours", operations=ALL, **more)


@pytest.mark.parametrize("end", ["", "/", "/v1", "/v1/"])
async def test_the_body_is_the_clients_with_the_servers_model(end: str) -> None:
    with answering(Answer([b'{"usage": null}'], headers=JSON)) as server:
        asked = backend(server.url + end, fixed={"service_tier": "flex"})
        await chunks(asked, asking(service_tier="priority", top_k=3))
    assert server.asked[0].path == "/v1/chat/completions"
    messages = [{"role": "user", "content": "Hello"}]
    assert server.asked[0].json == {"model": "ours", "messages": messages, "service_tier": "flex", "top_k": 3}


async def test_a_stream_is_asked_for_its_usage() -> None:
    with answering(Answer([lines(*CHAT, "[DONE]")], headers=SSE)) as server:
        await chunks(backend(server.url), asking(stream=True, stream_options={"include_obfuscation": False}))
    assert server.asked[0].json["stream_options"] == {"include_obfuscation": False, "include_usage": True}


@pytest.mark.parametrize("operation", Operation)
async def test_each_operation_has_its_path(operation: Operation) -> None:
    with answering(Answer([b"{}"], headers=JSON)) as server:
        await chunks(backend(server.url), asking(operation=operation))
    assert server.asked[0].path == operation.value


def test_operations_that_a_server_has_not_are_named() -> None:
    asked = OpenAIHTTP("b", "http://localhost", "m")
    assert asked.unsupported(asking()) is None
    assert asked.unsupported(asking(operation=Operation.RERANK)) == "/v1/rerank"


async def test_an_answer_in_one_piece() -> None:
    with answering(Answer([json.dumps({"choices": [], "usage": USAGE}, indent=1).encode()], headers=JSON)) as server:
        [chunk] = await chunks(backend(server.url), asking())
    assert (json.loads(chunk.data)["usage"], chunk.usage) == (USAGE, Usage(9, 2, 4))
    assert b"\n" not in chunk.data


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
async def test_a_stream_is_passed_on_wherever_it_is_cut(size: int) -> None:
    content = b": ping\n\nretry: 5\n\n" + lines(*CHAT, "[DONE]") + lines("after the end")
    with answering(Answer(cut(content, size), headers=SSE)) as server:
        given = await chunks(backend(server.url), asking(stream=True))
    assert [json.loads(chunk.data) for chunk in given] == CHAT
    assert [(chunk.event, chunk.usage_only) for chunk in given] == [("", False), ("", False), ("", True)]
    assert [chunk.usage for chunk in given] == [None, None, Usage(9, 2, 4)]


RESPONSES = [
    {"type": "response.created", "response": {"usage": None}},
    {"type": "response.output_text.delta", "delta": "Hi"},
    {"type": "response.completed", "response": {"usage": {"input_tokens": 9, "output_tokens": 2}}},
]
MESSAGES = [
    {"type": "message_start", "message": {"usage": {"input_tokens": 5, "cache_read_input_tokens": 4}}},
    {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
]


@pytest.mark.parametrize(
    ("operation", "events", "usage"),
    [(Operation.RESPONSES, RESPONSES, Usage(9, 2, 0)), (Operation.MESSAGES, MESSAGES, Usage(9, 2, 4))],
)
async def test_streams_of_the_other_apis_have_names_and_an_end(operation: Operation, events: Any, usage: Usage) -> None:
    content = lines(*events, names=True)
    with answering(Answer([content], headers=SSE), Answer([lines(*events[:-1], names=True)], headers=SSE)) as server:
        given = await chunks(backend(server.url), asking(operation=operation, stream=True))
        failed = await failure(backend(server.url), asking(operation=operation, stream=True))
    assert [(chunk.event, json.loads(chunk.data)) for chunk in given] == [(each["type"], each) for each in events]
    total = Usage(0)
    for chunk in given:
        total = total.with_later(chunk.usage)
    assert total == usage
    assert (failed.kind, failed.started) == (Kind.BROKEN, True)


BROKEN = [
    lines(CHAT[0]),
    lines(CHAT[0], "{"),
    lines(CHAT[0], "Internal Server Error"),
    lines(CHAT[0], {"error": {"message": "You said: Hello"}}),
    lines(CHAT[0], "[" * 100_000),
    lines(CHAT[0], '["usage"]'),
]


@pytest.mark.parametrize("content", BROKEN)
async def test_a_stream_that_is_broken(content: bytes) -> None:
    with answering(Answer([content], headers=SSE)) as server:
        failed = await failure(backend(server.url), asking(stream=True))
    assert (failed.kind, failed.started) == (Kind.BROKEN, True)
    assert "Hello" not in str(failed)


async def test_a_stream_that_is_none() -> None:
    with answering(Answer([b'{"choices": []}'], headers=JSON)) as server:
        failed = await failure(backend(server.url), asking(stream=True))
    assert (failed.kind, failed.started) == (Kind.BROKEN, False)


@pytest.mark.parametrize("code", ["rate_limit_exceeded", "overloaded_error", 429])
async def test_a_stream_that_is_throttled(code: Any) -> None:
    with answering(Answer([lines(CHAT[0], {"error": {"code": code}})], headers=SSE)) as server:
        failed = await failure(backend(server.url), asking(stream=True))
    assert (failed.kind, failed.started) == (Kind.THROTTLED, True)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"[" * 100_000, b"\xff", b'{"error": {"message": "x"}}'])
async def test_an_answer_that_is_none(content: bytes) -> None:
    with answering(Answer([content], headers=JSON)) as server:
        failed = await failure(backend(server.url), asking())
    assert (failed.kind, failed.started) == (Kind.BROKEN, False)


@pytest.mark.parametrize(
    "usage", [None, [], "x", {"prompt_tokens": -1}, {"prompt_tokens": True}, {"prompt_tokens": "3"}]
)
def test_usage_that_can_not_be_read_is_none(usage: Any) -> None:
    assert usage_of(usage) is None
