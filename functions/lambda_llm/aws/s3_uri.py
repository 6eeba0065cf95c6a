"""S3 URIs."""

from lambda_llm.aws.errors import S3URIError


def parse_object(uri: str) -> tuple[str, str]:
    """Bucket and key of `s3://bucket/key`; a key may contain any character.

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
    bucket, _, key = rest.partition("/")
    return (bucket, key) if scheme == "s3" else ("", "")
