"""A limit on request bodies, the same on Lambda and elsewhere."""

from collections.abc import MutableMapping
from http import HTTPStatus
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from lambda_llm.limits import BUFFERED_PAYLOAD_BYTES

BODY_BYTES_MAX: Final = BUFFERED_PAYLOAD_BYTES
"""Lambda's limit, enforced everywhere, so that what works locally works on Lambda."""


class BodyLimit:
    """ASGI middleware that refuses a body that is too large, by its Content-Length or while it is read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        size = 0

        async def limited() -> MutableMapping[str, Any]:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > BODY_BYTES_MAX or (declared.isdigit() and int(declared) > BODY_BYTES_MAX):
                raise HTTPException(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                    f"The request body is larger than {BODY_BYTES_MAX:,} bytes, which is the limit of Lambda: send a "
                    "smaller one.",
                )
            return message

        await self._app(scope, limited, send)
