"""`POST /v1/embeddings`, `/v1/classify` and `/v1/rerank`: the endpoints of encoders.

Sources: https://platform.openai.com/docs/api-reference/embeddings, vLLM's classification API, Jina's and Cohere's
rerank APIs, whose shape llama-server has too.
"""

import base64
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Any, Final

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel

from lambda_llm.engine.cancellation import Cancellation
from lambda_llm.engine.encoder import Encoder, Pooling, Rows
from lambda_llm.engine.errors import InputTooLongError, NotEncoderError
from lambda_llm.openai_types.embeddings import (
    Classification,
    ClassificationList,
    ClassifyRequest,
    Document,
    Embedding,
    EmbeddingList,
    EmbeddingsRequest,
    InputUsage,
    Ranked,
    RerankList,
    RerankRequest,
)
from lambda_llm.openai_types.errors import ErrorResponse
from lambda_llm.serving.errors import APIError, explain
from lambda_llm.serving.generations import check_tokens
from lambda_llm.serving.service import Service
from lambda_llm.serving.streaming import cancel_on_disconnect

INPUTS_MAX: Final = 2048
"""Maximum number of texts in a request; OpenAI's limit."""

_Given = str | Sequence[int] | tuple[str, str]
"""An input: a text, token ids, or a query with a document."""


def router(service: Service) -> APIRouter:
    """The endpoints of this module; each refuses models that do not support it."""
    routes = APIRouter(responses={404: {"model": ErrorResponse}, 429: {"model": ErrorResponse}})
    encoding = _Encoding(service)

    @routes.post("/v1/embeddings", response_model=EmbeddingList)
    async def embeddings(body: EmbeddingsRequest, request: Request) -> Response:
        return await cancel_on_disconnect(request, _json(encoding.embeddings(body)))

    @routes.post("/v1/classify", response_model=ClassificationList)
    async def classify(body: ClassifyRequest, request: Request) -> Response:
        return await cancel_on_disconnect(request, _json(encoding.classify(body)))

    @routes.post("/v1/rerank", response_model=RerankList)
    async def rerank(body: RerankRequest, request: Request) -> Response:
        return await cancel_on_disconnect(request, _json(encoding.rerank(body)))

    return routes


async def _json(answering: Awaitable[BaseModel]) -> Response:
    return JSONResponse((await answering).model_dump(exclude_none=True))


class _Encoding:
    """Computes the responses with the service's encoder, if its model is one."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._id = service.options.model_id

    async def embeddings(self, body: EmbeddingsRequest) -> EmbeddingList:
        self._service.check_model(body.model)
        encoder = self._require_encoder("makes no embeddings", "an embedding model", _embeds)
        if body.dimensions not in {None, encoder.outputs}:
            raise APIError(
                HTTPStatus.BAD_REQUEST,
                f"'dimensions' can't be {body.dimensions}: this model's vectors have {encoder.outputs} dimensions and "
                "can't be shortened; leave it out.",
                param="dimensions",
                code="invalid_value",
            )
        given: Any = body.input
        if isinstance(given, str) or isinstance(given[0], int):
            given = [given]
        for each in given:
            if not isinstance(each, str):
                check_tokens(self._service, each, "input")
        rows, usage = await self._encode(encoder, given)
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        packed = body.encoding_format == "base64"
        data = [
            Embedding(index=index, embedding=_packed(row) if packed else row.tolist()) for index, row in enumerate(rows)
        ]
        return EmbeddingList(data=data, model=self._id, usage=usage)

    async def classify(self, body: ClassifyRequest) -> ClassificationList:
        self._service.check_model(body.model)
        encoder = self._require_encoder("has no classes", "a classifier", _classifies)
        rows, usage = await self._encode(encoder, [body.input] if isinstance(body.input, str) else body.input)
        probabilities = np.exp(rows - rows.max(axis=1, keepdims=True))
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        labels = list(encoder.labels)
        data = [
            Classification(index=index, label=labels[int(row.argmax())], probs=row.tolist(), num_classes=len(labels))
            for index, row in enumerate(probabilities)
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
        self._service.check_model(body.model)
        encoder = self._require_encoder("does not rerank", "a reranker", _reranks)
        texts = [each if isinstance(each, str) else each.text for each in body.documents]
        rows, usage = await self._encode(encoder, [(body.query, text) for text in texts])
        # A single output is a logit; two are already the softmax of yes and no (Qwen3's reranker).
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

    def _require_encoder(self, lacks: str, wanted: str, supports: Callable[[Encoder], bool]) -> Encoder:
        """The encoder, if it supports an endpoint.

        Args:
            lacks: what a model does that does not support it, for the error.
            wanted: the kind of model that does, for the error.
            supports: whether an encoder does.

        Raises:
            APIError: 400, `unsupported_model`.
        """
        refusal = APIError(
            HTTPStatus.BAD_REQUEST,
            f"The model {self._id!r} {lacks}: serve {wanted} (a GGUF file whose header says so) for this endpoint.",
            param="model",
            code="unsupported_model",
        )
        try:
            encoder = self._service.engine.encoder
        except NotEncoderError as error:
            raise refusal from error
        if not supports(encoder):
            raise refusal
        return encoder

    async def _encode(self, encoder: Encoder, texts: Sequence[_Given]) -> tuple[Rows, InputUsage]:
        def tokens(text: _Given) -> Sequence[int]:
            if isinstance(text, str):
                return encoder.model.tokenize(text, add_special=True, parse_special=False)
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
                f"{param!r} has {len(texts):,} texts, but the limit is {INPUTS_MAX:,}: send several requests.",
                param=param,
                code="invalid_value",
            )
        try:
            return await self._service.worker.compute(encode)
        except InputTooLongError as error:
            raise explain(error, param) from error


def _embeds(encoder: Encoder) -> bool:
    return encoder.pooling not in {Pooling.NONE, Pooling.RANK}


def _classifies(encoder: Encoder) -> bool:
    return encoder.pooling is Pooling.RANK and len(encoder.labels) > 1 and not _reranks(encoder)


def _reranks(encoder: Encoder) -> bool:
    return encoder.pooling is Pooling.RANK and (encoder.outputs == 1 or encoder.labels[:1] == ("yes",))


def _packed(row: "np.ndarray[tuple[int], np.dtype[np.float32]]") -> str:
    return base64.b64encode(row.astype("<f4").tobytes()).decode()
