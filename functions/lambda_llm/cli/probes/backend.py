"""Probes of a backend of the router, of whatever kind: asked by the router's own adapter, as the router asks it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from lambda_llm.backends.contract import Backend, Chunk, Operation, Request, Usage, opened
from lambda_llm.backends.errors import BackendError, Kind
from lambda_llm.cli.probes.base import Finding, ok, unknown, wrong
from lambda_llm.errors import LambdaLLMError
from lambda_llm.router import build
from lambda_llm.router.config import Configuration
from lambda_llm.router.secrets import Secrets

PAUSE_SECONDS: Final = 15.0
"""Between requests to one that wakes."""

WAIT_SECONDS: Final = 1800.0
"""How long one may take to wake: an instance, its image, the model."""

ANSWER_SECONDS: Final = 600.0

_SLEEPING: Final = frozenset({Kind.WAKING, Kind.UNAVAILABLE, Kind.THROTTLED, Kind.TIMEOUT})
"""How servers say that they are not there yet: SageMaker's component without a copy, a load balancer without a target,
Lambda without an instance."""

_HELLO: Final = [{"role": "user", "content": "Count from one to ten, in words."}]
_REQUESTS: Final[Mapping[Operation, tuple[str, Mapping[str, Any]]]] = {
    Operation.CHAT: ("max_tokens", {"messages": _HELLO}),
    Operation.COMPLETIONS: ("max_tokens", {"prompt": "One, two, three,"}),
    Operation.RESPONSES: ("max_output_tokens", {"input": "Count from one to ten, in words."}),
    Operation.MESSAGES: ("max_tokens", {"messages": _HELLO}),
    Operation.EMBEDDINGS: ("", {"input": "one"}),
    Operation.RERANK: ("", {"query": "one", "documents": ["one", "two"]}),
}
"""A request of each operation, and the field that limits its answer."""

_TOKENS: Final = 40


class UnknownBackendError(LambdaLLMError):
    """The configuration has no such backend."""


class BackendUnderTest:
    """A backend of a configuration.

    Attributes:
        url: `backend:NAME`; its address is nobody's business.
        region: that it is in.
        health: with its model, as a deployment has it.
        operation: that it is asked for: the first of the configuration.
    """

    def __init__(self, name: str, configuration: Configuration, wait_seconds: float = WAIT_SECONDS) -> None:
        """Make it; nothing is asked.

        Args:
            name: of the backend.
            configuration: of the router.
            wait_seconds: how long it may take to wake.

        Raises:
            UnknownBackendError: it has no such backend.
            CredentialsError: it is authorized with IAM, and there are no credentials.
        """
        entry = configuration.backends.get(name)
        if entry is None:
            names = ", ".join(configuration.backends)
            raise UnknownBackendError(f"The configuration has no backend {name!r}: use one of {names}.")
        alone = configuration.model_copy(update={"backends": {name: entry}})
        self.url = f"backend:{name}"
        self.region = entry.region
        self.health = {"model": entry.model}
        self.operation = entry.operations[0]
        self.is_open = entry.kind == "openai_http" and entry.auth.kind == "none"
        self.wait_seconds = wait_seconds
        self._backend = build.backends(alone, Secrets().key)[name]
        self._stranger = build.strangers(alone)[name]

    @property
    def generates(self) -> bool:
        """Whether it generates text."""
        return bool(_REQUESTS[self.operation][0])

    @property
    def streams(self) -> bool:
        """Whether it does so in pieces, which not every kind of backend does for each operation."""
        return self.generates and self._backend.unsupported(self._request(stream=True)) is None

    async def ask(self, *, stream: bool = False, tokens: int = _TOKENS, stranger: bool = False) -> list[Chunk]:
        """All of an answer.

        Raises:
            BackendError: there is none.
        """
        request = self._request(stream=stream, tokens=tokens)
        backend: Backend = self._stranger if stranger else self._backend
        if (field := backend.unsupported(request)) is not None:
            raise BackendError(Kind.UNSUPPORTED, f"This kind of backend does not have {field}.")
        async with opened(backend, request) as chunks:
            return [chunk async for chunk in chunks]

    def _request(self, *, stream: bool, tokens: int = _TOKENS) -> Request:
        limit, body = _REQUESTS[self.operation]
        limits = {limit: tokens, "stream": stream} if limit else {}
        deadline = time.monotonic() + ANSWER_SECONDS
        return Request(self.operation, {**body, **limits, "model": "verify"}, deadline, "verify")

    async def close(self) -> None:
        """Close its connections."""
        await asyncio.gather(self._backend.close(), self._stranger.close())


@dataclass(frozen=True)
class BackendProbe:
    """One question to a backend.

    Attributes:
        name: stable, for `--json`.
        question: for people.
        ask: finds the answer.
    """

    name: str
    question: str
    ask: Callable[[BackendUnderTest], Awaitable[Finding]]

    async def run(self, asked: BackendUnderTest) -> Finding:
        """Ask; what prevents an answer becomes one."""
        try:
            return await self.ask(asked)
        except LambdaLLMError as error:
            return wrong(str(error))


async def _awake(asked: BackendUnderTest) -> Finding:
    began = time.monotonic()
    slept: list[BackendError] = []
    while True:
        try:
            await asked.ask()
        except BackendError as error:
            seconds = time.monotonic() - began
            if error.kind not in _SLEEPING:
                return wrong(f"It did not answer: {error}", kind=error.kind.value)
            if seconds >= asked.wait_seconds:
                return wrong(
                    f"It did not answer within {asked.wait_seconds:g} s: {error} Look at its events and its log, or "
                    "give it more time with --wait-seconds.",
                    kind=error.kind.value,
                    requests=len(slept) + 1,
                )
            slept.append(error)
            await asyncio.sleep(min(PAUSE_SECONDS, asked.wait_seconds - seconds))
            continue
        if not slept:
            return ok("It answered at once.", seconds=time.monotonic() - began)
        kinds = ", ".join(sorted({each.kind.value for each in slept}))
        return ok(
            f"It slept: {len(slept)} requests failed ({kinds}) until it answered.",
            seconds=time.monotonic() - began,
            failed=len(slept),
            retry_after_seconds=max((each.retry_after or 0.0 for each in slept), default=0.0),
        )


async def _streaming(asked: BackendUnderTest) -> Finding:
    if not asked.streams:
        return unknown("It streams no answers to this operation.")
    chunks = await asked.ask(stream=True)
    pieces = sum(not chunk.usage_only for chunk in chunks)
    if pieces < 3:  # noqa: PLR2004 - a beginning or an end, and one text
        return wrong("A stream came in one piece: its server or something before it buffers.", pieces=pieces)
    return ok(f"A stream came in {pieces} pieces.", pieces=pieces)


async def _usage(asked: BackendUnderTest) -> Finding:
    said = {}
    for stream in (False, True) if asked.streams else (False,):
        usage: Usage | None = None
        for chunk in await asked.ask(stream=stream):
            usage = chunk.usage.with_later(usage) if chunk.usage else usage
        said["a stream" if stream else "an answer in one piece"] = usage
    silent = [name for name, usage in said.items() if usage is None or not usage.input]
    if silent:
        return wrong(
            f"It does not say how many tokens {' and '.join(silent)} took: tenants are charged by an estimate. Have "
            "the server report usage."
        )
    figures = {
        f"{name.split()[-1]}_{part}": getattr(usage, part)
        for name, usage in said.items()
        for part in ("input", "output")
    }
    return ok("It says what answers took.", **figures)


async def _limit(asked: BackendUnderTest) -> Finding:
    if not asked.generates:
        return unknown("It generates no text.")
    chunks = await asked.ask(tokens=1)
    usage = next((chunk.usage for chunk in chunks if chunk.usage is not None), None)
    if usage is None:
        return unknown("It does not say how many tokens an answer took.")
    if usage.output > 1:
        return wrong(
            f"It wrote {usage.output} tokens, and one was allowed: a request may cost more than what is reserved.",
            tokens=usage.output,
        )
    return ok("It writes no more than it may.", tokens=usage.output)


async def _strangers(asked: BackendUnderTest) -> Finding:
    if asked.is_open:
        return unknown("The configuration has no authorization for it: its network alone says who may ask.")
    try:
        await asked.ask(stranger=True)
    except BackendError as error:
        if error.kind is Kind.FORBIDDEN:
            return ok("Without credentials it refuses.")
        return unknown(f"Without credentials it failed otherwise: {error}", kind=error.kind.value)
    return wrong("It answers without credentials: whoever reaches it can use it. Have it ask for a key or a signature.")


PROBES: Final = (
    BackendProbe("awake", "Does it answer, and how does it wake?", _awake),
    BackendProbe("streaming", "Do tokens arrive one by one?", _streaming),
    BackendProbe("usage", "Does it say what an answer took?", _usage),
    BackendProbe("limit", "Does it keep to the limit of an answer?", _limit),
    BackendProbe("strangers", "Are strangers refused?", _strangers),
)
"""In the order in which they are asked; if the first is wrong, the others are not."""


def findings(asked: BackendUnderTest, done: Callable[[], None]) -> list[tuple[BackendProbe, Finding]]:
    """Ask all questions.

    Args:
        asked: the backend.
        done: called after each.
    """
    return asyncio.run(_findings(asked, done))


async def _findings(asked: BackendUnderTest, done: Callable[[], None]) -> list[tuple[BackendProbe, Finding]]:
    found: list[tuple[BackendProbe, Finding]] = []
    try:
        for probe in PROBES:
            failed = bool(found) and found[0][1].outcome == "wrong"
            found.append((probe, unknown("It did not answer.") if failed else await probe.run(asked)))
            done()
    finally:
        await asked.close()
    return found
