"""Bedrock's Converse and ConverseStream, for models of every maker, asked in OpenAI's format."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final
from urllib.parse import quote

import httpx2

from lambda_llm.backends.contract import Chunk, Operation, Request
from lambda_llm.backends.converse_answer import ConverseAnswer
from lambda_llm.backends.converse_request import ConverseOptions, UnsupportedFieldError, converse_request
from lambda_llm.backends.errors import BackendError, Kind
from lambda_llm.backends.http import HTTP

_NO_OPTIONS: Final = ConverseOptions()


class Converse:
    """See the module."""

    def __init__(
        self, name: str, url: str, model: str, *, auth: httpx2.Auth, options: ConverseOptions = _NO_OPTIONS
    ) -> None:
        """Take the address; nothing is sent.

        Args:
            name: of the backend, for errors.
            url: `endpoints.endpoint("bedrock-runtime", region)`, or that of a VPC endpoint.
            model: id, or ARN, of a model or of an inference profile.
            auth: authorizes each request: signed for `bedrock`, or with a key of Bedrock.
            options: what every request gets.
        """
        self._http = HTTP(name, url, auth)
        self._model = model
        self._options = options

    def unsupported(self, request: Request) -> str | None:
        """See `contract.Backend`."""
        try:
            self._translated(request)
        except UnsupportedFieldError as error:
            return str(error)
        return None

    async def open(self, request: Request) -> AsyncGenerator[Chunk]:
        """See `contract.Backend`."""
        try:
            body = json.dumps(self._translated(request)).encode()
        except UnsupportedFieldError as error:
            field = str(error)
            raise BackendError(
                Kind.UNSUPPORTED,
                f"The backend {self._http.name!r} (Bedrock's Converse) can't honour {field!r}: leave it out, or choose "
                "another model.",
                param=field,
            ) from None
        path = f"/model/{quote(self._model, safe='')}/converse{'-stream' if request.stream else ''}"
        answer = ConverseAnswer(request, self._model, self._http)
        async with self._http.post(request, path, body) as response:
            if request.stream:
                async with aclosing(answer.streamed(response.aiter_bytes())) as chunks:
                    async for chunk in chunks:
                        yield chunk
            else:
                yield answer.whole(await self._http.whole(response.aiter_bytes()))

    def _translated(self, request: Request) -> dict[str, Any]:
        """The body that is sent; raises UnsupportedFieldError."""
        if request.operation is not Operation.CHAT:
            raise UnsupportedFieldError(request.operation.value)
        return converse_request(request.body, self._options)

    async def close(self) -> None:
        """See `contract.Backend`."""
        await self._http.close()
