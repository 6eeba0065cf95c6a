"""What the policy learns of a request."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_llm.backends.contract import Operation
from lambda_llm.backends.tokens import BYTES_PER_TOKEN, IMAGE_TOKENS
from lambda_llm.router.facts import Facts, Feature, facts_of

PICTURE = "data:image/png;base64," + "A" * 1_000_000


def of(operation: Operation = Operation.CHAT, **body: Any) -> Facts:
    return facts_of(operation, body, output_tokens=500)


def test_all_text_counts_wherever_it_stands() -> None:
    """Tools and schemas become a part of the prompt."""
    text = "x" * 30_000
    says = [
        of(messages=[{"role": "user", "content": text}]),
        of(messages=[{"role": "user", "content": [{"type": "text", "text": text}]}]),
        of(tools=[{"type": "function", "function": {"name": "f", "description": text}}]),
        of(response_format={"type": "json_schema", "json_schema": {"schema": {"description": text}}}),
        of(Operation.RESPONSES, input=text),
        of(Operation.MESSAGES, system=text, messages=[]),
        of(Operation.EMBEDDINGS, input=[text]),
        of(Operation.COMPLETIONS, prompt=list(range(10_000))),
    ]
    for each in says:
        assert 10_000 <= each.input_tokens < 10_100


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": PICTURE}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "input_image", "image_url": PICTURE},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 1_000_000}},
    ],
)
def test_a_picture_counts_as_one_and_not_by_its_bytes(part: dict[str, Any]) -> None:
    """In the format of each API."""
    facts = of(messages=[{"role": "user", "content": [part]}])
    assert IMAGE_TOKENS <= facts.input_tokens < IMAGE_TOKENS + 100
    assert facts.features == {Feature.IMAGES}


def test_the_longest_answer_is_bounded_and_counts_for_each_choice() -> None:
    """What a client may get is what is reserved for it."""
    assert of().output_tokens == 500
    assert of(max_tokens=20).output_tokens == 20
    assert of(max_completion_tokens=30, n=3).output_tokens == 90
    assert of(max_tokens=10**9).output_tokens == 500
    assert of(max_tokens=True).output_tokens == 500
    assert of(max_tokens=20, n=2, best_of=5).output_tokens == 100
    assert of(Operation.EMBEDDINGS, input="a", max_tokens=20).output_tokens == 0


def test_features_are_seen() -> None:
    """In chat completions, Responses and messages alike."""
    assert of(tools=[{}]).features == {Feature.TOOLS}
    assert of(response_format={"type": "json_schema"}).features == {Feature.JSON_SCHEMA}
    assert of(Operation.RESPONSES, text={"format": {"type": "json_schema"}}).features == {Feature.JSON_SCHEMA}
    assert of(reasoning_effort="low").features == {Feature.REASONING}
    assert of(Operation.MESSAGES, thinking={"type": "enabled"}).features == {Feature.REASONING}
    assert of(logprobs=True).features == {Feature.LOGPROBS}
    assert of(logprobs=False, tools=[], response_format={"type": "text"}).features == set()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NAMES = st.sampled_from(
    ["messages", "input", "tools", "n", "max_tokens", "text", "response_format", "prompt", "system"]
)


@given(st.sampled_from(Operation), st.dictionaries(NAMES, JSON))
def test_whatever_is_sent_has_facts(operation: Operation, body: dict[str, Any]) -> None:
    """What is wrong in a body is for the backend to say."""
    facts = facts_of(operation, body, output_tokens=500)
    assert facts.input_tokens >= 0
    assert facts.output_tokens >= 0


@given(st.text(max_size=200))
def test_a_longer_text_never_counts_less(text: str) -> None:
    """Nobody pays less by adding to a prompt."""
    short, long = of(prompt=text), of(prompt=text + "abc")
    assert short.input_tokens <= long.input_tokens <= short.input_tokens + 3
    assert long.input_tokens >= len(text) / BYTES_PER_TOKEN


def test_nesting_without_end_is_cheap() -> None:
    """A hostile body is no recursion."""
    body: dict[str, Any] = {}
    inner = body
    for _ in range(100_000):
        inner["a"] = {}
        inner = inner["a"]
    assert of(**body).input_tokens < 100
