"""How a request to a backend is authorized: not at all, with a key, or with IAM."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from http import HTTPStatus

import httpx2

Key = Callable[[str | None], Awaitable[str]]
"""Gives a key, which lives in memory only; it gets the one that was refused, and then reads it again."""


class BearerAuth(httpx2.Auth):
    """Sends a key, which is read when the first request needs it, and again once it was refused: keys are rotated."""

    def __init__(self, key: Key, header: str = "Authorization", prefix: str = "Bearer ") -> None:
        """Take what gives the key; nothing is read.

        Args:
            key: gives it.
            header: that it is sent in.
            prefix: before it.
        """
        self._key = key
        self._header = header
        self._prefix = prefix

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        """See `httpx2.Auth`."""
        used = await self._key(None)
        request.headers[self._header] = self._prefix + used
        response = yield request
        if response.status_code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            key = await self._key(used)
            if key != used:
                request.headers[self._header] = self._prefix + key
                yield request
