"""`/v1/embeddings`, `/v1/classify`, `/v1/rerank` and `/v1/score` over the demo encoders."""

import asyncio
import base64
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_llm.engine.encoder import Encoder
from lambda_llm.engine.engine import Engine
from lambda_llm.engine.loaded_model import LoadedModel
from lambda_llm.gguf.options import ModelOptions, Weights
from support.answers import OpenEngine, plan_of
from support.chat import MODEL_ID, PATH, answering, made
from support.encoders import CONTEXT, ENCODERS, ENTRIES, OpenEncoder

EMBEDDINGS, CLASSIFY, RERANK, SCORE = "/v1/embeddings", "/v1/classify", "/v1/rerank", "/v1/score"
LIMIT_SECONDS = 60

Ask = Callable[..., Awaitable[httpx2.Response]]


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Awaitable[httpx2.AsyncClient]]]:
    """Serve models, each as an application in this process."""
    async with AsyncExitStack() as stack:

        async def serve_it(engine: Any, **changes: Any) -> httpx2.AsyncClient:
            app = made(engine, **changes)
            await stack.enter_async_context(app.router.lifespan_context(app))
            transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
            return await stack.enter_async_context(httpx2.AsyncClient(transport=transport, base_url="http://server"))

        yield serve_it


@pytest.fixture
async def ask(serve: Any, open_encoder: OpenEncoder) -> Ask:
    """Post to the encoder that a path is for; fields come with the model's name."""
    names = {EMBEDDINGS: "embeddings", CLASSIFY: "classifier", RERANK: "reranker"}
    clients = {path: await serve(open_encoder(name)) for path, name in names.items()}
    clients[SCORE] = clients[RERANK]
    return lambda path, **fields: clients[path].post(path, json={"model": MODEL_ID} | fields)


def vectors(answer: httpx2.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    assert [each["index"] for each in data] == list(range(len(data)))
    return np.array([each["embedding"] for each in data])


def refused(answer: httpx2.Response, param: str, code: str) -> str:
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", param, code)
    return str(error["message"])


# -- embeddings -------------------------------------------------------------------------------------


async def test_embeddings_have_length_1_and_meaning(ask: Ask) -> None:
    same, alike, other = vectors(
        await ask(EMBEDDINGS, input=["How much RAM is there?", "What memory does the function have?", "How many CPUs?"])
    )
    assert np.linalg.norm([same, alike, other], axis=1) == pytest.approx([1, 1, 1], abs=1e-5)
    assert same @ alike > same @ other + 0.2


async def test_one_text_is_answered_as_a_list_of_one_with_its_tokens_counted(ask: Ask) -> None:
    answer = (await ask(EMBEDDINGS, input="How much memory?", user="somebody")).json()
    assert (answer["object"], answer["model"], len(answer["data"])) == ("list", MODEL_ID, 1)
    assert answer["data"][0]["object"] == "embedding"
    assert answer["usage"] == {"prompt_tokens": 6, "total_tokens": 6}


async def test_base64_holds_the_same_numbers(ask: Ask) -> None:
    texts = [entry.held_out for entry in ENTRIES[:3]]
    (packed, plain) = [await ask(EMBEDDINGS, input=texts, encoding_format=form) for form in ("base64", "float")]
    unpacked = [np.frombuffer(base64.b64decode(each["embedding"]), dtype="<f4") for each in packed.json()["data"]]
    assert np.abs(np.array(unpacked) - vectors(plain)).max() < 1e-6


async def test_tokens_are_taken_as_they_are(ask: Ask, open_encoder: OpenEncoder) -> None:
    texts = ["How much memory?", "What does SnapStart do?"]
    tokens = [open_encoder("embeddings").model.tokenize(text, add_special=True) for text in texts]
    expected = vectors(await ask(EMBEDDINGS, input=texts))
    for mixed in (tokens, [texts[0], tokens[1]], [tokens[0], texts[1]]):
        assert np.abs(vectors(await ask(EMBEDDINGS, input=mixed)) - expected).max() < 1e-6
    (alone,) = vectors(await ask(EMBEDDINGS, input=tokens[0]))
    assert alone @ expected[0] == pytest.approx(1, abs=1e-4)


async def test_the_model_s_own_dimensions_may_be_asked_for_and_no_others(ask: Ask) -> None:
    assert vectors(await ask(EMBEDDINGS, input="Hello", dimensions=128)).shape == (1, 128)
    said = refused(await ask(EMBEDDINGS, input="Hello", dimensions=64), "dimensions", "invalid_value")
    assert said.startswith("'dimensions' can't be 64: this model's vectors have 128 dimensions")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": [""]}, "input.0"),
        ({"input": ["a"] * 2049}, "input"),
        ({"input": 5}, "input"),
        ({"input": "a", "encoding_format": "int8"}, "encoding_format"),
        ({"input": "a", "dimensions": 0}, "dimensions"),
        ({"input": [10_000]}, "input"),
        ({"input": [[5, 10_000]]}, "input"),
    ],
)
async def test_what_can_t_be_embedded_is_refused_by_its_field(ask: Ask, fields: dict[str, Any], param: str) -> None:
    refused(await ask(EMBEDDINGS, **fields), param, "invalid_value")


