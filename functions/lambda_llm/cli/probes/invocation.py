"""An invocation of the alias is answered, in either form that Lambda may give a streamed response."""

from lambda_llm.cli.probes.base import Finding, Probe, ok, wrong
from lambda_llm.cli.probes.deployment import Deployment
from lambda_llm.cli.probes.invoking import invoked

OK_STATUS = 200


def _ask(deployment: Deployment) -> Finding:
    done = invoked(deployment, deployment.alias["Name"])
    figures = {"form": done.form, "version": done.version, "status": done.status}
    if done.error or done.status != OK_STATUS:
        said = done.error or f"status {done.status}"
        return wrong(f"An invocation of /health failed ({said}): read the function's log.", **figures)
    form = "a prelude, eight NUL bytes and the body" if done.form == "prelude" else "JSON"
    return ok(f"Version {done.version} answered an invocation with {form}.", **figures)


PROBE = Probe("invocation", "Does an invocation answer?", _ask, requests=1, restores=1)
