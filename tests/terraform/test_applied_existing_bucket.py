"""examples/existing-bucket, applied on a bucket and a KMS key that were there before, and that stay."""

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from support.answers import EXPECTED
from support.applied import Applied, asked_by_invoke, asked_by_url, health, refusal, terraform
from support.modules import TERRAFORM_FROM

FUNCTION = "lambda-llm-existing-bucket"
BUCKET = "bucket-of-my-own"


@pytest.fixture(scope="module")
def existing(applied: Applied, demo_model: Path) -> Iterator[str]:
    """The bucket with the model, and its key's ARN."""
    applied.aws.make_bucket(BUCKET)
    with closing(applied.aws.client("kms")) as kms, closing(applied.aws.client("s3")) as s3:
        key: str = kms.create_key()["KeyMetadata"]["Arn"]
        by_default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
        rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": by_default}]}
        s3.put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration=rules)
        pushed = applied.push(demo_model, f"s3://{BUCKET}/mine/demo.gguf", "existing-bucket")
        assert pushed["kms_key_arn"] == key, "as S3 tells it"
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv("TF_VAR_environment", '{"LAMBDA_LLM_WEIGHTS": "mapped"}')
            yield key


pytestmark = [pytest.mark.needs("terraform", get=TERRAFORM_FROM), pytest.mark.usefixtures("existing")]


@terraform("existing-bucket", scope="module", name="example")
def test_it_serves_the_pushed_model_out_of_the_memory_file(example: Any, applied: Applied) -> None:
    outputs = applied.outputs(example)
    assert EXPECTED in asked_by_url(outputs["url"])
    assert EXPECTED in asked_by_invoke(applied.aws, outputs["alias_arn"])
    # Mapped weights are the memory file's own pages, so whoever serves has it in its map.
    assert health(outputs["url"])["placement"] == "mapped"
    assert any("/memfd:lambda-llm" in each for each in applied.memory_maps(FUNCTION))
    assert not any(name.endswith(".gguf") for _, _, names in os.walk(applied.aws.log.parent) for name in names), (
        "on disk"
    )


@terraform("existing-bucket", scope="module", name="example")
def test_a_second_apply_changes_nothing(example: Any, applied: Applied) -> None:
    assert applied.changes(example) == []


@terraform("existing-bucket", scope="module", name="example")
def test_its_role_may_decrypt_with_this_key_and_no_other(example: Any, applied: Applied, existing: str) -> None:
    assert example
    with closing(applied.aws.client("kms")) as kms:
        other = kms.create_key()["KeyMetadata"]["Arn"]
        sealed = {key: kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"] for key in (existing, other)}
    with closing(applied.aws.client("kms", applied.role_credentials(FUNCTION))) as kms:
        assert refusal(kms, "decrypt", KeyId=existing, CiphertextBlob=sealed[existing]) == ""
        assert refusal(kms, "decrypt", KeyId=other, CiphertextBlob=sealed[other]) == "AccessDeniedException"
        assert refusal(kms, "encrypt", KeyId=existing, Plaintext=b"x") == "AccessDeniedException"


@terraform("existing-bucket", scope="module", name="example")
def test_destroy_leaves_the_bucket_and_nothing_else(example: Any, applied: Applied) -> None:
    done = applied.run(example, "destroy", "-auto-approve")
    assert done.returncode == 0, done.stderr
    left = applied.leftovers()
    assert [bucket["Name"] for bucket in left.pop("buckets")] == [BUCKET]
    assert left == {}
    with closing(applied.aws.client("s3")) as s3:
        assert [each["Key"] for each in s3.list_objects_v2(Bucket=BUCKET)["Contents"]] == ["mine/demo.gguf"]