async def test_an_empty_text_is_refused_in_plain_words(ask: Ask) -> None:
    said = refused(await ask(EMBEDDINGS, input=["a", ""]), "input.1", "invalid_value")
    assert said.startswith("'input.1' can't be used: String should have at least 1 character")


async def test_an_unknown_field_is_refused(ask: Ask) -> None:
    refused(await ask(EMBEDDINGS, input="a", truncate=True), "truncate", "unsupported_parameter")


@pytest.mark.parametrize(
    ("path", "fields", "param"),
    [
        (EMBEDDINGS, {"input": ["a", "word " * 200]}, "input"),
        (CLASSIFY, {"input": "word " * 200}, "input"),
        (RERANK, {"query": "a", "documents": ["word " * 200]}, "documents"),
    ],
)
async def test_a_text_that_is_too_long_is_refused_and_not_cut(
    ask: Ask, path: str, fields: dict[str, Any], param: str
) -> None:
    said = refused(await ask(path, **fields), param, "context_length_exceeded")
    assert said.startswith(f"This model's context length is {CONTEXT} tokens, but text ")


# -- classes ----------------------------------------------------------------------------------------


async def test_questions_are_sorted_under_their_topics(ask: Ask) -> None:
    answer = (await ask(CLASSIFY, input=[entry.held_out for entry in ENTRIES])).json()
    labels = answer["labels"]
    assert labels == sorted({entry.topic for entry in ENTRIES})
    assert answer["usage"]["prompt_tokens"] > len(ENTRIES)
    right = 0
    for entry, said in zip(ENTRIES, answer["data"], strict=True):
        assert sum(said["probs"]) == pytest.approx(1, abs=1e-5)
        assert said["num_classes"] == len(labels)
        assert said["label"] == labels[int(np.argmax(said["probs"]))]
        right += said["label"] == entry.topic
    assert right / len(ENTRIES) > 0.9


async def test_one_text_has_one_class(ask: Ask) -> None:
    (said,) = (await ask(CLASSIFY, input="What is SnapStart good for?")).json()["data"]
    assert (said["index"], said["label"]) == (0, "snapstart")
    assert max(said["probs"]) > 0.5


# -- ranks ------------------------------------------------------------------------------------------

DOCUMENTS = ["The sky is blue.", "The function gets 10,240 MB of memory, which buys 6 vCPUs.", "pong"]


async def test_the_answer_to_the_question_comes_first(ask: Ask) -> None:
    answer = (await ask(RERANK, query="How much memory does the function get?", documents=DOCUMENTS)).json()
    assert (answer["object"], answer["model"]) == ("list", MODEL_ID)
    results = answer["results"]
    assert results[0]["index"] == 1
    assert sorted(each["index"] for each in results) == [0, 1, 2]
    scores = [each["relevance_score"] for each in results]
    assert scores == sorted(scores, reverse=True)
    assert 1 >= scores[0] > 0.5 > scores[1] >= 0
    assert "document" not in results[0]


async def test_only_so_many_are_given_with_their_texts_if_asked_for(ask: Ask) -> None:
    documents: list[Any] = [{"text": DOCUMENTS[0]}, *DOCUMENTS[1:]]
    fields = {"query": "Which color is the sky?", "documents": documents, "top_n": 1, "return_documents": True}
    (first,) = (await ask(RERANK, **fields)).json()["results"]
    assert (first["index"], first["document"]) == (0, {"text": DOCUMENTS[0]})


# -- models of another kind -------------------------------------------------------------------------


async def test_scores_and_ranks_are_the_same_numbers_in_every_form(ask: Ask) -> None:
    query = "How much memory does the function get?"
    ranked = (await ask(RERANK, query=query, documents=DOCUMENTS)).json()["results"]
    expected = {each["index"]: each["relevance_score"] for each in ranked}
    texts = (await ask(RERANK, query=query, texts=DOCUMENTS, return_text=True)).json()
    assert {each["index"]: each["score"] for each in texts} == expected
    assert [each["text"] for each in texts] == [DOCUMENTS[each["index"]] for each in ranked]
    for queries in (query, [query], [query] * len(DOCUMENTS)):
        answer = (await ask(SCORE, text_1=queries, text_2=DOCUMENTS)).json()
        assert {each["index"]: each["score"] for each in answer["data"]} == expected
    assert (await ask(SCORE, text_1=query, text_2=DOCUMENTS[0])).json()["data"][0]["score"] == expected[0]


