"""Request bodies: their limits in size and time, the same on Lambda and elsewhere, and their compression."""

import asyncio
import zlib
from collections.abc import MutableMapping
from http import HTTPStatus
from typing import Any, Final

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from lambda_llm.limits import BUFFERED_PAYLOAD_BYTES

BODY_BYTES_MAX: Final = BUFFERED_PAYLOAD_BYTES
"""Lambda's limit, enforced everywhere, so that what works locally works on Lambda."""

BODY_SECONDS: Final = 60.0
"""How long a client may take to send a body: a megabit a second is enough for the largest."""

_GZIP_OR_ZLIB: Final = 32 + zlib.MAX_WBITS
"""`zlib.decompressobj` then tells the two formats apart by their headers."""


class RequestBody:
    """ASGI middleware that decompresses a body, and refuses one that is too large or does not come."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        declared = headers.get("content-length", "0")
        encoding = headers.get("content-encoding", "identity").strip().lower()
        unpack = zlib.decompressobj(_GZIP_OR_ZLIB) if encoding in {"gzip", "x-gzip", "deflate"} else None
        until = asyncio.get_running_loop().time() + BODY_SECONDS
        size, complete = 0, False

        async def checked() -> MutableMapping[str, Any]:
            nonlocal size, complete
            if complete:
                return await receive()
            if unpack is None and encoding != "identity":
                raise HTTPException(
                    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                    f"The request body's Content-Encoding {encoding!r} is not supported: send it as it is, or with "
                    "gzip.",
                )
            if declared.isdigit() and int(declared) > BODY_BYTES_MAX:
                raise _too_large()
            try:
                async with asyncio.timeout_at(until):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(
                    HTTPStatus.REQUEST_TIMEOUT,
                    f"The request body was not complete after {BODY_SECONDS:g} s: send it again.",
                ) from None
            if message["type"] != "http.request":
                return message
            complete = not message.get("more_body", False)
            body = message.get("body", b"")
            if unpack:
                body = _unpacked(unpack, body, BODY_BYTES_MAX - size, last=complete)
            size += len(body)
            if size > BODY_BYTES_MAX:
                raise _too_large()
            return {**message, "body": body}

        await self._app(scope, checked, send)


def _unpacked(unpack: Any, part: bytes, room: int, *, last: bool) -> bytes:
    """What a part of a compressed body stands for, one byte more than there is room at most."""
    try:
        body: bytes = unpack.decompress(part, room + 1)
    except zlib.error:
        body = b""
        whole = False
    else:
        whole = not last or unpack.eof or len(body) > room
    if not whole:
        raise HTTPException(
            HTTPStatus.BAD_REQUEST, "The request body is not what its Content-Encoding says: compress it again."
        )
    return body


def _too_large() -> HTTPException:
    return HTTPException(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"The request body is larger than {BODY_BYTES_MAX:,} bytes, which is the limit of Lambda: send a smaller one.",
    )
