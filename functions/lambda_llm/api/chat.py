"""`POST /v1/chat/completions`: from OpenAI's JSON to a generation, and back."""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from lambda_llm.api.errors import APIError, ErrorResponse, explain
from lambda_llm.api.schema import (
    AnswerMessage,
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionRequest,
    Choice,
    ChunkChoice,
    Delta,
    PromptTokensDetails,
    Usage,
)
from lambda_llm.api.service import Service
from lambda_llm.engine.generate import FinishReason, Generation
from lambda_llm.engine.sampling import Sampling

SSE_HEADERS: Mapping[str, str] = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


class _EventStream(StreamingResponse):
    """Ends what makes the events together with itself: also for a client that stopped reading before it left."""

    def __init__(self, events: AsyncGenerator[str, None]) -> None:
        super().__init__(events, media_type="text/event-stream", headers=SSE_HEADERS)
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._events):
            await super().__call__(scope, receive, send)


def router(service: Service) -> APIRouter:
    """The endpoints of this module."""
    routes = APIRouter()
    chat = Chat(service)

    @routes.post("/v1/chat/completions", response_model=ChatCompletion, responses={404: {"model": ErrorResponse}})
    async def chat_completions(body: ChatCompletionRequest, request: Request) -> Response:
        return await chat.answer(body, request)

    return routes


class Chat:
    """Answers chat requests with one model."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._served = service.served

    async def answer(self, body: ChatCompletionRequest, request: Request) -> Response:
        """Generate the answer, streamed or whole.

        Raises:
            APIError: the request can't be served; ContextOverflowError and TemplateError likewise.
        """
        self._service.check_model(body.model)
        if body.stream_options is not None and not body.stream:
            raise APIError(
                HTTPStatus.BAD_REQUEST,
                "'stream_options' is for streams only: set 'stream' to true, or leave it out.",
                param="stream_options",
                code="invalid_value",
            )
        # Tokenizing a long prompt takes long enough to be noticed by other requests.
        prompt = await asyncio.to_thread(
            self._served.template.tokens, [message.rendered() for message in body.messages]
        )
        generation = Generation(
            self._served.model,
            prompt,
            Sampling(
                temperature=1.0 if body.temperature is None else body.temperature,
                top_p=1.0 if body.top_p is None else body.top_p,
                seed=body.seed,
            ),
            max_tokens=body.max_completion_tokens or body.max_tokens,
            sessions=self._served.sessions,
            stop=[body.stop] if isinstance(body.stop, str) else body.stop or (),
        )
        if body.stream:
            with_usage = body.stream_options is not None and body.stream_options.include_usage
            return _EventStream(self._stream(generation, with_usage=with_usage))
        return await self._whole(generation, request)

    async def _whole(self, generation: Generation, request: Request) -> Response:
        async def collect() -> str:
            async with self._service.worker.run(generation) as pieces:
                return "".join([piece async for piece in pieces])

        collecting = asyncio.ensure_future(collect())
        leaving = asyncio.ensure_future(_left(request))
        try:
            await asyncio.wait([collecting, leaving], return_when=asyncio.FIRST_COMPLETED)
            if not collecting.done():
                collecting.cancel()
                await asyncio.wait([collecting])
                return Response(status_code=HTTPStatus.NO_CONTENT)  # nobody is there to read it
            text = await collecting
        finally:
            leaving.cancel()
        completion = ChatCompletion(
            **self._identity(),
            choices=[Choice(message=AnswerMessage(content=text), finish_reason=_reason(generation))],
            usage=_usage(generation),
        )
        return JSONResponse(completion.model_dump())

    async def _stream(self, generation: Generation, *, with_usage: bool) -> AsyncGenerator[str, None]:
        identity = self._identity()

        def event(delta: Delta, **more: Any) -> str:
            chunk = ChatCompletionChunk(**identity, choices=[ChunkChoice(delta=delta, **more)])
            return _event(chunk, with_usage=with_usage)

        yield event(Delta(role="assistant", content=""))
        try:
            async with self._service.worker.run(generation) as pieces:
                async for piece in pieces:
                    yield event(Delta(content=piece))
        except Exception as error:  # noqa: BLE001 - the status line is long gone: the stream itself must say it
            yield f"data: {explain(error).body.model_dump_json()}\n\n"
            return
        yield event(Delta(), finish_reason=_reason(generation))
        if with_usage:
            yield _event(ChatCompletionChunk(**identity, choices=[], usage=_usage(generation)), with_usage=True)
        yield "data: [DONE]\n\n"

    def _identity(self) -> dict[str, Any]:
        return {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": self._served.model_id}


def _event(chunk: ChatCompletionChunk, *, with_usage: bool) -> str:
    data = chunk.model_dump_json(
        exclude={"choices": {"__all__": {"delta": _absent(chunk)}}} | ({} if with_usage else {"usage": True})
    )
    return f"data: {data}\n\n"


def _absent(chunk: ChatCompletionChunk) -> set[str]:
    """A delta names only what it adds, while `finish_reason` is always there, null until the end."""
    return {name for choice in chunk.choices for name, value in choice.delta if value is None}


def _reason(generation: Generation) -> Any:
    return "length" if generation.finish_reason is FinishReason.LENGTH else "stop"


def _usage(generation: Generation) -> Usage:
    prompt, completion = len(generation.prompt), generation.completion_tokens
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        prompt_tokens_details=PromptTokensDetails(cached_tokens=generation.cached_tokens),
    )


async def _left(request: Request) -> None:
    """Return when the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
