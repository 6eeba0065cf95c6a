"""JSON of embeddings, classification and reranking.

Sources: https://platform.openai.com/docs/api-reference/embeddings, vLLM's classification API, Jina's and Cohere's
rerank APIs, whose shape llama-server has too.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, StrictBool, StrictStr

from lambda_llm.openai_types.common import Input, Text

_Some = Annotated[Text, Field(min_length=1)]
_Token = Annotated[int, Field(ge=0, strict=True)]


class EmbeddingsRequest(Input):
    """Body of `POST /v1/embeddings`."""

    model: StrictStr
    input: (
        _Some
        | Annotated[list[_Some], Field(min_length=1)]
        | Annotated[list[_Token], Field(min_length=1)]
        | Annotated[list[Annotated[list[_Token], Field(min_length=1)]], Field(min_length=1)]
    )
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Field(ge=1, strict=True)] | None = None
    user: StrictStr | None = Field(None, description="accepted for clients that always send it; not used")


class ClassifyRequest(Input):
    """Body of `POST /v1/classify`."""

    model: StrictStr
    input: _Some | Annotated[list[_Some], Field(min_length=1)]
    user: StrictStr | None = Field(None, description="accepted for clients that always send it; not used")


class Document(Input):
    """A document to rank."""

    text: _Some


class RerankRequest(Input):
    """Body of `POST /v1/rerank`."""

    model: StrictStr
    query: _Some
    documents: Annotated[list[_Some | Document], Field(min_length=1)]
    top_n: Annotated[int, Field(ge=1, strict=True)] | None = None
    return_documents: StrictBool | None = None


class InputUsage(BaseModel):
    """Token counts of the input."""

    prompt_tokens: int
    total_tokens: int


class Embedding(BaseModel):
    """One text's vector, normalized to length 1: numbers, or little-endian 32-bit floats in base64."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingList(BaseModel):
    """Response to `POST /v1/embeddings`."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: InputUsage


class Classification(BaseModel):
    """One text's class, and the probabilities of all classes in the order of `labels`."""

    index: int
    label: str
    probs: list[float]
    num_classes: int


class ClassificationList(BaseModel):
    """Response to `POST /v1/classify`."""

    id: str
    object: Literal["list"] = "list"
    created: int
    model: str
    labels: list[str]
    data: list[Classification]
    usage: InputUsage


class Ranked(BaseModel):
    """One document with its relevance, from 0 to 1."""

    index: int
    relevance_score: float
    document: Document | None = None


class RerankList(BaseModel):
    """Response to `POST /v1/rerank`: the most relevant document first."""

    object: Literal["list"] = "list"
    model: str
    results: list[Ranked]
    usage: InputUsage
