"""Requests to a backend over HTTP: one attempt, bounded in time and size, its failures told by kind.

Whether to try again, and where, is the router's decision: nothing here repeats a request.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from time import time
from typing import Any, Final, cast

import httpx2

from lambda_llm.backends.contract import Request
from lambda_llm.backends.errors import BackendError, Kind
from lambda_llm.errors import LambdaLLMError
from lambda_llm.telemetry.propagation import carried

CONNECT_SECONDS: Final = 5.0
"""Time limit for a connection, TLS included."""

SILENCE_SECONDS: Final = 120.0
"""Longest silence within a streamed answer; before it, and for one in a piece, the deadline alone counts."""

ERROR_BYTES_MAX: Final = 64 * 1024
"""What is read of an error's body."""

ANSWER_BYTES_MAX: Final = 20 * 1024 * 1024
"""Longest answer in one piece; the limit of a streamed response of a Function URL, beyond which nobody could get it."""

CONNECTIONS: Final = 1000
"""Most connections of one backend; streams hold one each."""

_KINDS: Final[Mapping[int, Kind]] = {
    HTTPStatus.BAD_REQUEST: Kind.INVALID,
    HTTPStatus.UNAUTHORIZED: Kind.FORBIDDEN,
    HTTPStatus.PAYMENT_REQUIRED: Kind.FORBIDDEN,
    HTTPStatus.FORBIDDEN: Kind.FORBIDDEN,
    HTTPStatus.NOT_FOUND: Kind.NOT_FOUND,
    HTTPStatus.REQUEST_TIMEOUT: Kind.TIMEOUT,
    # AWS's: a resource is not ready (Lambda), the model failed (Bedrock, SageMaker).
    HTTPStatus.CONFLICT: Kind.UNAVAILABLE,
    HTTPStatus.FAILED_DEPENDENCY: Kind.UNAVAILABLE,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: Kind.TOO_LONG,
    HTTPStatus.UNPROCESSABLE_ENTITY: Kind.INVALID,
    HTTPStatus.TOO_MANY_REQUESTS: Kind.THROTTLED,
    HTTPStatus.GATEWAY_TIMEOUT: Kind.TIMEOUT,
}

_TOO_LONG: Final = re.compile(
    r"context_length_exceeded|context (length|window|size)|(prompt|input) is too long|too many (input )?tokens",
    re.IGNORECASE,
)
"""How servers say that a prompt is longer than the context: OpenAI and vLLM, llama.cpp, Anthropic, Bedrock."""


Refusal = Callable[[int, Mapping[str, str], bytes], BackendError | None]
"""What a service alone knows of a refusal, by status, headers and body; None: nothing."""


class _Bounded(httpx2.AsyncByteStream):
    """The content of a response, until the deadline of its request.

    A limit on reading alone: one on everything that is done between two reads would cancel whoever does it.
    """

    def __init__(self, stream: httpx2.AsyncByteStream, request: Request) -> None:
        self._stream = stream
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        parts = aiter(self._stream)
        while True:
            if not (seconds := self._request.seconds):
                raise TimeoutError
            if self._request.stream:
                seconds = min(seconds, SILENCE_SECONDS)
            try:
                async with asyncio.timeout(seconds):
                    part = await anext(parts)
            except StopAsyncIteration:
                return
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


