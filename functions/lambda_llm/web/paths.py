"""Paths as clients spell them: with a slash at the end, without the version, by other servers' names; and HEAD.

HTTP APIs put the stage's name before them: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-stages.html
"""

from collections.abc import Collection, Mapping
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lambda_llm.web.origin import origin_of

ALIASES: Final[Mapping[str, str]] = {
    "/reranking": "/v1/rerank",
    "/v1/reranking": "/v1/rerank",
    "/v2/rerank": "/v1/rerank",
}
"""Paths of llama-server, Cohere and Jina."""


class Paths:
    """ASGI middleware that finds the path that was meant, so that no client is redirected or told that it is wrong."""

    def __init__(self, app: ASGIApp, known: Collection[str]) -> None:
        """Take the application's paths.

        Args:
            app: the application.
            known: its paths without parameters.
        """
        self._app = app
        self._known = known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["path"] = self._meant(scope["path"], origin_of(scope).stage)
        if scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def headers_only(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        # A copy: the server behind goes by the method that it was sent.
        await self._app({**scope, "method": "GET"}, receive, headers_only)

    def _meant(self, path: str, stage: str | None = None) -> str:
        if path in self._known:
            return path
        shorter = path.rstrip("/") or "/"
        # With the version or without it, whichever there is.
        for candidate in (shorter, ALIASES.get(shorter, ""), f"/v1{shorter}", shorter.removeprefix("/v1")):
            if candidate in self._known:
                return candidate
        if stage and path.startswith(f"/{stage}/"):
            return self._meant(path.removeprefix(f"/{stage}"))
        if any(shorter.startswith(f"{each}/") for each in self._known):
            return shorter
        longer = f"/v1{shorter}"
        return longer if any(longer.startswith(f"{each}/") for each in self._known) else path
