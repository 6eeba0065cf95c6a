"""The server answers, and is not stuck."""

from lambda_llm.cli.probes.base import Finding, Probe, ok, wrong
from lambda_llm.cli.probes.deployment import Deployment


def _ask(deployment: Deployment) -> Finding:
    said = deployment.ask_health()
    figures = {"model": said["model"], "context": said["context"], "threads": said["threads"], "worker": said["worker"]}
    if said["worker"] == "stuck":
        return wrong(
            "The worker has not left a request that was cancelled: read the log, and publish again.", **figures
        )
    return ok(
        f"{said['model']} with a context of {said['context']:,} tokens; the worker is {said['worker']}.", **figures
    )


PROBE = Probe("health", "Does it answer?", _ask, requests=1)