@pytest.mark.parametrize(
    ("path", "fields", "param"),
    [
        (RERANK, {"query": "a"}, "documents"),
        (RERANK, {"query": "a", "documents": ["b"], "texts": ["b"]}, "texts"),
        (SCORE, {"text_1": ["a", "b"], "text_2": ["c", "d", "e"]}, "text_1"),
        (SCORE, {"text_1": "a", "text_2": []}, "text_2"),
    ],
)
async def test_texts_and_queries_must_fit_each_other(ask: Ask, path: str, fields: dict[str, Any], param: str) -> None:
    answer = await ask(path, **fields)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


async def test_a_long_query_is_refused_before_it_meets_any_document(ask: Ask) -> None:
    answer = await ask(RERANK, query="word " * 200_000, documents=["b"] * 500)
    assert "but the query has" in refused(answer, "documents", "context_length_exceeded")


async def test_more_numbers_than_can_be_returned_are_refused(serve: Any, open_encoder: OpenEncoder) -> None:
    client = await serve(open_encoder("embeddings"), response_bytes=1000)
    answer = await client.post(EMBEDDINGS, json={"input": ["a"] * 100})
    assert "send fewer texts" in refused(answer, "input", "response_too_large")


@pytest.mark.parametrize("name", ["embeddings", "classifier", "reranker", None])
async def test_a_model_refuses_what_it_is_not_for(
    serve: Any, open_encoder: OpenEncoder, open_engine: OpenEngine, name: str | None
) -> None:
    client = await serve(open_encoder(name) if name else open_engine())
    bodies: dict[str | None, tuple[str, dict[str, Any]]] = {
        "embeddings": (EMBEDDINGS, {"input": "a"}),
        "classifier": (CLASSIFY, {"input": "a"}),
        "reranker": (RERANK, {"query": "a", "documents": ["b"]}),
        None: (PATH, {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}),
    }
    for able, (path, fields) in bodies.items():
        answer = await client.post(path, json={"model": MODEL_ID} | fields)
        if able == name:
            assert answer.status_code == 200
        else:
            assert "serve " in refused(answer, "model", "unsupported_model")


async def test_another_model_is_not_found(ask: Ask) -> None:
    answer = await ask(EMBEDDINGS, model="text-embedding-3-small", input="a")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


# -- many at once -----------------------------------------------------------------------------------


class Waiting(Encoder):
    go_on = threading.Event()

    def encode(self, *arguments: Any) -> Any:
        assert self.go_on.wait(LIMIT_SECONDS)
        return super().encode(*arguments)


async def test_requests_wait_for_their_turn_and_too_many_are_told_to_come_again(serve: Any) -> None:
    options = ModelOptions(context_length=CONTEXT, placement=Weights.COPIED, threads=1)
    model = LoadedModel(str(ENCODERS / "embeddings.gguf"), options.placement)
    with Engine(model, plan_of(options), encoder=Waiting(model, options)) as engine:
        client = await serve(engine, queue=1)
        body = {"model": MODEL_ID, "input": "a"}
        asked = [asyncio.ensure_future(client.post(EMBEDDINGS, json=body)) for _ in range(2)]
        async with asyncio.timeout(LIMIT_SECONDS):
            # What is waited for happens beside the event loop.
            while (await client.get("/health")).json()["requests"]["active"] < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        refusal = await client.post(EMBEDDINGS, json=body)
        assert (refusal.status_code, refusal.json()["error"]["code"]) == (429, "rate_limit_exceeded")
        assert int(refusal.headers["retry-after"]) >= 1
        Waiting.go_on.set()
        assert [answer.status_code for answer in await asyncio.gather(*asked)] == [200, 200]
        assert (await client.get("/health")).json()["requests"] | {"generated_tokens": 0} == {
            "active": 0,
            "planning": 0,
            "completed": 2,
            "cancelled": 0,
            "failed": 0,
            "generated_tokens": 0,
        }


# -- whatever is sent -------------------------------------------------------------------------------

VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=5,
)
FIELDS = st.sampled_from(
    ["input", "query", "documents", "dimensions", "encoding_format", "top_n", "return_documents", "user", "text"]
)
SOUND = st.fixed_dictionaries(
    {},
    optional={
        "input": st.text(st.characters(), max_size=9) | st.lists(st.integers(-1, 2000), max_size=4),
        "query": st.text(st.characters(), max_size=9),
        "documents": st.lists(st.text(st.characters(), max_size=9), max_size=3),
    },
)


@pytest.mark.parametrize(("path", "name"), [(EMBEDDINGS, "embeddings"), (CLASSIFY, "classifier"), (RERANK, "reranker")])
def test_whatever_is_sent_the_answer_is_an_answer_or_a_sentence(
    open_encoder: OpenEncoder, path: str, name: str
) -> None:
    with answering(made(open_encoder(name))) as post:

        @settings(max_examples=150)
        @given(sound=SOUND, noise=st.dictionaries(FIELDS, VALUE, max_size=2))
        def try_it(sound: dict[str, Any], noise: dict[str, Any]) -> None:
            answer = post(path, json.dumps({"model": MODEL_ID} | sound | noise))
            assert answer.status_code in {200, 400}, answer.text
            assert ("error" in answer.json()) == (answer.status_code == 400)

        try_it()
