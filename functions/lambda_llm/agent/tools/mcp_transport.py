"""What a tool server may send: bytes of one origin, uncompressed, counted.

A body of 100 MB, a compression bomb or an endless stream of events ends here, before anything parses it.
"""

import ipaddress
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Protocol

import httpx2

from lambda_llm.agent.errors import AgentDefinitionError

ANSWERS_BYTES: Final = 4 * 1024 * 1024
"""Most that a server may send during one call, headers aside, all its answers together."""
EVENT_LINES: Final = 20_000
"""Most lines of event streams during one call: small events cost more than their bytes."""

_NOT_SENT: Final = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


class RefusedError(httpx2.TransportError):
    """The server sends what is not taken; its text continues "The tool server 'name' …"."""


class Cancellable(Protocol):
    """A cancel scope."""

    def cancel(self) -> None:
        """End what runs in it."""


@dataclass
class Exchange:
    """One request and what came of it.

    Attributes:
        sent: whether the server may have read the request.
        status: of the answer.
        retry_after: its header, as it came, of at most 40 printable characters.
        content_type: of the answer, without parameters.
    """

    sent: bool = False
    status: int | None = None
    retry_after: str | None = None
    content_type: str = ""


def checked_url(url: str, what: str) -> httpx2.URL:
    """An address that credentials may be sent to: HTTPS, or this machine.

    Raises:
        AgentDefinitionError: it is another one.
    """
    try:
        found = httpx2.URL(url)
    except (httpx2.InvalidURL, TypeError, ValueError):
        raise AgentDefinitionError(f"The address of {what} is no URL.") from None
    if found.userinfo or found.fragment or not found.host:
        raise AgentDefinitionError(f"The address of {what} must have a host, and no user and no fragment.")
    if found.scheme != "https" and not (found.scheme == "http" and _is_loopback(found.host)):
        raise AgentDefinitionError(
            f"The address of {what} must begin with https://; http:// is for this machine alone."
        )
    return found


class Guard(httpx2.AsyncBaseTransport):
    """Transport of one call.

    Attributes:
        refusal: why the server is not listened to any more; continues "The tool server 'name' …".
        call: the request that calls the tool.
        refused: the last request that got a redirect or an error status.
        scope: is cancelled by a refusal, which the client's tasks would otherwise take for a lost connection.
    """

    def __init__(self, origin: httpx2.URL, most: int = ANSWERS_BYTES) -> None:
        """Allow one origin.

        Args:
            origin: whose scheme, host and port requests may go to.
            most: bytes of all answers together.
        """
        self.refusal: str | None = None
        self.call = Exchange()
        self.refused: Exchange | None = None
        self.scope: Cancellable | None = None
        self.received = 0
        self._origin = (origin.scheme, origin.host, origin.port)
        self._most = most
        self._lines = EVENT_LINES
        self._inner = httpx2.AsyncHTTPTransport(trust_env=False)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request.

        Raises:
            RefusedError: it goes elsewhere, or the answer is not taken.
        """
        if self.refusal is not None:
            raise RefusedError(self.refusal)
        if (request.url.scheme, request.url.host, request.url.port) != self._origin:
            raise self.refuse("leads to another origin, which is not followed.")
        request.headers["accept-encoding"] = "identity"
        exchange = Exchange()
        method = _method(request)
        if method == "tools/call":
            self.call = exchange
        exchange.sent = True
        try:
            response = await self._inner.handle_async_request(request)
        except _NOT_SENT:
            exchange.sent = False
            raise
        exchange.status = response.status_code
        exchange.retry_after = _printable(response.headers.get("retry-after"))
        exchange.content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if method is not None and response.status_code >= HTTPStatus.MULTIPLE_CHOICES:
            self.refused = exchange
        length = response.headers.get("content-length", "")
        if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
            await response.aclose()
            raise self.refuse("answers with a compressed body, which it was asked not to do.")
        if length.isdecimal() and int(length[:20]) > self._most - self.received:
            await response.aclose()
            raise self.refuse(f"answers with more than {self._most:,} bytes.")
        counted = _Counted(response.stream, self, events=exchange.content_type == "text/event-stream")
        return httpx2.Response(
            response.status_code,
            headers=response.headers,
            stream=counted,
            extensions=response.extensions,
            request=request,
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()

    def take(self, chunk: bytes, *, events: bool) -> None:
        """Count what came.

        Raises:
            RefusedError: it is too much.
        """
        self.received += len(chunk)
        if self.received > self._most:
            raise self.refuse(f"answers with more than {self._most:,} bytes.")
        if events:
            self._lines -= chunk.count(b"\n") + chunk.count(b"\r")
            if self._lines < 0:
                raise self.refuse(f"answers with more than {EVENT_LINES:,} lines of events.")

    def refuse(self, sentence: str) -> RefusedError:
        """Listen to the server no more."""
        self.refusal = self.refusal or sentence
        if self.scope is not None:
            self.scope.cancel()
        return RefusedError(self.refusal)


class _Counted(httpx2.AsyncByteStream):
    def __init__(self, inner: Any, guard: Guard, *, events: bool) -> None:
        self._inner = inner
        self._guard = guard
        self._events = events

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._inner:
            self._guard.take(chunk, events=self._events)
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()


def _method(request: httpx2.Request) -> str | None:
    """Of the JSON-RPC request that is sent; None: it is none that a call waits for."""
    if request.method != "POST" or request.headers.get("content-type") != "application/json":
        return None
    message = json.loads(request.content)
    method = message.get("method") if isinstance(message, dict) and "id" in message else None
    return method if isinstance(method, str) else None


def _printable(value: str | None) -> str | None:
    return "".join(each for each in value if " " <= each <= "~")[:40] if value else None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
