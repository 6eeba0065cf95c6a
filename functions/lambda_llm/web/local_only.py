"""A server on this machine is for programs here and pages of its own."""

from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from lambda_llm.web.errors import APIError
from lambda_llm.web.hosts import LocalNames


class LocalOnly:
    """ASGI middleware that refuses requests of web pages of other sites."""

    def __init__(self, app: ASGIApp, names: LocalNames) -> None:
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "http" and (foreign := self._names.foreign(Headers(scope=scope))):
            response = APIError(
                HTTPStatus.FORBIDDEN,
                f"This server is for programs on its own machine and pages of its own, not for {foreign!r}: use the "
                "URL that it printed, or allow that name with --allow-host or that page with --cors.",
                code="not_local",
            ).response()
            await response(scope, receive, send)
            return
        await self._app(scope, receive, send)
