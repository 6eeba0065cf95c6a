"""Which versions the alias leads to, and whether one of them answers."""

from lambda_llm.cli.probes.base import Finding, Probe, ok, unknown, wrong
from lambda_llm.cli.probes.deployment import Deployment, environment_of


def _ask(deployment: Deployment) -> Finding:
    weights = dict(deployment.weights)
    behind = ", ".join(f"{version} ({weight:.0%})" for version, weight in weights.items())
    name = deployment.alias["Name"]
    answering = environment_of(deployment.ask_health()).get("version")
    figures = {"alias": name, "weights": weights, "answering_version": answering}
    if answering is None:
        return unknown(f"The alias {name} leads to {behind}; the environment does not know its version.", **figures)
    if answering not in weights:
        return wrong(
            f"Version {answering} answers, and the alias {name} leads to {behind}: if it has just been moved, run this "
            "again; otherwise the URL is not the alias's.",
            **figures,
        )
    return ok(f"The alias {name} leads to {behind}; version {answering} answered.", **figures)


PROBE = Probe("alias", "Which version answers?", _ask, requests=1)
