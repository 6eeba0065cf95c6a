"""The strict local AWS holds people and functions to what AWS would: by IAM, by signature, over TLS, by version."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from scripts import ROOT
from scripts.local_aws.server import ACCOUNT, REGION, LocalAWS, LocalAWSError, local_aws

URL = f"https://{'a' * 32}.lambda-url.{REGION}.on.aws/health"


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAWS]:
    with local_aws(tmp_path_factory.mktemp("strict-aws"), strict=True) as aws:
        yield aws


@pytest.fixture(scope="module")
def versions(strict: LocalAWS) -> list[str]:
    """Two versions of s3://held/model."""
    strict.make_bucket("held")
    with closing(strict.client("s3")) as s3:
        return [s3.put_object(Bucket="held", Key="model", Body=body)["VersionId"] for body in (b"one", b"two")]


def role(aws: LocalAWS, statement: dict[str, Any]) -> dict[str, str]:
    """Credentials of a role of its own with this one statement."""
    name = f"role-{uuid4().hex}"
    trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"}
    with closing(aws.client("iam")) as iam, closing(aws.client("sts")) as sts:
        made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))
        policy = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]})
        iam.put_role_policy(RoleName=name, PolicyName="only", PolicyDocument=policy)
        credentials: dict[str, str] = sts.assume_role(RoleArn=made["Role"]["Arn"], RoleSessionName="test")[
            "Credentials"
        ]
    return credentials


def read(aws: LocalAWS, credentials: dict[str, str], **which: str) -> bytes | str:
    """The object's bytes, or the code of the refusal."""
    with closing(aws.client("s3", credentials)) as s3:
        try:
            content: bytes = s3.get_object(Bucket="held", Key="model", **which)["Body"].read()
        except ClientError as error:
            return str(error.response["Error"]["Code"])
    return content


def test_a_role_may_do_what_its_policy_says_and_nothing_else(strict: LocalAWS, versions: list[str]) -> None:
    nobody = role(strict, {"Action": "s3:ListAllMyBuckets", "Resource": "*"})
    assert read(strict, nobody) == "AccessDenied"
    reader = role(strict, {"Action": "s3:GetObject", "Resource": "arn:aws:s3:::held/model"})
    assert read(strict, reader) == b"two"
    assert read(strict, reader, VersionId=versions[0]) == "AccessDenied"


def test_a_role_can_be_held_to_one_version(strict: LocalAWS, versions: list[str]) -> None:
    held = {"StringEquals": {"s3:VersionId": versions[0]}}
    reader = role(strict, {"Action": "s3:GetObjectVersion", "Resource": "arn:aws:s3:::held/model", "Condition": held})
    assert read(strict, reader, VersionId=versions[0]) == b"one"
    assert read(strict, reader, VersionId=versions[1]) == "AccessDenied"
    assert read(strict, reader) == "AccessDenied"


def test_a_secret_that_is_not_the_key_s_is_refused(strict: LocalAWS, versions: list[str]) -> None:
    assert versions
    reader = role(strict, {"Action": "s3:GetObject", "Resource": "arn:aws:s3:::held/model"})
    assert read(strict, {**reader, "SecretAccessKey": "guessed"}) == "SignatureDoesNotMatch"


def test_a_bucket_may_insist_on_tls(strict: LocalAWS, versions: list[str]) -> None:
    assert versions
    insists = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": ["arn:aws:s3:::held/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    reader = role(strict, {"Action": "s3:GetObject", "Resource": "arn:aws:s3:::held/model"})
    assert strict.endpoint.startswith("https://")
    with closing(strict.client("s3")) as s3:
        s3.put_bucket_policy(Bucket="held", Policy=json.dumps({"Version": "2012-10-17", "Statement": [insists]}))
        assert read(strict, reader) == b"two"
        insists["Condition"] = {"Bool": {"aws:SecureTransport": "true"}}
        s3.put_bucket_policy(Bucket="held", Policy=json.dumps({"Version": "2012-10-17", "Statement": [insists]}))
        assert read(strict, reader) == "AccessDenied"
        s3.delete_bucket_policy(Bucket="held")


def curl(aws: LocalAWS, url: str) -> subprocess.CompletedProcess[str]:
    command = ["curl", "--silent", "--show-error", "--write-out", "%{http_code}", url]
    return subprocess.run(command, env=aws.environment, capture_output=True, text=True, check=False)


@pytest.mark.needs("curl", get="install curl")
def test_function_urls_lead_to_it_and_nothing_else_does(strict: LocalAWS) -> None:
    unknown = curl(strict, URL)
    assert (unknown.returncode, unknown.stderr) == (0, "")
    assert unknown.stdout.endswith("404")
    elsewhere = curl(strict, "https://example.com/")
    assert elsewhere.returncode != 0
    assert "403" in elsewhere.stderr


def test_without_openssl_it_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LocalAWSError, match="openssl is missing"), local_aws(tmp_path, strict=True):
        pass


def test_it_can_be_kept_running_beside_a_shell(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scripts.local_aws"]
    with subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "TMPDIR": str(tmp_path)}, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("#"):
                break
        (tmp_path / "aws.env").write_text("".join(lines))
        program = "import boto3; s3 = boto3.client('s3'); s3.create_bucket(Bucket='mine'); print(s3.list_buckets())"
        shell = f'. {tmp_path}/aws.env && {sys.executable} -c "{program}"'
        plain = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        done = subprocess.run(["/bin/sh", "-c", shell], env=plain, capture_output=True, text=True, check=False)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert "'Name': 'mine'" in done.stdout, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["aws.env"], "everything else is gone"
