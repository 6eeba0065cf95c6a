"""The probe that invokes the alias."""

import pytest

from lambda_llm.cli.probes.base import Outcome
from lambda_llm.cli.probes.invocation import PROBE
from support.fake_deployment import Deploy, invoked


@pytest.mark.parametrize(
    ("payload", "form"),
    [
        (b'{"statusCode": 200}' + b"\0" * 8 + b'{"status": "ok"}', "prelude"),
        (b'{"statusCode": 200, "body": "{\\"status\\": \\"ok\\"}"}', "JSON"),
    ],
)
def test_both_forms_are_answers(deploy: Deploy, payload: bytes, form: str) -> None:
    with deploy() as stage:
        stage.aws.answers["Invoke"] = invoked(payload)
        finding = PROBE.run(stage.deployment)
    assert finding.outcome is Outcome.OK
    assert finding.figures == {"form": form, "version": "7", "status": 200}
    (asked,) = [params for name, params in stage.aws.calls if name == "Invoke"]
    assert asked["Qualifier"] == "live"


@pytest.mark.parametrize(
    ("payload", "error", "said"),
    [
        (b'{"statusCode": 503}' + b"\0" * 8 + b"{}", None, "status 503"),
        (b"null", None, "status 0"),
        (b"no JSON", None, "status 0"),
        (b'{"errorMessage": "Runtime exited"}', "Unhandled", "Runtime exited"),
        (b"", "Unhandled", "Unhandled"),
    ],
)
def test_anything_else_is_wrong(deploy: Deploy, payload: bytes, error: str | None, said: str) -> None:
    with deploy() as stage:
        stage.aws.answers["Invoke"] = invoked(payload, error=error)
        finding = PROBE.run(stage.deployment)
    assert finding.outcome is Outcome.WRONG
    assert said in finding.sentence
