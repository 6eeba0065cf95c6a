"""examples/chat, applied: served, changed, broken and removed, by nothing but Terraform and with IAM evaluated."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lambda_llm.cli.app import app
from lambda_llm.cli.probes import function_log
from scripts.local_aws.server import ACCOUNT, REGION
from support.answers import EXPECTED, QUESTION
from support.applied import Applied, asked_by_invoke, asked_by_url, health, refusal, terraform
from support.modules import ROOT, TERRAFORM_FROM
from support.rewrite import rewrite
from support.servers import until

FUNCTION = "lambda-llm-chat"
OTHER_NAME = "another-model"

pytestmark = [pytest.mark.needs("terraform", get=TERRAFORM_FROM), pytest.mark.usefixtures("applied")]


@pytest.fixture(scope="module")
def other_model(demo_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model under another name."""
    return rewrite(demo_model, tmp_path_factory.mktemp("models") / "other.gguf", {"general.name": OTHER_NAME})


class Role:
    """The function's role, and the credentials that it gives."""

    def __init__(self, applied: Applied) -> None:
        self._applied = applied
        self._credentials = applied.role_credentials(FUNCTION)
        with closing(applied.aws.client("sts", self._credentials)) as sts:
            self.name = sts.get_caller_identity()["Arn"].split("/")[1]

    def may_read(self, version: str) -> bool:
        """Whether it may read the model that a version of the function was published with."""
        with (
            closing(self._applied.aws.client("lambda")) as client,
            closing(self._applied.aws.client("s3", self._credentials)) as s3,
        ):
            configuration = client.get_function_configuration(FunctionName=FUNCTION, Qualifier=version)
            variables = configuration["Environment"]["Variables"]
            bucket, _, key = variables["LAMBDA_LLM_MODEL"].removeprefix("s3://").partition("/")
            pinned = variables["LAMBDA_LLM_MODEL_VERSION_ID"]
            return refusal(s3, "get_object", Bucket=bucket, Key=key, VersionId=pinned) == ""

    @contextmanager
    def locked_out(self) -> Iterator[None]:
        """Something outside of the stack keeps the role from S3 for a while."""
        statement = {"Effect": "Deny", "Action": "s3:*", "Resource": "*"}
        policy = {"Version": "2012-10-17", "Statement": [statement]}
        with closing(self._applied.aws.client("iam")) as iam:
            iam.put_role_policy(RoleName=self.name, PolicyName="outage", PolicyDocument=json.dumps(policy))
            yield
            iam.delete_role_policy(RoleName=self.name, PolicyName="outage")


