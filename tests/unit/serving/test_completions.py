"""Text completions: prompts of every form, and what can be asked about their answers."""

import json
import math
from pathlib import Path
from typing import Any

import httpx2
import pytest

from lambda_llm.engine.engine import Engine
from lambda_llm.openai_types.completions import DEFAULT_TOKENS, Completion
from support.answers import OpenEngine
from support.chat import MODEL_ID, events, made
from support.rewrite import rewrite

PATH = "/v1/completions"
PROMPT = "Lambda functions get"


def asked(**changes: Any) -> dict[str, Any]:
    return {"model": MODEL_ID, "prompt": PROMPT, "temperature": 0, "max_tokens": 8} | changes


async def ask(client: httpx2.AsyncClient, **changes: Any) -> Any:
    response = await client.post(PATH, json=asked(**changes))
    assert response.status_code == 200, response.text
    Completion.model_validate(response.json())
    return response.json()


async def stream(client: httpx2.AsyncClient, **changes: Any) -> list[Any]:
    response = await client.post(PATH, json=asked(stream=True, **changes))
    assert response.status_code == 200, response.text
    *chunks, done = events(response.text)
    assert done == "[DONE]"
    for chunk in chunks:
        Completion.model_validate(chunk)
    return chunks


def texts(completion: Any) -> list[str]:
    return [choice["text"] for choice in completion["choices"]]


async def test_a_text_goes_on(client: httpx2.AsyncClient, engine: Engine) -> None:
    completion = await ask(client)
    assert completion["id"].startswith("cmpl-")
    assert (completion["object"], completion["model"]) == ("text_completion", MODEL_ID)
    (choice,) = completion["choices"]
    assert choice["text"]
    assert (choice["index"], choice["logprobs"]) == (0, None)
    assert choice["finish_reason"] in {"stop", "length"}
    assert completion["usage"]["prompt_tokens"] == len(engine.model.tokenize(PROMPT, add_special=True))


async def test_an_answer_is_short_unless_asked_otherwise(client: httpx2.AsyncClient) -> None:
    completion = await ask(client, max_tokens=None, temperature=2, logit_bias={})
    assert completion["usage"]["completion_tokens"] <= DEFAULT_TOKENS


async def test_a_prompt_may_come_as_tokens_and_several_at_once(client: httpx2.AsyncClient, engine: Engine) -> None:
    tokens = engine.model.tokenize(PROMPT, add_special=True)
    other = "A token is"
    (text,) = texts(await ask(client))
    assert texts(await ask(client, prompt=tokens)) == [text]
    for two in ([tokens, tokens], [tokens, PROMPT], [PROMPT, tokens]):
        assert texts(await ask(client, prompt=two)) == [text, text]
    both = await ask(client, prompt=[PROMPT, other], n=2)
    assert texts(both) == [text, text, *texts(await ask(client, prompt=other)) * 2]
    assert [choice["index"] for choice in both["choices"]] == [0, 1, 2, 3]
    assert both["usage"]["prompt_tokens"] == len(tokens) + len(engine.model.tokenize(other, add_special=True))


async def test_several_answers_differ_though_a_seed_repeats_them(client: httpx2.AsyncClient) -> None:
    wanted = {"n": 4, "temperature": 2, "seed": 3}
    first = texts(await ask(client, **wanted))
    assert len(set(first)) > 1
    assert texts(await ask(client, **wanted)) == first


async def test_the_prompt_comes_back_where_it_is_wanted(client: httpx2.AsyncClient, engine: Engine) -> None:
    (text,) = texts(await ask(client))
    assert texts(await ask(client, echo=True)) == [PROMPT + text]
    ids = engine.model.tokenize(PROMPT, add_special=False)
    assert texts(await ask(client, prompt=ids, echo=True))[0].startswith(PROMPT)
    chunks = await stream(client, echo=True)
    assert chunks[0]["choices"][0]["text"] == PROMPT
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == PROMPT + text


@pytest.mark.parametrize("changes", [{}, {"n": 2, "temperature": 2, "seed": 1}, {"stop": "a"}])
async def test_a_stream_adds_up_to_the_whole(client: httpx2.AsyncClient, changes: dict[str, Any]) -> None:
    whole = await ask(client, **changes)
    *chunks, last = await stream(client, stream_options={"include_usage": True}, **changes)
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"]
    assert all(chunk["usage"] is None for chunk in chunks)
    added = [""] * len(whole["choices"])
    reasons = {}
    for choice in (choice for chunk in chunks for choice in chunk["choices"]):
        assert choice["index"] not in reasons
        added[choice["index"]] += choice["text"]
        if choice["finish_reason"]:
            reasons[choice["index"]] = choice["finish_reason"]
    assert added == texts(whole)
    assert reasons == {choice["index"]: choice["finish_reason"] for choice in whole["choices"]}
    assert not any("usage" in chunk for chunk in await stream(client, **changes))


