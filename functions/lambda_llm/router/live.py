"""The router as it is now: the configuration in use, its backends, and the change to another one while requests run."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from lambda_llm.aws.errors import CredentialsError
from lambda_llm.backends.contract import Backend
from lambda_llm.router.build import backends, guardrails, providers
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
        self._measure: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._unusable: str | None = None

    @asynccontextmanager
    async def request(self) -> AsyncIterator[Current]:
        """What a request is answered with; its connections stay open until the context is left.

        Raises:
            CredentialsError: a backend is authorized with IAM, there are no credentials, and no configuration is in
                use yet that needs none.
        """
        age = self._reloading.age
        if self._refresh is None and age >= REFRESH_SECONDS:
            self._refresh = asyncio.ensure_future(self._refreshed())
        if self._measure is None and self._utilization is not None and self._utilization.due:
            self._measure = asyncio.ensure_future(self._measures(self._utilization))
        if self._refresh is not None and age >= WAIT_SECONDS:
            await asyncio.shield(self._refresh)
        current = self._newest()
        current.requests += 1
        try:
            await self._close_unused()
            yield current
        finally:
            current.requests -= 1
            await self._close_unused()

    @property
    def router(self) -> Router:
        """The router in use, for what asks no backend.

        Raises:
            CredentialsError: see `request`.
        """
        return self._newest().router

    async def close(self) -> None:
        """Close every connection and forget every key; the next request begins anew, with the newest configuration.

        What running requests open after that is closed at their end.
        """
        open_ones, self._current = self._in_use, None
        self._in_use = [each for each in open_ones if each.requests]
        await asyncio.gather(*(each.router.close() for each in open_ones))
        if running := [each for each in (self._refresh, self._measure) if each is not None]:
            await asyncio.wait(running)
        self._reloading.expire()
        self._secrets.forget()

    def stop(self) -> None:
        """Begin to close, within the event loop: running answers end with an error."""
        self._stopping = asyncio.ensure_future(self.close())

    async def _refreshed(self) -> None:
        try:
            await asyncio.to_thread(self._reloading.refresh)
        except Exception:
            logger.exception("the configuration %s stays in use", self._reloading.digest)
        finally:
            self._refresh = None

    async def _measures(self, utilization: Utilization) -> None:
        try:
            functions = functions_of(self._reloading.current)
            self._measured = await asyncio.to_thread(utilization.refresh, functions)
            if self._current is not None:
                self._current.dispatcher.measured(self._measured)
        except Exception:
            logger.exception("the utilization of functions was not read, and stays what it was")
        finally:
            self._measure = None

    def _newest(self) -> Current:
        """The configuration that was read last, or the one before where that one can't be used."""
        digest, before = self._reloading.digest, self._current
        if before is not None and digest in {before.digest, self._unusable}:
            return before
        try:
            return self._renewed(digest, before)
        except CredentialsError as error:
            if before is None:
                raise
            self._unusable = digest
            logger.error(  # noqa: TRY400 - the message is complete
                "the configuration %s stays in use instead of %s: %s", before.digest, digest, error
            )
            return before

    def _renewed(self, digest: str, before: Current | None) -> Current:
        """Take the configuration that was read last. What both have in common keeps connections and health."""
        configuration = self._reloading.current
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
        dispatcher = Dispatcher(all_of_them, health=health, providers=providers(configuration))
        dispatcher.measured({name: busy for name, busy in self._measured.items() if name in all_of_them})
        checks = guardrails(configuration)
        router = Router(configuration, dispatcher, self._budgets, guardrails=checks)
        self._current = Current(configuration, digest, all_of_them, checks, dispatcher, router)
        self._in_use.append(self._current)
        return self._current

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