class HTTP:
    """A client of one server."""

    def __init__(self, name: str, url: str, auth: httpx2.Auth | None = None, refusal: Refusal | None = None) -> None:
        """Take the address; nothing is sent.

        Args:
            name: of the backend, for errors.
            url: of the server, without a slash at the end.
            auth: authorizes each request.
            refusal: asked first about a status other than 200.
        """
        self.name = name
        self._url = url
        self._auth = auth
        self._refusal = refusal
        self._client: httpx2.AsyncClient | None = None

    @asynccontextmanager
    async def post(
        self,
        request: Request,
        path: str,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        expected: HTTPStatus = HTTPStatus.OK,
    ) -> AsyncIterator[httpx2.Response]:
        """Send a request; the context has the response, of the expected status, whose content is still to be read.

        Args:
            request: that this is for: its deadline bounds everything within the context.
            path: after the server's address.
            body: JSON.
            headers: further ones.
            expected: status of an answer.

        Raises:
            BackendError: the server was not reached, refused, was too slow, or the connection broke.
        """
        if self._client is None:
            # Lambda runs one event loop for as long as the environment lives.
            limits = httpx2.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
            timeout = httpx2.Timeout(None, connect=CONNECT_SECONDS)  # the deadline bounds the rest, here and below
            self._client = httpx2.AsyncClient(auth=self._auth, limits=limits, timeout=timeout, trust_env=False)
        all_headers = {"content-type": "application/json", "x-request-id": request.id, **carried(), **(headers or {})}
        built = self._client.build_request("POST", self._url + path, content=body, headers=all_headers)
        try:
            async with asyncio.timeout(request.seconds):
                response = await self._client.send(built, stream=True)
            try:
                response.stream = _Bounded(cast("httpx2.AsyncByteStream", response.stream), request)
                if response.status_code != expected:
                    raise await self._refused(response)
                yield response
            finally:
                await response.aclose()
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise BackendError(
                Kind.UNAVAILABLE if isinstance(error, httpx2.ConnectTimeout) else Kind.TIMEOUT,
                f"The backend {self.name!r} took too long.",
            ) from None
        except httpx2.HTTPError as error:
            # The class alone: a message may have what was sent.
            raise BackendError(
                Kind.UNAVAILABLE, f"The connection to the backend {self.name!r} failed ({type(error).__name__})."
            ) from None
        except LambdaLLMError as error:
            if isinstance(error, BackendError):
                raise
            raise BackendError(Kind.FORBIDDEN, f"The backend {self.name!r} can't be authorized: {error}") from error

    async def whole(self, parts: AsyncIterator[bytes]) -> bytes:
        """The content of a response, or of an answer that came within one.

        Args:
            parts: of it, in order.

        Raises:
            BackendError: it has more than `ANSWER_BYTES_MAX`.
        """
        content = bytearray()
        async for part in parts:
            content += part
            if len(content) > ANSWER_BYTES_MAX:
                raise self.broken(f"is longer than {ANSWER_BYTES_MAX:,} bytes")
        return bytes(content)

    def broken(self, what: str) -> BackendError:
        """The error for an answer that is none.

        Args:
            what: is wrong with it, as the end of a sentence.
        """
        return BackendError(Kind.BROKEN, f"The answer of the backend {self.name!r} {what}.")

    async def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _refused(self, response: httpx2.Response) -> BackendError:
        content = b""
        async for part in response.aiter_bytes():
            content += part[: ERROR_BYTES_MAX - len(content)]
            if len(content) >= ERROR_BYTES_MAX:
                break
        known = self._refusal and self._refusal(response.status_code, response.headers, content)
        return known or self.refused(response.status_code, response.headers, content)

    def refused(self, status: int, headers: Mapping[str, str], content: bytes) -> BackendError:
        """The error for a status other than 200.

        Args:
            status: of HTTP.
            headers: with names in lower case.
            content: the body, or its start.
        """
        code, param = _error_of(content)
        # AWS says it in a header, at times with a colon and an address behind it.
        code = _word(headers.get("x-amzn-errortype", "").partition(":")[0]) or code
        kind = _KINDS.get(status, Kind.UNAVAILABLE if status >= HTTPStatus.INTERNAL_SERVER_ERROR else Kind.INVALID)
        if kind is Kind.INVALID and says_too_long(content):
            kind = Kind.TOO_LONG
        about = f" ({code})" if code else ""
        return BackendError(
            kind,
            f"The backend {self.name!r} refused the request with status {status}{about}.",
            retry_after=seconds_of(headers.get("retry-after")),
            param=param if kind is Kind.INVALID else None,
        )


def says_too_long(content: bytes) -> bool:
    """Whether an error says that the prompt is longer than the model's context."""
    return _TOO_LONG.search(content.decode(errors="replace")) is not None


def seconds_of(retry_after: str | None) -> float | None:
    """Seconds that a `Retry-After` stands for, as a number or as a date; None: there is none that can be read.

    Source: https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
    """
    if retry_after is None:
        return None
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time())
    except (ValueError, OverflowError):
        return None


_WORD: Final = re.compile(r"[A-Za-z0-9_.\[\]-]{1,100}")
"""What a code or the name of a field looks like; a longer text could be a part of a prompt."""


def _error_of(content: bytes) -> tuple[str | None, str | None]:
    """Code and field of an error in OpenAI's format, Anthropic's or AWS's."""
    try:
        parsed: Any = json.loads(content)
        error = parsed.get("error", parsed)
        found = (error.get("code") or error.get("type") or parsed.get("__type"), error.get("param"))
    except (ValueError, AttributeError, RecursionError):
        return None, None
    return _word(found[0]), _word(found[1])


def _word(text: Any) -> str | None:
    return text if isinstance(text, str) and _WORD.fullmatch(text) else None
