"""A demo encoder in a real server process, spoken to by official clients."""

import os
from collections.abc import Iterator
from typing import Any

import httpx2
import litellm
import numpy as np
import pytest
from langchain_openai import OpenAIEmbeddings
from openai import BadRequestError, OpenAI

from support.encoders import ENCODERS
from support.servers import AFTER, BEFORE, LIMIT_SECONDS, Server, serving

MODEL_ID = "lambda-llm-demo-embeddings"
TEXTS = ["How much RAM is there?", "What memory does the function have?", "How many CPUs?"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    environment = {**os.environ, "LAMBDA_LLM_MODEL": str(ENCODERS / "embeddings.gguf")}
    with serving(tmp_path_factory.mktemp("encoder"), environment) as server:
        yield server


def alike(vectors: Any) -> bool:
    """The first two say the same, the third does not."""
    one, same, other = np.array(vectors)
    return bool(one @ same > one @ other + 0.2)


def test_openai_s_client_gets_the_same_numbers_in_both_formats(server: Server) -> None:
    with OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0) as client:
        packed = client.embeddings.create(model=MODEL_ID, input=TEXTS)  # asks for base64 by itself
        plain = client.embeddings.create(model=MODEL_ID, input=TEXTS, encoding_format="float")
        assert alike([each.embedding for each in packed.data])
        assert np.abs(np.array([a.embedding for a in packed.data]) - [b.embedding for b in plain.data]).max() < 1e-6
        assert packed.usage.total_tokens == packed.usage.prompt_tokens > len(TEXTS)
        with pytest.raises(BadRequestError, match="can't generate text") as refused:
            client.chat.completions.create(model=MODEL_ID, messages=[{"role": "user", "content": "Hello"}])
        assert (refused.value.param, refused.value.code) == ("model", "unsupported_model")


@pytest.mark.filterwarnings("ignore:Items? .* using the `ReadOnly` qualifier:UserWarning")  # LiteLLM's own types
def test_langchain_and_litellm_embed_too(server: Server) -> None:
    given: Any = {"model": MODEL_ID, "base_url": f"{server.url}/v1", "api_key": "unused"}
    # By default LangChain sends the tokens of OpenAI's own vocabulary.
    assert alike(OpenAIEmbeddings(**given, check_embedding_ctx_length=False).embed_documents(TEXTS))
    answer = litellm.embedding(
        model=f"openai/{MODEL_ID}", api_base=f"{server.url}/v1", api_key="unused", input=TEXTS, encoding_format="float"
    )
    assert alike([each["embedding"] for each in answer.data])


def test_it_survives_its_snapshot(server: Server) -> None:
    for hook in (BEFORE, AFTER):
        assert httpx2.post(f"{server.url}{hook}", timeout=LIMIT_SECONDS).status_code == 204
    answer = httpx2.post(f"{server.url}/v1/embeddings", json={"model": MODEL_ID, "input": TEXTS}, timeout=LIMIT_SECONDS)
    assert alike([each["embedding"] for each in answer.json()["data"]])
    health = server.health()
    assert health["memory"]["kv_cache"] == 0
    assert health["requests"]["completed"] >= 1
