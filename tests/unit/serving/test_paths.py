"""Paths and bodies as clients send them."""

import gzip
import json
import zlib

import httpx2
import pytest

from lambda_llm.limits import BUFFERED_PAYLOAD_BYTES
from support.answers import EXPECTED
from support.chat import PATH, body

RERANK = {"query": "a", "documents": ["b"]}


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions/", "/chat/completions", "/chat/completions/", "/v1/chat/completions//"]
)
async def test_a_path_is_found_with_a_slash_behind_it_and_without_the_version(
    client: httpx2.AsyncClient, path: str
) -> None:
    response = await client.post(path, json=body())
    assert response.status_code == 200
    assert EXPECTED in response.json()["choices"][0]["message"]["content"]


@pytest.mark.parametrize("path", ["/rerank", "/reranking", "/v1/reranking", "/v1/rerank/", "/v2/rerank"])
async def test_other_servers_paths_lead_to_the_same_place(client: httpx2.AsyncClient, path: str) -> None:
    error = (await client.post(path, json=RERANK)).json()["error"]
    assert (error["code"], "does not rerank" in error["message"]) == ("unsupported_model", True)


@pytest.mark.parametrize(
    "path", ["/v1/health", "/health/", "/models", "/v1/models/", "/models/demo", "/v1/models/demo/", "/v1/tokenize"]
)
async def test_everything_is_found_in_both_places(client: httpx2.AsyncClient, path: str) -> None:
    response = await client.post(path, json={"content": "a"}) if "token" in path else await client.get(path)
    assert response.status_code == 200


@pytest.mark.parametrize("path", ["/nothing", "/v1/nothing/", "/", "/v1"])
async def test_what_is_nowhere_is_told_by_the_name_that_was_asked_for(client: httpx2.AsyncClient, path: str) -> None:
    response = await client.get(path)
    assert response.status_code == 404
    assert response.json()["error"]["message"].startswith(f"There is nothing at GET {path}: use one of /v1/chat/")


@pytest.mark.parametrize("path", ["/health", "/v1/models", "/v1/health/"])
async def test_a_head_is_a_get_without_its_body(client: httpx2.AsyncClient, path: str) -> None:
    response = await client.head(path)
    assert (response.status_code, response.content) == (200, b"")
    assert int(response.headers["content-length"]) > 0


@pytest.mark.parametrize(
    ("encoding", "content", "status"),
    [
        ("gzip", gzip.compress(json.dumps(body()).encode()), 200),
        ("x-gzip", gzip.compress(json.dumps(body()).encode()), 200),
        ("deflate", zlib.compress(json.dumps(body()).encode()), 200),
        ("identity", json.dumps(body()).encode(), 200),
        ("gzip", gzip.compress(json.dumps(body()).encode())[:-9], 400),
        ("gzip", json.dumps(body()).encode(), 400),
        ("br", b"x", 415),
        ("gzip", gzip.compress(b" " * (BUFFERED_PAYLOAD_BYTES + 1)), 413),
        ("gzip", gzip.compress(b" " * 2**28), 413),
    ],
)
async def test_a_body_may_be_compressed(client: httpx2.AsyncClient, encoding: str, content: bytes, status: int) -> None:
    headers = {"content-type": "application/json", "content-encoding": encoding}
    response = await client.post(PATH, content=content, headers=headers)
    assert response.status_code == status, response.text
    if status != 200:
        assert response.json()["error"]["message"].endswith((".", "gzip."))