async def test_probabilities_are_told_with_the_place_of_each_token(client: httpx2.AsyncClient) -> None:
    (choice,) = (await ask(client, logprobs=2))["choices"]
    told = choice["logprobs"]
    assert "".join(told["tokens"]) == choice["text"]
    for token, offset, logprob, top in zip(
        told["tokens"], told["text_offset"], told["token_logprobs"], told["top_logprobs"], strict=True
    ):
        assert choice["text"][offset:].startswith(token)
        assert top[token] == logprob <= 0
        assert sum(map(math.exp, top.values())) <= 1 + 1e-6
    streamed = [each["logprobs"] for chunk in await stream(client, logprobs=2) for each in chunk["choices"]]
    assert [offset for each in streamed if each for offset in each["text_offset"]] == told["text_offset"]
    (bare,) = (await ask(client, logprobs=0))["choices"]
    assert bare["logprobs"]["top_logprobs"] is None


@pytest.mark.parametrize(
    ("changes", "param", "code", "says"),
    [
        ({"prompt": None}, "prompt", "invalid_value", "valid string"),
        ({"prompt": []}, "prompt", "invalid_value", "at least 1 item"),
        ({"prompt": [[]]}, "prompt.0", "invalid_value", "valid"),
        ({"prompt": [1.5]}, "prompt.0", "invalid_value", "valid"),
        ({"prompt": [10**6]}, "prompt", "invalid_value", "1000000 is not a token of this model"),
        ({"prompt": "half \ud800"}, "prompt", "invalid_value", "valid Unicode"),
        ({"prompt": "word " * 3000}, "prompt", "context_length_exceeded", "2048 tokens"),
        ({"prompt": ["a"] * 9, "n": 2}, "n", "invalid_value", "times 'n' is more than 16"),
        ({"suffix": "x"}, "suffix", "unsupported_parameter", "'suffix' is not supported by this server: leave it out."),
        ({"best_of": 2}, "best_of", "invalid_value", "should be 1"),
        ({"echo": True, "logprobs": 1}, "echo", "invalid_value", "leave out 'echo' or 'logprobs'"),
        ({"logprobs": 6}, "logprobs", "invalid_value", "less than or equal to 5"),
        ({"max_tokens": 0}, "max_tokens", "invalid_value", "at least 1, or -1"),
        ({"stream_options": {}}, "stream_options", "invalid_value", "set 'stream' to true"),
        ({"messages": []}, "messages", "unsupported_parameter", "not supported"),
        ({"model": "gpt-5"}, "model", "model_not_found", "does not exist here"),
    ],
    ids=str,
)
async def test_what_can_t_be_used_is_refused_by_name(
    client: httpx2.AsyncClient, changes: dict[str, Any], param: str, code: str, says: str
) -> None:

    content = json.dumps(asked(**changes))
    response = await client.post(PATH, content=content, headers={"content-type": "application/json"})
    assert response.status_code == (404 if code == "model_not_found" else 400)
    error = response.json()["error"]
    assert (error["param"], error["code"]) == (param, code)
    assert says in error["message"]


@pytest.mark.parametrize("adds", [True, False])
async def test_a_prompt_begins_once_and_does_not_end_whatever_the_header_says(
    open_engine: OpenEngine, demo_model: Path, tmp_path: Path, *, adds: bool
) -> None:
    changes = {"tokenizer.ggml.add_bos_token": adds, "tokenizer.ggml.add_eos_token": True}
    engine = open_engine(rewrite(demo_model, tmp_path / "m.gguf", changes))
    app = made(engine)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://server") as client,
    ):
        for prompt in ("The function", f"{engine.model.bos}The function"):
            await client.post("/v1/completions", json={"prompt": prompt, "max_tokens": 1})
            begins = engine.model.tokenize(engine.model.bos, add_special=False)
            text = engine.model.tokenize("The function", add_special=False)
            expected = [*(begins if adds or prompt.startswith("<") else []), *text]
            assert engine.decoder.evaluated == expected


async def test_a_long_prompt_is_refused_by_its_beginning(client: httpx2.AsyncClient, engine: Engine) -> None:
    prompt = "<|eot_id|>" * 100_000
    response = await client.post("/v1/completions", json={"prompt": prompt})
    assert (response.status_code, response.json()["error"]["code"]) == (400, "context_length_exceeded")
    assert "the prompt has at least " in response.json()["error"]["message"]
    assert engine.decoder.evaluated == []
