"""Whatever a client sends, the answer is an answer or a sentence about what was wrong, never a defect."""

import json
from collections.abc import Callable, Iterator

import httpx2
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lambda_llm.engine.engine import Engine
from lambda_llm.openai_types import chat, common, completions, embeddings, responses
from lambda_llm.serving import tokens
from support.chat import PATH, answering, body, events, made

DESCRIBED_IN = (chat, common, completions, embeddings, responses, tokens)
"""The modules with the classes of which requests are made."""


def fields() -> set[str]:
    """Every field that a part of a request may have, in any endpoint's and at any depth."""
    kinds = [
        kind
        for module in DESCRIBED_IN
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, common.Input)
    ]
    return {field.alias or name for kind in kinds for name, field in kind.model_fields.items()}


FIELDS = sorted(fields())
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(st.characters(), max_size=8)
    | st.sampled_from(["demo", "user", "system", "text", "word " * 3000]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.sampled_from(FIELDS), inner, max_size=3)
    ),
    max_leaves=6,
)
MESSAGE = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["system", "user", "assistant", "developer", "tool"]),
        "content": st.text(st.characters(), max_size=20),
    },
    optional={"name": st.text(max_size=3)},
)
SOUND = st.fixed_dictionaries(
    {"messages": st.lists(MESSAGE, min_size=1, max_size=4)},
    optional={
        "stream": st.booleans(),
        "stream_options": st.fixed_dictionaries({"include_usage": st.booleans()}),
        "temperature": st.floats(0, 2),
        "top_p": st.floats(0, 1),
        "seed": st.integers(-(2**63), 2**63 - 1),
        "stop": st.text(max_size=3) | st.lists(st.text(max_size=3), max_size=5),
        "n": st.integers(0, 2),
    },
)
NEARLY = st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=5), JSON, max_size=2)
"""Bodies that are right but for a field or two get further than noise does."""


Post = Callable[[str, str | bytes], httpx2.Response]


@pytest.fixture
def post(engine: Engine) -> Iterator[Post]:
    with answering(made(engine)) as post:
        yield post


def check(response: httpx2.Response) -> None:
    assert response.status_code in {200, 400, 404}, response.text
    if response.status_code != 200:
        error = response.json()["error"]
        assert error["type"] == "invalid_request_error"
        assert error["message"].endswith(".")
        assert error["code"]
    elif response.headers["content-type"].startswith("text/event-stream"):
        assert events(response.text)[-1] == "[DONE]"
    else:
        assert response.json()["choices"][0]["finish_reason"] in {"stop", "length"}


@settings(max_examples=200)
@given(sound=SOUND, changes=NEARLY)
@example(sound={}, changes={"messages": [{"role": "user", "content": "\ud800"}]})
@example(sound={}, changes={"\udfff": 1})
@example(sound={}, changes={"user": "\udfff", "model": "\udfff"})
@example(sound={}, changes={"temperature": 5e-324, "top_p": 5e-324})
@example(sound={}, changes={"max_tokens": 2**70})
def test_no_json_object_makes_the_server_fail(post: Post, sound: dict[str, object], changes: dict[str, object]) -> None:
    check(post(PATH, json.dumps(body() | {"max_tokens": 2} | sound | changes)))


@pytest.mark.parametrize(
    "path", [PATH, "/v1/completions", "/v1/responses", "/v1/embeddings", "/v1/rerank", "/tokenize", "/detokenize"]
)
@settings(max_examples=200)
@given(content=st.binary(max_size=50) | st.text(max_size=50).map(str.encode) | JSON.map(json.dumps))
def test_no_body_at_all_makes_the_server_fail(post: Post, path: str, content: str | bytes) -> None:
    check(post(path, content))
