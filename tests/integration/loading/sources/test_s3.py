"""Models in an S3 that somebody else wrote, and the answers that it gives when one is not to be had."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from awscrt.checksums import crc64nvme

from lambda_llm.gguf.errors import CorruptError
from lambda_llm.limits import MIB
from lambda_llm.loading import download
from lambda_llm.loading.errors import ForbiddenError, InvalidReferenceError, NotFoundError, UnverifiableError
from lambda_llm.loading.load import HEAD_BYTES, inspect
from lambda_llm.loading.sources.base import ModelReference
from scripts.local_aws import server as script
from scripts.local_aws.server import LocalAWS
from support.loads import content, load_model
from support.models import padded

PART_BYTES = MIB  # the local AWS takes its time over a checksum
SIZE = HEAD_BYTES + 3 * PART_BYTES + 12_345


@dataclass(frozen=True)
class Bucket:
    name: str
    s3: Any

    def uri(self, key: str) -> str:
        return f"s3://{self.name}/{key}"

    def put(self, key: str, body: bytes, **changes: Any) -> str | None:
        """Store an object as `lambda-llm push` would; returns its version."""
        answer = self.s3.put_object(
            Bucket=self.name, Key=key, Body=body, **({"ChecksumAlgorithm": "CRC64NVME"} | changes)
        )
        version: str | None = answer.get("VersionId")
        return version


@pytest.fixture(scope="module")
def several_parts(small: bytes) -> bytes:
    return padded(small, SIZE)


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PART_BYTES_MIN", PART_BYTES)
    monkeypatch.setattr(download, "PART_BYTES_MAX", PART_BYTES)


@pytest.fixture
def client(aws: LocalAWS) -> Iterator[Any]:
    with closing(aws.client("s3")) as s3:
        yield s3


@pytest.fixture
def bucket(client: Any) -> Bucket:
    """A bucket without versions."""
    name = f"models-{uuid4().hex}"
    client.create_bucket(Bucket=name)
    return Bucket(name, client)


@pytest.fixture
def versioned(aws: LocalAWS, client: Any) -> Bucket:
    name = f"models-{uuid4().hex}"
    aws.make_bucket(name)
    return Bucket(name, client)


# -- What is there ----------------------------------------------------------------------------------


def test_an_object_in_parts_is_loaded_whole(bucket: Bucket, several_parts: bytes) -> None:
    bucket.put("tiny.gguf", several_parts)
    loaded = load_model(bucket.uri("tiny.gguf"))
    assert content(loaded) == several_parts
    assert loaded.download.checksums == ("CRC64NVME",)
    assert loaded.download.retries == 0
    assert loaded.inspection.described.version_id is None
    assert loaded.inspection.described.crc64nvme == crc64nvme(several_parts)


def test_a_version_is_loaded_whole(versioned: Bucket, several_parts: bytes) -> None:
    version = versioned.put("tiny.gguf", several_parts)
    loaded = load_model(versioned.uri("tiny.gguf"))
    assert content(loaded) == several_parts
    assert loaded.inspection.described.version_id == version


def test_an_older_version_is_loaded_when_it_is_pinned(versioned: Bucket, small: bytes) -> None:
    old, new = padded(small, len(small) + 5), small
    version = versioned.put("tiny.gguf", old)
    versioned.put("tiny.gguf", new)
    assert content(load_model(versioned.uri("tiny.gguf"), version_id=version)) == old
    assert content(load_model(versioned.uri("tiny.gguf"))) == new


def test_a_pinned_version_outlives_its_deletion(versioned: Bucket, small: bytes) -> None:
    version = versioned.put("tiny.gguf", small)
    versioned.s3.delete_object(Bucket=versioned.name, Key="tiny.gguf")
    assert content(load_model(versioned.uri("tiny.gguf"), version_id=version)) == small


def test_an_object_from_before_the_bucket_had_versions(bucket: Bucket, small: bytes) -> None:
    old, new = padded(small, len(small) + 5), small
    bucket.put("tiny.gguf", old)
    bucket.s3.put_bucket_versioning(Bucket=bucket.name, VersioningConfiguration={"Status": "Enabled"})
    assert content(load_model(bucket.uri("tiny.gguf"))) == old
    bucket.put("tiny.gguf", new)
    assert content(load_model(bucket.uri("tiny.gguf"), version_id="null")) == old


@pytest.mark.parametrize("key", ["a/b c/tiny.gguf", "what?.gguf", "no#1.gguf", "100%25.gguf", "ü+&=.gguf"])
def test_a_key_may_hold_any_character(bucket: Bucket, small: bytes, key: str) -> None:
    bucket.put(key, small)
    assert content(load_model(bucket.uri(key))) == small


def test_an_object_is_inspected(versioned: Bucket, small: bytes) -> None:
    version = versioned.put("tiny.gguf", small)
    inspection = inspect(ModelReference(versioned.uri("tiny.gguf")))
    assert inspection.described.size == len(small)
    assert inspection.described.version_id == version
    assert inspection.header.context_length == 512


# -- What it is verified by -------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA256"])
def test_another_checksum_does_not_serve(bucket: Bucket, small: bytes, algorithm: str) -> None:
    bucket.put("tiny.gguf", small, ChecksumAlgorithm=algorithm)
    with pytest.raises(UnverifiableError, match=rf"{bucket.uri('tiny.gguf')}.*lambda-llm push"):
        load_model(bucket.uri("tiny.gguf"))
    loaded = load_model(bucket.uri("tiny.gguf"), sha256=sha256(small).hexdigest())
    assert content(loaded) == small
    assert loaded.download.checksums == ("SHA-256",)


def test_a_checksum_of_checksums_does_not_serve(bucket: Bucket, small: bytes) -> None:
    body = padded(small, 5 * MIB + 5)
    where = {"Bucket": bucket.name, "Key": "tiny.gguf"}
    upload = bucket.s3.create_multipart_upload(**where, ChecksumAlgorithm="CRC64NVME")["UploadId"]
    parts = []
    for number, part in enumerate([body[: 5 * MIB], body[5 * MIB :]], start=1):
        answer = bucket.s3.upload_part(
            **where, UploadId=upload, PartNumber=number, Body=part, ChecksumAlgorithm="CRC64NVME"
        )
        parts.append({"PartNumber": number, "ETag": answer["ETag"], "ChecksumCRC64NVME": answer["ChecksumCRC64NVME"]})
    bucket.s3.complete_multipart_upload(**where, UploadId=upload, MultipartUpload={"Parts": parts})
    # AWS itself keeps CRC64NVME of whole objects only; look-alikes don't.
    assert bucket.s3.head_object(**where, ChecksumMode="ENABLED")["ChecksumType"] == "COMPOSITE"
    with pytest.raises(UnverifiableError):
        load_model(bucket.uri("tiny.gguf"))
    assert content(load_model(bucket.uri("tiny.gguf"), sha256=sha256(body).hexdigest())) == body


def test_another_object_than_pinned_is_refused(bucket: Bucket, small: bytes) -> None:
    bucket.put("tiny.gguf", small)
    with pytest.raises(CorruptError, match="damaged or was swapped: its SHA-256 is"):
        load_model(bucket.uri("tiny.gguf"), size=len(small), sha256="0" * 64)


# -- What is not there ------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [None, "3HL4kqtJlcpXroDTDmJ"])
def test_a_missing_bucket_is_named(aws: LocalAWS, version: str | None) -> None:
    del aws
    with pytest.raises(NotFoundError, match=r"no bucket 'no-such-bucket': check the name and the region"):
        load_model("s3://no-such-bucket/tiny.gguf", version_id=version)


def test_a_missing_key_is_named(bucket: Bucket) -> None:
    with pytest.raises(NotFoundError, match=rf"no object {bucket.uri('none.gguf')}: check the key"):
        load_model(bucket.uri("none.gguf"))


def test_a_missing_version_is_named(versioned: Bucket, small: bytes) -> None:
    versioned.put("tiny.gguf", small)
    with pytest.raises(NotFoundError, match=rf"{versioned.uri('tiny.gguf')} has no version '3HL4kqtJlcpXroDTDmJ'"):
        load_model(versioned.uri("tiny.gguf"), version_id="3HL4kqtJlcpXroDTDmJ")


def test_a_deleted_object_is_not_there(versioned: Bucket, small: bytes) -> None:
    versioned.put("tiny.gguf", small)
    marker = versioned.s3.delete_object(Bucket=versioned.name, Key="tiny.gguf")["VersionId"]
    for version in (None, marker):
        with pytest.raises(NotFoundError, match=rf"no object {versioned.uri('tiny.gguf')}"):
            load_model(versioned.uri("tiny.gguf"), version_id=version)


def test_an_empty_object_is_refused(bucket: Bucket) -> None:
    bucket.put("tiny.gguf", b"")
    with pytest.raises(CorruptError, match=rf"{bucket.uri('tiny.gguf')} is empty"):
        load_model(bucket.uri("tiny.gguf"))


@pytest.mark.parametrize("uri", ["s3://No Bucket/tiny.gguf", "s3://a@b/tiny.gguf"])
def test_a_name_that_no_bucket_can_have_is_refused(aws: LocalAWS, uri: str) -> None:
    del aws
    with pytest.raises(InvalidReferenceError, match=rf"'{uri}' can't name an object in S3 .*Invalid bucket name"):
        load_model(uri)


# -- What is not allowed ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Guarded:
    """An S3 that verifies signatures and evaluates policies, with one model in two versions."""

    aws: LocalAWS
    iam: Any
    bucket: str
    older: str

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/tiny.gguf"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, small: bytes) -> Iterator[Guarded]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("AUTH", "true")
        with script.local_aws(tmp_path_factory.mktemp("guarded-aws")) as aws:
            # The account's own user, who may do everything.
            aws.environment.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test")  # noqa: S106 - opens nothing
            aws.make_bucket("guarded-models")
            with closing(aws.client("s3")) as s3:
                older, _ = (Bucket("guarded-models", s3).put("tiny.gguf", body) for body in (small + b"older", small))
            assert older is not None
            with closing(aws.client("iam")) as iam:
                yield Guarded(aws, iam, "guarded-models", older)


Allow = Callable[..., None]


@pytest.fixture
def allow(guarded: Guarded, ports: set[int], monkeypatch: pytest.MonkeyPatch) -> Allow:
    """Become a new user, who may do nothing but what this is then called with."""
    port = urlsplit(guarded.aws.endpoint).port
    assert port is not None
    name = uuid4().hex
    guarded.iam.create_user(UserName=name)
    key = guarded.iam.create_access_key(UserName=name)["AccessKey"]
    # `guarded` has a connection of its own to the local AWS, which is no leftover.
    guarded.iam.close()
    for variable, value in guarded.aws.environment.items():
        if variable.startswith("AWS_"):
            monkeypatch.setenv(variable, value)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])

    def allow_these(*actions: str) -> None:
        statement = {"Effect": "Allow", "Action": actions, "Resource": "arn:aws:s3:::guarded-models/*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        guarded.iam.put_user_policy(UserName=name, PolicyName="allowed", PolicyDocument=policy)
        guarded.iam.close()

    ports.add(port)
    return allow_these


def test_a_load_needs_these_two_permissions_and_no_other(guarded: Guarded, allow: Allow, small: bytes) -> None:
    allow("s3:GetObject", "s3:GetObjectVersion")
    assert content(load_model(guarded.uri)) == small
    assert content(load_model(guarded.uri, version_id=guarded.older)) == small + b"older"


@pytest.mark.usefixtures("allow")
def test_no_permission_at_all_is_told(guarded: Guarded) -> None:
    with pytest.raises(ForbiddenError, match=rf"{guarded.uri} \(403 AccessDenied.*needs s3:GetObject "):
        load_model(guarded.uri)


def test_a_missing_permission_for_versions_is_told(guarded: Guarded, allow: Allow) -> None:
    allow("s3:GetObject")
    with pytest.raises(ForbiddenError, match=r"403 AccessDenied.*s3:GetObjectVersion"):
        load_model(guarded.uri, version_id=guarded.older)


@pytest.mark.usefixtures("allow")
def test_a_wrong_secret_is_told(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(ForbiddenError, match=rf"credentials for {guarded.uri} are not valid .*SignatureDoesNotMatch"):
        load_model(guarded.uri)


@pytest.mark.usefixtures("allow")
def test_an_unknown_access_key_is_told(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    with pytest.raises(ForbiddenError, match=rf"credentials for {guarded.uri} are not valid .*InvalidAccessKeyId"):
        load_model(guarded.uri)


def test_credentials_that_can_not_be_had_are_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    config = tmp_path_factory.mktemp("aws") / "config"
    config.write_text("[default]\nregion = eu-central-1\ncredential_process = false\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    with pytest.raises(ForbiddenError, match=r"s3://models/tiny\.gguf .*custom-process.*credentials"):
        load_model("s3://models/tiny.gguf")
