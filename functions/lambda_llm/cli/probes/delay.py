"""What a request takes beside the network: a delayed acknowledgement between web adapter and Lambda would show.

docs/upstream.md has the delay, which is 40 ms on Linux.
"""

import socket
import statistics
import time
from typing import Final

import httpx2

from lambda_llm.cli.probes.base import Finding, Probe, ok, wrong
from lambda_llm.cli.probes.deployment import Deployment, UnknowableError

REQUESTS: Final = 10
DELAY_SECONDS: Final = 0.040


def _ask(deployment: Deployment) -> Finding:
    trip = min(_round_trip(deployment.url) for _ in range(3))
    taken = []
    for _ in range(REQUESTS):
        began = time.perf_counter()
        deployment.ask_health()
        taken.append(time.perf_counter() - began)
    return judged(taken, trip)


def judged(taken: list[float], trip: float) -> Finding:
    """What the times of requests mean.

    Args:
        taken: by each request, in seconds.
        trip: the network's round trip in seconds.
    """
    least = min(taken) - trip
    figures = {
        "round_trip_seconds": trip,
        "request_seconds_median": statistics.median(taken),
        "request_seconds_least": min(taken),
    }
    said = f"/health takes {least * 1000:.1f} ms more than a round trip of the network ({trip * 1000:.1f} ms) at least"
    if least >= DELAY_SECONDS:
        return wrong(
            f"{said}: if it is some 40 ms, Lambda's side of the web adapter's connection delays its acknowledgements; "
            "docs/upstream.md has the report to file.",
            **figures,
        )
    return ok(f"{said}.", **figures)


def _round_trip(url: str) -> float:
    """Seconds until a TCP connection is there, which takes one round trip."""
    parsed = httpx2.URL(url)
    address = (parsed.host, parsed.port or (443 if parsed.scheme == "https" else 80))
    try:
        found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0][4]
        began = time.perf_counter()
        with socket.create_connection((str(found[0]), int(found[1])), timeout=10):
            return time.perf_counter() - began
    except OSError as error:
        raise UnknowableError(
            f"The network's round trip can't be measured, as the URL's host can't be reached directly ({error})."
        ) from error


PROBE = Probe("delay", "Does the web adapter delay answers?", _ask, requests=REQUESTS)
