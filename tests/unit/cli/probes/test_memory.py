"""The probe of the process's memory."""

from lambda_llm.cli.probes.base import Outcome
from lambda_llm.cli.probes.memory import PROBE
from support.fake_deployment import Deploy


def test_a_process_that_is_larger_than_its_plan_is_wrong(deploy: Deploy) -> None:
    memory = {"resident": 5_000_000_001, "peak": 5_000_000_000, "weights": 3_000_000_000}
    with deploy(changes={"memory": memory}) as stage:
        finding = PROBE.run(stage.deployment)
    assert finding.outcome is Outcome.WRONG
    assert finding.figures["resident_bytes"] == 5_000_000_001
