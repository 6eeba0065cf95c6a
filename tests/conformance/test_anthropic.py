"""Anthropic's own client against `/v1/messages`, and the shapes that Claude Code sends."""

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2
import pytest

from support.answers import EXPECTED, LONG_QUESTION, QUESTION
from support.servers import Server

MODEL = "lambda-llm-demo"
TOOL: Any = {
    "name": "get_weather",
    "description": "Tells the weather",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 8}},
        "required": ["city"],
        "additionalProperties": False,
    },
}


@pytest.fixture
def client(demo_server: Server) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=demo_server.url, api_key="unused", max_retries=0) as client:
        yield client


def asked(text: str = QUESTION, **changes: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": text}]
    # The client has no argument for the temperature any more; others do.
    extra = {"temperature": 0} | changes.pop("extra_body", {})
    return {"model": MODEL, "max_tokens": 400, "messages": messages, "extra_body": extra} | changes


def test_a_message_is_answered(client: anthropic.Anthropic) -> None:
    message = client.messages.create(**asked())
    assert EXPECTED in message.content[0].text
    assert (message.role, message.stop_reason, message.model) == ("assistant", "end_turn", MODEL)
    usage = message.usage
    counted = client.messages.count_tokens(model=MODEL, messages=asked()["messages"])
    assert usage.input_tokens + (usage.cache_read_input_tokens or 0) == counted.input_tokens
    assert usage.output_tokens > 5


def test_a_stream_adds_up_to_the_whole(client: anthropic.Anthropic) -> None:
    with client.messages.stream(**asked()) as stream:
        events = [event.type for event in stream]
        streamed = stream.get_final_message()
    whole = client.messages.create(**asked())
    (block,) = streamed.content
    assert block.type == "text"
    assert block.text == whole.content[0].text
    assert (streamed.stop_reason, streamed.usage.output_tokens) == (whole.stop_reason, whole.usage.output_tokens)
    kinds = [each for each in dict.fromkeys(events) if each != "text"]
    assert kinds == [
        "message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta",
        "message_stop",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "reason", "sequence"),
    [({"max_tokens": 3}, "max_tokens", None), ({"stop_sequences": ["nothing", "10,"]}, "stop_sequence", "10,")],
)
def test_an_answer_says_why_it_ended(
    client: anthropic.Anthropic, changes: dict[str, Any], reason: str, sequence: str | None
) -> None:
    message = client.messages.create(**asked(**changes))
    assert (message.stop_reason, message.stop_sequence) == (reason, sequence)


def test_a_system_prompt_and_blocks_are_texts(client: anthropic.Anthropic) -> None:
    def tokens(**changes: Any) -> int:
        counted: int = client.messages.count_tokens(
            **({"model": MODEL, "messages": asked()["messages"]} | changes)
        ).input_tokens
        return counted

    blocks: Any = [{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}} for text in ("Be", "brief.")]
    assert tokens(system=blocks) == tokens(system="Be\nbrief.") > tokens()
    assert tokens(messages=[{"role": "user", "content": blocks}]) == tokens(
        messages=[{"role": "user", "content": "Be\nbrief."}]
    )


def test_a_last_message_of_the_assistant_is_continued(client: anthropic.Anthropic) -> None:
    whole = client.messages.create(**asked()).content[0].text
    begun = whole[: whole.index(" ", 10)]
    messages = [*asked()["messages"], {"role": "assistant", "content": begun}]
    assert begun + client.messages.create(**asked(messages=messages)).content[0].text == whole


def test_a_tool_is_called_and_its_result_is_read(client: anthropic.Anthropic) -> None:
    choice = {"type": "tool", "name": "get_weather"}
    called = client.messages.create(**asked("Weather in Paris?", tools=[TOOL], tool_choice=choice))
    (use,) = called.content
    assert (use.type, use.name, called.stop_reason) == ("tool_use", "get_weather", "tool_use")
    assert isinstance(use.input["city"], str)
    with client.messages.stream(**asked("Weather in Paris?", tools=[TOOL], tool_choice=choice)) as stream:
        (streamed,) = stream.get_final_message().content
    assert streamed.type == "tool_use"
    assert streamed.input == use.input
    messages: Any = [
        *asked("Weather in Paris?")["messages"],
        called.to_param(),
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": use.id, "content": [{"type": "text", "text": "21 degrees"}]},
                {"type": "text", "text": QUESTION},
            ],
        },
    ]
    answer = client.messages.create(**asked(messages=messages, tools=[TOOL]))
    assert answer.stop_reason in {"end_turn", "tool_use"}
    before = client.messages.count_tokens(model=MODEL, messages=messages[:2], tools=[TOOL])
    assert (
        client.messages.count_tokens(model=MODEL, messages=messages, tools=[TOOL]).input_tokens
        > before.input_tokens + 10
    )


