"""What clients send besides what they mean: none of it changes the answer, and none of it is refused."""

import json
from typing import Any

import httpx2
import pytest

from lambda_llm.engine.engine import Engine
from lambda_llm.openai_types.common import STOP_TEXTS_MAX
from support.answers import EXPECTED, QUESTION, user
from support.chat import MODEL_ID, PATH, answering, body, made

CALL: dict[str, Any] = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "2"}
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}

CONTINUES_OR_NOT: list[dict[str, Any]] = [{}, {"continue_final_message": False}]


async def answer_of(client: httpx2.AsyncClient, path: str = PATH, **changes: Any) -> str:
    given = body(**changes) if path == PATH else {"model": MODEL_ID, "temperature": 0, **changes}
    response = await client.post(path, json=given)
    assert response.status_code == 200, response.text
    content = response.json()
    if path == "/v1/responses":
        return "".join(part["text"] for part in content["output"][0]["content"])
    choice = content["choices"][0]
    return str(choice["text"] if "text" in choice else choice["message"]["content"])


@pytest.mark.parametrize(
    "changes",
    [
        {"unheard_of": None, "stream_options": None, "logit_bias": None, "tools": None, "tool_choice": None},
        {"response_format": {"type": "text", "json_schema": None, "unheard_of": None}},
        {"store": True, "metadata": {"a": "b"}, "service_tier": "flex", "safety_identifier": "u", "verbosity": "low"},
        {"prompt_cache_key": "k", "prompt_cache_retention": "24h", "functions": [], "prediction": None},
        {"stop": [f"<stop {number}>" for number in range(STOP_TEXTS_MAX)]},
        {"top_k": -1, "max_tokens": -1},
        {"temperature": 1, "top_p": 0},
        {"temperature": 1, "top_k": 1},
        {"continue_final_message": True},
        {"messages": [user(QUESTION) | {"id": "m1", "annotations": [], "unheard_of": {"a": 1}, "tool_calls": []}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": QUESTION, "cache_control": {"a": 1}}]}]},
        {"messages": [user(QUESTION), {"role": "assistant", "content": None}]},
    ],
    ids=str,
)
async def test_it_changes_nothing(client: httpx2.AsyncClient, changes: dict[str, Any]) -> None:
    assert EXPECTED in await answer_of(client, **changes)


@pytest.mark.parametrize(
    "added",
    [
        {"parsed": {"a": 1}, "refusal": None},
        {"parsed": None, "audio": None, "function_call": None, "annotations": [{"type": "url_citation"}]},
        {"reasoning": "hm", "reasoning_details": [{"type": "reasoning.text"}], "provider_specific_fields": {"a": 1}},
        {"reasoning_content": "hm", "id": "m2", "name": "bot", "tool_calls": []},
    ],
    ids=str,
)
async def test_an_answer_is_taken_back_with_what_an_sdk_added_to_it(
    client: httpx2.AsyncClient, added: dict[str, Any]
) -> None:
    answered = {"role": "assistant", "content": "Yes."}
    plain, with_more = [[user("Hi"), {**answered, **more}, user(QUESTION)] for more in ({}, added)]
    assert await answer_of(client, messages=with_more) == await answer_of(client, messages=plain)


@pytest.mark.parametrize(
    ("call", "function"),
    [
        ({"index": 0}, {}),
        ({"unheard_of": 1}, {"parsed_arguments": {"a": 1}}),
        ({"provider_specific_fields": {"a": 1}}, {"arguments": {"a": 1}}),
    ],
    ids=str,
)
async def test_a_call_is_taken_back_with_what_an_sdk_added_to_it(
    client: httpx2.AsyncClient, call: dict[str, Any], function: dict[str, Any]
) -> None:
    def conversation(call: dict[str, Any]) -> list[dict[str, Any]]:
        return [user("Add."), {"role": "assistant", "content": None, "tool_calls": [call]}, RESULT]

    added = CALL | call | {"function": CALL["function"] | function}
    assert await answer_of(client, messages=conversation(added), tools=[TOOL]) == await answer_of(
        client, messages=conversation(CALL), tools=[TOOL]
    )


async def test_a_refusal_and_a_part_of_that_kind_are_texts(client: httpx2.AsyncClient) -> None:
    texts: list[dict[str, Any]] = [
        {"content": None, "refusal": "No."},
        {"content": [{"type": "refusal", "refusal": "No."}]},
        {"content": "No."},
    ]
    answers = {
        await answer_of(client, messages=[user("Hi"), {"role": "assistant", **text}, user(QUESTION)]) for text in texts
    }
    assert len(answers) == 1


async def test_parts_are_joined_by_newlines(client: httpx2.AsyncClient) -> None:
    texts = ["How much memory", "does the function get?"]

    async def prompt_tokens(content: Any) -> int:
        counted = await client.post(f"{PATH}/input_tokens", json=body(messages=[{"role": "user", "content": content}]))
        return int(counted.json()["input_tokens"])

    parts = [{"type": "text", "text": text} for text in texts]
    assert await prompt_tokens(parts) == await prompt_tokens("\n".join(texts)) != await prompt_tokens("".join(texts))


async def test_a_last_message_of_the_assistant_is_continued(client: httpx2.AsyncClient) -> None:
    whole = await answer_of(client)
    begun = whole[: whole.index(" ", 10)]
    conversation = [user(QUESTION), {"role": "assistant", "content": begun}]
    assert begun + await answer_of(client, messages=conversation) == whole
    assert begun + await answer_of(client, "/v1/responses", input=conversation) == whole


async def test_a_last_message_of_the_assistant_in_parts_is_one_text(client: httpx2.AsyncClient) -> None:
    async def prompt_tokens(path: str, field: str, said: Any) -> int:
        asked_for = {"model": MODEL_ID, field: [user(QUESTION), {"role": "assistant", "content": said}]}
        response = await client.post(path, json=asked_for)
        assert response.status_code == 200, response.text
        return int(response.json()["input_tokens"])

    parts = [{"type": "text", "text": text} for text in ("The func", "tion gets")]
    for path, field in (
        (f"{PATH}/input_tokens", "messages"),
        ("/v1/messages/count_tokens", "messages"),
        ("/v1/responses/input_tokens", "input"),
    ):
        glued, on_two_lines = [
            await prompt_tokens(path, field, said) for said in ("The function gets", "The func\ntion gets")
        ]
        assert await prompt_tokens(path, field, parts) == glued < on_two_lines, path


async def test_a_last_message_of_the_assistant_is_followed_by_another_where_that_is_asked_for(
    client: httpx2.AsyncClient,
) -> None:
    begun = {"role": "assistant", "content": "The function gets"}
    counts = [
        (await client.post(f"{PATH}/input_tokens", json=body(messages=[user(QUESTION), begun], **more))).json()
        for more in CONTINUES_OR_NOT
    ]
    assert counts[0]["input_tokens"] < counts[1]["input_tokens"]


@pytest.mark.parametrize(
    "changes",
    [
        {"include": ["reasoning.encrypted_content"], "store": True},
        {"store": False, "truncation": "auto", "metadata": {"a": "b"}, "text": {"verbosity": "low"}},
        {"reasoning": {"summary": "auto"}, "prompt_cache_key": "k", "service_tier": "auto", "safety_identifier": "u"},
        {"input": [{"role": "user", "content": QUESTION, "phase": "final_answer", "unheard_of": 1}]},
        {"max_output_tokens": -1, "unheard_of": None},
    ],
    ids=str,
)
async def test_it_changes_no_response(client: httpx2.AsyncClient, changes: dict[str, Any]) -> None:
    assert EXPECTED in await answer_of(client, "/v1/responses", **({"input": QUESTION} | changes))


async def test_a_response_repeats_what_it_was_given(client: httpx2.AsyncClient) -> None:
    given = {"metadata": {"a": "b"}, "truncation": "auto", "reasoning": {"summary": "auto"}, "store": True}
    response = await client.post("/v1/responses", json={"input": QUESTION, "max_output_tokens": 1, **given})
    answered = response.json()
    assert {name: answered[name] for name in ("metadata", "truncation")} == {
        "metadata": {"a": "b"},
        "truncation": "auto",
    }
    assert answered["reasoning"]["summary"] == "auto"
    assert answered["store"] is False, "nothing is stored"


async def test_tokens_of_an_input_are_counted_as_they_are_evaluated(client: httpx2.AsyncClient) -> None:
    asked = {"input": QUESTION, "instructions": "Be brief."}
    counted = (await client.post("/v1/responses/input_tokens", json=asked)).json()
    used = (await client.post("/v1/responses", json={**asked, "max_output_tokens": 1})).json()["usage"]
    assert counted == {"object": "response.input_tokens", "input_tokens": used["input_tokens"]}


async def test_as_many_tokens_as_fit_are_more_than_the_default_of_a_completion(client: httpx2.AsyncClient) -> None:
    prompt = "One two three four five"
    default = await client.post("/v1/completions", json={"prompt": prompt, "temperature": 0})
    # An end of turn is all that ends it.
    fitting = await client.post("/v1/completions", json={"prompt": prompt, "temperature": 0, "max_tokens": -1})
    lengths = [each.json()["usage"]["completion_tokens"] for each in (default, fitting)]
    assert lengths[0] == 16 < lengths[1] or fitting.json()["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize(
    "form",
    [
        {"type": "json_object", "schema": {"type": "boolean"}},
        {"type": "json_schema", "schema": {"type": "boolean"}},
        {"type": "json_schema", "json_schema": {"schema": {"type": "boolean"}}},
        {"type": "json_schema", "json_schema": {"name": "a b", "schema": {"type": "boolean"}, "strict": True}},
    ],
    ids=str,
)
@pytest.mark.parametrize("path", [PATH, "/v1/completions"])
async def test_a_schema_may_stand_in_any_of_the_places_in_use(
    client: httpx2.AsyncClient, form: dict[str, Any], path: str
) -> None:
    asked = {} if path == PATH else {"prompt": QUESTION}
    assert json.loads(await answer_of(client, path, response_format=form, **asked)) in {True, False}


def test_a_model_has_a_name_further_names_and_needs_none(engine: Engine) -> None:
    app = made(engine, aliases=["also"], names=["A Name"])
    with answering(app) as post:
        for name in (MODEL_ID, "also", "A Name", None):
            response = post(PATH, json.dumps(body(model=name, max_tokens=1)))
            assert (response.status_code, response.json()["model"]) == (200, MODEL_ID), name
        assert post(PATH, json.dumps(body(model="another"))).status_code == 404


async def test_further_ids_are_listed_and_other_names_are_not(engine: Engine) -> None:
    app = made(engine, aliases=["also"], names=["A Name"])
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://server") as client,
    ):
        listed = (await client.get("/v1/models")).json()["data"]
        assert [card["id"] for card in listed] == [MODEL_ID, "also"]
        assert (await client.get("/v1/models/also")).json()["id"] == "also"
        assert (await client.get("/v1/models/A Name")).json()["id"] == MODEL_ID
