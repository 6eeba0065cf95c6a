"""SigV4 for httpx2 and httpx clients: any AWS service, body included, credentials renewed.

Importing this does without AWS's SDK, which takes longer than everything else that the router needs at its start.
"""

import hashlib
from collections.abc import AsyncGenerator, Callable, Generator
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import anyio.to_thread
import httpx2

from lambda_llm.aws.errors import CredentialsError

if TYPE_CHECKING:
    from botocore.credentials import Credentials, ReadOnlyCredentials


def _failures() -> tuple[type[Exception], ...]:
    """Raised while credentials are resolved; ValueError by a `credential_process` with unusable output."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - see the module

    return BotoCoreError, ClientError, ValueError


def find_credentials() -> "Credentials":
    """The credentials that the AWS CLI would use now.

    Raises:
        CredentialsError: there are none.
    """
    from botocore.session import get_session  # noqa: PLC0415 - see the module

    try:
        credentials: Credentials | None = get_session().get_credentials()
    except _failures() as error:
        raise CredentialsError(f"The AWS credentials can't be read ({error}): check the AWS configuration.") from error
    if credentials is None:
        raise CredentialsError(
            "The request needs a signature, but there are no AWS credentials: configure them, as for the AWS CLI."
        )
    return credentials


class SigV4Auth(httpx2.Auth):
    """Signs each request, its body included, for one service in one region.

    Temporary credentials are renewed as they expire. Keys in a file, which a new login replaces, turn out to be
    stale only when AWS refuses them: they are then resolved again, and the request is sent once more if they changed.

    With `httpx` instead of `httpx2` this is a callable that signs; a refused request is not retried.

    Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html
    """

    requires_request_body = True

    def __init__(self, service: str, region: str, find: "Callable[[], Credentials]" = find_credentials) -> None:
        """Resolve credentials.

        Args:
            service: signing name: `lambda`, `bedrock-agentcore`, …
            region: of the service.
            find: resolves the credentials to sign with; called again after a refusal.

        Raises:
            CredentialsError: there are none.
        """
        self.service = service
        self.region = region
        self._find = find
        self._credentials = find()

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        """Replace whatever API key the client sends by the signature.

        Raises:
            CredentialsError: the credentials have expired and can't be renewed.
        """
        used = self._sign(request)
        response = yield request
        if response.status_code == HTTPStatus.FORBIDDEN and self._replaced(used):
            self._sign(request)
            yield request

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        """As `auth_flow`; calls that may renew credentials run outside the event loop."""
        await request.aread()
        used = await anyio.to_thread.run_sync(self._sign, request)
        response = yield request
        if response.status_code == HTTPStatus.FORBIDDEN and await anyio.to_thread.run_sync(self._replaced, used):
            await anyio.to_thread.run_sync(self._sign, request)
            yield request

    def __call__(self, request: Any) -> Any:
        """Sign a request of `httpx`, whose clients take a callable as `auth`."""
        request.read()
        self._sign(request)
        return request

    def _sign(self, request: Any) -> "ReadOnlyCredentials":
        from botocore import auth  # noqa: PLC0415 - see the module
        from botocore.awsrequest import AWSRequest  # noqa: PLC0415

        credentials = _frozen(self._credentials)
        body: bytes = request.content
        unsigned = AWSRequest(
            method=request.method,
            url=str(request.url),
            data=body,
            headers={
                # The client library may still change every other header; CloudFront requires the body's hash.
                **({"content-type": kind} if (kind := request.headers.get("content-type")) else {}),
                "host": request.headers["host"],
                "x-amz-content-sha256": hashlib.sha256(body).hexdigest(),
            },
        )
        auth.SigV4Auth(credentials, self.service, self.region).add_auth(unsigned)
        request.headers.pop("x-amz-security-token", None)  # of the credentials that were replaced
        request.headers.update(dict(unsigned.headers.items()))
        return credentials

    def _replaced(self, used: "ReadOnlyCredentials") -> bool:
        """Whether the credentials have changed since `used`; if so, take the new ones."""
        found = self._find()
        if _frozen(found) == used:
            return False
        self._credentials = found
        return True


def _frozen(credentials: "Credentials") -> "ReadOnlyCredentials":
    """Credentials that are valid now; may call AWS to renew them."""
    try:
        return credentials.get_frozen_credentials()
    except _failures() as error:
        raise CredentialsError(
            f"The AWS credentials have expired and can't be renewed ({error}): log in again, as for the AWS CLI."
        ) from error
