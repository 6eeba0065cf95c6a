"""However many things are wrong with a body, few errors are made of them: each takes a kilobyte."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from lambda_llm.anthropic_types.messages import MessagesRequest
from lambda_llm.ollama_types.api import ChatRequest, EmbedRequest
from lambda_llm.openai_types.chat import ChatCompletionRequest
from lambda_llm.openai_types.completions import CompletionRequest
from lambda_llm.openai_types.embeddings import ClassifyRequest, EmbeddingsRequest, RerankRequest, ScoreRequest
from lambda_llm.openai_types.responses import ResponseRequest
from lambda_llm.serving.tokens import DetokenizeRequest
from support.answers import user

MANY = 50_000
FEW = 12
HI: dict[str, Any] = {"messages": [user("Hi")]}


def parts(role: str, wrong: Any) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": [wrong] * MANY}]}


@pytest.mark.parametrize(
    ("model", "body"),
    [
        (ChatCompletionRequest, {"messages": [1] * MANY}),
        (ChatCompletionRequest, {"messages": [{}] * MANY}),
        (ChatCompletionRequest, parts("user", {})),
        (ChatCompletionRequest, {"messages": [{"role": "assistant", "tool_calls": [{}] * MANY}]}),
        (ChatCompletionRequest, HI | {"tools": [{}] * MANY}),
        (ChatCompletionRequest, HI | {"stop": [5] * MANY}),
        (ChatCompletionRequest, HI | {"logit_bias": {f"x{number}": 1 for number in range(MANY)}}),
        (ChatCompletionRequest, HI | {f"x{number}": 1 for number in range(MANY)}),
        (CompletionRequest, {"prompt": [1.5] * MANY}),
        (CompletionRequest, {"prompt": [[]] * MANY}),
        (ResponseRequest, {"input": [{}] * MANY}),
        (ResponseRequest, {"input": [{"role": "user", "content": [{}] * MANY}]}),
        (ResponseRequest, {"input": "a", "include": [1] * MANY}),
        (MessagesRequest, {"messages": [{}] * MANY}),
        (MessagesRequest, parts("user", {})),
        (MessagesRequest, HI | {"system": [{}] * MANY}),
        (ChatRequest, {"messages": [{}] * MANY}),
        (EmbedRequest, {"input": [5] * MANY}),
        (EmbeddingsRequest, {"input": [{}] * MANY}),
        (EmbeddingsRequest, {"input": [[]] * MANY}),
        (ClassifyRequest, {"input": [5] * MANY}),
        (RerankRequest, {"query": "a", "documents": [{}] * MANY}),
        (RerankRequest, {"query": "a", "texts": [5] * MANY}),
        (ScoreRequest, {"text_1": "a", "text_2": [5] * MANY}),
        (DetokenizeRequest, {"tokens": [-1] * MANY}),
    ],
)
def test_a_list_is_left_at_its_first_fault(model: type[BaseModel], body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as raised:
        model.model_validate(body)
    assert 1 <= raised.value.error_count() <= FEW
