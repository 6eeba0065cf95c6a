"""For tools that know only an address and a key: a local server that signs and passes on.

Bytes go through as they come, in both directions, but for one thing: a signature covers the request's body, so that is
read whole first. What Lambda itself refuses, and what goes wrong on the way, is told in OpenAI's shape.
"""

import json
import re
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

LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
"""This machine's names for itself."""

_LOOPBACK_ADDRESS: Final = re.compile(rf"(https?://)?({'|'.join(map(re.escape, LOOPBACK))}|\[::1\])(:\d+)?")

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
"""Between two neighbours only. Source: RFC 9110, section 7.6.1."""

_REPLACED: Final = frozenset({"host", "authorization", "accept-encoding", "content-length", "expect"})
"""What the way to Lambda has of its own; the function compresses nothing, and nobody on the way should begin to."""

Headers = Iterable[tuple[bytes, bytes]]


class _ProblemError(Exception):
    """What the caller is told instead of an answer, in OpenAI's shape."""

    def __init__(self, status: int, message: str, code: str) -> None:
        super().__init__(message)
        self.status = status
        kind = "invalid_request_error" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "server_error"
        self.body = {"error": {"message": message, "type": kind, "param": None, "code": code}}


class _Answer:
    """The way back to the caller."""

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
        """Say what is wrong as long as it can be said: by the status, in the stream, or by cutting the connection."""
        said = json.dumps(problem.body).encode()
        if not self._started:
            await self.start(problem.status, [(b"content-type", b"application/json")])
            await self.add(said)
        elif self._streams:
            await self.add(b"\n\ndata: " + said + b"\n\n")
        else:
            return  # the server behind it cuts what is not ended, so that half an answer is not taken for a whole
        await self.end()


class Proxy:
    """An ASGI application that passes every request on to one Function URL, signed; run it with its lifespan."""

    def __init__(self, target: str, auth: SigV4Auth, *, anywhere: bool = False) -> None:
        """Nothing is sent yet.

        Args:
            target: address of the server, without a path.
            auth: signs.
            anywhere: answer under any name, not only under this machine's own for itself.
        """
        self._target = httpx2.URL(target)
        self._anywhere = anywhere
        self._client = httpx2.AsyncClient(
            auth=auth,
            timeout=httpx2.Timeout(TIMEOUT_MAX_SECONDS, connect=CONNECT_SECONDS),
            limits=httpx2.Limits(max_connections=None),
        )
        self._client.headers = httpx2.Headers({"accept-encoding": "identity"})  # nothing is said that was not said
        self._running: set[anyio.CancelScope] = set()

    def stop_answering(self) -> None:
        """End every answer that is on its way."""
        for scope in self._running:
            scope.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        request, answer = Request(scope, receive), _Answer(send)
        async with anyio.create_task_group() as tasks:
            problem = _ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "The proxy is stopping: ask again.", "stopping")
            with anyio.CancelScope() as until_stopped:
                self._running.add(until_stopped)
                try:
                    self._require_a_neighbour(request)
                    body = await _whole(request)
                    tasks.start_soon(_leave_with_the_client, receive, tasks.cancel_scope)
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

    async def _live(self, receive: Receive, send: Send) -> None:
        async with self._client:
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    def _require_a_neighbour(self, request: Request) -> None:
        """Let no web page that a browser on this machine shows spend the person's credentials.

        A page of elsewhere sends its `Origin`; one whose own name was made to point here sends that as `Host`.
        """
        said = [request.headers[name] for name in ("host", "origin") if name in request.headers]
        if not self._anywhere and not all(_LOOPBACK_ADDRESS.fullmatch(each) for each in said):
            raise _ProblemError(
                HTTPStatus.FORBIDDEN,
                "This proxy signs with somebody's AWS credentials, so it answers programs on its own machine and no "
                "web page of elsewhere: ask it at the address that it printed.",
                "not_local",
            )

    async def _exchange(self, request: Request, body: bytes, answer: _Answer) -> None:
        path, query = request.scope["raw_path"], request.scope["query_string"]
        headers = _end_to_end(request.headers.raw, _REPLACED)
        url = self._target.copy_with(raw_path=path + (b"?" + query if query else b""))
        async with self._client.stream(request.method, url, headers=headers, content=body or None) as response:
            if response.is_error and request.method != "HEAD":
                await response.aread()
                _require_openai_s_shape(response)
                await answer.start(response.status_code, response.headers.raw)
                await answer.add(response.content)
            else:
                await answer.start(response.status_code, response.headers.raw)
                async for chunk in response.aiter_raw():
                    await answer.add(chunk)
        await answer.end()


async def _leave_with_the_client(receive: Receive, answering: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    answering.cancel()


async def _whole(request: Request) -> bytes:
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


def _end_to_end(headers: Headers, but: frozenset[str] = frozenset()) -> list[tuple[bytes, bytes]]:
    """The headers that concern more than the next neighbour, their names in lower case."""
    pairs = [(name.lower(), value) for name, value in headers]
    named = {
        each.strip().lower() for name, value in pairs if name == b"connection" for each in value.decode().split(",")
    }
    left_out = _HOP_BY_HOP | but | named
    return [(name, value) for name, value in pairs if name.decode() not in left_out]


def _require_openai_s_shape(response: httpx2.Response) -> None:
    """Return if the function itself speaks.

    Raises:
        _ProblemError: what Lambda said in its place.
    """
    try:
        said = response.json()
    except ValueError:
        said = response.text[:200]
    if isinstance(said, dict):
        if "error" in said:
            return
        said = said.get("message") or said.get("Message")
    reason = str(said or response.reason_phrase).rstrip(".")
    hint = ""
    if response.status_code == HTTPStatus.FORBIDDEN:
        hint = (
            " Your IAM identity needs lambda:InvokeFunctionUrl and lambda:InvokeFunction, and its credentials must "
            "be valid now."
        )
    raise _ProblemError(response.status_code, f"AWS refused the request: {reason}.{hint}", "aws_refused")


def _explained(error: Exception) -> _ProblemError:
    if isinstance(error, _ProblemError):
        return error
    if isinstance(error, CredentialsError):
        return _ProblemError(HTTPStatus.UNAUTHORIZED, str(error), "aws_credentials")
    if isinstance(error, httpx2.TimeoutException):
        return _ProblemError(HTTPStatus.GATEWAY_TIMEOUT, "The function did not answer in time: ask again.", "timeout")
    return _ProblemError(
        HTTPStatus.BAD_GATEWAY,
        f"The function can't be reached, or broke off ({error or type(error).__name__}): check its address, and ask "
        "again.",
        "unreachable",
    )
