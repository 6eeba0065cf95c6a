"""The probe that invokes `$LATEST`."""

import json

import pytest

from lambda_llm.cli.probes.base import Outcome
from lambda_llm.cli.probes.latest import PROBE
from support.fake_deployment import Deploy, invoked


@pytest.mark.parametrize(
    ("initialization", "outcome", "said"),
    [
        ("on-demand", Outcome.WRONG, "$LATEST answered, initialized as 'on-demand'"),
        (None, Outcome.UNKNOWN, "does not tell a function how it was initialized"),
    ],
)
def test_an_answer_is_wrong_where_the_function_could_have_known(
    deploy: Deploy, initialization: str | None, outcome: Outcome, said: str
) -> None:
    said_by_it = json.dumps({"environment": {"initialization": initialization}}).encode()
    with deploy() as stage:
        stage.aws.answers["Invoke"] = invoked(b'{"statusCode": 200}' + b"\0" * 8 + said_by_it)
        finding = PROBE.run(stage.deployment)
    assert finding.outcome is outcome
    assert said in finding.sentence
    (asked,) = [params for name, params in stage.aws.calls if name == "Invoke"]
    assert asked["Qualifier"] == "$LATEST"
