"""Bounds of responses that are returned in one piece: of their size, before anything is computed, and of their JSON."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Final

from fastapi.responses import Response

from lambda_llm.serving.generations import Limits
from lambda_llm.serving.service import Service
from lambda_llm.web.errors import APIError

TEXT_BYTES: Final = 8
"""JSON of a generated token without log probabilities: most are shorter."""

SCORED_BYTES: Final = 110
"""JSON of one token with its log probability and its bytes: of a generated one, or of one of the most likely ones."""

NUMBER_BYTES: Final = 22
"""JSON of one number of a vector, at most."""


def bounded(service: Service, limits: Limits, prompts: int, param: str) -> Limits:
    """Limits under which the choices of a request can be returned in one piece.

    Args:
        service: which knows how much its front door returns.
        limits: of the request.
        prompts: how many there are.
        param: the field with the number of tokens.

    Raises:
        APIError: 400: the request asks for more.
    """
    scored = 0 if limits.top_logprobs is None else SCORED_BYTES * (1 + limits.top_logprobs)
    per_token = (TEXT_BYTES + scored) * limits.choices * prompts
    most = max(1, service.options.response_bytes // per_token)
    if limits.max_tokens is not None and limits.max_tokens > most:
        check_size(
            service,
            per_token * min(limits.max_tokens, service.engine.decoder.context_length),
            param,
            f"ask for at most {most:,} tokens, for fewer choices or log probabilities, or set 'stream' to true",
        )
    return replace(limits, max_tokens=most if limits.max_tokens is None else limits.max_tokens)


def check_size(service: Service, size: int, param: str, remedy: str) -> None:
    """Refuse a request whose response can't be returned.

    Args:
        service: which knows how much its front door returns.
        size: of the response, in bytes, as estimated.
        param: the field of the request that it depends on.
        remedy: what to do; completes a sentence.

    Raises:
        APIError: 400, `response_too_large`.
    """
    most = service.options.response_bytes
    if size > most:
        raise APIError(
            HTTPStatus.BAD_REQUEST,
            f"The response would have about {size:,} bytes, and at most {most:,} can be returned in one "
            f"piece: {remedy}.",
            param=param,
            code="response_too_large",
        )


async def json_response(service: Service, content: Callable[[], Any]) -> Response:
    """A response in one piece, whose JSON is made on another thread than the event loop's.

    Args:
        service: which knows how much its front door returns.
        content: what is returned, as `json.dumps` takes it.

    Raises:
        APIError: 500, `response_too_large`: it became larger than estimated.
    """
    body = await asyncio.to_thread(
        lambda: json.dumps(content(), ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    )
    if len(body) > service.options.response_bytes:
        raise APIError(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            f"The response has {len(body):,} bytes, and at most {service.options.response_bytes:,} can be "
            "returned in one piece: ask for fewer tokens or log probabilities, or set 'stream' to true.",
            code="response_too_large",
        )
    return Response(body, media_type="application/json")
