"""Calling inference functions through their Function URLs."""

import re
from typing import Final

import httpx2

from lambda_llm.aws.signing import SigV4Auth

_FUNCTION_URL_HOST: Final = re.compile(r"[a-z0-9]+\.lambda-url\.(?P<region>[a-z0-9-]+)\.on\.aws")


def function_url_auth(url: str, region: str | None = None) -> SigV4Auth | None:
    """The signer that `url` needs: None for anything but a Function URL.

    Args:
        url: of the server; the region is taken from a Function URL's host name.
        region: of the function, where `url` is a custom domain in front of a Function URL.

    Raises:
        CredentialsError: a signature is needed but there are no AWS credentials.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html
    """
    match = _FUNCTION_URL_HOST.fullmatch(httpx2.URL(url).host)
    if region is None and match is None:
        return None
    return SigV4Auth("lambda", region or match["region"])  # type: ignore[index]  # one of the two is there
