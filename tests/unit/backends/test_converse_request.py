"""Requests for Converse: what AWS's model says of them, what LiteLLM makes of the same, what is refused by name."""

import base64
import copy
import importlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_llm.backends.converse import Converse
from lambda_llm.backends.converse_request import ConverseOptions, UnsupportedFieldError, converse_request, may_call
from support.backends import asking, checked, signed

MODEL = "anthropic.claude-haiku-4-5-20251001-v1:0"
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
NONE = ConverseOptions()


def made(options: ConverseOptions = NONE, /, **body: Any) -> dict[str, Any]:
    """The request, which AWS's model has checked."""
    before = copy.deepcopy(body)
    request = converse_request(body, options)
    assert body == before, "the client's request was changed"
    for operation in ("Converse", "ConverseStream"):
        checked("bedrock-runtime", operation, {"modelId": MODEL, **request})
    return request


def refused(**body: Any) -> str:
    with pytest.raises(UnsupportedFieldError) as error:
        converse_request({"messages": [user("Hello")], **body}, NONE)
    return str(error.value)


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def call(number: str, arguments: str = "{}", name: str = "weather") -> dict[str, Any]:
    return {"id": number, "type": "function", "function": {"name": name, "arguments": arguments}}


def calling(*calls: dict[str, Any], content: Any = None) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "tool_calls": list(calls)}


def result(number: str, content: Any = "sun") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": number, "content": content}


def image(url: str, **more: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, **more}}


def tool(name: str = "weather", **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "description": "Tells it.", "parameters": SCHEMA, **more}}


SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [tool()]


# -- translated -------------------------------------------------------------------------------------


def test_a_conversation() -> None:
    messages = [
        {"role": "system", "content": "Be terse."},
        {"role": "developer", "content": [{"type": "text", "text": "No emoji."}, {"type": "text", "text": ""}]},
        user("Weather in Bonn and Köln?"),
        user([{"type": "text", "text": "From this:"}, image(f"data:image/jpg;base64,{PNG}", detail="auto")]),
        calling(call("a", '{"city": "Bonn"}'), call("b", ""), content="I look."),
        result("a"),
        result("b", [{"type": "text", "text": "rain"}, {"type": "text", "text": "wind"}]),
        user("And?"),
        {"role": "assistant", "content": "", "reasoning_content": "Sun, rain.", "refusal": "I won't."},
        {"role": "assistant", "content": None},
    ]
    request = made(messages=messages, tools=TOOLS)
    assert request["system"] == [{"text": "Be terse."}, {"text": "No emoji."}]
    assert request["messages"] == [
        {
            "role": "user",
            "content": [
                {"text": "Weather in Bonn and Köln?"},
                {"text": "From this:"},
                {"image": {"format": "jpeg", "source": {"bytes": PNG}}},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"text": "I look."},
                {"toolUse": {"toolUseId": "a", "name": "weather", "input": {"city": "Bonn"}}},
                {"toolUse": {"toolUseId": "b", "name": "weather", "input": {}}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"toolResult": {"toolUseId": "a", "content": [{"text": "sun"}]}},
                {"toolResult": {"toolUseId": "b", "content": [{"text": "rain"}, {"text": "wind"}]}},
                {"text": "And?"},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"reasoningContent": {"reasoningText": {"text": "Sun, rain."}}},
                {"text": "I won't."},
            ],
        },
    ]


def test_limits_and_their_absence() -> None:
    limits = {"max_tokens": 5, "temperature": 1, "top_p": 0.5, "stop": "END"}
    config = made(messages=[user("Hello")], **limits)["inferenceConfig"]
    assert config == {"maxTokens": 5, "temperature": 1, "topP": 0.5, "stopSequences": ["END"]}
    config = made(messages=[user("Hello")], max_tokens=5, max_completion_tokens=6, temperature=0.0, stop=["a", "b"])
    assert config["inferenceConfig"] == {"maxTokens": 6, "temperature": 0, "stopSequences": ["a", "b"]}
    nothing = dict.fromkeys(("max_tokens", "temperature", "top_p", "stop", "tools", "seed", "response_format"))
    assert made(messages=[user("Hello")], **nothing) == {"messages": [user([{"text": "Hello"}])]}


