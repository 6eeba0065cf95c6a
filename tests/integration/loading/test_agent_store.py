"""An agent's content in S3, over the real protocol: verified, of one tenant, missing, changed, throttled."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from lambda_llm.agent.errors import AgentError, BadReferenceError, TooLargeError
from lambda_llm.agent.references import Reference
from lambda_llm.agent.store import FolderStore, S3Store
from lambda_llm.agent.tools.tool import Store
from lambda_llm.aws.s3_client import close
from scripts.local_aws.server import LocalAWS


@pytest.fixture
def bucket(aws: LocalAWS) -> str:
    name = f"state-{uuid4().hex}"
    aws.make_bucket(name)
    return name


@pytest.fixture(params=["s3", "folder"])
def stores(request: pytest.FixtureRequest, aws: LocalAWS, bucket: str, tmp_path: Path) -> Iterator[tuple[Store, Store]]:
    """Of two tenants."""
    if request.param == "folder":
        yield FolderStore(tmp_path, "acme"), FolderStore(tmp_path, "other")
        return
    with closing(aws.client("s3")) as client:
        yield S3Store(f"s3://{bucket}/state", "acme", client), S3Store(f"s3://{bucket}/state", "other", client)


def test_what_is_put_is_got_and_has_its_hash_as_its_name(stores: tuple[Store, Store]) -> None:
    store, _ = stores
    reference = store.put(b"content", "text/plain")
    assert reference == store.put(b"content", "text/plain")
    assert (reference.size, reference.type) == (7, "text/plain")
    assert reference.uri.endswith(f"/acme/{reference.sha256}")
    assert store.get(reference, 7) == b"content"
    with pytest.raises(TooLargeError, match="has 7 bytes, and at most 6"):
        store.get(reference, 6)


def test_another_tenant_s_content_can_t_be_had(stores: tuple[Store, Store]) -> None:
    store, other = stores
    reference = store.put(b"secret", "text/plain")
    with pytest.raises(BadReferenceError, match="no reference to this execution's state"):
        other.get(reference, 100)
    for uri in (
        "https://example.com/x",
        "s3://",
        reference.uri + "/../x",
        reference.uri.replace("acme", "acme/../acme"),
    ):
        with pytest.raises(BadReferenceError, match="no reference to this execution's state"):
            store.get(Reference(uri, reference.sha256, 6, "text/plain"), 100)


def test_what_is_missing_ends_clearly(stores: tuple[Store, Store]) -> None:
    store, _ = stores
    there = store.put(b"there", "text/plain")
    gone = Reference(there.uri.replace(there.sha256, "0" * 64), "0" * 64, 5, "text/plain")
    with pytest.raises(BadReferenceError, match="is missing: it expired, or was deleted"):
        store.get(gone, 100)


def test_what_was_changed_is_not_read(aws: LocalAWS, bucket: str) -> None:
    with closing(aws.client("s3")) as client:
        store = S3Store(f"s3://{bucket}/state", "acme", client)
        reference = store.put(b"right", "text/plain")
        for wrong in (b"wrong", b"right and more", b"r"):
            client.put_object(Bucket=bucket, Key=f"state/acme/{reference.sha256}", Body=wrong)
            with pytest.raises(BadReferenceError, match="was changed"):
                store.get(reference, 100)


def test_a_store_that_is_not_there_is_no_bad_reference(aws: LocalAWS) -> None:
    client = aws.client("s3")
    with closing_all(client):
        store = S3Store("s3://no-such-bucket-here/state", "acme", client)
        with pytest.raises(AgentError, match="5 bytes could not be stored: NoSuchBucket"):
            store.put(b"right", "text/plain")
        reference = Reference(f"s3://no-such-bucket-here/state/acme/{'0' * 64}", "0" * 64, 5, "text/plain")
        with pytest.raises(AgentError, match="can't be read: NoSuchBucket") as raised:
            store.get(reference, 100)
        assert not isinstance(raised.value, BadReferenceError)


@contextmanager
def closing_all(client: Any) -> Iterator[None]:
    """Close a client and its connections, also after a refusal."""
    try:
        yield
    finally:
        close(client)


@pytest.mark.parametrize("tenant", ["", "../x", "a/b", "ä", "x" * 65])
def test_a_tenant_is_one_folder(tenant: str, tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="A tenant's name has"):
        FolderStore(tmp_path, tenant)
    with pytest.raises(AgentError, match="A tenant's name has"):
        S3Store("s3://bucket/state", tenant, object())
