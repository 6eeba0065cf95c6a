"""`POST /v1/embeddings`, `/v1/classify` and `/v1/rerank`: what an encoder says of texts.

Sources: https://platform.openai.com/docs/api-reference/embeddings, vLLM's classification API, Jina's and Cohere's
rerank APIs, whose shape llama-server has too.
"""

import base64
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field, StrictBool, StrictStr

from lambda_llm.api.errors import APIError, ErrorResponse, explain
from lambda_llm.api.schema import Input, Text
from lambda_llm.api.service import Service
from lambda_llm.api.stream import unless_left
from lambda_llm.engine.encoder import Encoder, Pooling, Rows
from lambda_llm.engine.errors import InputTooLongError
from lambda_llm.engine.model import Cancellation

INPUTS_MAX: Final = 2048
"""Texts of one request, as OpenAI limits them."""

_Given = str | Sequence[int] | tuple[str, str]
"""What is encoded: a text, token ids, or a pair of texts that are judged together."""

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
    """A document that may be relevant."""

    text: _Some


class RerankRequest(Input):
    """Body of `POST /v1/rerank`."""

    model: StrictStr
    query: _Some
    documents: Annotated[list[_Some | Document], Field(min_length=1)]
    top_n: Annotated[int, Field(ge=1, strict=True)] | None = None
    return_documents: StrictBool | None = None


class InputUsage(BaseModel):
    """Tokens that were read."""

    prompt_tokens: int
    total_tokens: int


class Embedding(BaseModel):
    """One text's vector, of length 1: numbers, or 32-bit floats, little-endian, in base64."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingList(BaseModel):
    """Answer to `POST /v1/embeddings`."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: InputUsage


class Classification(BaseModel):
    """One text's class, and the probability of each class in the order of `labels`."""

    index: int
    label: str
    probs: list[float]
    num_classes: int


class ClassificationList(BaseModel):
    """Answer to `POST /v1/classify`."""

    id: str
    object: Literal["list"] = "list"
    created: int
    model: str
    labels: list[str]
    data: list[Classification]
    usage: InputUsage


class Ranked(BaseModel):
    """One document, and how relevant it is, from 0 to 1."""

    index: int
    relevance_score: float
    document: Document | None = None


class RerankList(BaseModel):
    """Answer to `POST /v1/rerank`: the most relevant document first."""

    object: Literal["list"] = "list"
    model: str
    results: list[Ranked]
    usage: InputUsage


def router(service: Service) -> APIRouter:
    """The endpoints of this module; a model that can't answer one refuses it by name."""
    routes = APIRouter(responses={404: {"model": ErrorResponse}, 429: {"model": ErrorResponse}})
    work = _Work(service)

    @routes.post("/v1/embeddings", response_model=EmbeddingList)
    async def embeddings(body: EmbeddingsRequest, request: Request) -> Response:
        return await unless_left(request, _json(work.embeddings(body)))

    @routes.post("/v1/classify", response_model=ClassificationList)
    async def classify(body: ClassifyRequest, request: Request) -> Response:
        return await unless_left(request, _json(work.classify(body)))

    @routes.post("/v1/rerank", response_model=RerankList)
    async def rerank(body: RerankRequest, request: Request) -> Response:
        return await unless_left(request, _json(work.rerank(body)))

    return routes


async def _json(answering: Awaitable[BaseModel]) -> Response:
    return JSONResponse((await answering).model_dump(exclude_none=True))


