"""examples/agent, applied: the agent's role keeps its state and asks its model, and may do nothing else.

The local AWS has no durable executions: a function that is invoked says so. Its provider is 5.100, so the copy that is
applied is without `durable_config` (`support.modules.adapt`), which test_provider.py checks against the newest typings.
"""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from scripts.local_aws.package import LocalPackage, played
from support.answers import EXPECTED
from support.applied import Applied, asked_by_invoke, refusal, terraform
from support.lambda_process import zipped
from support.modules import ROOT, TERRAFORM_FROM
from support.package import build_package

AGENT = "lambda-llm-agent"
RESEARCH = ROOT / "examples/agent/research.py"
HASH = "0" * 64


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> LocalPackage:
    """The agent's zip, as the example's README has it; built before everything talks to the local AWS."""
    built = build_package(tmp_path_factory.mktemp("agent") / "agent.zip", "agent", "--local", "--agent", RESEARCH)
    return played(built.zip)


@pytest.fixture(scope="module", autouse=True)
def packaged(package: LocalPackage, applied: Applied) -> Iterator[None]:
    assert applied.folder.is_dir()
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TF_VAR_agent_package", package.variable())
        yield


pytestmark = pytest.mark.needs("terraform", get=TERRAFORM_FROM)


def credentials(applied: Applied, folder: Path) -> dict[str, str]:
    """Those of the agent's role, as a function has them: told by one that has this role for a moment."""
    names = {"AccessKeyId": "ACCESS_KEY_ID", "SecretAccessKey": "SECRET_ACCESS_KEY", "SessionToken": "SESSION_TOKEN"}
    told = f"{{key: os.environ['AWS_' + name] for key, name in {names}.items()}}"
    code = f"import os\ndef handle(event, context):\n    return {told}\n"
    with closing(applied.aws.client("lambda")) as functions, closing(applied.aws.client("logs")) as logs:
        role = functions.get_function_configuration(FunctionName=AGENT)["Role"]
        functions.create_function(
            FunctionName="told",
            Role=role,
            Runtime="python3.13",
            Handler="code.handle",
            Code={"ZipFile": zipped(folder / "code.zip", code)},
        )
        functions.get_waiter("function_active_v2").wait(FunctionName="told", WaiterConfig={"Delay": 1})
        given: dict[str, str] = json.loads(functions.invoke(FunctionName="told")["Payload"].read())
        functions.delete_function(FunctionName="told")
        logs.delete_log_group(logGroupName="/aws/lambda/told")
    return given


@terraform("agent", scope="module", name="stack")
def test_the_agent_is_there_and_must_be_durable(stack: Any, applied: Applied) -> None:
    arn = applied.outputs(stack)["agent_arn"]
    with closing(applied.aws.client("lambda")) as functions:
        configured = functions.get_function_configuration(FunctionName=arn)
        invoked = functions.invoke(FunctionName=arn, Payload=json.dumps({"task": "xyzzy"}))
        error = json.loads(invoked["Payload"].read())
    assert (
        configured["Environment"]["Variables"].items()
        >= {
            "LAMBDA_LLM_AGENT": "research:agent",
            "LAMBDA_LLM_AGENT_INFERENCE": applied.outputs(stack)["model_arn"],
            "LAMBDA_LLM_STATE": applied.outputs(stack)["state"],
        }.items()
    )
    assert (configured["MemorySize"], configured["Timeout"]) == (1769, 900)
    assert configured["Version"].isdecimal()
    assert invoked["FunctionError"] == "Unhandled"
    assert "confirm the durability is set" in error["errorMessage"]
    assert "xyzzy" not in applied.log(applied.outputs(stack)["log_group"])


@terraform("agent", scope="module", name="stack")
def test_its_role_reaches_its_state_and_nothing_else_in_the_bucket(
    stack: Any, applied: Applied, tmp_path: Path
) -> None:
    bucket = applied.outputs(stack)["state"].split("/")[2]
    with closing(applied.aws.client("s3", credentials(applied, tmp_path))) as s3:
        kept = {"Bucket": bucket, "Key": f"state/acme/{HASH}"}
        assert refusal(s3, "put_object", **kept, Body=b"a document") == ""
        assert refusal(s3, "get_object", **kept) == ""
        assert refusal(s3, "get_object", Bucket=bucket, Key="state/acme/absent") == "NoSuchKey"
        refused = [
            refusal(s3, "get_object", Bucket=bucket, Key="models/lambda-llm-demo.gguf"),
            refusal(s3, "put_object", Bucket=bucket, Key="models/lambda-llm-demo.gguf", Body=b"another model"),
            refusal(s3, "put_object", Bucket=bucket, Key=f"statement/{HASH}", Body=b""),
            refusal(s3, "delete_object", **kept),
            refusal(s3, "list_objects_v2", Bucket=bucket, Prefix="models/"),
            refusal(s3, "list_buckets"),
        ]
        assert refused == ["AccessDenied"] * len(refused)


@terraform("agent", scope="module", name="stack")
def test_its_role_asks_one_alias_and_nothing_else_of_lambda(stack: Any, applied: Applied, tmp_path: Path) -> None:
    alias, mine = (applied.outputs(stack)[name] for name in ("model_arn", "agent_arn"))
    theirs = credentials(applied, tmp_path)
    with closing(applied.aws.client("lambda", theirs)) as functions:
        assert refusal(functions, "invoke", FunctionName=alias, Payload=b"{}") == ""
        refused = [
            refusal(functions, "invoke", FunctionName=alias.rpartition(":")[0], Payload=b"{}"),
            refusal(functions, "invoke", FunctionName=mine, Payload=b"{}"),
            refusal(functions, "update_alias", FunctionName=AGENT, Name="live", FunctionVersion="1"),
            refusal(functions, "get_function", FunctionName=AGENT),
        ]
        assert refused == ["AccessDeniedException"] * len(refused)
    with closing(applied.aws.client("secretsmanager", theirs)) as secrets:
        assert refusal(secrets, "get_secret_value", SecretId="token") == "AccessDeniedException"
    assert EXPECTED in asked_by_invoke(applied.aws, alias)


@terraform("agent", scope="module", name="stack")
def test_a_second_apply_changes_nothing_and_a_destroy_leaves_nothing(stack: Any, applied: Applied) -> None:
    assert applied.changes(stack) == []
    done = applied.run(stack, "destroy", "-auto-approve")
    assert done.returncode == 0, done.stderr
    assert applied.leftovers() == {}
