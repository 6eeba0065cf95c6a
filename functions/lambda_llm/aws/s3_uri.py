"""S3 URIs."""

import re
from typing import Final

from lambda_llm.aws.errors import S3URIError

_ACCESS_POINT: Final = re.compile(
    r"(?P<bucket>arn:[^:/]+:(?:s3|s3-object-lambda):[^:/]*:\d{12}:accesspoint[:/][^:/]+"
    r"|arn:[^:/]+:s3-outposts:[^:/]+:\d{12}:outpost[:/][^:/]+[:/]accesspoint[:/][^:/]+)(?:/(?P<key>.*))?",
    re.DOTALL,
)
"""What S3 takes in place of a bucket's name.
Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-points-naming.html"""


def parse_object(uri: str) -> tuple[str, str]:
    """Bucket and key of `s3://bucket/key`; a key may contain any character, and an access point's ARN is a bucket.

    Raises:
        S3URIError: it has a different form, or one of the two is missing.
    """
    bucket, key = _split(uri)
    if not bucket or not key:
        raise S3URIError(f"{uri!r} names no object in S3: write s3://BUCKET/KEY.")
    return bucket, key


def parse_prefix(uri: str) -> tuple[str, str]:
    """Bucket and prefix of `s3://bucket/prefix/`; the prefix is empty, or ends in one slash.

    Raises:
        S3URIError: it has a different form.
    """
    bucket, key = _split(uri)
    if not bucket:
        raise S3URIError(f"{uri!r} names no prefix in S3: write s3://BUCKET/PREFIX/.")
    prefix = key.strip("/")
    return bucket, f"{prefix}/" if prefix else ""


def _split(uri: str) -> tuple[str, str]:
    scheme, _, rest = uri.partition("://")
    if scheme != "s3":
        return "", ""
    if rest.startswith("arn:"):
        return _split_arn(uri, rest)
    bucket, _, key = rest.partition("/")
    return bucket, key


def _split_arn(uri: str, arn: str) -> tuple[str, str]:
    if match := _ACCESS_POINT.fullmatch(arn):
        return match["bucket"], match["key"] or ""
    plain = re.fullmatch(r"arn:[^:/]+:s3:::(?P<path>[^/]+/?.*)", arn, re.DOTALL)
    raise S3URIError(
        f"{uri!r} has the ARN of a bucket: write s3://{plain['path']}."
        if plain
        else f"{uri!r} has an ARN of no access point: write s3://BUCKET/KEY, or "
        "s3://arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME/KEY."
    )
