"""examples/two-models, applied: one stack with the modules repeated, waited for and referred to as a whole."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx2
import pytest

from lambda_llm.aws.function_url import function_url_auth
from support.answers import EXPECTED
from support.applied import Applied, asked_by_url, client_of, terraform
from support.modules import TERRAFORM_FROM


@pytest.fixture(scope="module")
def with_a_key(applied: Applied) -> Iterator[None]:
    """The bucket gets a KMS key of its own."""
    assert applied
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TF_VAR_create_kms_key", "true")
        yield


pytestmark = [pytest.mark.needs("terraform", get=TERRAFORM_FROM), pytest.mark.usefixtures("with_a_key")]


@terraform("two-models", scope="module", name="stack")
def test_each_model_answers_at_its_own_url(stack: Any, applied: Applied) -> None:
    urls = applied.outputs(stack)["urls"]
    assert EXPECTED in asked_by_url(urls["chat"])
    with client_of(urls["embeddings"]) as client:
        model = client.models.list().data[0].id
        assert len(client.embeddings.create(model=model, input="memory").data[0].embedding) > 8
    with httpx2.Client(auth=function_url_auth(urls["embeddings"])) as http:
        assert http.post(f"{urls['embeddings']}v1/chat/completions", json={"model": model, "messages": []}).is_error


@terraform("two-models", scope="module", name="stack")
def test_a_second_apply_changes_nothing(stack: Any, applied: Applied) -> None:
    assert applied.changes(stack) == []
    functions = applied.outputs(stack)["functions"]
    assert {name: one["function_name"] for name, one in functions.items()} == {
        "chat": "lambda-llm-two-chat",
        "embeddings": "lambda-llm-two-embeddings",
    }
    assert {one["alias_arn"].rpartition(":")[2] for one in functions.values()} == {"live"}


@terraform("two-models", scope="module", name="stack")
def test_a_destroy_that_fails_leaves_the_key_of_what_is_left(stack: Any, applied: Applied) -> None:
    outputs = applied.outputs(stack)
    with closing(applied.aws.client("s3")) as s3, closing(applied.aws.client("kms")) as kms:
        s3.put_object(Bucket=outputs["bucket"], Key="state/of-somebody", Body=b"x")
        done = applied.run(stack, "destroy", "-auto-approve")
        assert done.returncode == 1
        assert "BucketNotEmpty" in done.stderr
        key = kms.describe_key(KeyId=outputs["kms_key_arn"])["KeyMetadata"]
        assert (key["KeyState"], key["Enabled"]) == ("Enabled", True)
        for version in s3.list_object_versions(Bucket=outputs["bucket"]).get("Versions", []):
            s3.delete_object(Bucket=outputs["bucket"], Key=version["Key"], VersionId=version["VersionId"])
        done = applied.run(stack, "destroy", "-auto-approve")
        assert done.returncode == 0, done.stderr
        key = kms.describe_key(KeyId=outputs["kms_key_arn"])["KeyMetadata"]
        assert key["KeyState"] == "PendingDeletion"
    assert applied.leftovers() == {}
