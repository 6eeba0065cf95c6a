"""Addresses in S3: what they name, and what is none."""

import re
from collections.abc import Callable

import pytest

from lambda_llm.aws.errors import S3URIError
from lambda_llm.aws.s3_uri import parse_object, parse_prefix


@pytest.mark.parametrize(
    ("uri", "key"),
    [
        ("s3://models/tiny.gguf", "tiny.gguf"),
        ("s3://models/a/b//c/", "a/b//c/"),
        ("s3://models//led", "/led"),
        ("s3://models/s3://x?y#z é%20", "s3://x?y#z é%20"),
    ],
)
def test_a_key_may_hold_any_character(uri: str, key: str) -> None:
    assert parse_object(uri) == ("models", key)


@pytest.mark.parametrize(
    "uri", ["", "s3://", "s3://models", "s3://models/", "s3:///key", "S3://m/k", "https://m/k", "m/k"]
)
def test_what_names_no_object_is_refused(uri: str) -> None:
    with pytest.raises(S3URIError, match=rf"^{re.escape(repr(uri))} names no object in S3: write s3://BUCKET/KEY\.$"):
        parse_object(uri)


@pytest.mark.parametrize(
    ("uri", "prefix"),
    [
        ("s3://kept", ""),
        ("s3://kept/", ""),
        ("s3://kept/kv", "kv/"),
        ("s3://kept/state/kv//", "state/kv/"),
        ("s3://kept//kv", "kv/"),
    ],
)
def test_a_prefix_is_empty_or_ends_in_one_slash(uri: str, prefix: str) -> None:
    assert parse_prefix(uri) == ("kept", prefix)


@pytest.mark.parametrize("uri", ["", "s3://", "s3:///kv", "file:///kv", "kept/kv"])
def test_what_names_no_prefix_is_refused(uri: str) -> None:
    with pytest.raises(
        S3URIError, match=rf"^{re.escape(repr(uri))} names no prefix in S3: write s3://BUCKET/PREFIX/\.$"
    ):
        parse_prefix(uri)


@pytest.mark.parametrize(
    "bucket",
    [
        "arn:aws:s3:eu-central-1:123456789012:accesspoint/reader",
        "arn:aws:s3:eu-central-1:123456789012:accesspoint:reader",
        "arn:aws-cn:s3:cn-north-1:123456789012:accesspoint/reader",
        "arn:aws:s3::123456789012:accesspoint/mfzwi23gnjvgw.mrap",
        "arn:aws:s3-object-lambda:eu-central-1:123456789012:accesspoint/reader",
        "arn:aws:s3-outposts:eu-central-1:123456789012:outpost/op-01234567890123456/accesspoint/reader",
        "reader-abcdefgh-s3alias",
    ],
)
def test_an_access_point_is_a_bucket(bucket: str) -> None:
    assert parse_object(f"s3://{bucket}/a/b:c.gguf") == (bucket, "a/b:c.gguf")
    assert parse_prefix(f"s3://{bucket}/kv") == (bucket, "kv/")
    assert parse_prefix(f"s3://{bucket}") == (bucket, "")
    with pytest.raises(S3URIError, match="names no object in S3"):
        parse_object(f"s3://{bucket}")


@pytest.mark.parametrize("parse", [parse_object, parse_prefix])
def test_the_arn_of_a_bucket_is_told_apart(parse: Callable[[str], tuple[str, str]]) -> None:
    with pytest.raises(S3URIError, match=r"has the ARN of a bucket: write s3://models/a/tiny\.gguf\.$"):
        parse("s3://arn:aws:s3:::models/a/tiny.gguf")


@pytest.mark.parametrize(
    "arn",
    [
        "arn:",
        "arn:aws:s3",
        "arn:aws:sns:eu-central-1:123456789012:accesspoint/reader/tiny.gguf",
        "arn:aws:s3:eu-central-1:1234:accesspoint/reader/tiny.gguf",
        "arn:aws:s3:eu-central-1:123456789012:accesspoint",
        "arn:aws:s3:eu-central-1:123456789012:accesspoint/",
        "arn:aws:s3:eu-central-1:123456789012:bucket/reader/tiny.gguf",
    ],
)
def test_another_arn_is_refused(arn: str) -> None:
    with pytest.raises(S3URIError, match=r"has an ARN of no access point: write s3://BUCKET/KEY, or s3://arn:aws:s3:"):
        parse_object(f"s3://{arn}")
