"""Asking one backend after another until one has begun to answer, and nobody else after that."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Final

from lambda_llm.backends.contract import Backend, Chunk, Request, Usage, opened
from lambda_llm.backends.errors import BackendError, Kind
from lambda_llm.router.errors import NoBackendError
from lambda_llm.router.facts import Facts
from lambda_llm.router.health import Health
from lambda_llm.router.policy import Candidate, Choice, Option, Prefer, choose

ATTEMPTS_MAX: Final = 3
"""Backends that are asked for one request: more would only make an outage longer for everybody."""

_NOT_ELSEWHERE: Final = frozenset({Kind.INVALID, Kind.BLOCKED})
"""What another backend would say too, or must not be asked for."""


@dataclass(frozen=True)
class Attempt:
    """A backend that was asked.

    Attributes:
        backend: its name.
        failed: how; None: it answered, or its client left.
    """

    backend: str
    failed: Kind | None = None


@dataclass
class Answer:
    """An answer that has begun.

    Attributes:
        backend: that gives it.
        attempts: all backends that were asked, the one that answers last.
        chunks: of it, in order.
        count: chunks that came.
        usage: what it took, as far as the backend has said it until now.
        ended: whether there is nothing more to come; then the last attempt says whether the answer is whole.
    """

    backend: str
    attempts: Sequence[Attempt]
    chunks: AsyncGenerator[Chunk] = field(init=False, repr=False)
    count: int = 0
    usage: Usage | None = None
    ended: bool = False

    @property
    def whole(self) -> bool:
        """Whether all of the answer has come."""
        return self.ended and self.attempts[-1].failed is None


class Dispatcher:
    """Sends requests where the policy says, and remembers how the backends did."""

    def __init__(
        self,
        backends: Mapping[str, Backend],
        clock: Callable[[], float] = time.monotonic,
        health: Mapping[str, Health] | None = None,
    ) -> None:
        """Take the backends; none is asked.

        Args:
            backends: by name.
            clock: time in seconds, for health.
            health: what is known of them already.
        """
        self._backends = backends
        self._clock = clock
        self._health: dict[str, Health] = dict(health or {})

    @property
    def health(self) -> Mapping[str, Health]:
        """What is known of each backend that was asked."""
        return self._health

    def measured(self, utilization: Mapping[str, float]) -> None:
        """Take note of backends' utilization, of all environments together."""
        for name, value in utilization.items():
            self._health[name] = replace(self._health.get(name, Health()), utilization=value)

    def choose(self, request: Request, facts: Facts, options: Sequence[Option], prefer: Prefer) -> Choice:
        """What the policy says now, without backends that can't honour a field of the request.

        Args:
            request: nothing is sent.
            facts: of it.
            options: backends of its model.
            prefer: what comes first.
        """
        able, unable = [], []
        for option in options:
            what = self._backends[option.name].unsupported(request)
            if what is None:
                able.append(option)
            else:
                unable.append(Candidate(option.name, f"does not support {what}"))
        choice = choose(facts, able, prefer, self._health, self._clock())
        return replace(choice, refused=(*choice.refused, *unable))

    @asynccontextmanager
    async def answer(self, request: Request, choice: Choice) -> AsyncIterator[Answer]:
        """Ask the candidates in order; the context has the answer of the first that has begun one.

        Leaving the context early ends the backend's work, wherever its platform tells it.

        Args:
            request: sent at most once to a backend, and to `ATTEMPTS_MAX` of them.
            choice: of the policy.

        Raises:
            NoBackendError: there is no candidate.
            BackendError: none has answered; of several failures the first that says most: a refusal of the request
                before a lack of room. From the chunks: the answer ends early, and no other backend can replace it.
        """
        if not choice.candidates:
            raise NoBackendError(choice)
        attempts: list[Attempt] = []
        failures: list[BackendError] = []
        for candidate in choice.candidates[:ATTEMPTS_MAX]:
            name = candidate.backend
            if failures and not self._health.get(name, Health()).available(self._clock()):
                continue  # it failed for somebody else meanwhile
            async with AsyncExitStack() as stack:
                self._note(name, Health.sent)
                began = self._clock()
                try:
                    chunks = await stack.enter_async_context(opened(self._backends[name], request))
                    first = await anext(chunks, None)
                    if first is None:
                        raise BackendError(Kind.BROKEN, f"The answer of the backend {name!r} is empty.")  # noqa: TRY301
                except BackendError as error:
                    self._failed(name, error)
                    attempts.append(Attempt(name, error.kind))
                    failures.append(error)
                    if error.kind in _NOT_ELSEWHERE or not request.seconds:
                        break
                    continue
                except BaseException:  # the client left, or a bug
                    self._note(name, Health.left)
                    raise
                answer = Answer(name, [*attempts, Attempt(name)])
                answer.chunks = self._rest(answer, first, chunks, self._clock() - began)
                try:
                    yield answer
                finally:
                    await answer.chunks.aclose()
                    if not answer.ended:
                        self._note(name, Health.left)
                return
        raise min(failures, key=lambda error: _SAYS_MOST.index(error.kind))

    async def close(self) -> None:
        """Close every connection; the next request opens new ones."""
        await asyncio.gather(*(backend.close() for backend in self._backends.values()))

    async def _rest(
        self, answer: Answer, first: Chunk, chunks: AsyncIterator[Chunk], seconds: float
    ) -> AsyncGenerator[Chunk]:
        def noted(chunk: Chunk) -> Chunk:
            answer.count += 1
            if chunk.usage is not None:
                answer.usage = chunk.usage.with_later(answer.usage)
            return chunk

        try:
            yield noted(first)
            async for chunk in chunks:
                yield noted(chunk)
        except BackendError as error:
            self._failed(answer.backend, error)
            answer.attempts = [*answer.attempts[:-1], Attempt(answer.backend, error.kind)]
            answer.ended = True
            raise
        answer.ended = True
        self._note(answer.backend, lambda health: health.answered(seconds))

    def _failed(self, name: str, error: BackendError) -> None:
        self._note(name, lambda health: health.failed(error.kind, error.retry_after, self._clock()))

    def _note(self, name: str, change: Callable[[Health], Health]) -> None:
        self._health[name] = change(self._health.get(name, Health()))


_SAYS_MOST: Final = (
    Kind.INVALID,
    Kind.BLOCKED,
    Kind.TOO_LONG,
    Kind.UNSUPPORTED,
    Kind.THROTTLED,
    Kind.WAKING,
    Kind.UNAVAILABLE,
    Kind.TIMEOUT,
    Kind.BROKEN,
    Kind.NOT_FOUND,
    Kind.FORBIDDEN,
)
"""What a client is told of several failures: what it can change, then when to try again, then the rest."""
