"""Which of llama.cpp's CPU backends runs on the Graviton that answered."""

from collections.abc import Mapping
from typing import Final

from lambda_llm.cli.probes.base import Finding, Probe, ok, unknown, wrong
from lambda_llm.cli.probes.deployment import Deployment

GRAVITONS: Final[Mapping[str, str]] = {
    "armv8.2_2": "Graviton2",
    "armv8.6_1": "Graviton3",
    "armv8.6_2": "Graviton4",
}
"""The best variant for each, as tests/package/test_under_qemu.py sees it."""

ONLY: Final = "built in"
"""What the server tells where llama.cpp has no variants: see `lambda_llm.engine.backend`."""


def _ask(deployment: Deployment) -> Finding:
    _ = deployment.environment
    backend = str(deployment.health["backend"])
    graviton = GRAVITONS.get(backend)
    figures = {"backend": backend, "graviton": graviton}
    if backend == ONLY:
        return unknown(
            "llama.cpp has one backend here, made for this machine: it is no zip of `make package`.", **figures
        )
    if graviton is None:
        return wrong(
            f"llama.cpp runs with {backend!r}, which is the best for no Graviton: deploy the zip of `make package`.",
            **figures,
        )
    return ok(f"llama.cpp runs with {backend}, the best for {graviton}.", **figures)


PROBE = Probe("cpu", "Do the CPU's best kernels run?", _ask)
