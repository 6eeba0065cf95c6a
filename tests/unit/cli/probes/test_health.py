"""The probe of the server itself."""

from lambda_llm.cli.probes.base import Outcome
from lambda_llm.cli.probes.health import PROBE
from support.fake_deployment import Deploy


def test_a_stuck_worker_is_wrong(deploy: Deploy) -> None:
    with deploy(changes={"worker": "stuck"}) as stage:
        finding = PROBE.run(stage.deployment)
    assert finding.outcome is Outcome.WRONG
    assert "has not left a request" in finding.sentence
    assert finding.figures["worker"] == "stuck"


def test_what_is_no_server_of_this_package_is_wrong(deploy: Deploy) -> None:
    with deploy(changes={"worker": "left out"}) as stage:
        finding = PROBE.run(stage.deployment)
    assert finding.outcome is Outcome.WRONG
    assert "is no server of this package" in finding.sentence
