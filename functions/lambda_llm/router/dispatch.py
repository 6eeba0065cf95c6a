"""Asking one backend after another until one has begun to answer, and nobody else after that.

With a hedge, a backend that is slow to begin gets company: one other is asked too, the first of both to begin answers,
and the other is left. It happens once for a request at most.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from lambda_llm.backends import conventions
from lambda_llm.backends.contract import Backend, Chunk, Request, Usage, opened
from lambda_llm.backends.errors import BackendError, Kind
from lambda_llm.router.errors import NoBackendError
from lambda_llm.router.facts import Facts
from lambda_llm.router.health import Health
from lambda_llm.router.policy import Candidate, Choice, Option, Prefer, choose
from lambda_llm.telemetry import spans

if TYPE_CHECKING:
    from lambda_llm.telemetry.span import Span

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
        left: whether it was left, as another that was asked later began first. It had worked on the prompt until then,
            and may go on where its platform can't be told to stop.
    """

    backend: str
    failed: Kind | None = None
    left: bool = False


def told(attempts: Sequence[Attempt]) -> str:
    """Who was asked, and after or instead of whom: `gpu=throttled, slow=left, small`."""
    became = [each.failed or ("left" if each.left else None) for each in attempts]
    return ", ".join(
        each.backend if what is None else f"{each.backend}={what}" for each, what in zip(attempts, became, strict=True)
    )


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
        providers: Mapping[str, str] | None = None,
    ) -> None:
        """Take the backends; none is asked.

        Args:
            backends: by name.
            clock: time in seconds, for health.
            health: what is known of them already.
            providers: of their models, by the backend's name, for spans.
        """
        self._providers = providers or {}
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
    async def answer(
        self,
        request: Request,
        choice: Choice,
        hedge_seconds: float | None = None,
        attempts: list[Attempt] | None = None,
    ) -> AsyncIterator[Answer]:
        """Ask the candidates in order; the context has the answer of the first that has begun one.

        Leaving the context early ends the backend's work, wherever its platform tells it.

        Args:
            request: sent at most once to a backend, and to `ATTEMPTS_MAX` of them.
            choice: of the policy.
            hedge_seconds: after which another candidate is asked too, once, while one has not begun to answer; None:
                never.
            attempts: gets all that were asked at the end, also where none has answered; those that had not begun when
                the client left are the last ones.

        Raises:
            NoBackendError: there is no candidate.
            BackendError: none has answered; of several failures the first that says most: a refusal of the request
                before a lack of room. From the chunks: the answer ends early, and no other backend can replace it.
        """
        if not choice.candidates:
            raise NoBackendError(choice)
        race = _Race(request, hedge_seconds, [each.backend for each in choice.candidates[:ATTEMPTS_MAX]])
        answer: Answer | None = None
        try:
            begun, first = await self._first(race)
            answer = Answer(begun.name, [*race.attempts, Attempt(begun.name)])
            answer.chunks = self._rest(answer, first, begun.chunks, begun.seconds)
            try:
                yield answer
            finally:
                await answer.chunks.aclose()
                begun.told(answer)
                if answer.ended:
                    race.running.remove(begun)
        finally:
            if attempts is not None:
                attempts += (
                    answer.attempts if answer else [*race.attempts, *(Attempt(each.name) for each in race.running)]
                )
            for each in race.running:
                self._note(each.name, Health.left)
            await race.close()

    async def _first(self, race: "_Race") -> tuple["_Asked", Chunk]:
        """Who has begun to answer first, and its first chunk; the others are left."""
        while True:
            if not race.running:
                self._ask_next(race)
            if not race.running:
                raise min(race.failures, key=lambda error: _SAYS_MOST.index(error.kind))
            if not await race.somebody():
                race.hedge_seconds = None
                self._ask_next(race)
                continue
            for asked, error in race.failed():
                self._failed(asked.name, error)
            race.check()
            for begun in [each for each in race.running if each.task.done()][:1]:
                begun.seconds = self._clock() - begun.began
                for loser in race.won_by(begun):
                    self._note(loser.name, Health.left)
                return begun, begun.task.result()

    def _ask_next(self, race: "_Race") -> None:
        """Ask the next candidate that may be asked, if there is one and time for it."""
        while race.waiting and (race.request.seconds or not race.attempts):
            name = race.waiting.pop(0)
            # The first was just chosen; another may have failed for somebody else meanwhile.
            if not race.asked or self._health.get(name, Health()).available(self._clock()):
                self._note(name, Health.sent)
                race.ask(name, self._backends[name], self._clock(), self._providers.get(name))
                return

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


