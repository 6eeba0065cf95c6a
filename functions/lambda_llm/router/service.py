"""One request from its tenant's rights to its last chunk: chosen, reserved, answered, and charged with what it took."""

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from typing import Any, Protocol

from lambda_llm.backends import conventions
from lambda_llm.backends.contract import Chunk, Operation, Request, Usage
from lambda_llm.backends.tokens import bounded
from lambda_llm.router.budget import Amount, BudgetError, Limits, Window, micro_dollars, refusal
from lambda_llm.router.config import Configuration, ModelEntry
from lambda_llm.router.dispatch import ATTEMPTS_MAX, Answer, Dispatcher, told
from lambda_llm.router.errors import NoBackendError
from lambda_llm.router.facts import Facts
from lambda_llm.router.guardrail import Guardrail
from lambda_llm.router.ledger import LedgerError, Reservation, Standing
from lambda_llm.router.policy import Choice, Option
from lambda_llm.router.request_line import RequestLine
from lambda_llm.router.rights import facts_for, rights_of
from lambda_llm.telemetry import spans
from lambda_llm.telemetry.context import correlation
from lambda_llm.telemetry.lines import OWN
from lambda_llm.telemetry.span import Span
from lambda_llm.web.waiting import settled

logger = logging.getLogger(__name__)


class Budgets(Protocol):
    """What keeps tenants' budgets: `ledger.Ledger`. Its calls wait, and are made on a thread."""

    def reserve(self, tenant: str, estimate: Amount, limits: Limits, request_id: str, now: float) -> Reservation:
        """Keep an amount for a request."""

    def settle(self, reservation: Reservation, actual: Amount) -> None:
        """Charge what it took."""

    def release(self, reservation: Reservation) -> None:
        """Give back all of it."""

    def left(self, tenant: str, limits: Limits, now: float) -> Mapping[Window, Standing]:
        """Where a tenant stands."""


