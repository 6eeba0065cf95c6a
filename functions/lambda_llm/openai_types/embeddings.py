"""JSON of embeddings, classification and reranking.

Sources: https://platform.openai.com/docs/api-reference/embeddings, vLLM's classification API, Jina's and Cohere's
rerank APIs, whose shape llama-server has too.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, StrictBool, StrictStr, model_validator

from lambda_llm.openai_types.common import Input, SomeText, refuse

_Texts = Annotated[list[SomeText], Field(min_length=1, fail_fast=True)]
_Token = Annotated[int, Field(ge=0, strict=True)]
_Tokens = Annotated[list[_Token], Field(min_length=1, fail_fast=True)]


class EmbeddingsRequest(Input):
    """Body of `POST /v1/embeddings`."""

    model: StrictStr | None = Field(None, description="may be left out, as one model is served")
    input: SomeText | Annotated[list[SomeText | _Tokens], Field(min_length=1, fail_fast=True)] | _Tokens
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Field(ge=1, strict=True)] | None = None
    user: StrictStr | None = Field(None, description="accepted for clients that always send it; not used")


class ClassifyRequest(Input):
    """Body of `POST /v1/classify`."""

    model: StrictStr | None = Field(None, description="may be left out, as one model is served")
    input: SomeText | _Texts
    user: StrictStr | None = Field(None, description="accepted for clients that always send it; not used")


class Document(Input):
    """A document to rank."""

    text: SomeText


class RerankRequest(Input):
    """Body of `POST /v1/rerank`: with `documents`, as Jina and Cohere have it, or `texts`, as TEI has it."""

    model: StrictStr | None = Field(None, description="may be left out, as one model is served")
    query: SomeText
    documents: Annotated[list[SomeText | Document], Field(min_length=1, fail_fast=True)] | None = None
    texts: _Texts | None = None
    top_n: Annotated[int, Field(ge=1, strict=True)] | None = None
    return_documents: StrictBool | None = None
    return_text: StrictBool | None = None

    @model_validator(mode="after")
    def _has_texts(self) -> Self:
        if self.documents is None and self.texts is None:
            raise refuse("documents", "Field required", code="missing_required_parameter")
        if self.documents is not None and self.texts is not None:
            raise refuse("texts", "give 'documents' or 'texts', not both")
        return self


class ScoreRequest(Input):
    """Body of `POST /v1/score`, as vLLM has it."""

    model: StrictStr | None = Field(None, description="may be left out, as one model is served")
    text_1: SomeText | _Texts = Field(description="one query, or one per text")
    text_2: SomeText | _Texts
    user: StrictStr | None = Field(None, description="accepted for clients that always send it; not used")

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        self.pairs()
        return self

    def pairs(self) -> list[tuple[str, str]]:
        """Each text with its query."""
        texts = [self.text_2] if isinstance(self.text_2, str) else self.text_2
        queries = [self.text_1] if isinstance(self.text_1, str) else self.text_1
        if len(queries) not in {1, len(texts)}:
            raise refuse(
                "text_1", f"there are {len(queries)} texts for the {len(texts)} of 'text_2'; give one, or as many"
            )
        return list(zip(queries * (len(texts) // len(queries)), texts, strict=True))


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


class Scored(BaseModel):
    """One text with its score, from 0 to 1."""

    index: int
    object: Literal["score"] = "score"
    score: float


class ScoreList(BaseModel):
    """Response to `POST /v1/score`, in the order of the request."""

    id: str
    object: Literal["list"] = "list"
    created: int
    model: str
    data: list[Scored]
    usage: InputUsage


class RankedText(BaseModel):
    """One entry of the response to `POST /v1/rerank` with `texts`: the most relevant text first."""

    index: int
    score: float
    text: str | None = None