def test_fields_that_ask_for_nothing_are_accepted() -> None:
    fields = {
        "model": "theirs",
        "n": 1,
        "logprobs": False,
        "top_logprobs": 0,
        "frequency_penalty": 0,
        "presence_penalty": 0.0,
        "logit_bias": {},
        "modalities": ["text"],
        "parallel_tool_calls": True,
        "stream": True,
        "stream_options": {"include_usage": True},
        "response_format": {"type": "text"},
        "service_tier": "auto",
        "tool_choice": "none",
        "user": "u",
        "metadata": {"a": "b"},
        "store": False,
        "safety_identifier": "s",
        "prompt_cache_key": "p",
    }
    assert made(messages=[user("Hello")], **fields) == {"messages": [user([{"text": "Hello"}])]}


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, None),
        ("auto", {"auto": {}}),
        ("required", {"any": {}}),
        ({"type": "function", "function": {"name": "weather"}}, {"tool": {"name": "weather"}}),
    ],
)
def test_tools_and_their_choice(choice: Any, expected: Any) -> None:
    tools = [tool(strict=True), tool("now", description="", parameters=None)]
    config = made(messages=[user("Hello")], tools=tools, tool_choice=choice)["toolConfig"]
    spec = {"name": "weather", "description": "Tells it.", "inputSchema": {"json": SCHEMA}, "strict": True}
    empty = {"name": "now", "inputSchema": {"json": {"type": "object", "properties": {}}}}
    assert config["tools"] == [{"toolSpec": spec}, {"toolSpec": empty}]
    assert config.get("toolChoice") == expected


def test_no_tools_where_none_may_be_called_but_for_earlier_calls() -> None:
    """Converse wants the tools of earlier calls; that none follows, `may_call` is asked for."""
    assert "toolConfig" not in made(messages=[user("Hello")], tools=TOOLS, tool_choice="none")
    called = [user("Hello"), calling(call("a")), result("a")]
    assert made(messages=called, tools=TOOLS, tool_choice="none")["toolConfig"] == {
        "tools": [{"toolSpec": {"name": "weather", "description": "Tells it.", "inputSchema": {"json": SCHEMA}}}]
    }
    assert [may_call({"tool_choice": choice}) for choice in ("none", "auto", None)] == [False, True, True]


def test_a_schema_for_the_answer_and_effort() -> None:
    wanted = {"name": "place", "schema": SCHEMA, "strict": True, "description": "A place."}
    request = made(
        messages=[user("Hello")],
        response_format={"type": "json_schema", "json_schema": wanted},
        reasoning_effort="low",
    )
    text_format = request["outputConfig"]["textFormat"]
    definition = text_format["structure"]["jsonSchema"]
    assert json.loads(definition.pop("schema")) == SCHEMA
    assert definition == {"name": "place", "description": "A place."}
    assert (text_format["type"], request["outputConfig"]["effort"]) == ("json_schema", "low")


def test_options() -> None:
    options = ConverseOptions(guardrail=("gr1", "1"), service_tier="flex", cache_points=True)
    messages = [{"role": "system", "content": "Be terse."}, user("Hello")]
    request = made(options, messages=messages, tools=TOOLS, service_tier="priority")
    point = {"cachePoint": {"type": "default"}}
    assert request["system"] == [{"text": "Be terse."}, point]
    assert request["toolConfig"]["tools"][1:] == [point]
    assert request["serviceTier"] == {"type": "flex"}
    assert request["guardrailConfig"] == {"guardrailIdentifier": "gr1", "guardrailVersion": "1"}
    assert made(messages=messages, service_tier="priority")["serviceTier"] == {"type": "priority"}


def test_ids_that_converse_refuses_are_replaced_the_same_in_call_and_result() -> None:
    long = "call/" + "x" * 80
    request = made(messages=[user("Hello"), calling(call(long)), result(long)], tools=TOOLS)
    [use], [given] = (message["content"] for message in request["messages"][1:])
    assert use["toolUse"]["toolUseId"] == given["toolResult"]["toolUseId"]
    assert len(use["toolUse"]["toolUseId"]) == 64


# -- refused by name --------------------------------------------------------------------------------

REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("n", {"n": 2}),
    ("seed", {"seed": 0}),
    ("logprobs", {"logprobs": True}),
    ("top_logprobs", {"top_logprobs": 1}),
    ("frequency_penalty", {"frequency_penalty": 0.1}),
    ("presence_penalty", {"presence_penalty": -1}),
    ("logit_bias", {"logit_bias": {"1": 2}}),
    ("temperature", {"temperature": 1.01}),
    ("temperature", {"temperature": "0.5"}),
    ("top_p", {"top_p": 2}),
    ("max_tokens", {"max_tokens": 0}),
    ("max_tokens", {"max_tokens": True}),
    ("stop.1", {"stop": ["a", ""]}),
    ("stop", {"stop": 3}),
    ("parallel_tool_calls", {"parallel_tool_calls": False}),
    ("reasoning_effort", {"reasoning_effort": "minimal"}),
    ("verbosity", {"verbosity": "low"}),
    ("response_format.type", {"response_format": {"type": "json_object"}}),
    ("response_format.json_schema.schema", {"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}}),
    ("service_tier", {"service_tier": "scale"}),
    ("modalities.1", {"modalities": ["text", "audio"]}),
    ("functions", {"functions": []}),
    ("web_search_options", {"web_search_options": {}}),
    ("top_k", {"top_k": 5}),
    ("of_next_year", {"of_next_year": 1}),
    ("tools", {"messages": [user("Hello"), calling(call("a")), result("a")]}),
    ("tools.0.type", {"tools": [{"type": "custom", "custom": {"name": "a"}}]}),
    ("tools.0.function.name", {"tools": [tool("a b")]}),
    ("tools.0.of_next_year", {"tools": [{**tool(), "of_next_year": 1}]}),
    ("tool_choice", {"tool_choice": "required"}),
    ("tool_choice", {"tool_choice": {"type": "function", "function": {"name": "weather"}}}),
    ("tool_choice.type", {"tools": TOOLS, "tool_choice": {"type": "allowed_tools", "allowed_tools": {}}}),
    (
        "tool_choice.function.name",
        {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "other"}}},
    ),
    ("messages", {"messages": []}),
    ("messages", {"messages": None}),
    ("messages", {"messages": [{"role": "system", "content": "Be terse."}]}),
    ("messages", {"messages": "Hello"}),
    ("messages.0", {"messages": ["Hello"]}),
    ("messages.0.role", {"messages": [{"role": "function", "content": "a"}]}),
    ("messages.0.name", {"messages": [{**user("Hello"), "name": "Ann"}]}),
    ("messages.0.role", {"messages": [{"content": "a"}]}),
    ("messages.0.content", {"messages": [user("")]}),
    ("messages.0.content", {"messages": [user(None)]}),
    ("messages.0.content", {"messages": [user([])]}),
    ("messages.0.content.0.type", {"messages": [user([{"type": "input_audio", "input_audio": {}}])]}),
    ("messages.0.content.0.image_url.url", {"messages": [user([image("https://example.com/a.png")])]}),
    ("messages.0.content.0.image_url.url", {"messages": [user([image("data:image/bmp;base64,AAAA")])]}),
    ("messages.0.content.0.image_url.url", {"messages": [user([image("data:image/png;base64,A?==")])]}),
    ("messages.0.content.0.image_url.detail", {"messages": [user([image("data:,", detail="high")])]}),
    ("messages.1.tool_calls.0.function.arguments", {"messages": [user("a"), calling(call("a", "[]"))]}),
    ("messages.1.tool_calls.0.function.arguments", {"messages": [user("a"), calling(call("a", "{"))]}),
    ("messages.1.audio", {"messages": [user("a"), {"role": "assistant", "content": "b", "audio": {"id": "c"}}]}),
    ("messages.1.tool_call_id", {"messages": [user("a"), {"role": "tool", "content": "b"}]}),
]


@pytest.mark.parametrize(("path", "body"), REFUSED)
def test_what_converse_can_not_honour_is_refused_by_name(path: str, body: dict[str, Any]) -> None:
    assert refused(**body) == path


FIELDS = ["messages", "tools", "tool_choice", "response_format", "stop", "temperature", "n", "logit_bias", "max_tokens"]
anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["role", "content", "type", "function", "tool_calls", "text"]), inner),
    ),
    max_leaves=6,
)


@settings(max_examples=200)
@given(body=st.dictionaries(st.sampled_from(FIELDS), anything))
def test_whatever_comes_is_a_request_or_refused_by_name(body: dict[str, Any]) -> None:
    whole = {"messages": [user("Hello")], **body}
    path = Converse("b", "", MODEL, auth=signed("bedrock")).unsupported(asking(whole))
    if path is None:
        made(**whole)
    else:
        assert path.split(".")[0] in whole


# -- LiteLLM as a second opinion --------------------------------------------------------------------


@pytest.fixture(scope="module")
def litellm() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else it asks the network as it is imported
        yield importlib.import_module("litellm")


