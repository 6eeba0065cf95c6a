"""How long the server goes on when its client leaves; Lambda does not tell a function that it did."""

import time
from typing import Any, Final

from lambda_llm.cli.probes.base import Finding, Probe, ok, unknown, wrong
from lambda_llm.cli.probes.deployment import Deployment
from lambda_llm.cli.probes.function_log import report
from lambda_llm.cli.probes.stream import answering

TOKENS: Final = 256
READ: Final = 2
"""Chunks after which the client leaves."""
NOTICE_SECONDS: Final = 5.0
"""A server that sees its client leave stops within a token."""
WAIT_SECONDS: Final = 60.0
POLL_SECONDS: Final = 0.05


def _ask(deployment: Deployment) -> Finding:
    before = deployment.ask_health()["requests"]
    with answering(deployment, max_tokens=TOKENS, long=True) as (answer, lines):
        answer.read(lines, READ)
    left = time.perf_counter()
    if answer.ended is not None:
        return unknown("The answer was complete before its client could leave.")
    if deployment.region is None:
        return _seen(deployment, before, left)
    done = report(deployment, answer.request_id)
    seconds = max(0.0, done.seconds - (left - answer.began))
    figures = {"seconds_after_the_client_left": seconds, "duration_seconds": done.seconds, "most_tokens": TOKENS}
    if done.timed_out:
        return wrong(f"The function went on for {seconds:.1f} s, until its time-out: read its log.", **figures)
    return ok(
        f"The function went on for {seconds:.1f} s after its client left, with an answer of {TOKENS} tokens at most; "
        "LAMBDA_LLM_MAX_TOKENS bounds it.",
        **figures,
    )


def _seen(deployment: Deployment, before: dict[str, int], left: float) -> Finding:
    """The same for a server whose only process tells when it is free again."""
    while (health := deployment.ask_health())["requests"]["active"]:
        if time.perf_counter() - left > WAIT_SECONDS:
            return wrong(f"The server was still busy {WAIT_SECONDS:g} s after its client left: read its log.")
        time.sleep(POLL_SECONDS)
    seconds = time.perf_counter() - left
    cancelled = health["requests"]["cancelled"] - before["cancelled"]
    figures: dict[str, Any] = {"seconds_after_the_client_left": seconds, "cancelled": cancelled}
    if cancelled:
        return ok(f"The server stopped within {seconds:.2f} s after its client left.", **figures)
    if seconds < NOTICE_SECONDS:
        return unknown("The answer was complete before the server could see that its client left.", **figures)
    return wrong(f"The server went on for {seconds:.1f} s after its client left, to the answer's end.", **figures)


PROBE = Probe("abandoned", "How long does it go on when its client leaves?", _ask, requests=2, tokens=TOKENS)
