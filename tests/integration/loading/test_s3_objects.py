"""Small objects in S3: there, missing, too large, forbidden, out of reach; and nothing that would age in a snapshot."""

from contextlib import closing
from uuid import uuid4

import pytest

from lambda_llm.aws.errors import S3URIError, StorageError, StorageForbiddenError
from lambda_llm.aws.s3_objects import S3Objects
from scripts.local_aws.server import LocalAWS
from support.leftovers import leftovers


@pytest.fixture
def bucket(aws: LocalAWS) -> str:
    name = f"objects-{uuid4().hex}"
    aws.make_bucket(name)
    return name


@pytest.mark.parametrize(
    ("suffix", "key"), [("", "n"), ("/", "n"), ("/state/kv", "state/kv/n"), ("/state/kv/", "state/kv/n")]
)
def test_what_was_written_is_read_below_the_prefix(aws: LocalAWS, bucket: str, suffix: str, key: str) -> None:
    with closing(S3Objects(f"s3://{bucket}{suffix}")) as objects:
        objects.put("n", [b"head", bytearray(b"er "), memoryview(b"body")])
        assert objects.get("n", 100) == b"header body"
        with closing(aws.client("s3")) as s3:
            assert [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [key]


def test_a_missing_object_is_none_and_a_large_one_an_error(bucket: str) -> None:
    with closing(S3Objects(f"s3://{bucket}/")) as objects:
        assert objects.get("missing", 100) is None
        objects.put("large", [b"x" * 101])
        with pytest.raises(StorageError, match="101 bytes, more than 100"):
            objects.get("large", 100)


def test_it_is_checked_at_the_start_whether_it_can_work(bucket: str) -> None:
    with closing(S3Objects(f"s3://{bucket}/kv")) as objects:
        objects.check()
    with (
        closing(S3Objects("s3://no-such-bucket-here/kv")) as objects,
        pytest.raises(StorageForbiddenError, match=r"can't be stored in s3://no-such-bucket-here/kv/ .*s3:PutObject"),
    ):
        objects.check()


def test_a_missing_bucket_is_no_missing_object(aws: LocalAWS) -> None:  # noqa: ARG001 - points to it
    with closing(S3Objects("s3://no-such-bucket-here/")) as objects:
        with pytest.raises(StorageError, match="NoSuchBucket"):
            objects.get("n", 1)
        with pytest.raises(StorageError, match="NoSuchBucket"):
            objects.put("n", [b"x"])


def test_a_store_out_of_reach_is_told_at_once(monkeypatch: pytest.MonkeyPatch, aws: LocalAWS) -> None:  # noqa: ARG001
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with closing(S3Objects("s3://bucket/")) as objects:
        with pytest.raises(StorageError, match="Could not connect"):
            objects.get("n", 1)
        with pytest.raises(StorageError, match="Could not connect"):
            objects.put("n", [b"x"])


def test_before_a_snapshot_every_connection_is_closed_and_credentials_are_taken_anew(
    aws: LocalAWS, bucket: str, ports: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(S3Objects(f"s3://{bucket}/")) as objects:
        objects.put("n", [b"x"])
        assert leftovers(ports) != [], "it keeps its connections open otherwise"
        objects.before_snapshot()
        assert leftovers(ports) == []
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        objects.after_restore()
        assert leftovers(ports) == []
        with pytest.raises(StorageError, match="Unable to locate credentials"):
            objects.get("n", 1)
        objects.before_snapshot()
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", aws.environment["AWS_ACCESS_KEY_ID"])
        assert objects.get("n", 1) == b"x"


@pytest.mark.parametrize("uri", ["s3://", "s3:///key", "file:///tmp/x", "bucket/prefix", ""])
def test_what_names_no_place_in_s3_is_refused(aws: LocalAWS, uri: str) -> None:  # noqa: ARG001
    with pytest.raises(S3URIError, match="write s3://BUCKET/PREFIX/"):
        S3Objects(uri)
