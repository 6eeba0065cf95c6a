"""The router as it is now: the configuration in use, its backends, and the change to another one while requests run."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from lambda_llm.backends.contract import Backend
from lambda_llm.router.build import backends, guardrails
from lambda_llm.router.config import Configuration
from lambda_llm.router.dispatch import Dispatcher
from lambda_llm.router.guardrail import Guardrail
from lambda_llm.router.secrets import Secrets
from lambda_llm.router.service import Budgets, Router
from lambda_llm.router.source import Reloading
from lambda_llm.router.utilization import Utilization, functions_of

if TYPE_CHECKING:
    from lambda_llm.router.health import Health

REFRESH_SECONDS: Final = 60.0
"""How long a configuration is used before its source is asked for another one."""

WAIT_SECONDS: Final = 5 * REFRESH_SECONDS
"""Age of a configuration from which on a request waits until it is known whether there is another one: an environment
that was frozen knows nothing of what has changed since."""

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Current:
    """What a request is answered with, from its beginning to its end.

    Attributes:
        configuration: that holds.
        digest: of it.
        backends: of it, by name.
        guardrails: likewise.
        dispatcher: over its backends.
        router: over both.
    """

    configuration: Configuration
    digest: str
    backends: Mapping[str, Backend] = field(repr=False)
    guardrails: Mapping[str, Guardrail] = field(repr=False)
    dispatcher: Dispatcher
    router: Router
    requests: int = 0


class Live:
    """Gives each request the configuration that is in use when it comes, and looks for another one meanwhile."""

    def __init__(
        self,
        reloading: Reloading,
        budgets: Budgets,
        secrets: Secrets | None = None,
        utilization: Utilization | None = None,
    ) -> None:
        """Take what it works with; no backend is asked.

        Args:
            reloading: the configuration.
            budgets: of the tenants.
            secrets: keys of the backends.
            utilization: of our functions; None: nobody measures it.
        """
        self._reloading = reloading
        self._budgets = budgets
        self._secrets = secrets or Secrets()
        self._utilization = utilization
        self._measured: dict[str, float] = {}
        self._current: Current | None = None
        self._in_use: list[Current] = []
        self._refresh: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def request(self) -> AsyncIterator[Current]:
        """What a request is answered with; its connections stay open until the context is left.

        Raises:
            CredentialsError: a backend is authorized with IAM, and there are no credentials.
        """
        age = self._reloading.age
        measures = self._utilization is not None and self._utilization.due
        if self._refresh is None and (age >= REFRESH_SECONDS or measures):
            self._refresh = asyncio.ensure_future(self._refreshed())
        if self._refresh is not None and age >= WAIT_SECONDS:
            await asyncio.shield(self._refresh)
        if self._current is None or self._current.digest != self._reloading.digest:
            await self._renew()
        current = self._current
        assert current is not None  # noqa: S101 - made above
        current.requests += 1
        try:
            yield current
        finally:
            current.requests -= 1
            await self._close_unused()

    @property
    def router(self) -> Router:
        """The router in use, for what asks no backend; within a request."""
        assert self._current is not None  # noqa: S101 - made by the request
        return self._current.router

    async def close(self) -> None:
        """Close every connection and forget every key; the next request begins anew."""
        self._current = None
        open_ones, self._in_use = self._in_use, []
        await asyncio.gather(*(each.router.close() for each in open_ones))
        self._secrets.forget()

    async def _refreshed(self) -> None:
        try:
            if self._reloading.age >= REFRESH_SECONDS:
                await asyncio.to_thread(self._reloading.refresh)
            if self._utilization is not None and self._utilization.due:
                functions = functions_of(self._reloading.current)
                self._measured = await asyncio.to_thread(self._utilization.refresh, functions)
                if self._current is not None:
                    self._current.dispatcher.measured(self._measured)
        finally:
            self._refresh = None

    async def _renew(self) -> None:
        """Take the configuration that was read last. What both have in common keeps connections and health."""
        configuration, digest, before = self._reloading.current, self._reloading.digest, self._current
        kept: dict[str, Backend] = {}
        health: dict[str, Health] = {}
        if before is not None:
            same = {
                name
                for name, entry in configuration.backends.items()
                if before.configuration.backends.get(name) == entry
            }
            kept = {name: before.backends[name] for name in same}
            health = {name: known for name, known in before.dispatcher.health.items() if name in same}
        all_of_them = {**backends(configuration, self._secrets.key, without=frozenset(kept)), **kept}
        dispatcher = Dispatcher(all_of_them, health=health)
        dispatcher.measured({name: busy for name, busy in self._measured.items() if name in all_of_them})
        checks = guardrails(configuration)
        router = Router(configuration, dispatcher, self._budgets, guardrails=checks)
        self._current = Current(configuration, digest, all_of_them, checks, dispatcher, router)
        self._in_use.append(self._current)
        await self._close_unused()

    async def _close_unused(self) -> None:
        """Close what only configurations have that were replaced, once no request is left that could use it."""
        unused = [each for each in self._in_use if each is not self._current and not each.requests]
        if not unused:
            return
        self._in_use = [each for each in self._in_use if each not in unused]
        used = {id(backend) for each in self._in_use for backend in each.backends.values()}
        gone = {
            id(backend): backend for each in unused for backend in each.backends.values() if id(backend) not in used
        }
        checks = (guardrail for each in unused for guardrail in each.guardrails.values())
        await asyncio.gather(*(backend.close() for backend in gone.values()), *(each.close() for each in checks))
