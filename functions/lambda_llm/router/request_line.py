"""The line of one request: filled while it is answered, and written once, however it ends."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from starlette.requests import ClientDisconnect

from lambda_llm.backends.contract import Usage
from lambda_llm.backends.errors import BackendError, Kind
from lambda_llm.cost.this_function import dollars
from lambda_llm.router.answers import status_of
from lambda_llm.router.budget import MICRO, Amount, Limits, What, Window
from lambda_llm.router.dispatch import Attempt, told
from lambda_llm.router.ledger import Standing
from lambda_llm.telemetry import emf
from lambda_llm.telemetry.lines import ROUTER_REQUEST

NO_BACKEND: Final = "none"
"""In place of a backend, where none was asked."""

LEFT: Final = "client_left"
CLIENT_CLOSED_REQUEST: Final = 499
"""Nobody is sent this: it is what logs have for a client that left before there was a status.
Source: https://nginx.org/en/docs/dev/development_guide.html#http_request_finalization"""

_LEAVING: Final = (asyncio.CancelledError, GeneratorExit, ClientDisconnect)


@dataclass
class RequestLine:
    """See the module.

    Attributes:
        operation: path of the request.
        on: whether it is written.
        application: what sent it.
        tenant: whose it is.
        stream: whether the answer comes in pieces.
        model: as the configuration names it; None: it has none of that name, or the tenant may not ask it.
        kinds: of the configuration's backends, by name.
        attempts: all backends that were asked, the one that answers last.
        usage: what the answer took; None: there was none.
        charge: what the tenant pays.
        budget: window that is nearest to its end, and how much of it is used, in percent.
    """

    operation: str
    on: bool = True
    application: str | None = None
    tenant: str | None = None
    stream: bool = False
    model: str | None = None
    kinds: Mapping[str, str] = field(default_factory=dict)
    attempts: list[Attempt] = field(default_factory=list)
    usage: Usage | None = None
    charge: Amount | None = None
    budget: tuple[Window, float] | None = None
    _began: float = field(default_factory=time.monotonic)
    _first: float | None = None
    _answered: bool = False

    def begun(self) -> None:
        """The answer begins now."""
        self._answered = True
        self._first = time.monotonic()

    def used(self, standing: Mapping[Window, Standing], limits: Limits) -> None:
        """Note where the tenant stands, with this request."""
        shares = [
            (100 * (each.spent + each.reserved).of(what) / most, window)
            for window, each in standing.items()
            for what in What
            if (most := limits.of(window).of(what))
        ]
        if shares:
            share, window = max(shares, key=lambda one: one[0])
            self.budget = (window, share)

    @contextmanager
    def written(self) -> Iterator[None]:
        """Write the line at the end of the context."""
        with self.written_if_refused():
            yield
        self._write(HTTPStatus.OK, None, failed=False)

    @contextmanager
    def written_if_refused(self) -> Iterator[None]:
        """Write the line if the context ends with an error: nobody else then does."""
        try:
            yield
        except _LEAVING:
            self._write(HTTPStatus.OK if self._streaming else CLIENT_CLOSED_REQUEST, LEFT, failed=False)
            raise
        except BaseException as error:
            status, code = status_of(error)
            cut = self._streaming and not (isinstance(error, BackendError) and error.kind is Kind.BLOCKED)
            failed = cut or status >= HTTPStatus.INTERNAL_SERVER_ERROR
            self._write(HTTPStatus.OK if self._streaming else status, code, failed=failed)
            raise

    @property
    def _streaming(self) -> bool:
        """Whether a client has its status already."""
        return self.stream and self._answered

    def _write(self, status: int, error: str | None, *, failed: bool) -> None:
        if not self.on:
            return
        backend = self.attempts[-1].backend if self.attempts else NO_BACKEND
        window, share = self.budget or (None, None)
        usage, seconds = self.usage, time.monotonic() - self._began
        emf.write(
            ROUTER_REQUEST,
            Errors=int(failed),
            FirstTokenSeconds=self._first - self._began if self.stream and self._first is not None else None,
            InputTokens=usage.input if usage else None,
            CachedTokens=usage.cached if usage else None,
            OutputTokens=usage.output if usage else None,
            Dollars=(self.charge or Amount()).micro_dollars / MICRO,
            Fallbacks=max(0, len(self.attempts) - 1) if self._answered else len(self.attempts),
            BudgetUsed=share,
            status=int(status),
            error=error,
            operation=self.operation,
            stream=self.stream,
            seconds=seconds,
            own_dollars=dollars(seconds),
            model=self.model,
            backend=backend,
            backend_kind=self.kinds.get(backend),
            attempts=told(self.attempts) or None,
            budget_window=window,
            tenant=self.tenant,
            application=self.application,
        )
