"""The process is not larger than its plan."""

from lambda_llm.cli.probes.base import Finding, Probe, ok, wrong
from lambda_llm.cli.probes.deployment import Deployment
from lambda_llm.units import megabytes


def _ask(deployment: Deployment) -> Finding:
    memory = deployment.ask_health()["memory"]
    resident, peak, weights = memory["resident"], memory["peak"], memory["weights"]
    said = f"{megabytes(resident)} are resident, of {megabytes(peak)} planned, with {megabytes(weights)} of weights"
    figures = {"resident_bytes": resident, "planned_peak_bytes": peak, "weights_bytes": weights}
    if resident > peak:
        return wrong(f"{said}: report it with the model's name, and shorten the context until then.", **figures)
    return ok(f"{said}.", **figures)


PROBE = Probe("memory", "Is there one copy of the weights?", _ask, requests=1)
