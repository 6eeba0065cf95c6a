"""examples/canary, applied: two versions with a model each behind one alias, then the newer one alone."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from support.alarms import alarm_event
from support.answers import EXPECTED
from support.applied import Applied, asked_by_url, health, refusal, terraform
from support.modules import TERRAFORM_FROM
from support.rewrite import rewrite
from support.servers import until

FUNCTION = "lambda-llm-canary"
ROLLBACK = f"{FUNCTION}-rollback"
BETTER = "a-better-model"


@pytest.fixture(scope="module")
def pushed(applied: Applied, demo_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Both models, pushed as the example's README has it."""
    better = rewrite(demo_model, tmp_path_factory.mktemp("models") / "better.gguf", {"general.name": BETTER})
    applied.aws.make_bucket("canary-models")
    applied.push(demo_model, "s3://canary-models/good.gguf", "canary", "good.json")
    applied.push(better, "s3://canary-models/better.gguf", "canary", "better.json")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TF_VAR_pushed_model", "good.json")
        yield


pytestmark = [pytest.mark.needs("terraform", get=TERRAFORM_FROM), pytest.mark.usefixtures("pushed")]


def alias(applied: Applied) -> tuple[str, dict[str, float]]:
    """Its version, and the further ones with their shares."""
    with closing(applied.aws.client("lambda")) as client:
        found = client.get_alias(FunctionName=FUNCTION, Name="live")
    return found["FunctionVersion"], found.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})


def invoke_rollback(applied: Applied, version: str) -> Any:
    """What the rollback does at an alarm on a version."""
    dimensions = {"FunctionName": FUNCTION, "Resource": f"{FUNCTION}:live", "ExecutedVersion": version}
    with closing(applied.aws.client("lambda")) as client:
        answered = client.invoke(FunctionName=ROLLBACK, Payload=json.dumps(alarm_event(dimensions)))
        told = json.loads(answered["Payload"].read())
        assert "FunctionError" not in answered, told
        return told


def rolled_back_by_alarm(applied: Applied, stable: str, newest: str) -> None:
    """The alarm is about the newest version, and its action takes that version out, which it may once."""
    with closing(applied.aws.client("cloudwatch")) as client:
        (alarm,) = client.describe_alarms(AlarmNames=[f"{ROLLBACK}-errors"])["MetricAlarms"]
    assert [arn.rpartition(":")[2] for arn in alarm["AlarmActions"]] == [ROLLBACK]
    dimensions = {one["Name"]: one["Value"] for one in alarm["Dimensions"]}
    assert dimensions == {"FunctionName": FUNCTION, "Resource": f"{FUNCTION}:live", "ExecutedVersion": newest}

    assert invoke_rollback(applied, stable)["rolled_back"] is False
    assert alias(applied) == (stable, {newest: 0.5})
    assert invoke_rollback(applied, newest)["rolled_back"] is True
    assert alias(applied) == (stable, {})
    assert invoke_rollback(applied, newest)["rolled_back"] is False
    with closing(applied.aws.client("lambda", applied.role_credentials(ROLLBACK))) as theirs:
        assert refusal(theirs, "get_alias", FunctionName=ROLLBACK, Name="live").startswith("AccessDenied")
        assert refusal(theirs, "delete_alias", FunctionName=FUNCTION, Name="live").startswith("AccessDenied")
        assert refusal(theirs, "invoke", FunctionName=FUNCTION).startswith("AccessDenied")


@terraform("canary", scope="module")
def test_the_newest_gets_its_share_and_then_everything(canary: Any, applied: Applied) -> None:
    first = applied.outputs(canary)
    assert alias(applied) == (first["version"], {})
    assert EXPECTED in asked_by_url(first["url"])

    stable = json.dumps({"version": first["version"], "pushed_model": "good.json"})
    share = {"pushed_model": "better.json", "stable": stable, "weight": "0.5"}
    done = applied.run(canary, "apply", "-auto-approve", **share)
    assert done.returncode == 0, done.stderr
    second = applied.outputs(canary)
    assert second["url"] == first["url"]
    assert alias(applied) == (first["version"], {second["version"]: 0.5})
    seen: set[str] = set()

    def both_answered() -> bool:
        seen.add(health(first["url"])["model"])
        return seen == {"lambda-llm-demo", BETTER}

    until(both_answered)
    rolled_back_by_alarm(applied, first["version"], second["version"])
    assert {health(first["url"])["model"] for _ in range(8)} == {"lambda-llm-demo"}
    assert applied.changes(canary, **share) == ["module.inference.aws_lambda_alias.live: update"]

    done = applied.run(canary, "apply", "-auto-approve", pushed_model="better.json")
    assert done.returncode == 0, done.stderr
    assert applied.outputs(canary)["version"] == second["version"], "promoting publishes nothing anew"
    assert alias(applied) == (second["version"], {})
    assert health(first["url"])["model"] == BETTER
    assert applied.changes(canary, pushed_model="better.json") == []