class _Asked:
    """A backend that was asked, in a task that ends with its first chunk."""

    def __init__(self, name: str, backend: Backend, request: Request, began: float, provider: str | None) -> None:
        self.name = name
        self.began = began
        self.seconds = 0.0
        self._request = request
        self._provider = provider
        self._recorded = ExitStack()
        self._span: Span | None = None
        self._opened = opened(backend, request)
        self.chunks: AsyncIterator[Chunk]
        self.task = asyncio.create_task(self._first())

    async def _first(self) -> Chunk:
        """The first chunk, within a span that then lasts as long as the answer."""
        model = str(self._request.body.get("model", ""))
        attributes = conventions.asked(self._request, model, self._provider)
        self._span = span = self._recorded.enter_context(
            spans.span(
                f"{attributes['gen_ai.operation.name']} {model}",
                kind="client",
                attributes={**attributes, "lambda_llm.backend": self.name},
            )
        )
        began = time.monotonic()
        try:
            first = await self._begun()
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError):
                span.set("lambda_llm.left", value=True)
            else:
                span.fail(error.kind if isinstance(error, BackendError) else type(error).__name__)
            self._recorded.close()
            raise
        if self._request.stream:
            span.set("gen_ai.response.time_to_first_chunk", time.monotonic() - began)
        return first

    async def _begun(self) -> Chunk:
        self.chunks = await self._opened.__aenter__()
        first = await anext(self.chunks, None)
        if first is None:
            raise BackendError(Kind.BROKEN, f"The answer of the backend {self.name!r} is empty.")
        return first

    def told(self, answer: Answer) -> None:
        """End the span with what the answer took, and how it ended."""
        if self._span is None:
            return
        for name, value in conventions.took(answer.usage).items():
            self._span.set(name, value)
        failed = answer.attempts[-1].failed
        if failed is not None:
            self._span.fail(failed)
        elif not answer.ended:
            self._span.set("lambda_llm.left", value=True)
        self._recorded.close()

    def error(self) -> BackendError | None:
        """How it has failed; None: it has not, until now."""
        if not self.task.done():
            return None
        error = self.task.exception()
        if error is None or isinstance(error, BackendError):
            return error
        raise error  # a bug

    async def close(self) -> None:
        """End it, wherever it is."""
        if self.task.done():
            self._recorded.close()  # of one that began beside another: only who has answered is `told`
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        if hasattr(self, "chunks"):
            await self._opened.__aexit__(None, None, None)


class _Race:
    """The backends that are asked for one request until one has begun to answer."""

    def __init__(self, request: Request, hedge_seconds: float | None, waiting: list[str]) -> None:
        self.request = request
        self.hedge_seconds = hedge_seconds
        self.waiting = waiting
        self.asked: list[_Asked] = []
        self.running: list[_Asked] = []
        self.attempts: list[Attempt] = []
        self.failures: list[BackendError] = []
        self._closing: list[asyncio.Task[None]] = []

    def ask(self, name: str, backend: Backend, now: float, provider: str | None) -> None:
        """Ask a backend."""
        self.asked.append(_Asked(name, backend, self.request, now, provider))
        self.running.append(self.asked[-1])

    async def somebody(self) -> bool:
        """Wait until somebody has begun or failed; False: it is time for a hedge."""
        may_hedge = self.waiting and len(self.running) == 1
        timeout = self.hedge_seconds if may_hedge else None
        done, _ = await asyncio.wait(
            [each.task for each in self.running], timeout=timeout, return_when=asyncio.FIRST_COMPLETED
        )
        return bool(done)

    def failed(self) -> list[tuple[_Asked, BackendError]]:
        """Those that have failed, which run no more."""
        failed = [(each, error) for each in self.running if (error := each.error()) is not None]
        self.running = [each for each in self.running if each not in [asked for asked, _ in failed]]
        self.attempts += [Attempt(asked.name, error.kind) for asked, error in failed]
        self.failures += [error for _, error in failed]
        return failed

    def check(self) -> None:
        """Raise the failure that nobody else may answer after."""
        for error in self.failures:
            if error.kind in _NOT_ELSEWHERE:
                raise error

    def won_by(self, winner: _Asked) -> list[_Asked]:
        """Leave the others, and return them: they end while the winner's answer comes."""
        losers = [each for each in self.running if each is not winner]
        self.running = [winner]
        self.asked = [each for each in self.asked if each not in losers]
        self.attempts += [Attempt(each.name, left=True) for each in losers]
        self._closing += [asyncio.create_task(each.close()) for each in losers]
        return losers

    async def close(self) -> None:
        """End whatever was asked."""
        await asyncio.gather(*self._closing, *(each.close() for each in self.asked))


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
