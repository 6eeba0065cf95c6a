"""Tokens of a text, and back, and the list of models."""

from typing import Any

import httpx2
import pytest

from lambda_llm.engine.engine import Engine
from support.chat import MODEL_ID

TEXT = "Größe: 3 é🎉 <|eot_id|>"


async def test_a_text_becomes_tokens_and_a_text_again(client: httpx2.AsyncClient, engine: Engine) -> None:
    tokens = (await client.post("/tokenize", json={"content": TEXT})).json()["tokens"]
    assert tokens == engine.model.tokenize(TEXT, add_special=False)
    assert (await client.post("/detokenize", json={"tokens": tokens})).json() == {"content": TEXT}


@pytest.mark.parametrize("options", [{"add_special": True}, {"parse_special": False}])
async def test_special_tokens_are_as_wanted(
    client: httpx2.AsyncClient, engine: Engine, options: dict[str, bool]
) -> None:
    tokens = (await client.post("/tokenize", json={"content": TEXT, **options})).json()["tokens"]
    assert tokens == engine.model.tokenize(TEXT, **{"add_special": False, **options})
    assert tokens != engine.model.tokenize(TEXT, add_special=False)


async def test_pieces_come_as_text_or_as_bytes(client: httpx2.AsyncClient) -> None:
    pieces = (await client.post("/tokenize", json={"content": TEXT, "with_pieces": True})).json()["tokens"]
    spelled = b"".join(
        each["piece"].encode() if isinstance(each["piece"], str) else bytes(each["piece"]) for each in pieces
    )
    assert spelled.decode() == TEXT
    assert {type(each["piece"]) for each in pieces} == {str, list}


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/tokenize", {}, "content"),
        ("/tokenize", {"content": 5}, "content"),
        ("/tokenize", {"content": "x", "with_pieces": "yes"}, "with_pieces"),
        ("/tokenize", {"content": "x", "model": "x"}, "model"),
        ("/detokenize", {"tokens": "x"}, "tokens"),
        ("/detokenize", {"tokens": [-1]}, "tokens.0"),
        ("/detokenize", {"tokens": [10**9]}, "tokens"),
        ("/detokenize", {"tokens": [True]}, "tokens.0"),
    ],
)
async def test_what_can_t_be_used_is_refused_by_name(
    client: httpx2.AsyncClient, path: str, body: dict[str, Any], param: str
) -> None:
    response = await client.post(path, json=body)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param


async def test_a_model_is_found_by_its_name_and_no_other(client: httpx2.AsyncClient) -> None:
    (listed,) = (await client.get("/v1/models")).json()["data"]
    assert (await client.get(f"/v1/models/{MODEL_ID}")).json() == listed
    missing = await client.get("/v1/models/org/other%20model")
    assert missing.status_code == 404
    assert missing.json()["error"]["code"] == "model_not_found"
    assert "'org/other model'" in missing.json()["error"]["message"]
