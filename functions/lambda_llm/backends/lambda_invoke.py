"""A function of ours, invoked by the ARN of its alias: with IAM alone, without a Function URL.

Source: https://docs.aws.amazon.com/lambda/latest/api/API_InvokeWithResponseStream.html
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import httpx2

from lambda_llm.aws.invoke import SEPARATOR, event, response
from lambda_llm.backends.contract import Chunk, Operation, Request
from lambda_llm.backends.errors import BackendError, Kind
from lambda_llm.backends.events import aws_events, fields_of, sse
from lambda_llm.backends.http import ANSWER_BYTES_MAX, HTTP
from lambda_llm.backends.openai_http import sent, streamed, whole
from lambda_llm.telemetry.propagation import carried

_EXCEPTIONS: Final[Mapping[str, Kind]] = {
    "ServiceException": Kind.UNAVAILABLE,
    "TooManyRequestsException": Kind.THROTTLED,
}


class LambdaInvoke:
    """See the module."""

    def __init__(
        self,
        name: str,
        url: str,
        alias: str,
        model: str,
        *,
        auth: httpx2.Auth,
        operations: frozenset[Operation] = frozenset({Operation.CHAT}),
    ) -> None:
        """Take the address; nothing is sent.

        Args:
            name: of the backend, for errors.
            url: `endpoints.endpoint("lambda", region)`, or that of a VPC endpoint.
            alias: ARN of the function's alias.
            model: as the function calls it.
            auth: signs each request, for `lambda`.
            operations: that the function's model has.
        """
        self._http = HTTP(name, url, auth)
        self._path = f"/2021-11-15/functions/{quote(alias, safe='')}/response-streaming-invocations"
        self._model = model
        self._operations = operations

    def unsupported(self, request: Request) -> str | None:
        """See `contract.Backend`: which fields it honours, the function itself says."""
        return None if request.operation in self._operations else request.operation.value

    async def open(self, request: Request) -> AsyncGenerator[Chunk]:
        """See `contract.Backend`; an invocation goes on to its end even if its answer is closed early."""
        content = json.dumps(sent(request, self._model, {})).encode()
        payload = event("POST", request.operation.value, content, request.id, carried())
        async with (
            self._http.post(request, self._path, payload) as invoked,
            aclosing(self._payload(invoked.aiter_bytes())) as parts,
        ):
            status, headers, begun = await self._begun(parts)
            body = _joined(begun, parts)
            if status != HTTPStatus.OK:
                raise self._http.refused(status, headers, await self._http.whole(body))
            if request.stream:
                async with aclosing(streamed(request.operation, sse(body), self._http)) as chunks:
                    async for chunk in chunks:
                        yield chunk
            else:
                yield whole(await self._http.whole(body), self._http)

    async def close(self) -> None:
        """See `contract.Backend`."""
        await self._http.close()

    async def _payload(self, parts: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
        """What the function answered, up to the event that says how the invocation ended."""
        async for kind, payload in aws_events(parts, self._http, lambda name, _: _EXCEPTIONS.get(name, Kind.BROKEN)):
            if kind == "PayloadChunk":
                yield payload
            elif kind == "InvokeComplete":
                # It comes with status 200 too: the first bytes were sent before the function failed.
                if failure := fields_of(payload).get("ErrorCode"):
                    raise self._failed(str(failure), str(fields_of(payload).get("ErrorDetails")))
                return
        raise self._http.broken("ends in the middle")

    def _failed(self, code: str, details: str) -> BackendError:
        timed_out = any(word in code + details for word in ("Timedout", "Task timed out"))
        return BackendError(
            Kind.TIMEOUT if timed_out else Kind.UNAVAILABLE,
            f"The function of the backend {self._http.name!r} {'ran out of time' if timed_out else 'failed'}: its log "
            "says why.",
        )

    async def _begun(self, parts: AsyncIterator[bytes]) -> tuple[int, Mapping[str, str], bytes]:
        """Status and headers, and what of the body came with them."""
        content = bytearray()
        async for part in parts:
            content += part
            if SEPARATOR in content:
                break
            if len(content) > ANSWER_BYTES_MAX:
                raise self._http.broken("is too long")
        try:
            status, body = response(bytes(content))
            headers = json.loads(content.partition(SEPARATOR)[0]).get("headers") or {}
            return status, {str(name).lower(): str(value) for name, value in headers.items()}, body
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise self._http.broken("is no HTTP response: name the alias of a function for inference") from None


async def _joined(begun: bytes, parts: AsyncIterator[Any]) -> AsyncIterator[bytes]:
    yield begun
    async for part in parts:
        yield part
