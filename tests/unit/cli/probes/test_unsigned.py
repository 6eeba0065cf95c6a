"""The probe of who is let in."""

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from lambda_llm.cli.probes.base import Outcome
from lambda_llm.cli.probes.deployment import connected
from lambda_llm.cli.probes.unsigned import PROBE
from support.fake_deployment import Deploy
from support.function_url import REGION, listening


def test_a_function_that_answers_without_a_signature_is_wrong(deploy: Deploy) -> None:
    with deploy(checked=False) as stage:
        finding = PROBE.run(stage.deployment)
    assert finding.outcome is Outcome.WRONG
    assert "without a signature was answered (200)" in finding.sentence


def with_any_authorization(app: ASGIApp) -> ASGIApp:
    async def judge(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and b"authorization" not in dict(scope["headers"]):
            await JSONResponse({"Message": "Forbidden"}, 403)(scope, receive, send)
        else:
            await app(scope, receive, send)

    return judge


def test_one_that_takes_any_signature_is_wrong(deploy: Deploy) -> None:
    with (
        deploy() as stage,
        listening(with_any_authorization(stage.fake.app)) as url,
        connected(url, REGION) as deployment,
    ):
        finding = PROBE.run(deployment)
    assert finding.outcome is Outcome.WRONG
    assert finding.figures == {"unsigned_status": 403, "changed_status": 200}


def test_a_server_of_this_machine_is_open_on_purpose(deploy: Deploy) -> None:
    with deploy(signed=False) as stage:
        finding = PROBE.run(stage.deployment)
    assert finding.outcome is Outcome.UNKNOWN
    assert stage.fake.requests == []
