"""`$LATEST`, which no snapshot backs, refuses to serve."""

from lambda_llm.cli.probes.base import Finding, Probe, ok, unknown, wrong
from lambda_llm.cli.probes.deployment import Deployment
from lambda_llm.cli.probes.invoking import invoked


def _ask(deployment: Deployment) -> Finding:
    done = invoked(deployment, "$LATEST")
    if done.error:
        return ok("An invocation of $LATEST fails in its init.", error=done.error)
    how = (done.health.get("environment") or {}).get("initialization")
    if how is None:
        return unknown("$LATEST answered: this Lambda does not tell a function how it was initialized.")
    return wrong(
        f"$LATEST answered, initialized as {how!r}: deploy a package whose init checks how it was initialized.",
        initialization=how,
    )


PROBE = Probe("latest", "Is $LATEST refused?", _ask, requests=1)
