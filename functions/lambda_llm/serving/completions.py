"""`POST /v1/completions`: text completion, without a chat template."""

import time
import uuid
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from lambda_llm.engine.errors import ContextOverflowError
from lambda_llm.engine.generate import FinishReason
from lambda_llm.engine.sampling import Scored
from lambda_llm.openai_types.common import limit_of
from lambda_llm.openai_types.completions import (
    DEFAULT_TOKENS,
    Completion,
    CompletionChoice,
    CompletionLogprobs,
    CompletionRequest,
)
from lambda_llm.openai_types.errors import ErrorResponse
from lambda_llm.openai_types.sse import DONE, KEEP_ALIVE, event
from lambda_llm.serving.answering import constraint_of, schema_of
from lambda_llm.serving.errors import error_event, explain
from lambda_llm.serving.generations import (
    Caller,
    Limits,
    check_tokens,
    make_generations,
    planned,
    sampling_of,
    usage_of,
)
from lambda_llm.serving.logprobs import finite, token_text
from lambda_llm.serving.response_size import bounded, json_response
from lambda_llm.serving.service import Service
from lambda_llm.web.errors import APIError
from lambda_llm.web.streaming import EventStream, while_connected


def router(service: Service) -> APIRouter:
    """The endpoints of this module."""
    routes = APIRouter()

    @routes.post(
        "/v1/completions",
        response_model=Completion,
        responses={
            200: {"content": {"text/event-stream": {}}, "description": "The completion; events if 'stream' is true"},
            404: {"model": ErrorResponse},
            429: {"model": ErrorResponse},
        },
    )
    async def completions(body: CompletionRequest, request: Request) -> Response:
        service.check_generates(body.model)
        caller = Caller.of(service, body, request)
        answer = await planned(service, request, caller, lambda: _Answer(service, body, caller))
        if body.stream:
            with_usage = body.stream_options is not None and body.stream_options.include_usage
            return await EventStream.begun(answer.events(with_usage=with_usage), error_event)
        return await while_connected(request, answer.whole())

    return routes


class _Answer:
    """Writes the completions of one request."""

    def __init__(self, service: Service, body: CompletionRequest, caller: Caller) -> None:
        """Tokenize the prompts and prepare their generations.

        Raises:
            APIError: a prompt can't be used.
        """
        self._service = service
        self._model = service.engine.model
        self._choices = body.n or 1
        prompts = body.prompts()
        self._echoes = [self._text(prompt) if body.echo else "" for prompt in prompts for _ in range(self._choices)]
        limits = Limits(
            max_tokens=DEFAULT_TOKENS if body.max_tokens is None else limit_of(body.max_tokens),
            stop=body.stops(),
            choices=self._choices,
            top_logprobs=body.logprobs,
        )
        if not body.stream:
            limits = bounded(service, limits, len(prompts), "max_tokens")
        try:
            tokens = [self._tokens(prompt) for prompt in prompts]
            sampling = replace(
                sampling_of(service, body), constraint=constraint_of(service, schema_of(body.response_format))
            )
            self._generations = make_generations(service, tokens, sampling, limits, caller)
        except ContextOverflowError as error:
            raise explain(error, "prompt") from error
        self._offsets = [0] * len(self._generations)
        self._identity: dict[str, Any] = {
            "id": f"cmpl-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": service.options.model_id,
        }

    def _tokens(self, prompt: str | list[int]) -> list[int]:
        if isinstance(prompt, list):
            check_tokens(self._service, prompt, "prompt")
            return prompt
        room = self._service.engine.decoder.context_length
        if tokens := self._model.prompt_tokens(prompt, at_most=room):
            return tokens
        raise APIError(
            HTTPStatus.BAD_REQUEST,
            "'prompt' can't be used: it is empty, and this model has no BOS token to start from; send some text.",
            param="prompt",
            code="invalid_value",
        )

    def _text(self, prompt: str | list[int]) -> str:
        if isinstance(prompt, str):
            return prompt
        return b"".join(self._model.piece(token, control=True) for token in prompt).decode(errors="replace")

    async def whole(self) -> Response:
        """One response with all choices."""
        texts = list(self._echoes)
        scored: list[list[Scored]] = [[] for _ in texts]
        async with self._service.worker.run(self._generations) as pieces:
            async for piece in pieces:
                if piece is not None:
                    texts[piece.choice] += piece.text
                    scored[piece.choice] += piece.scored
        return await json_response(self._service, lambda: self._complete(texts, scored))

    def _complete(self, texts: Sequence[str], scored: Sequence[Sequence[Scored]]) -> dict[str, Any]:
        choices = [
            CompletionChoice(
                index=number,
                text=text,
                logprobs=self._logprobs(number, scored[number]),
                finish_reason=self._reason(number),
            )
            for number, text in enumerate(texts)
        ]
        usage = usage_of(self._generations, self._choices)
        return Completion(**self._identity, choices=choices, usage=usage).model_dump()

    async def events(self, *, with_usage: bool) -> AsyncGenerator[str, None]:
        """The choices as a stream of events."""
        leave_out = None if with_usage else {"usage"}

        def chunk(*choices: CompletionChoice, **more: Any) -> str:
            completion = Completion(**self._identity, choices=list(choices), **more)
            return event(completion.model_dump_json(exclude=leave_out, ensure_ascii=True))

        async with self._service.worker.run(self._generations, self._service.options.keep_alive_seconds) as pieces:
            yield KEEP_ALIVE
            for number, echo in enumerate(self._echoes):
                if echo:
                    yield chunk(CompletionChoice(index=number, text=echo))
            async for piece in pieces:
                if piece is None:
                    yield KEEP_ALIVE
                elif piece.text or piece.ended:
                    yield chunk(
                        CompletionChoice(
                            index=piece.choice,
                            text=piece.text,
                            logprobs=self._logprobs(piece.choice, piece.scored) if piece.text else None,
                            finish_reason=self._reason(piece.choice) if piece.ended else None,
                        )
                    )
        if with_usage:
            yield chunk(usage=usage_of(self._generations, self._choices))
        yield DONE

    def _reason(self, number: int) -> Any:
        return "length" if self._generations[number].stats.finish_reason is FinishReason.LENGTH else "stop"

    def _logprobs(self, number: int, scored: Sequence[Scored]) -> CompletionLogprobs | None:
        top = self._generations[number].request.top_logprobs
        if top is None:
            return None
        tokens = [token_text(self._model, each.token) for each in scored]
        offsets = []
        for token in tokens:
            offsets.append(self._offsets[number])
            self._offsets[number] += len(token)
        return CompletionLogprobs(
            tokens=tokens,
            token_logprobs=[finite(each.logprob) for each in scored],
            top_logprobs=[
                {token_text(self._model, token): finite(other) for token, other in each.top} for each in scored
            ]
            if top
            else None,
            text_offset=offsets,
        )