def test_the_text_can_be_constrained(client: anthropic.Anthropic) -> None:
    form: Any = {"type": "json_schema", "schema": TOOL["input_schema"]}
    message = client.messages.create(**asked(output_config={"format": form}))
    assert list(json.loads(message.content[0].text)) == ["city"]


def test_what_claude_code_sends_is_answered(demo_server: Server) -> None:
    """The fields of its requests, over plain HTTP: its own beta flags are in the query and in a header."""
    body = {
        "model": MODEL,
        "max_tokens": 32,
        "stream": False,
        "temperature": 0,
        "metadata": {"user_id": "user_abc_account__session_def"},
        "system": [
            {"type": "text", "text": "You are a coding assistant.", "cache_control": {"type": "ephemeral"}},
            {"type": "text", "text": "Be terse."},
        ],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "<system-reminder>\nNothing.\n</system-reminder>"},
                    {"type": "text", "text": "List the files.", "cache_control": {"type": "ephemeral"}},
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": ""},
                    {"type": "text", "text": "Yes."},
                    {
                        "type": "tool_use",
                        "id": "toolu_1",
                        "name": "Bash",
                        "input": {"command": "ls"},
                        "caller": {"type": "direct"},
                    },
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "toolu_1", "content": "README.md", "is_error": False},
                ],
            },
        ],
        "tools": [
            {
                "name": "Bash",
                "description": "Runs a command",
                "input_schema": {
                    "$schema": "http://json-schema.org/draft-07/schema#",
                    "type": "object",
                    "properties": {"command": {"type": "string"}, "timeout": {"type": "number"}},
                    "required": ["command"],
                    "additionalProperties": False,
                },
                "eager_input_streaming": True,
            }
        ],
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "high"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    }
    headers = {
        "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14",
        "anthropic-version": "2023-06-01",
    }
    response = httpx2.post(f"{demo_server.url}/v1/messages?beta=true", json=body, headers=headers, timeout=60)
    assert response.status_code == 200, response.text
    assert response.json()["type"] == "message"


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"model": "claude-opus"}, anthropic.NotFoundError, "does not exist here"),
        ({"max_tokens": 0}, anthropic.BadRequestError, "'max_tokens' can't be used"),
        ({"extra_body": {"unheard_of": 1}}, anthropic.BadRequestError, "'unheard_of' is not supported by this server"),
        ({"messages": [{"role": "user", "content": "word " * 3000}]}, anthropic.BadRequestError, "context length"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, anthropic.BadRequestError, "content.0.type"),
        ({"tool_choice": {"type": "any"}}, anthropic.BadRequestError, "no 'tools' to choose from"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "x"}}, anthropic.BadRequestError, "'x' is not one"),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, anthropic.BadRequestError, "'tools.0.type'"),
    ],
    ids=str,
)
def test_a_refusal_has_the_api_s_own_form(
    client: anthropic.Anthropic, changes: dict[str, Any], error: type[anthropic.APIStatusError], says: str
) -> None:
    with pytest.raises(error) as raised:
        client.messages.create(**asked(**changes))
    assert isinstance(raised.value.body, dict)
    assert raised.value.body["type"] == "error"
    assert says in raised.value.body["error"]["message"]


async def test_the_asynchronous_client_gets_the_same(demo_server: Server) -> None:
    async with (
        anthropic.AsyncAnthropic(base_url=demo_server.url, api_key="unused", max_retries=0) as client,
        client.messages.stream(**asked(LONG_QUESTION)) as stream,
    ):
        text = await stream.get_final_text()
    assert text.endswith("99, 100.")
