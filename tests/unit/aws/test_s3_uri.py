"""Addresses in S3: what they name, and what is none."""

import re

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
