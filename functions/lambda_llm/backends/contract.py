"""The contract between whoever has a request (the router, a batch) and a model's server, whatever that is."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from lambda_llm.backends.errors import BackendError


class Operation(StrEnum):
    """What is asked for; the value is the path of the request, after the address of a server."""

    CHAT = "/v1/chat/completions"
    COMPLETIONS = "/v1/completions"
    RESPONSES = "/v1/responses"
    MESSAGES = "/v1/messages"
    EMBEDDINGS = "/v1/embeddings"
    RERANK = "/v1/rerank"


@dataclass(frozen=True)
class Usage:
    """What an answer took, in tokens.

    Attributes:
        input: of the prompt, those read from a cache included.
        output: of the answer, its reasoning included.
        cached: those of `input` that a cache had.
    """

    input: int
    output: int = 0
    cached: int = 0

    def with_later(self, later: "Usage | None") -> "Usage":
        """What is known once a stream has said more: Anthropic's says the prompt first and the answer at its end."""
        if later is None:
            return self
        return Usage(max(self.input, later.input), max(self.output, later.output), max(self.cached, later.cached))


@dataclass(frozen=True)
class Request:
    """A request to a model.

    Attributes:
        operation: what is asked for.
        body: the JSON of the client, in the format of its operation's API. Its `model` is the client's word: a backend
            puts its own in its place.
        deadline: when the answer must have ended, as `time.monotonic` tells it.
        id: of the request; sent along, so that the backend's log has it too.
    """

    operation: Operation
    body: Mapping[str, Any]
    deadline: float
    id: str

    @property
    def stream(self) -> bool:
        """Whether the answer comes in pieces."""
        return self.body.get("stream") is True

    @property
    def seconds(self) -> float:
        """Time left, in seconds; zero after the deadline."""
        return max(0.0, self.deadline - time.monotonic())


@dataclass(frozen=True)
class Chunk:
    """A part of an answer: the only one, or one event of a stream.

    Attributes:
        data: JSON on one line, in the format of the operation's API.
        event: the event's name, which OpenAI's Responses API and Anthropic's Messages API use.
        usage: what the whole answer took, once the backend has said it.
        usage_only: whether this is the event that chat completions have after their last one, for usage alone: for a
            client that did not ask for it, it is left out.
    """

    data: bytes
    event: str = ""
    usage: Usage | None = None
    usage_only: bool = False


class Backend(Protocol):
    """A model's server."""

    def unsupported(self, request: Request) -> str | None:
        """The first field of a request that this kind of server can't honour, or its operation; None: it can.

        Pure: asked before a backend is chosen.
        """

    def open(self, request: Request) -> AsyncGenerator[Chunk]:
        """Send a request once and yield its answer: one chunk, or with `stream` the events in order, without `[DONE]`.

        The chunks end only after a whole answer. Closing the generator early ends the backend's work wherever the
        platform tells it.

        Raises:
            BackendError: there is no answer, or it ends early; `started` says whether a chunk was yielded.
        """

    async def close(self) -> None:
        """Close the connections: a snapshot must not contain an open one. `open` connects again."""


@asynccontextmanager
async def opened(backend: Backend, request: Request) -> AsyncIterator[AsyncIterator[Chunk]]:
    """The chunks of an answer; leaving the context closes them, and an error knows whether there was one before."""
    chunks = backend.open(request)
    try:
        yield _noting_start(chunks)
    finally:
        await chunks.aclose()


async def _noting_start(chunks: AsyncGenerator[Chunk]) -> AsyncIterator[Chunk]:
    started = False
    try:
        async for chunk in chunks:
            yield chunk
            started = True
    except BackendError as error:
        error.started = started
        raise
