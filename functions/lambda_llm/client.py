"""For callers: sign requests to a Function URL with IAM, under any OpenAI client.

```python
import httpx2
from openai import OpenAI
from lambda_llm.client import function_url_auth

url = "https://abc.lambda-url.eu-central-1.on.aws"
client = OpenAI(base_url=f"{url}/v1", api_key="unused", http_client=httpx2.Client(auth=function_url_auth(url)))
```
"""

import re
from collections.abc import Generator
from typing import Final

import boto3
import httpx2
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from lambda_llm.errors import LambdaLLMError

_FUNCTION_URL_HOST: Final = re.compile(r"[a-z0-9]+\.lambda-url\.(?P<region>[a-z0-9-]+)\.on\.aws")


class CredentialsError(LambdaLLMError):
    """There are no AWS credentials to sign with."""


class FunctionURLAuth(httpx2.Auth):
    """Signs each request with SigV4 for the service `lambda`; temporary credentials are renewed as they expire.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html
    """

    requires_request_body = True

    def __init__(self, region: str, credentials: Credentials) -> None:
        self._region = region
        self._credentials = credentials

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        """Put the signature in the place of whatever API key the client sends."""
        unsigned = AWSRequest(
            method=request.method,
            url=str(request.url),
            data=request.content,
            headers={"content-type": request.headers.get("content-type", "application/json")},
        )
        SigV4Auth(self._credentials.get_frozen_credentials(), "lambda", self._region).add_auth(unsigned)
        request.headers.update(dict(unsigned.headers.items()))
        yield request


def function_url_auth(url: str) -> FunctionURLAuth | None:
    """The signature that `url` needs: None for anything that is no Function URL.

    Args:
        url: of the server; the region is read from a Function URL's host name.

    Raises:
        CredentialsError: it is a Function URL and there are no AWS credentials.
    """
    match = _FUNCTION_URL_HOST.fullmatch(httpx2.URL(url).host)
    if match is None:
        return None
    credentials = boto3.Session().get_credentials()
    if credentials is None:
        raise CredentialsError(
            f"{url} is a Function URL and needs a signature, but there are no AWS credentials: configure them, "
            "as for the AWS command line."
        )
    return FunctionURLAuth(match["region"], credentials)
