"""`POST /v1/completions`: text that goes on, without a conversation around it."""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from lambda_llm.api.answering import check_tokens, sampling_of, usage_of
from lambda_llm.api.completions_schema import (
    DEFAULT_TOKENS,
    Completion,
    CompletionChoice,
    CompletionLogprobs,
    CompletionRequest,
)
from lambda_llm.api.errors import APIError, ErrorResponse, explain
from lambda_llm.api.logprobs import finite, written
from lambda_llm.api.service import Service
from lambda_llm.api.stream import DONE, SIGN_OF_LIFE, EventStream, event, unless_left
from lambda_llm.engine.errors import ContextOverflowError
from lambda_llm.engine.generate import FinishReason, Generation
from lambda_llm.engine.model import Cancellation
from lambda_llm.engine.sampling import Scored


def router(service: Service) -> APIRouter:
    """The endpoints of this module."""
    routes = APIRouter()

    @routes.post(
        "/v1/completions",
        response_model=Completion,
        responses={
            200: {"content": {"text/event-stream": {}}, "description": "The answer; events if 'stream' is true"},
            404: {"model": ErrorResponse},
            429: {"model": ErrorResponse},
        },
    )
    async def completions(body: CompletionRequest, request: Request) -> Response:
        service.check_model(body.model)
        answer = await asyncio.to_thread(_Answer, service, body)
        if body.stream:
            with_usage = body.stream_options is not None and body.stream_options.include_usage
            return await EventStream.begun(answer.events(with_usage=with_usage))
        return await unless_left(request, answer.whole())

    return routes


class _Answer:
    """The answers to one request."""

    def __init__(self, service: Service, body: CompletionRequest) -> None:
        """Tokenize.

        Raises:
            APIError: a prompt can't be used.
        """
        self._service = service
        self._model = service.served.model
        self._each = body.n or 1
        self._echoes: list[str] = []
        self._generations: list[Generation] = []
        self._offsets: list[int] = []
        cancellation = Cancellation()
        sampling = sampling_of(service, body)
        for prompt in body.prompts():
            tokens = self._tokens(prompt)
            for number in range(self._each):
                self._echoes.append(self._text(prompt) if body.echo else "")
                # The same seed for each answer would give the same answer each time.
                seed = None if sampling.seed is None else sampling.seed + number
                try:
                    generation = Generation(
                        self._model,
                        tokens,
                        replace(sampling, seed=seed),
                        max_tokens=body.max_tokens or DEFAULT_TOKENS,
                        stop=[body.stop] if isinstance(body.stop, str) else body.stop or (),
                        cancellation=cancellation,
                        top_logprobs=body.logprobs,
                    )
                except ContextOverflowError as error:
                    raise explain(error, "prompt") from error
                self._generations.append(generation)
        self._offsets = [0] * len(self._generations)
        self._identity: dict[str, Any] = {
            "id": f"cmpl-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": service.served.model_id,
        }

    def _tokens(self, prompt: str | list[int]) -> list[int]:
        if isinstance(prompt, list):
            check_tokens(self._service, prompt, "prompt")
            return prompt
        if tokens := self._model.tokenize(prompt, add_special=True):
            return tokens
        raise APIError(
            HTTPStatus.BAD_REQUEST,
            "'prompt' can't be used: it is empty, and nothing begins a text by itself in this model.",
            param="prompt",
            code="invalid_value",
        )

    def _text(self, prompt: str | list[int]) -> str:
        if isinstance(prompt, str):
            return prompt
        return b"".join(self._model.piece(token, control=True) for token in prompt).decode(errors="replace")

    async def whole(self) -> Response:
        """The answers in one piece."""
        texts = list(self._echoes)
        scored: list[list[Scored]] = [[] for _ in texts]
        async with self._service.worker.run(self._generations) as pieces:
            async for piece in pieces:
                if piece is not None:
                    texts[piece.choice] += piece.text
                    scored[piece.choice] += piece.scored
        choices = [
            CompletionChoice(
                index=number,
                text=text,
                logprobs=self._logprobs(number, scored[number]),
                finish_reason=self._reason(number),
            )
            for number, text in enumerate(texts)
        ]
        usage = usage_of(self._generations, self._each)
        return JSONResponse(Completion(**self._identity, choices=choices, usage=usage).model_dump())

    async def events(self, *, with_usage: bool) -> AsyncGenerator[str, None]:
        """The answers as a stream."""
        leave_out = None if with_usage else {"usage"}

        def chunk(*choices: CompletionChoice, **more: Any) -> str:
            completion = Completion(**self._identity, choices=list(choices), **more)
            return event(completion.model_dump_json(exclude=leave_out, ensure_ascii=True))

        begun = False
        try:
            async with self._service.worker.run(self._generations, self._service.served.keepalive_seconds) as pieces:
                begun = True
                yield SIGN_OF_LIFE
                for number, echo in enumerate(self._echoes):
                    if echo:
                        yield chunk(CompletionChoice(index=number, text=echo))
                async for piece in pieces:
                    if piece is None:
                        yield SIGN_OF_LIFE
                    elif piece.text or piece.ended:
                        yield chunk(
                            CompletionChoice(
                                index=piece.choice,
                                text=piece.text,
                                logprobs=self._logprobs(piece.choice, piece.scored) if piece.text else None,
                                finish_reason=self._reason(piece.choice) if piece.ended else None,
                            )
                        )
        except Exception as error:
            if not begun:
                raise
            yield event(explain(error).body.model_dump_json())
            return
        if with_usage:
            yield chunk(usage=usage_of(self._generations, self._each))
        yield DONE

    def _reason(self, number: int) -> Any:
        return "length" if self._generations[number].finish_reason is FinishReason.LENGTH else "stop"

    def _logprobs(self, number: int, scored: Sequence[Scored]) -> CompletionLogprobs | None:
        top = self._generations[number].top_logprobs
        if top is None:
            return None
        tokens = [written(self._model, each.token) for each in scored]
        offsets = []
        for token in tokens:
            offsets.append(self._offsets[number])
            self._offsets[number] += len(token)
        return CompletionLogprobs(
            tokens=tokens,
            token_logprobs=[finite(each.logprob) for each in scored],
            top_logprobs=[{written(self._model, token): finite(other) for token, other in each.top} for each in scored]
            if top
            else None,
            text_offset=offsets,
        )
