"""A second request beside a first one restores an environment, and is answered by it."""

import threading
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, Self

from lambda_llm.cli.probes.base import Finding, Probe, ok, unknown, wrong
from lambda_llm.cli.probes.deployment import Deployment, RefusedError, UnknowableError, environment_of
from lambda_llm.cli.probes.function_log import report
from lambda_llm.cli.probes.stream import Answer, answered, answering
from lambda_llm.limits import RESTORE_SECONDS

HOLD_TOKENS: Final = 512
TOKENS: Final = 8


def _ask(deployment: Deployment) -> Finding:
    if deployment.region is None:
        return unknown("One process answers here: a second request waits for the first.")
    try:
        return _measured(deployment)
    except RefusedError as error:
        if error.status != HTTPStatus.TOO_MANY_REQUESTS:
            raise
        return unknown(f"The function's or the account's concurrency leaves no second environment: {error}")


def _measured(deployment: Deployment) -> Finding:
    warm = answered(deployment, max_tokens=TOKENS).first_token_seconds
    with _Held(deployment) as held:
        began = time.perf_counter()
        second = answered(deployment, max_tokens=TOKENS)
        health = deployment.ask_health()
        since, over = time.perf_counter() - began, held.over
    environment = environment_of(health)
    first = second.first_token_seconds
    figures: dict[str, Any] = {
        "first_token_seconds": first,
        "warm_first_token_seconds": warm,
        "initialization": environment.get("initialization"),
    }
    if over:
        return unknown("The first answer was over before the second: it held no environment.", **figures)
    if environment["age_seconds"] > since:
        return unknown("An environment that was warm already answered the second request: try again later.", **figures)
    if not environment["restored"]:
        return wrong("The second environment was initialized, not restored from a snapshot: read the log.", **figures)
    if not health["requests"]["completed"]:
        return unknown("Another environment than the one that was asked answered the second request.", **figures)
    try:
        restore = report(deployment, second.request_id).restore_seconds
        figures["restore_seconds"] = restore
    except UnknowableError as error:
        restore, figures["restore_unknown"] = None, str(error)
    return restored(first, warm, restore, figures)


def restored(first: float, warm: float, restore: float | None, figures: Mapping[str, Any]) -> Finding:
    """What the times of a restored environment mean.

    Args:
        first: seconds to the first token of the request that restored it.
        warm: the same in a warm environment.
        restore: that Lambda says the restore took; None: not known.
        figures: of the finding.
    """
    said = f"The first token came after {first:.2f} s from a restored environment, after {warm:.2f} s from a warm one"
    if restore is None:
        return ok(f"{said}; the restore's own time is not known here.", **figures)
    if restore > RESTORE_SECONDS:
        return wrong(f"{said}; the restore took {restore:.2f} s, more than {RESTORE_SECONDS} s.", **figures)
    return ok(f"{said}; the restore took {restore:.2f} s.", **figures)


class _Held:
    """An answer that is read beside what is done within the context, and left at its end."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._first = threading.Event()
        self._leave = threading.Event()
        self._answer: Answer | None = None
        self._error: RefusedError | None = None
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._first.wait()
        if self._error:
            self._thread.join()
            raise self._error
        return self

    def __exit__(self, *_: object) -> None:
        self._leave.set()
        self._thread.join()

    @property
    def over(self) -> bool:
        """Whether the answer has ended."""
        return not self._thread.is_alive()

    def _read(self) -> None:
        try:
            with answering(self._deployment, max_tokens=HOLD_TOKENS, long=True) as (answer, lines):
                answer.read(lines, 1)
                self._first.set()
                while answer.ended is None and not self._leave.is_set():
                    answer.read(lines, 1)
        except RefusedError as error:
            self._error = error
        finally:
            self._first.set()


PROBE = Probe(
    "fresh_environment",
    "How soon does a restored environment answer?",
    _ask,
    requests=4,
    restores=2,
    tokens=HOLD_TOKENS + 2 * TOKENS,
)
