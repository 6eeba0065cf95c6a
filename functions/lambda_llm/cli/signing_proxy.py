"""A local proxy that signs requests to a Function URL, for tools that only take a base URL and an API key.

Responses are streamed. Requests are buffered: a signature covers the body. Errors of Lambda itself and of the
connection are returned in OpenAI's format.
"""

import json
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

import anyio
import httpx2
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from lambda_llm.aws.errors import CredentialsError
from lambda_llm.aws.signing import SigV4Auth
from lambda_llm.limits import BUFFERED_PAYLOAD_BYTES, MIB, TIMEOUT_MAX_SECONDS
from lambda_llm.web.hosts import LocalNames

CONNECT_SECONDS: Final = 10
_EVENTS: Final = b"text/event-stream"
_HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers of one connection, which a proxy must not forward. Source: RFC 9110, section 7.6.1."""

_REPLACED: Final = frozenset({"host", "authorization", "accept-encoding", "content-length", "expect"})
"""Set anew for the connection to Lambda; `accept-encoding` so that nothing on the way compresses the response."""

Headers = Iterable[tuple[bytes, bytes]]


class _ProblemError(Exception):
    """An error response, in OpenAI's format."""

    def __init__(self, status: int, message: str, code: str) -> None:
        super().__init__(message)
        self.status = status
        kind = "invalid_request_error" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "server_error"
        self.body = {"error": {"message": message, "type": kind, "param": None, "code": code}}


