"""`POST /v1/embeddings`, `/v1/classify`, `/v1/rerank` and `/v1/score`: the endpoints of encoders.

Sources: https://platform.openai.com/docs/api-reference/embeddings, vLLM's classification and score APIs, and
Jina's, Cohere's and TEI's rerank APIs, whose shapes llama-server has too.
"""

import base64
import time
import uuid
from array import array
from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from typing import Any, Final

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import Response

from lambda_llm.engine.cancellation import Cancellation, CancelledError
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
    RankedText,
    RerankList,
    RerankRequest,
    Scored,
    ScoreList,
    ScoreRequest,
)
from lambda_llm.openai_types.errors import ErrorResponse
from lambda_llm.serving.errors import explain
from lambda_llm.serving.generations import check_tokens
from lambda_llm.serving.response_size import NUMBER_BYTES, check_size, json_response
from lambda_llm.serving.service import Service
from lambda_llm.web.deadline import deadline_of
from lambda_llm.web.errors import APIError
from lambda_llm.web.streaming import while_connected

INPUTS_MAX: Final = 2048
"""Maximum number of texts in a request; OpenAI's limit."""

PACKED_BYTES: Final = 6
"""A number of a vector in base64, at most."""

_Given = str | Sequence[int] | tuple[str, str]
"""An input: a text, token ids, or a query with a document."""


def router(service: Service) -> APIRouter:
    """The endpoints of this module; each refuses models that do not support it."""
    routes = APIRouter(responses={404: {"model": ErrorResponse}, 429: {"model": ErrorResponse}})
    encoding = Encoding(service)

    @routes.post("/v1/embeddings", response_model=EmbeddingList)
    async def embeddings(body: EmbeddingsRequest, request: Request) -> Response:
        return await while_connected(request, encoding.embeddings(body, request))

    @routes.post("/v1/classify", response_model=ClassificationList)
    async def classify(body: ClassifyRequest, request: Request) -> Response:
        return await while_connected(request, encoding.classify(body, request))

    @routes.post("/v1/rerank", response_model=RerankList | list[RankedText])
    async def rerank(body: RerankRequest, request: Request) -> Response:
        return await while_connected(request, encoding.rerank(body, request))

    @routes.post("/v1/score", response_model=ScoreList)
    async def score(body: ScoreRequest, request: Request) -> Response:
        return await while_connected(request, encoding.score(body, request))

    return routes


