"""Whoever does not sign is refused, and so is a request with the signature of another."""

from typing import Final

import httpx2

from lambda_llm.cli.probes.base import Finding, Probe, ok, unknown, wrong
from lambda_llm.cli.probes.deployment import TIMEOUT, Deployment, RefusedError

REFUSED: Final = frozenset({httpx2.codes.UNAUTHORIZED, httpx2.codes.FORBIDDEN})


def _ask(deployment: Deployment) -> Finding:
    if deployment.local:
        return unknown("The server is on this machine, where it answers whoever can reach it.")
    url, other = f"{deployment.url}/v1/models", f"{deployment.url}/health"
    try:
        with httpx2.Client(timeout=TIMEOUT) as stranger:
            unsigned = stranger.get(url).status_code
            figures = {"unsigned_status": unsigned}
            if unsigned not in REFUSED:
                return wrong(
                    f"A request without a signature was answered ({unsigned}): set the URL's authorization type to "
                    "AWS_IAM.",
                    **figures,
                )
            if deployment.region is None:
                return ok(f"A request without a key is refused ({unsigned}).", **figures)
            changed = stranger.get(other, headers=_signature(deployment, url)).status_code
    except httpx2.HTTPError as error:
        raise RefusedError(f"{url} can't be reached without a signature ({error}).") from error
    figures["changed_status"] = changed
    if changed not in REFUSED:
        return wrong(
            f"A request with the signature of another was answered ({changed}): something in front of the function "
            "takes any signature.",
            **figures,
        )
    return ok(f"Without a signature: {unsigned}; with that of another request: {changed}.", **figures)


def _signature(deployment: Deployment, url: str) -> dict[str, str]:
    """The headers by which a request for `url` is signed."""
    request = deployment.http.build_request("GET", url)
    signed = next(deployment.http.auth.sync_auth_flow(request)) if deployment.http.auth else request
    return {
        name: value for name, value in signed.headers.items() if name == "authorization" or name.startswith("x-amz-")
    }


PROBE = Probe("unsigned", "Are strangers refused?", _ask, requests=2)