class Router:
    """Answers requests of tenants by the backends of a configuration."""

    def __init__(
        self,
        configuration: Configuration,
        dispatcher: Dispatcher,
        budgets: Budgets,
        clock: Callable[[], float] = time.time,
        guardrails: Mapping[str, Guardrail] | None = None,
    ) -> None:
        """Take what it works with; nothing is asked.

        Args:
            configuration: of backends, models and tenants.
            dispatcher: over the configuration's backends.
            budgets: of its tenants.
            clock: seconds since 1970, for budgets.
            guardrails: of the configuration, by name: `build.guardrails`.

        Raises:
            KeyError: one of the configuration is not given.
        """
        self._guardrails = {name: (guardrails or {})[name] for name in configuration.guardrails}
        self._configuration = configuration
        self._kinds = {
            name: OWN if entry.place == "lambda" else entry.kind for name, entry in configuration.backends.items()
        }
        self._dispatcher = dispatcher
        self._budgets = budgets
        self._clock = clock

    @asynccontextmanager
    async def answer(
        self,
        operation: Operation,
        body: Mapping[str, Any],
        tenant: str,
        request_id: str,
        deadline: float,
        *,
        most: int | None = None,
        line: RequestLine | None = None,
    ) -> AsyncIterator[Answer]:
        """The answer to a tenant's request, once it has begun.

        The most that it may take is reserved before a backend is asked. At the end of the context the tenant is charged
        with what the backend says that it took. Where it does not, as the client left or the answer was cut, that is
        the estimated prompt and a token for each chunk that came. An answer that never began costs nothing. A backend
        that was left for another one, by a hedge, costs the estimated prompt: it worked on it, and none says how far.

        Args:
            operation: what is asked for.
            body: its JSON.
            tenant: who asks, as the front door says.
            request_id: made here for this request: two requests of one id are charged once.
            deadline: when the answer must have ended, as `time.monotonic` tells it.
            most: tokens that an answer may have, beside the model's own limit; None: no other.
            line: told what is known of the request, for whoever writes it.

        Raises:
            UnknownError: the tenant may not do so; nothing was sent or reserved.
            NoBackendError: no backend may be asked; nothing was sent or reserved.
            BudgetError: the tenant's budget does not have enough; nothing was sent.
            LedgerError: nobody knows what the tenant has left; nothing was sent.
            BackendError: no backend has answered, or a guardrail has blocked the request, before any backend got it, or
                the answer. From the chunks: the answer ends early.
        """
        with _routed() as span:
            line = line or RequestLine(operation.value, on=False)
            async with self._answer(operation, body, tenant, request_id, deadline, most, line, span) as answer:
                yield answer

    @asynccontextmanager
    async def _answer(
        self,
        operation: Operation,
        body: Mapping[str, Any],
        tenant: str,
        request_id: str,
        deadline: float,
        most: int | None,
        line: RequestLine,
        span: Span,
    ) -> AsyncIterator[Answer]:
        """See `answer`."""
        line.tenant, line.kinds = tenant, self._kinds
        facts = facts_for(self._configuration, operation.value, body, tenant, most)
        line.model, line.stream = body["model"], body.get("stream") is True
        options = {option.name: option for option in self._configuration.options(body["model"])}
        # The books have an id for each attempt, logs the id of the request that it is for.
        named = correlation().get("request_id", request_id)
        request = Request(operation, bounded(operation, body, facts.output_tokens), deadline, named)
        choice, asked, hedge_seconds = self._choice(request, facts, options)
        for name, value in conventions.asked(request, body["model"]).items():
            span.set(name, value)
        hedged = hedge_seconds is not None
        reservation = None
        if asked:
            try:
                reservation = await self._reserved(tenant, _estimate(facts, asked, hedged=hedged), request_id)
            except BudgetError:
                await asyncio.to_thread(self._note_used, tenant, line)
                raise
        charge: Amount | None = None
        try:
            guardrails = [self._guardrails[name] for name in self._configuration.guardrails_of(body["model"], tenant)]
            for guardrail in guardrails if asked else ():  # what nobody may answer goes to no guardrail either
                await guardrail.check(request)
            async with self._dispatcher.answer(request, choice, hedge_seconds, line.attempts) as answer:
                try:
                    async with _guarded(request, answer, guardrails):
                        line.begun()
                        span.set("lambda_llm.backend", answer.backend)
                        span.set("lambda_llm.attempts", told(answer.attempts))
                        yield answer
                finally:
                    line.usage = _usage(answer, facts)
                    charge = _charge(line.usage, options[answer.backend])
                    for attempt in answer.attempts:
                        if attempt.left:
                            charge += _charge(Usage(facts.input_tokens), options[attempt.backend])
                    line.charge = charge
        finally:
            if reservation is not None:
                # Even while the client's leaving cancels this: the books are closed first.
                await settled(asyncio.ensure_future(asyncio.to_thread(self._close, reservation, charge, line)))

    async def check(self, operation: Operation, body: Mapping[str, Any], tenant: str) -> None:
        """Refuse what `answer` would refuse now, for a request that is answered later; nothing is sent or kept.

        A model whose backends are left alone for a while may have one that answers by then.

        Args:
            operation: what is asked for.
            body: its JSON.
            tenant: who asks, as the front door says.

        Raises:
            UnknownError: the tenant may not do so.
            NoBackendError: no backend may be asked, now or later.
            BudgetError: the tenant's budget does not have enough.
            LedgerError: nobody knows what the tenant has left.
        """
        facts = facts_for(self._configuration, operation.value, body, tenant)
        options = {option.name: option for option in self._configuration.options(body["model"])}
        request = Request(operation, bounded(operation, body, facts.output_tokens), time.monotonic(), "")
        choice, asked, hedge_seconds = self._choice(request, facts, options)
        if not asked:
            if choice.retry_after is None:
                raise NoBackendError(choice)
            return
        limits, now = rights_of(self._configuration, tenant).limits(), self._clock()
        standing = await asyncio.to_thread(self._budgets.left, tenant, limits, now)
        used = {window: each.spent + each.reserved for window, each in standing.items()}
        estimate = _estimate(facts, asked, hedged=hedge_seconds is not None)
        if refusal(estimate, used, limits, now) is not None:
            # Only who reserves gives back what lost requests have reserved.
            kept = await self._reserved(tenant, estimate, f"check-{secrets.token_hex(16)}")
            await settled(asyncio.ensure_future(asyncio.to_thread(self._close, kept, None)))

    def _choice(
        self, request: Request, facts: Facts, options: Mapping[str, Option]
    ) -> tuple[Choice, list[Option], float | None]:
        """What the policy says of a request, whom that may reach, and when a second of them is asked too."""
        model = self._configuration.models[request.body["model"]]
        with spans.span("choose") as span:
            choice = self._dispatcher.choose(request, facts, list(options.values()), model.prefer)
            span.set("lambda_llm.candidates", [f"{each.backend}: {each.why}" for each in choice.candidates])
            span.set("lambda_llm.refused", [f"{each.backend}: {each.why}" for each in choice.refused])
        asked = [options[candidate.backend] for candidate in choice.candidates[:ATTEMPTS_MAX]]
        return choice, asked, _hedge(model, request, asked)

    async def close(self) -> None:
        """Close every connection, as before a snapshot; the next request opens new ones."""
        await asyncio.gather(self._dispatcher.close(), *(each.close() for each in self._guardrails.values()))

    async def _reserved(self, tenant: str, estimate: Amount, request_id: str) -> Reservation:
        """Reserve what the request takes at most; a client that leaves meanwhile has reserved nothing."""
        limits = rights_of(self._configuration, tenant).limits()
        work = asyncio.ensure_future(
            asyncio.to_thread(self._budgets.reserve, tenant, estimate, limits, request_id, self._clock())
        )
        try:
            await settled(work)
        except asyncio.CancelledError:
            if work.exception() is None:
                await settled(asyncio.ensure_future(asyncio.to_thread(self._close, work.result(), None)))
            raise
        return await work

    def _close(self, reservation: Reservation, charge: Amount | None, line: RequestLine | None = None) -> None:
        try:
            if charge is None:
                self._budgets.release(reservation)
            else:
                self._budgets.settle(reservation, charge)
        except LedgerError as error:
            # The answer is the client's; what it took can be charged by hand.
            logger.error(  # noqa: TRY400 - the message is complete
                "request %s of tenant %r was not charged with %s: %s",
                reservation.request_id,
                reservation.tenant,
                charge,
                error,
            )
        if line is not None:
            self._note_used(reservation.tenant, line)

    def _note_used(self, tenant: str, line: RequestLine) -> None:
        """How much of its budget a tenant has used: a read, where somebody wants to know and there is a budget."""
        limits = rights_of(self._configuration, tenant).limits()
        if line.on and limits != Limits():
            with suppress(LedgerError):  # what is not known is left out
                line.used(self._budgets.left(tenant, limits, self._clock()), limits)