class _Work:
    """Answers with one encoder, if the model is one."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._id = service.served.model_id
        model = service.served.model
        self._encoder = model if isinstance(model, Encoder) else None

    async def embeddings(self, body: EmbeddingsRequest) -> EmbeddingList:
        self._service.check_model(body.model, generates=False)
        encoder = self._able("makes no embeddings", "an embedding model", _embeds)
        if body.dimensions not in {None, encoder.outputs}:
            raise APIError(
                HTTPStatus.BAD_REQUEST,
                f"'dimensions' can't be {body.dimensions}: this model's vectors have {encoder.outputs} numbers and "
                "mean nothing when they are cut; leave it out.",
                param="dimensions",
                code="invalid_value",
            )
        given: Any = body.input
        if isinstance(given, str) or isinstance(given[0], int):
            given = [given]
        texts = [each if isinstance(each, str) else _checked(encoder, each) for each in given]
        rows, usage = await self._encode(encoder, texts)
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        packed = body.encoding_format == "base64"
        data = [
            Embedding(index=index, embedding=_packed(row) if packed else row.tolist()) for index, row in enumerate(rows)
        ]
        return EmbeddingList(data=data, model=self._id, usage=usage)

    async def classify(self, body: ClassifyRequest) -> ClassificationList:
        self._service.check_model(body.model, generates=False)
        encoder = self._able("has no classes", "a classifier", _classifies)
        rows, usage = await self._encode(encoder, [body.input] if isinstance(body.input, str) else body.input)
        chances = np.exp(rows - rows.max(axis=1, keepdims=True))
        chances /= chances.sum(axis=1, keepdims=True)
        labels = list(encoder.labels)
        data = [
            Classification(index=index, label=labels[int(row.argmax())], probs=row.tolist(), num_classes=len(labels))
            for index, row in enumerate(chances)
        ]
        return ClassificationList(
            id=f"classify-{uuid.uuid4().hex}",
            created=int(time.time()),
            model=self._id,
            labels=labels,
            data=data,
            usage=usage,
        )

    async def rerank(self, body: RerankRequest) -> RerankList:
        self._service.check_model(body.model, generates=False)
        encoder = self._able("does not rerank", "a reranker", _reranks)
        texts = [each if isinstance(each, str) else each.text for each in body.documents]
        rows, usage = await self._encode(encoder, [(body.query, text) for text in texts])
        # A single output is a logit; two are the softmax of yes and no already (Qwen3's reranker).
        scores = 1 / (1 + np.exp(-rows[:, 0])) if encoder.outputs == 1 else rows[:, 0]
        order = np.argsort(-scores, kind="stable")[: body.top_n]
        results = [
            Ranked(
                index=int(index),
                relevance_score=float(scores[index]),
                document=Document(text=texts[index]) if body.return_documents else None,
            )
            for index in order
        ]
        return RerankList(model=self._id, results=results, usage=usage)

    def _able(self, lacks: str, wanted: str, can: Callable[[Encoder], bool]) -> Encoder:
        if self._encoder is None or not can(self._encoder):
            raise APIError(
                HTTPStatus.BAD_REQUEST,
                f"The model {self._id!r} {lacks}: serve {wanted} (a GGUF file whose header says so) for this endpoint.",
                param="model",
                code="unsupported_model",
            )
        return self._encoder

    async def _encode(self, encoder: Encoder, texts: Sequence[_Given]) -> tuple[Rows, InputUsage]:
        def tokens(text: _Given) -> Sequence[int]:
            if isinstance(text, str):
                return encoder.tokenize(text, add_special=True, parse_special=False)
            return encoder.pair(*text) if isinstance(text, tuple) else text

        def encode(cancellation: Cancellation) -> tuple[Rows, InputUsage]:
            tokenized = [tokens(text) for text in texts]
            count = sum(map(len, tokenized))
            with encoder.lock:
                rows = encoder.encode(tokenized, cancellation)
            return rows, InputUsage(prompt_tokens=count, total_tokens=count)

        param = "documents" if isinstance(texts[0], tuple) else "input"
        if len(texts) > INPUTS_MAX:
            raise APIError(
                HTTPStatus.BAD_REQUEST,
                f"{param!r} holds {len(texts):,} texts, {INPUTS_MAX:,} at most are taken: send several requests.",
                param=param,
                code="invalid_value",
            )
        try:
            return await self._service.worker.compute(encode)
        except InputTooLongError as error:
            raise explain(error, param) from error


def _checked(encoder: Encoder, tokens: Sequence[int]) -> Sequence[int]:
    """Token ids of the client's own, which llama.cpp would not survive if they were none."""
    if max(tokens) >= encoder.vocabulary_size:
        raise APIError(
            HTTPStatus.BAD_REQUEST,
            f"'input' has the token {max(tokens)}, but this model's end at {encoder.vocabulary_size - 1}.",
            param="input",
            code="invalid_value",
        )
    return tokens


def _embeds(encoder: Encoder) -> bool:
    return encoder.pooling not in {Pooling.NONE, Pooling.RANK}


def _classifies(encoder: Encoder) -> bool:
    return encoder.pooling is Pooling.RANK and len(encoder.labels) > 1 and not _reranks(encoder)


def _reranks(encoder: Encoder) -> bool:
    return encoder.pooling is Pooling.RANK and (encoder.outputs == 1 or encoder.labels[:1] == ("yes",))


def _packed(row: "np.ndarray[tuple[int], np.dtype[np.float32]]") -> str:
    return base64.b64encode(row.astype("<f4").tobytes()).decode()
