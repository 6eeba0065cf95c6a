"""A server of OpenAI's API over HTTP.

It is our own function behind its Function URL (signed for `lambda`), Bedrock's OpenAI endpoint (signed for `bedrock`,
or a key), SageMaker's gateway, vLLM on ECS behind a load balancer, or any service elsewhere: they differ by `auth`.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any, Final

import httpx2

from lambda_llm.backends.contract import Chunk, Operation, Request, Usage
from lambda_llm.backends.errors import BackendError, Kind
from lambda_llm.backends.http import HTTP

DONE: Final = "[DONE]"

_LAST_EVENTS: Final[Mapping[Operation, frozenset[str]]] = {
    Operation.RESPONSES: frozenset({"response.completed", "response.incomplete", "response.failed"}),
    Operation.MESSAGES: frozenset({"message_stop"}),
}
"""Events after which a stream is complete; those of the other operations end with `[DONE]`."""


class OpenAIHTTP:
    """See the module."""

    def __init__(
        self,
        name: str,
        url: str,
        model: str,
        *,
        auth: httpx2.Auth | None = None,
        operations: frozenset[Operation] = frozenset({Operation.CHAT}),
        fixed: Mapping[str, Any] | None = None,
    ) -> None:
        """Take the address; nothing is sent.

        Args:
            name: of the backend, for errors.
            url: of the server, with or without `/v1` at its end.
            model: as the server calls it.
            auth: authorizes each request.
            operations: that the server has.
            fixed: fields that every request gets, over the client's, such as `service_tier`.
        """
        self._http = HTTP(name, url.rstrip("/").removesuffix("/v1"), auth)
        self._model = model
        self._operations = operations
        self._fixed = dict(fixed or {})

    def unsupported(self, request: Request) -> str | None:
        """See `contract.Backend`: which fields it honours, the server itself says."""
        return None if request.operation in self._operations else request.operation.value

    async def open(self, request: Request) -> AsyncGenerator[Chunk]:
        """See `contract.Backend`."""
        body = json.dumps(sent(request, self._model, self._fixed)).encode()
        async with self._http.post(request, request.operation.value, body) as response:
            if request.stream:
                events = aiter(httpx2.EventSource(response))
                async with aclosing(streamed(request.operation, events, self._http)) as chunks:
                    async for chunk in chunks:
                        yield chunk
            else:
                yield whole(await self._http.whole(response.aiter_bytes()), self._http)

    async def close(self) -> None:
        """See `contract.Backend`."""
        await self._http.close()


def sent(request: Request, model: str, fixed: Mapping[str, Any]) -> dict[str, Any]:
    """What is sent for a request: with the server's own name of the model, and in streams with usage."""
    body = {**request.body, "model": model, **fixed}
    if request.stream and request.operation in {Operation.CHAT, Operation.COMPLETIONS}:
        options = body.get("stream_options")
        body["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
    return body


def whole(content: bytes, http: HTTP) -> Chunk:
    """The only chunk of an answer in one piece.

    Raises:
        BackendError: it is no JSON object, or an error.
    """
    answer = _parsed(content, http)
    if answer.get("error") is not None:
        raise http.broken("is an error, in spite of its status")
    return Chunk(json.dumps(answer, separators=(",", ":")).encode(), usage=usage_of(answer.get("usage")))


async def streamed(
    operation: Operation, events: AsyncIterator[httpx2.ServerSentEvent], http: HTTP
) -> AsyncGenerator[Chunk]:
    """The chunks of a stream of server-sent events.

    Raises:
        BackendError: the stream has an error, what is no JSON, or ends before its last event.
    """
    last = _LAST_EVENTS.get(operation)
    try:
        async for each in events:
            if not each.data:
                continue  # as the format says: it sets a time or an id, and is no event
            if each.data == DONE:
                if last is None:
                    return
                continue
            event = "" if each.event == "message" and last is None else each.event
            yield _chunk(each.data, event, http)
            if last is not None and event in last:
                return
    except httpx2.SSEError:
        raise http.broken("is no stream of events, or has one that is too long") from None
    finally:
        if isinstance(events, AsyncGenerator):
            await events.aclose()  # now: left to the collector, its parts would be closed twice at once
    raise http.broken("ends in the middle")


def _chunk(data: str, event: str, http: HTTP) -> Chunk:
    # Most events are a token: those that can have more than text are looked into, the others are passed on.
    if '"usage"' not in data and '"error"' not in data:
        if not (data.startswith("{") and data.endswith("}")):
            raise http.broken("has an event that is no JSON object")
        return Chunk(data.encode(), event)
    parsed = _parsed(data, http)
    if (error := parsed.get("error")) is not None or event == "error":
        code = error.get("code") if isinstance(error, dict) else None
        throttled = code in {"rate_limit_exceeded", "overloaded_error", 429}
        raise BackendError(
            Kind.THROTTLED if throttled else Kind.BROKEN, f"The backend {http.name!r} failed while it answered."
        )
    inner = next((parsed[name] for name in ("response", "message") if isinstance(parsed.get(name), dict)), parsed)
    return Chunk(data.encode(), event, usage_of(inner.get("usage")), usage_only=parsed.get("choices") == [])


def usage_of(usage: Any) -> Usage | None:
    """Usage as chat completions, Responses or Anthropic's messages say it; None: they say none that can be read."""
    if not isinstance(usage, dict):
        return None
    details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    numbers: list[Any] = [
        usage.get("prompt_tokens", usage.get("input_tokens", 0)),
        usage.get("completion_tokens", usage.get("output_tokens", 0)),
        cached or 0,
        # Anthropic's input_tokens are those that no cache had.
        usage.get("cache_read_input_tokens") or 0,
        usage.get("cache_creation_input_tokens") or 0,
    ]
    if any(isinstance(number, bool) or not isinstance(number, int) or number < 0 for number in numbers):
        return None
    given, output, part, read, written = numbers
    return Usage(given + read + written, output, part + read)


def _parsed(data: str | bytes, http: HTTP) -> dict[str, Any]:
    try:
        parsed = json.loads(data)
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        raise http.broken("is no JSON object")
    return parsed
