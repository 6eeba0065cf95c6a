"""The probe of llama.cpp's CPU backend."""

import pytest

from lambda_llm.cli.probes.base import Outcome
from lambda_llm.cli.probes.cpu import PROBE
from support.fake_deployment import Deploy


@pytest.mark.parametrize(
    ("backend", "outcome", "said"),
    [
        ("armv8.2_2", Outcome.OK, "the best for Graviton2"),
        ("armv8.6_2", Outcome.OK, "the best for Graviton4"),
        ("armv9.2_2", Outcome.WRONG, "the best for no Graviton"),
        ("haswell", Outcome.WRONG, "the best for no Graviton"),
        ("built in", Outcome.UNKNOWN, "made for this machine"),
    ],
)
def test_it_must_be_the_best_for_a_graviton(deploy: Deploy, backend: str, outcome: Outcome, said: str) -> None:
    with deploy(changes={"backend": backend}) as stage:
        finding = PROBE.run(stage.deployment)
    assert finding.outcome is outcome
    assert said in finding.sentence
    assert finding.figures["backend"] == backend
