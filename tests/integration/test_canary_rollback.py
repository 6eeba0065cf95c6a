"""The rollback on a local AWS that evaluates IAM: which alarms change an alias, and which don't."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.session import get_session

from lambda_llm.canary_rollback import handler, rollback
from scripts.local_aws.server import ACCOUNT, REGION, LocalAWS, local_aws
from support.alarms import alarm_event
from support.lambda_process import role, zipped

FUNCTION = "chat"
ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{FUNCTION}"
DIMENSIONS = {"FunctionName": FUNCTION, "Resource": f"{FUNCTION}:live"}
ALARM = alarm_event({**DIMENSIONS, "ExecutedVersion": "2"})
TRUST = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAWS]:
    with local_aws(tmp_path_factory.mktemp("aws"), strict=True) as aws:
        yield aws


@pytest.fixture(scope="module")
def functions(aws: LocalAWS, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A client of Lambda, with two functions of two versions and an alias each."""
    folder = tmp_path_factory.mktemp("code")
    with ExitStack() as stack:
        iam, functions = (aws.client(service) for service in ("iam", "lambda"))
        stack.callback(iam.close)
        stack.callback(functions.close)
        trust = json.dumps({"Version": "2012-10-17", "Statement": [TRUST]})
        arn = iam.create_role(RoleName="function", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
        for name in (FUNCTION, "other"):
            code = {"ZipFile": zipped(folder / "1.zip", "def handle(event, context):\n    return 1\n")}
            functions.create_function(
                FunctionName=name, Role=arn, Runtime="python3.13", Handler="code.handle", Code=code, Publish=True
            )
            functions.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
            newer = zipped(folder / "2.zip", "def handle(event, context):\n    return 2\n")
            functions.update_function_code(FunctionName=name, Publish=True, ZipFile=newer)
            functions.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
        yield functions


@pytest.fixture(scope="module")
def rights(aws: LocalAWS) -> dict[str, str]:
    """Those of modules/canary-rollback."""
    return role(aws, [(["lambda:GetAlias", "lambda:UpdateAlias"], ARN)])


@pytest.fixture(autouse=True)
def canary(functions: Any, rights: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Version 2 has a tenth of the requests; this process is the rollback."""
    share(functions, {"2": 0.1})
    for name, value in rights.items():
        monkeypatch.setenv(name, value)
    for name, value in ((handler.FUNCTION, ARN), (handler.ALIAS, "live"), (handler.VERSION, "2")):
        monkeypatch.setenv(name, value)


def share(functions: Any, weights: dict[str, float]) -> None:
    routing = {"AdditionalVersionWeights": weights}
    functions.update_alias(FunctionName=FUNCTION, Name="live", FunctionVersion="1", RoutingConfig=routing)


def alias(functions: Any) -> tuple[str, dict[str, float]]:
    found = functions.get_alias(FunctionName=FUNCTION, Name="live")
    return found["FunctionVersion"], found.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})


OF_THE_CANARY = {
    "the module's alarm": ALARM,
    "a metric of the deployer's": alarm_event({"Service": "chat"}),
    "several alarms": alarm_event(),
}


@pytest.mark.parametrize("event", OF_THE_CANARY.values(), ids=OF_THE_CANARY)
def test_an_alarm_takes_the_canary_out(event: Any, functions: Any, caplog: pytest.LogCaptureFixture) -> None:
    done = handler.handle(event, None)
    assert done == {"rolled_back": True, "reason": "Version 2 had 10% of live's requests: version 1 has them all now."}
    assert alias(functions) == ("1", {})
    assert caplog.messages == [done["reason"]]
    again = handler.handle(event, None)
    assert (again["rolled_back"], alias(functions)) == (False, ("1", {}))
    assert again["reason"].startswith("Version 2 has no share of live's requests beside version 1")


OF_NOTHING = {
    "an earlier canary": (
        alarm_event({**DIMENSIONS, "ExecutedVersion": "9"}),
        "The alarm is of version 9, the canary is 2: nothing was changed.",
    ),
    "an alarm that is over": (
        alarm_event({**DIMENSIONS, "ExecutedVersion": "2"}, state="OK"),
        "The event is of an alarm in state OK, not of one in ALARM: nothing was changed.",
    ),
    "no alarm": ({"alarmData": None}, "The event is of no alarm, not of one in ALARM: nothing was changed."),
    "nothing": ([], "The event is of no alarm, not of one in ALARM: nothing was changed."),
}


@pytest.mark.parametrize(("event", "reason"), OF_NOTHING.values(), ids=OF_NOTHING)
def test_what_is_no_alarm_of_the_canary_changes_nothing(event: Any, reason: str, functions: Any) -> None:
    assert handler.handle(event, None) == {"rolled_back": False, "reason": reason}
    assert alias(functions) == ("1", {"2": 0.1})


def test_an_alias_that_has_moved_on_is_left_alone(functions: Any) -> None:
    functions.update_alias(
        FunctionName=FUNCTION, Name="live", FunctionVersion="2", RoutingConfig={"AdditionalVersionWeights": {"1": 0.2}}
    )
    assert handler.handle(ALARM, None)["rolled_back"] is False
    assert alias(functions) == ("2", {"1": 0.2})


@pytest.mark.parametrize("conflicts", [1, 2])
def test_a_change_meanwhile_is_looked_at_once(conflicts: int, functions: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody changes the alias between the rollback's two calls, once or twice."""
    left = conflicts

    def changed(**_: Any) -> None:
        nonlocal left
        if left:
            left -= 1
            functions.update_alias(FunctionName=FUNCTION, Name="live", Description=f"{left} left")

    session = get_session()
    session.register("before-call.lambda.UpdateAlias", changed)
    monkeypatch.setattr(rollback, "get_session", lambda: session)
    if conflicts == 1:
        assert handler.handle(ALARM, None)["rolled_back"] is True
        assert alias(functions) == ("1", {})
        return
    with pytest.raises(ClientError, match="PreconditionFailedException"):
        handler.handle(ALARM, None)
    assert alias(functions) == ("1", {"2": 0.1})


def test_a_promotion_meanwhile_is_not_undone(functions: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def promoted(**_: Any) -> None:
        if alias(functions) == ("1", {"2": 0.1}):
            functions.update_alias(
                FunctionName=FUNCTION, Name="live", FunctionVersion="2", RoutingConfig={"AdditionalVersionWeights": {}}
            )

    session = get_session()
    session.register("before-call.lambda.UpdateAlias", promoted)
    monkeypatch.setattr(rollback, "get_session", lambda: session)
    assert handler.handle(ALARM, None)["rolled_back"] is False
    assert alias(functions) == ("2", {})


def test_its_rights_are_for_one_function_s_aliases() -> None:
    with pytest.raises(ClientError, match=r"AccessDenied.* GetAlias"):
        rollback.roll_back("other", "live", "2")