class Encoding:
    """Computes the responses with the service's encoder, if its model is one."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._id = service.options.model_id

    async def vectors(
        self, given: Sequence[_Given], request: Request, *, dimensions: int | None, number_bytes: int = NUMBER_BYTES
    ) -> tuple[Rows, InputUsage]:
        """Embeddings, of shape (inputs, dimensions) and of length 1.

        Args:
            given: texts or token ids, at least one.
            request: that they are for.
            dimensions: that the client wants; None: the model's.
            number_bytes: that each number takes in the response.

        Raises:
            APIError: they can't be computed, or not be returned.
        """
        encoder = self._require_encoder("makes no embeddings", "an embedding model", _embeds)
        if dimensions not in {None, encoder.outputs}:
            raise APIError(
                HTTPStatus.BAD_REQUEST,
                f"'dimensions' can't be {dimensions}: this model's vectors have {encoder.outputs} dimensions and "
                "can't be shortened; leave it out.",
                param="dimensions",
                code="invalid_value",
            )
        size = len(given) * encoder.outputs * number_bytes
        check_size(self._service, size, "input", "send fewer texts, or set 'encoding_format' to 'base64'")
        rows, usage = await self._encode(encoder, given, "input", request)
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return rows, usage

    async def embeddings(self, body: EmbeddingsRequest, request: Request) -> Response:
        """The response to `POST /v1/embeddings`; raises what `vectors` raises."""
        self._service.check_model(body.model)
        given: Any = body.input
        if isinstance(given, str) or isinstance(given[0], int):
            given = [given]
        for each in given:
            if not isinstance(each, str):
                check_tokens(self._service, each, "input")
        packed = body.encoding_format == "base64"
        rows, usage = await self.vectors(
            given, request, dimensions=body.dimensions, number_bytes=PACKED_BYTES if packed else NUMBER_BYTES
        )

        def content() -> dict[str, Any]:
            data = [
                Embedding(index=index, embedding=_packed(row) if packed else row.tolist())
                for index, row in enumerate(rows)
            ]
            return EmbeddingList(data=data, model=self._id, usage=usage).model_dump()

        return await json_response(self._service, content)

    async def classify(self, body: ClassifyRequest, request: Request) -> Response:
        """The response to `POST /v1/classify`; raises what `vectors` raises."""
        self._service.check_model(body.model)
        encoder = self._require_encoder("has no classes", "a classifier", _classifies)
        texts = [body.input] if isinstance(body.input, str) else body.input
        check_size(self._service, len(texts) * encoder.outputs * NUMBER_BYTES, "input", "send fewer texts")
        rows, usage = await self._encode(encoder, texts, "input", request)
        labels = list(encoder.labels)

        def content() -> dict[str, Any]:
            probabilities = np.exp(rows - rows.max(axis=1, keepdims=True))
            probabilities /= probabilities.sum(axis=1, keepdims=True)
            data = [
                Classification(
                    index=index, label=labels[int(row.argmax())], probs=row.tolist(), num_classes=len(labels)
                )
                for index, row in enumerate(probabilities)
            ]
            return ClassificationList(
                id=f"classify-{uuid.uuid4().hex}",
                created=int(time.time()),
                model=self._id,
                labels=labels,
                data=data,
                usage=usage,
            ).model_dump()

        return await json_response(self._service, content)

    async def rerank(self, body: RerankRequest, request: Request) -> Response:
        """The response to `POST /v1/rerank`; raises what `vectors` raises."""
        self._service.check_model(body.model)
        param = "texts" if body.documents is None else "documents"
        texts = [each if isinstance(each, str) else each.text for each in body.documents or body.texts or ()]
        scores, usage = await self._scores([(body.query, text) for text in texts], param, request)
        order = [int(index) for index in np.argsort(-scores, kind="stable")[: body.top_n]]

        def content() -> Any:
            if body.documents is None:
                ranked = [
                    RankedText(index=index, score=float(scores[index]), text=texts[index] if body.return_text else None)
                    for index in order
                ]
                return [each.model_dump(exclude_none=True) for each in ranked]
            results = [
                Ranked(
                    index=index,
                    relevance_score=float(scores[index]),
                    document=Document(text=texts[index]) if body.return_documents else None,
                )
                for index in order
            ]
            return RerankList(model=self._id, results=results, usage=usage).model_dump(exclude_none=True)

        return await json_response(self._service, content)

    async def score(self, body: ScoreRequest, request: Request) -> Response:
        """The response to `POST /v1/score`; raises what `vectors` raises."""
        self._service.check_model(body.model)
        scores, usage = await self._scores(body.pairs(), "text_2", request)

        def content() -> dict[str, Any]:
            data = [Scored(index=index, score=float(each)) for index, each in enumerate(scores)]
            return ScoreList(
                id=f"score-{uuid.uuid4().hex}", created=int(time.time()), model=self._id, data=data, usage=usage
            ).model_dump()

        return await json_response(self._service, content)

    async def _scores(
        self, pairs: Sequence[tuple[str, str]], param: str, request: Request
    ) -> "tuple[np.ndarray[Any, np.dtype[np.float32]], InputUsage]":
        """The relevance of each document to its query, from 0 to 1, of shape (pairs,)."""
        encoder = self._require_encoder("does not rerank", "a reranker", _reranks)
        rows, usage = await self._encode(encoder, pairs, param, request)
        # A single output is a logit; two are already the softmax of yes and no (Qwen3's reranker).
        scores = rows[:, 0] if encoder.outputs != 1 else 1 / (1 + np.exp(-rows[:, 0]))
        return scores.astype(np.float32), usage

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

    async def _encode(
        self, encoder: Encoder, texts: Sequence[_Given], param: str, request: Request
    ) -> tuple[Rows, InputUsage]:
        def tokenized(cancellation: Cancellation) -> Iterator[Sequence[int]]:
            query, pair = "", None
            for index, text in enumerate(texts):
                if cancellation.cancelled:
                    raise CancelledError
                if isinstance(text, tuple):
                    if pair is None or text[0] != query:
                        query, pair = text[0], encoder.pairing(text[0])
                    yield array("i", pair(text[1], f"text {index}"))
                else:
                    yield array("i", encoder.tokens(text, f"text {index}") if isinstance(text, str) else text)

        def encode(cancellation: Cancellation) -> tuple[Rows, InputUsage]:
            inputs = list(tokenized(cancellation))
            count = sum(map(len, inputs))
            with encoder.lock:
                rows = encoder.encode(inputs, cancellation)
            return rows, InputUsage(prompt_tokens=count, total_tokens=count)

        if len(texts) > INPUTS_MAX:
            raise APIError(
                HTTPStatus.BAD_REQUEST,
                f"{param!r} has {len(texts):,} texts, but the limit is {INPUTS_MAX:,}: send several requests.",
                param=param,
                code="invalid_value",
            )
        deadline = deadline_of(request, self._service.options.answer_seconds)
        try:
            rows, usage = await self._service.worker.compute(encode, deadline)
        except InputTooLongError as error:
            raise explain(error, param) from error
        for listener in self._service.worker.token_listeners:
            listener(usage.prompt_tokens)
        return rows, usage


def _embeds(encoder: Encoder) -> bool:
    return encoder.pooling not in {Pooling.NONE, Pooling.RANK}


def _classifies(encoder: Encoder) -> bool:
    return encoder.pooling is Pooling.RANK and len(encoder.labels) > 1 and not _reranks(encoder)


def _reranks(encoder: Encoder) -> bool:
    return encoder.pooling is Pooling.RANK and (encoder.outputs == 1 or encoder.labels[:1] == ("yes",))


def _packed(row: "np.ndarray[tuple[int], np.dtype[np.float32]]") -> str:
    return base64.b64encode(row.astype("<f4").tobytes()).decode()