@pytest.fixture(scope="module")
def broken_model(demo_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first half of the model, as an upload of a damaged file leaves it."""
    path = tmp_path_factory.mktemp("models") / "broken.gguf"
    content = demo_model.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


@terraform("chat", scope="module")
def test_the_published_version_loaded_the_model_from_s3_and_was_snapshotted(chat: Any, applied: Applied) -> None:
    outputs = applied.outputs(chat)
    with closing(applied.aws.client("lambda")) as client:
        version = client.get_function_configuration(FunctionName=FUNCTION, Qualifier=outputs["version"])
        assert client.get_alias(FunctionName=FUNCTION, Name="live")["FunctionVersion"] == outputs["version"] == "1"
    assert version["State"] == "Active"
    assert version["SnapStart"] == {"ApplyOn": "PublishedVersions", "OptimizationStatus": "On"}
    # The local AWS writes the log with each invocation, as far as it came by then.
    until(lambda: health(outputs["url"]) and "restored in " in applied.log(f"/aws/lambda/{FUNCTION}"))
    log = applied.log(f"/aws/lambda/{FUNCTION}")
    assert f"loaded s3://{outputs['bucket']}/models/lambda-llm-demo.gguf" in log
    assert "verified by CRC64NVME and SHA-256" in log
    assert "ready for the snapshot" in log


@terraform("chat", scope="module")
def test_it_answers_through_the_alias_and_through_its_url(chat: Any, applied: Applied) -> None:
    outputs = applied.outputs(chat)
    assert EXPECTED in asked_by_invoke(applied.aws, outputs["alias_arn"])
    assert EXPECTED in asked_by_url(outputs["url"])


@terraform("chat", scope="module")
def test_the_command_of_the_output_talks_to_it(chat: Any, applied: Applied) -> None:
    command = [*applied.outputs(chat)["chat"].split(), "--temperature", "0", "--ask", QUESTION]
    done = subprocess.run(command, env=applied.environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert EXPECTED in done.stdout


@terraform("chat", scope="module")
def test_whoever_does_not_sign_is_refused(chat: Any, applied: Applied) -> None:
    command = ["curl", "--silent", "--write-out", "%{http_code}", f"{applied.outputs(chat)['url']}v1/models"]
    done = subprocess.run(command, env=applied.environment, capture_output=True, text=True, check=False)
    assert done.stdout.endswith("403")


@pytest.fixture
def verified(chat: Any, applied: Applied, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Takes statements of a user's policies; gives the status of `lambda-llm verify` for that user, and its probes."""
    url = applied.outputs(chat)["url"]
    # The log has other request ids than the responses: nothing comes, however long one waits.
    monkeypatch.setattr(function_log, "DELIVERY_SECONDS", 0.0)

    def verify(*statements: list[dict[str, Any]]) -> tuple[int, dict[str, Any]]:
        with closing(applied.aws.client("iam")) as iam:
            iam.create_user(UserName="verifier")
            for number, statement in enumerate(statements):
                policy = json.dumps({"Version": "2012-10-17", "Statement": statement})
                iam.put_user_policy(UserName="verifier", PolicyName=str(number), PolicyDocument=policy)
            key = iam.create_access_key(UserName="verifier")["AccessKey"]
            keys = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
            try:
                done = CliRunner().invoke(app, ["verify", url, "--json"], env=keys)
            finally:
                iam.delete_access_key(UserName="verifier", AccessKeyId=key["AccessKeyId"])
                for number in range(len(statements)):
                    iam.delete_user_policy(UserName="verifier", PolicyName=str(number))
                iam.delete_user(UserName="verifier")
        return done.exit_code, {probe["name"]: probe for probe in json.loads(done.stdout)["probes"]}

    return verify


NOT_KNOWN_HERE = {
    "role": "IAM's simulator takes no notice of conditions here",
    "cpu": "llama.cpp has one backend here, made for this machine",
    "latest": "this Lambda does not tell a function how it was initialized",
    "delay": "can't be reached directly",
    "fresh_environment": "The first answer was over before the second",
    "abandoned": "Lambda's report of the invocation was not in the log",
}
"""What a local AWS can't show, and why."""


@terraform("chat", scope="module")
def test_the_documented_policy_is_enough_to_verify_it_and_the_one_thing_that_is_wrong_here_is_found(
    chat: Any, applied: Applied, verified: Any
) -> None:
    outputs = applied.outputs(chat)
    with closing(applied.aws.client("lambda")) as client:
        role = client.get_function_configuration(FunctionName=FUNCTION)["Role"]
    document = (ROOT / "docs/verify.md").read_text(encoding="utf-8")
    policy = re.findall(r"^<!-- policy -->\n\n```json\n(.*?)^```", document, re.MULTILINE | re.DOTALL)[0]
    for name, value in {
        "REGION": REGION,
        "ACCOUNT": ACCOUNT,
        "NAME": FUNCTION,
        "ROLE": role,
        "BUCKET/KEY": f"{outputs['bucket']}/models/lambda-llm-demo.gguf",
    }.items():
        policy = policy.replace(name, value)
    # ministack asks for another permission than AWS for provisioned concurrency, and names no role that is simulated.
    function = outputs["alias_arn"].removesuffix(":live")
    here = [
        {"Effect": "Allow", "Action": "lambda:GetFunction", "Resource": [function, f"{function}:*"]},
        {"Effect": "Allow", "Action": "iam:SimulatePrincipalPolicy", "Resource": "*"},
    ]
    status, probes = verified(json.loads(policy)["Statement"], here)
    assert [probe["sentence"] for probe in probes.values() if "may not call" in probe["sentence"]] == []
    unknown = {name: probe["sentence"] for name, probe in probes.items() if probe["outcome"] == "unknown"}
    assert set(unknown) == set(NOT_KNOWN_HERE)
    for name, said in NOT_KNOWN_HERE.items():
        assert said in unknown[name]
        assert f"`{name}`" in document.partition("## On the local AWS")[2].partition("\n## ")[0]
    (wrong,) = [probe for probe in probes.values() if probe["outcome"] == "wrong"]
    assert (wrong["name"], status) == ("streaming", 1)
    assert wrong["sentence"].startswith("The answer came in one piece: 1024 chunks within ")
    figures = {name: probe["figures"] for name, probe in probes.items()}
    assert figures["snap_start"]["restored"] is True
    assert figures["snap_start"]["version_1"]["OptimizationStatus"] == "On"
    assert figures["alias"] == {"alias": "live", "weights": {"1": 1.0}, "answering_version": "1"}
    assert figures["invariants"]["memory_mb"] == 10240
    assert figures["checksum"]["verified_by"] == ["CRC64NVME", "SHA-256"]
    assert figures["checksum"]["s3_checksum_type"] == "FULL_OBJECT"
    assert figures["unsigned"] == {"unsigned_status": 403, "changed_status": 403}
    assert figures["invocation"] == {"form": "JSON", "version": "1", "status": 200}


@terraform("chat", scope="module")
def test_whoever_may_only_call_the_function_is_told_what_can_t_be_known_without_more(
    chat: Any, applied: Applied, verified: Any
) -> None:
    alias = applied.outputs(chat)["alias_arn"]
    calls = ["lambda:InvokeFunctionUrl", "lambda:InvokeFunction"]
    _, probes = verified([{"Effect": "Allow", "Action": calls, "Resource": alias}])
    refused = {name for name, probe in probes.items() if "The credentials may not call" in probe["sentence"]}
    assert refused == {"snap_start", "alias", "invariants", "role", "invocation", "latest", "abandoned"}
    assert {probes[name]["outcome"] for name in refused} == {"unknown"}
    known = [name for name, probe in probes.items() if probe["outcome"] == "ok"]
    assert known == ["health", "checksum", "memory", "unsigned", "second_turn"]


@terraform("chat", scope="module")
def test_a_second_apply_changes_nothing(chat: Any, applied: Applied) -> None:
    assert applied.changes(chat) == []
    assert applied.run(chat, "plan", "-detailed-exitcode").returncode == 0


@terraform("chat", scope="module")
def test_a_broken_model_fails_the_apply_and_says_why_while_the_old_version_goes_on(
    chat: Any, applied: Applied, broken_model: Path
) -> None:
    role = Role(applied)
    with closing(applied.aws.client("lambda")) as client:
        served = client.get_alias(FunctionName=FUNCTION, Name="live")["FunctionVersion"]
        said: list[str] = []
        for _ in range(2):  # applying the same again is refused too
            done = applied.run(chat, "apply", "-auto-approve", model_file=str(broken_model))
            assert done.returncode == 1
            assert client.get_alias(FunctionName=FUNCTION, Name="live")["FunctionVersion"] == served
            assert role.may_read(served), "Lambda may recreate its snapshot at any time"
            reason = client.get_function_configuration(FunctionName=FUNCTION, Qualifier=str(int(served) + 1))
            assert reason["State"] == "Failed"
            assert "broken.gguf: The file is truncated: its header announces" in reason["StateReason"]
            said.append(re.sub(r"[\s│]+", " ", done.stderr))
        # The provider says why from 6.x on; with 5.100 one asks the version, as docs/operations.md has it.
        assert "state transitioned to Failure" in said[0] or "is truncated" in said[0]
        assert "in the following state: 'Failed'" in said[1]
    assert EXPECTED in asked_by_url(applied.outputs(chat)["url"])


@terraform("chat", scope="module")
def test_a_new_model_publishes_a_version_and_moves_the_alias_whatever_failed_before(
    chat: Any, applied: Applied, other_model: Path
) -> None:
    role = Role(applied)
    with closing(applied.aws.client("lambda")) as client:
        served = client.get_alias(FunctionName=FUNCTION, Name="live")["FunctionVersion"]

        with role.locked_out():
            done = applied.run(chat, "apply", "-auto-approve", model_file=str(other_model))
            assert done.returncode == 1
        # The outage is over, and Lambda has nothing to publish: nothing of the function has changed.
        done = applied.run(chat, "apply", "-auto-approve", model_file=str(other_model))
        assert done.returncode == 1
        assert "in the following state: 'Failed'" in re.sub(r"[\s│]+", " ", done.stderr)
        assert client.get_alias(FunctionName=FUNCTION, Name="live")["FunctionVersion"] == served
        assert role.may_read(served)

        again = {"model_file": str(other_model), "revision": "2"}
        done = applied.run(chat, "apply", "-auto-approve", **again)
        assert done.returncode == 0, done.stderr
        outputs = applied.outputs(chat)
        assert int(outputs["version"]) > int(served)
        assert client.get_alias(FunctionName=FUNCTION, Name="live")["FunctionVersion"] == outputs["version"]
    assert health(outputs["url"])["model"] == OTHER_NAME
    assert EXPECTED in asked_by_url(outputs["url"])
    assert role.may_read(outputs["version"])
    assert not role.may_read(served), "the alias has moved"
    assert applied.changes(chat, **again) == []


@pytest.fixture
def refused(chat: Any, applied: Applied) -> Any:
    """Takes a service, an operation and its arguments; gives the code with which the function's role is refused."""
    assert chat
    credentials = applied.role_credentials(FUNCTION)

    def try_it(service: str, operation: str, **arguments: Any) -> str:
        with closing(applied.aws.client(service, credentials)) as client:
            return refusal(client, operation, **arguments)

    return try_it


@terraform("chat", scope="module")
def test_the_role_may_read_its_model_and_write_its_log(chat: Any, applied: Applied, refused: Any) -> None:
    with closing(applied.aws.client("lambda")) as client:
        variables = client.get_function_configuration(FunctionName=FUNCTION)["Environment"]["Variables"]
    bucket, _, key = variables["LAMBDA_LLM_MODEL"].removeprefix("s3://").partition("/")
    model = {"Bucket": bucket, "Key": key, "VersionId": variables["LAMBDA_LLM_MODEL_VERSION_ID"]}
    assert bucket == applied.outputs(chat)["bucket"]
    assert refused("s3", "get_object", **model) == ""
    assert refused("s3", "head_object", **model) == ""
    stream = {"logGroupName": f"/aws/lambda/{FUNCTION}", "logStreamName": "written-by-the-test"}
    assert refused("logs", "create_log_stream", **stream) == ""
    assert refused("logs", "put_log_events", **stream, logEvents=[{"timestamp": 1, "message": "x"}]) == ""


@terraform("chat", scope="module")
def test_the_role_is_refused_everything_else(chat: Any, applied: Applied, refused: Any) -> None:
    outputs = applied.outputs(chat)
    bucket, key = outputs["bucket"], "models/lambda-llm-demo.gguf"
    with closing(applied.aws.client("s3")) as s3:
        other = s3.put_object(Bucket=bucket, Key="models/other.gguf", Body=b"x")["VersionId"]
        newer = s3.put_object(Bucket=bucket, Key=key, Body=b"x")["VersionId"]
        s3.create_bucket(Bucket="another-bucket")
        s3.put_object(Bucket="another-bucket", Key=key, Body=b"x")
    with closing(applied.aws.client("kms")) as kms:
        key_id = kms.create_key()["KeyMetadata"]["KeyId"]
        sealed = kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    role = applied.aws.client("sts", applied.role_credentials(FUNCTION)).get_caller_identity()["Arn"].split("/")[1]
    elsewhere = {"logGroupName": "/aws/lambda/another", "logStreamName": "x"}
    tried = {
        "the model without its version": ("s3", "get_object", {"Bucket": bucket, "Key": key}),
        "another version of the model": ("s3", "get_object", {"Bucket": bucket, "Key": key, "VersionId": newer}),
        "another key": ("s3", "get_object", {"Bucket": bucket, "Key": "models/other.gguf"}),
        "another key's version": (
            "s3",
            "get_object",
            {"Bucket": bucket, "Key": "models/other.gguf", "VersionId": other},
        ),
        "another bucket": ("s3", "get_object", {"Bucket": "another-bucket", "Key": key}),
        "listing its bucket": ("s3", "list_objects_v2", {"Bucket": bucket}),
        "listing versions": ("s3", "list_object_versions", {"Bucket": bucket}),
        "listing buckets": ("s3", "list_buckets", {}),
        "writing the model": ("s3", "put_object", {"Bucket": bucket, "Key": key, "Body": b"x"}),
        "writing beside it": ("s3", "put_object", {"Bucket": bucket, "Key": "state/x", "Body": b"x"}),
        "deleting the model": ("s3", "delete_object", {"Bucket": bucket, "Key": key}),
        "the bucket's policy": ("s3", "delete_bucket_policy", {"Bucket": bucket}),
        "decrypting": ("kms", "decrypt", {"CiphertextBlob": sealed, "KeyId": key_id}),
        "another log": ("logs", "create_log_stream", elsewhere),
        "a log group": ("logs", "create_log_group", {"logGroupName": "/aws/lambda/new"}),
        "reading its log": ("logs", "filter_log_events", {"logGroupName": f"/aws/lambda/{FUNCTION}"}),
        "invoking itself": ("lambda", "invoke", {"FunctionName": outputs["alias_arn"]}),
        "changing itself": ("lambda", "update_function_configuration", {"FunctionName": FUNCTION, "Timeout": 1}),
        "its own role": ("iam", "put_role_policy", {"RoleName": role, "PolicyName": "more", "PolicyDocument": "{}"}),
        "new users": ("iam", "create_user", {"UserName": "x"}),
        "other roles": ("sts", "assume_role", {"RoleArn": "arn:aws:iam::123456789012:role/x", "RoleSessionName": "xx"}),
        "secrets": ("secretsmanager", "list_secrets", {}),
        "parameters": ("ssm", "get_parameter", {"Name": "x"}),
        "tables": ("dynamodb", "list_tables", {}),
    }
    answered = {what: refused(service, operation, **given) for what, (service, operation, given) in tried.items()}
    allowed = {what: code for what, code in answered.items() if code not in {"AccessDenied", "AccessDeniedException"}}
    assert allowed == {}
    with closing(applied.aws.client("s3")) as s3:
        s3.delete_object(Bucket="another-bucket", Key=key)
        s3.delete_bucket(Bucket="another-bucket")


@terraform("chat", scope="module")
def test_the_pruner_leaves_only_the_version_that_serves(chat: Any, applied: Applied) -> None:
    served = applied.outputs(chat)["version"]
    with closing(applied.aws.client("lambda")) as client:

        def versions() -> list[str]:
            return [each["Version"] for each in client.list_versions_by_function(FunctionName=FUNCTION)["Versions"]]

        assert len(versions()) > 2
        assert "FunctionError" not in client.invoke(FunctionName=f"{FUNCTION}-pruner")
        assert versions() == ["$LATEST", served]
    assert EXPECTED in asked_by_url(applied.outputs(chat)["url"])


@terraform("chat", scope="module")
def test_destroy_leaves_nothing(chat: Any, applied: Applied) -> None:
    assert set(applied.leftovers()) == {"buckets", "functions", "roles", "log groups", "schedules"}
    done = applied.run(chat, "destroy", "-auto-approve")
    assert done.returncode == 0, done.stderr
    assert applied.leftovers() == {}
    assert applied.processes(FUNCTION) == []
