"""Tokens arrive one by one, as the server makes them."""

import statistics
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

from lambda_llm.cli.probes.base import Finding, Probe, ok, unknown, wrong
from lambda_llm.cli.probes.deployment import Deployment
from lambda_llm.cli.probes.stream import Arrival, answered

TOKENS: Final = 48
MOST_TOKENS: Final = 1024
ENOUGH_SECONDS: Final = 0.4
LEAST_SECONDS: Final = 0.1
"""How long the server should take for an answer, so that the machines' schedulers don't show; a tiny model, which takes
less, is asked for more tokens. Below the second one nothing can be told."""
LEAST_CHUNKS: Final = 8
ONE_PIECE: Final = 0.2
"""Share of the time that the server took in which the client got everything, below which it came in one piece."""
LATE_SECONDS: Final = 0.015
"""How much later than the server made it the median token may arrive, compared with the fastest one. Half of the 40 ms
of a delayed acknowledgement, which tokens that come faster share."""

_REMEDY: Final = "set the URL's invoke mode to RESPONSE_STREAM, and look for a proxy that collects answers"


def _ask(deployment: Deployment) -> Finding:
    answer = answered(deployment, max_tokens=TOKENS, long=True)
    made = answer.timings.get("predicted_ms", ENOUGH_SECONDS * 1000) / 1000
    if made < ENOUGH_SECONDS:
        most = min(MOST_TOKENS, int(deployment.health["context"]) - 2 * answer.prompt_tokens)
        answer = answered(deployment, max_tokens=max(TOKENS, most), long=True)
    return judged(answer.arrivals, answer.first_token_seconds)


def judged(arrivals: Sequence[Arrival], first_token_seconds: float) -> Finding:
    """What the arrivals of an answer's chunks mean.

    Args:
        arrivals: in order.
        first_token_seconds: from the request to the first of them.
    """
    if len(arrivals) < LEAST_CHUNKS:
        return unknown(f"The answer had {len(arrivals)} chunks with text, and it takes {LEAST_CHUNKS} to tell.")
    gaps = [later.at - earlier.at for earlier, later in pairwise(arrivals)]
    span = arrivals[-1].at - arrivals[0].at
    figures: dict[str, Any] = {
        "chunks": len(arrivals),
        "first_token_seconds": first_token_seconds,
        "gap_seconds_median": statistics.median(gaps),
        "gap_seconds_most": max(gaps),
    }
    if arrivals[-1].server is None:
        if span < ONE_PIECE * first_token_seconds / len(arrivals):
            return wrong(f"The answer came in one piece: {_REMEDY}.", **figures)
        return unknown("The server does not tell when it made each token: it is older than this command.", **figures)
    return _beside_the_server(arrivals, span, figures)


def _beside_the_server(arrivals: Sequence[Arrival], span: float, figures: dict[str, Any]) -> Finding:
    made = [each.server or 0.0 for each in arrivals]
    made_span = made[-1] - made[0]
    late = [arrival.at - seconds for arrival, seconds in zip(arrivals, made, strict=True)]
    lateness = statistics.median(late) - min(late)
    gap = statistics.median(later - earlier for earlier, later in pairwise(made))
    figures = {**figures, "server_gap_seconds_median": gap, "late_seconds_median": lateness}
    if made_span < LEAST_SECONDS:
        return unknown(f"The server made the answer within {made_span * 1000:.0f} ms, too fast to tell.", **figures)
    if span < ONE_PIECE * made_span:
        return wrong(
            f"The answer came in one piece: {len(arrivals)} chunks within {span * 1000:.0f} ms, which the server made "
            f"in {made_span * 1000:.0f} ms; {_REMEDY}.",
            **figures,
        )
    said = (
        f"{len(arrivals)} chunks, {figures['gap_seconds_median'] * 1000:.1f} ms apart at the median, where the server "
        f"made them {gap * 1000:.1f} ms apart"
    )
    if lateness >= LATE_SECONDS:
        return wrong(
            f"{said}; half of them arrive {lateness * 1000:.0f} ms or more later than the fastest: something between "
            "delays or collects them (docs/upstream.md has the web adapter's delay).",
            **figures,
        )
    return ok(f"{said}.", **figures)


PROBE = Probe("streaming", "Do tokens arrive one by one?", _ask, requests=2, tokens=TOKENS + MOST_TOKENS)