class _Response:
    """The response to the caller."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._started = self._streams = False

    async def start(self, status: int, headers: Headers) -> None:
        end_to_end = _end_to_end(headers)
        self._streams = any(pair[0] == b"content-type" and pair[1].startswith(_EVENTS) for pair in end_to_end)
        self._started = True
        await self._send({"type": "http.response.start", "status": status, "headers": end_to_end})

    async def add(self, chunk: bytes) -> None:
        await self._send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def end(self) -> None:
        await self._send({"type": "http.response.body", "body": b""})

    async def fail(self, problem: _ProblemError) -> None:
        """Report an error: by the status, as an event of a stream that has begun, or by cutting the connection."""
        body = json.dumps(problem.body).encode()
        if not self._started:
            await self.start(problem.status, [(b"content-type", b"application/json")])
            await self.add(body)
        elif self._streams:
            await self.add(b"\n\ndata: " + body + b"\n\n")
        else:
            return  # the server then cuts the connection, so that the client does not take the part for the whole
        await self.end()


class Proxy:
    """An ASGI application that signs every request and forwards it to one Function URL; run it with its lifespan."""

    def __init__(self, target: str, auth: SigV4Auth, names: LocalNames) -> None:
        """Configure the proxy; it connects with the first request.

        Args:
            target: URL of the server, without a path.
            auth: signs the requests.
            names: by which the proxy is known.
        """
        self._target = httpx2.URL(target)
        self._names = names
        self._client = httpx2.AsyncClient(
            auth=auth,
            timeout=httpx2.Timeout(TIMEOUT_MAX_SECONDS, connect=CONNECT_SECONDS),
            limits=httpx2.Limits(max_connections=None),
        )
        self._client.headers = httpx2.Headers(
            {"accept-encoding": "identity"}
        )  # no default headers besides the caller's
        self._running: set[anyio.CancelScope] = set()

    def stop_answering(self) -> None:
        """Cancel every response in progress."""
        for scope in self._running:
            scope.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        request, answer = Request(scope, receive), _Response(send)
        async with anyio.create_task_group() as tasks:
            problem = _ProblemError(
                HTTPStatus.SERVICE_UNAVAILABLE, "The proxy is stopping: send the request again.", "stopping"
            )
            with anyio.CancelScope() as until_stopped:
                self._running.add(until_stopped)
                try:
                    self._require_local(request)
                    body = await _read_body(request)
                    tasks.start_soon(_cancel_on_disconnect, receive, tasks.cancel_scope)
                    await self._exchange(request, body, answer)
                except (_ProblemError, CredentialsError, httpx2.HTTPError) as error:
                    problem = _explained(error)
                except ClientDisconnect:
                    return
                else:
                    tasks.cancel_scope.cancel()
                    return
                finally:
                    self._running.discard(until_stopped)
            await answer.fail(problem)
            tasks.cancel_scope.cancel()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        async with self._client:
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    def _require_local(self, request: Request) -> None:
        """Reject requests of web pages, which would use the credentials of whoever opens them in a browser here."""
        if foreign := self._names.foreign(request.headers):
            raise _ProblemError(
                HTTPStatus.FORBIDDEN,
                "This proxy signs with AWS credentials, so it accepts requests from programs on its own machine only, "
                f"not from web pages ({foreign!r}): use the URL that it printed, or allow that name with --allow-host.",
                "not_local",
            )

    async def _exchange(self, request: Request, body: bytes, answer: _Response) -> None:
        path, query = request.scope["raw_path"], request.scope["query_string"]
        headers = _end_to_end(request.headers.raw, _REPLACED)
        url = self._target.copy_with(raw_path=path + (b"?" + query if query else b""))
        async with self._client.stream(request.method, url, headers=headers, content=body or None) as response:
            if response.is_error and request.method != "HEAD":
                await response.aread()
                _require_openai_error(response)
                await answer.start(response.status_code, response.headers.raw)
                await answer.add(response.content)
            else:
                await answer.start(response.status_code, response.headers.raw)
                async for chunk in response.aiter_raw():
                    await answer.add(chunk)
        await answer.end()


async def _cancel_on_disconnect(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def _read_body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BUFFERED_PAYLOAD_BYTES:
            raise _ProblemError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"The request body is larger than the {BUFFERED_PAYLOAD_BYTES // MIB} MB that Lambda accepts: send a "
                "shorter one.",
                "request_too_large",
            )
    return bytes(body)


def _end_to_end(headers: Headers, without: frozenset[str] = frozenset()) -> list[tuple[bytes, bytes]]:
    """The headers to forward, with names in lower case."""
    pairs = [(name.lower(), value) for name, value in headers]
    named = {
        each.strip().lower() for name, value in pairs if name == b"connection" for each in value.decode().split(",")
    }
    left_out = _HOP_BY_HOP | without | named
    return [(name, value) for name, value in pairs if name.decode() not in left_out]


def _require_openai_error(response: httpx2.Response) -> None:
    """Return if the error is the function's own.

    Raises:
        _ProblemError: it is an error of Lambda itself.
    """
    try:
        body = response.json()
    except ValueError:
        body = response.text[:200]
    if isinstance(body, dict):
        if "error" in body:
            return
        body = body.get("message") or body.get("Message")
    reason = str(body or response.reason_phrase).rstrip(".")
    hint = ""
    if response.status_code == HTTPStatus.FORBIDDEN:
        hint = (
            " Your IAM identity needs lambda:InvokeFunctionUrl and lambda:InvokeFunction, and its credentials must "
            "not have expired."
        )
    raise _ProblemError(response.status_code, f"AWS refused the request: {reason}.{hint}", "aws_refused")


def _explained(error: Exception) -> _ProblemError:
    if isinstance(error, _ProblemError):
        return error
    if isinstance(error, CredentialsError):
        return _ProblemError(HTTPStatus.UNAUTHORIZED, str(error), "aws_credentials")
    if isinstance(error, httpx2.TimeoutException):
        return _ProblemError(
            HTTPStatus.GATEWAY_TIMEOUT, "The function did not answer in time: send the request again.", "timeout"
        )
    return _ProblemError(
        HTTPStatus.BAD_GATEWAY,
        f"The function can't be reached, or cut the connection ({error or type(error).__name__}): check its URL, and "
        "send the request again.",
        "unreachable",
    )