@contextmanager
def _routed() -> Iterator[Span]:
    """The span of a request, from its choice to its end; that a client leaves is no failure."""
    with ExitStack() as recorded:
        span = recorded.enter_context(spans.span("route"))
        try:
            yield span
        except (asyncio.CancelledError, GeneratorExit):
            span.set("lambda_llm.left", value=True)
            recorded.close()
            raise


@asynccontextmanager
async def _guarded(request: Request, answer: Answer, guardrails: list[Guardrail]) -> AsyncIterator[None]:
    """Have the chunks of an answer checked, the first of them at once: what is blocked then has not begun."""
    given = answer.chunks
    if not guardrails:
        yield
        return
    checked = given
    for guardrail in guardrails:
        checked = guardrail.checked(request, checked)
    answer.chunks = _with_first(await anext(checked, None), checked)
    try:
        yield
    finally:
        await answer.chunks.aclose()
        await checked.aclose()
        answer.chunks = given


async def _with_first(first: Chunk | None, rest: AsyncGenerator[Chunk]) -> AsyncGenerator[Chunk]:
    if first is not None:
        yield first
    async for chunk in rest:
        yield chunk


def _hedge(model: ModelEntry, request: Request, asked: list[Option]) -> float | None:
    """Seconds after which a second backend is asked too; None: never."""
    # An answer in one piece begins when it ends, which says nothing of a slow start.
    return model.hedge_seconds if request.stream and len(asked) > 1 else None


def _estimate(facts: Facts, asked: list[Option], *, hedged: bool) -> Amount:
    """What a request takes at the dearest of the backends, as any may answer, and with a hedge a second prompt."""

    def dearest(usage: Usage) -> Amount:
        return max((_charge(usage, option) for option in asked), key=lambda amount: amount.micro_dollars)

    estimate = dearest(Usage(facts.input_tokens, facts.output_tokens))
    return estimate + dearest(Usage(facts.input_tokens)) if hedged else estimate


def _usage(answer: Answer, facts: Facts) -> Usage:
    """What an answer took: as its backend says, or as far as anybody knows."""
    if answer.whole and answer.usage is not None:
        return answer.usage
    return Usage(facts.input_tokens, min(facts.output_tokens, answer.count)).with_later(answer.usage)


def _charge(usage: Usage, option: Option) -> Amount:
    return Amount(usage.input + usage.output, micro_dollars(option.price.dollars(usage)))
