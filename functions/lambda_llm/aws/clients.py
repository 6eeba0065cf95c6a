"""Clients of AWS's small services, made when they are needed: importing the router does without AWS's SDK."""

from typing import Any, Final

from lambda_llm.aws.s3_client import redirect_once

CONNECT_SECONDS: Final = 2
READ_SECONDS: Final = 5
ATTEMPTS: Final = 3
"""Of each request, by botocore."""


def create(
    service: str,
    region: str | None = None,
    *,
    connect_seconds: float = CONNECT_SECONDS,
    read_seconds: float = READ_SECONDS,
    attempts: int = ATTEMPTS,
    connections: int = 10,
    signs_urls: bool = False,
) -> Any:
    """Create a client of botocore that is bounded in time and attempts; no request is sent.

    Args:
        service: its name.
        region: of it; None: the environment's.
        connect_seconds: time limit for a connection.
        read_seconds: silence after which the service counts as unavailable.
        attempts: of each request.
        connections: that are kept for the next requests.
        signs_urls: whether the client makes presigned URLs of S3. They then are of its region and of signature version
            4: the default ones name no region, so new buckets elsewhere redirect them, and version 2 is refused for
            what is encrypted with KMS.
            Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html

    Raises:
        botocore.exceptions.BotoCoreError: the region is not known.
    """
    from botocore.config import Config  # noqa: PLC0415 - see the module
    from botocore.session import get_session  # noqa: PLC0415

    config = Config(
        connect_timeout=connect_seconds,
        read_timeout=read_seconds,
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=connections,
    )
    if signs_urls:
        config = config.merge(Config(signature_version="s3v4", s3={"addressing_style": "virtual"}))
    client: Any = get_session().create_client(service, region_name=region, config=config)
    if service == "s3":
        redirect_once(client)
    return client