words = st.text(st.characters(codec="utf-8", categories=("L", "N")), min_size=1, max_size=8)
values = st.one_of(st.integers(-9, 9), words, st.lists(words, max_size=2), st.none(), st.booleans())
images = st.sampled_from(["png", "jpeg", "gif", "webp"]).map(lambda kind: image(f"data:image/{kind};base64,{PNG}"))
parts = words.map(lambda text: {"type": "text", "text": text})
questions = st.one_of(words, st.lists(st.one_of(parts, images), min_size=1, max_size=3)).map(user)


@st.composite
def rounds(draw: st.DrawFn, number: int) -> list[dict[str, Any]]:
    """Questions, and an answer: with calls and their results before it, or at once."""
    messages = draw(st.lists(questions, min_size=1, max_size=2))
    for step in range(draw(st.integers(0, 2))):
        arguments = draw(st.lists(st.dictionaries(words, values, max_size=2), min_size=1, max_size=3))
        ids = [f"call_{number}_{step}_{place}" for place in range(len(arguments))]
        calls = [call(name, json.dumps(given)) for name, given in zip(ids, arguments, strict=True)]
        messages.append(calling(*calls, content=draw(st.one_of(st.none(), words))))
        messages += [result(name, draw(st.one_of(words, st.lists(parts, min_size=1, max_size=2)))) for name in ids]
    return [
        *messages,
        {"role": "assistant", "content": draw(st.one_of(words, st.lists(parts, min_size=1, max_size=2)))},
    ]


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    system = draw(st.lists(st.sampled_from([{"role": "system", "content": "Be terse."}]), max_size=2))
    past = [message for number in range(draw(st.integers(0, 2))) for message in draw(rounds(number))]
    optional = {
        "max_tokens": st.integers(1, 99),
        "temperature": st.sampled_from([0.0, 0.5, 1.0]),
        "top_p": st.sampled_from([0.1, 1.0]),
        "stop": st.one_of(words, st.lists(words, min_size=1, max_size=3)),
        "tool_choice": st.sampled_from(["auto", "required", {"type": "function", "function": {"name": "weather"}}]),
    }
    return {
        "messages": [*system, *past, draw(questions)],
        "tools": TOOLS,
        **draw(st.fixed_dictionaries({}, optional=optional)),
    }


@settings(max_examples=60)
@given(body=requests())
def test_litellm_makes_the_same_of_it(litellm: Any, body: dict[str, Any]) -> None:
    config = litellm.AmazonConverseConfig()
    given_parameters = {name: value for name, value in body.items() if name != "messages"}
    parameters = config.map_openai_params(copy.deepcopy(given_parameters), {}, MODEL, drop_params=False)
    theirs = config.transform_request(MODEL, copy.deepcopy(body["messages"]), parameters, {}, {})
    theirs = {name: value for name, value in theirs.items() if value not in ({}, [])}
    assert made(**body) == theirs


def test_where_litellm_differs_on_purpose(litellm: Any) -> None:
    config = litellm.AmazonConverseConfig()

    def theirs(messages: list[dict[str, Any]], **given_parameters: Any) -> Any:
        parameters = config.map_openai_params(given_parameters, {}, MODEL, drop_params=True)
        return config.transform_request(MODEL, copy.deepcopy(messages), parameters, {}, {})

    # It leaves out what Converse can't do, if asked to; here it is refused.
    assert "seed" not in json.dumps(theirs([user("Hello")], seed=3))
    # It makes an object of arguments that are none; here the field is named.
    bad = [user("Hello"), calling(call("a", "[1]")), result("a")]
    assert theirs(bad, tools=TOOLS)["messages"][1]["content"][0]["toolUse"]["input"] == {}
    # System messages behind others become the user's there; here they stay the system's.
    late = [user("Hello"), {"role": "assistant", "content": "Hi"}, {"role": "system", "content": "Terse."}, user("B")]
    assert "system" not in theirs(late)
    assert made(messages=late)["system"] == [{"text": "Terse."}]
    # A schema for the answer is sent as it is: LiteLLM forbids additional properties in it.
    wanted = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA}}
    ours = made(messages=[user("Hello")], response_format=wanted)["outputConfig"]["textFormat"]["structure"]
    other = theirs([user("Hello")], response_format=copy.deepcopy(wanted))["outputConfig"]["textFormat"]["structure"]
    assert json.loads(ours["jsonSchema"]["schema"]) == SCHEMA
    assert json.loads(other["jsonSchema"]["schema"]) == {**SCHEMA, "additionalProperties": False}
