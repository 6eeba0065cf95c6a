"""How a tool server knows the agent: by a signature, a token for client credentials, or a given token.

Secrets come from callables, so that they are read where they are used; they and the tokens stay in memory.
"""

import re
import time
from collections.abc import AsyncGenerator, Callable
from http import HTTPStatus
from typing import Any, Final, Protocol
from urllib.parse import quote

import anyio.to_thread
import httpx2

from lambda_llm.agent.errors import AgentDefinitionError, ToolError
from lambda_llm.agent.tools.mcp_transport import Guard, RefusedError, checked_url
from lambda_llm.aws.signing import SigV4Auth

TOKEN_ANSWER_BYTES: Final = 65_536
"""Most that a token endpoint may answer."""
TOKEN_SECONDS: Final = 10
"""Most that it may take."""
_LIFE_SECONDS: Final = 300
"""Of a token whose endpoint names none."""
_EARLY: Final = 0.1
"""Part of a token's life, and at most a minute, by which it is replaced before its end."""

_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,16384}")
_ERROR: Final = re.compile(r"[a-z_]{1,64}")
_REGION: Final = re.compile(r"(?:^|\.)bedrock-agentcore\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?$")


class Authentication(Protocol):
    """Shared by calls, whose event loops differ."""

    def configure(self, url: httpx2.URL) -> None:
        """Take note of the server's address.

        Raises:
            AgentDefinitionError: it can't be used there.
        """

    async def open(self) -> httpx2.Auth:
        """For the requests of one call.

        Raises:
            LambdaLLMError: there is no secret, or it is none.
        """


class SigV4:
    """AgentCore Gateway with inbound authorization by IAM, and other services that take signatures.

    Source: https://docs.aws.amazon.com/bedrock-agentcore/latest/devguide/gateway-inbound-auth.html
    """

    def __init__(self, region: str | None = None, service: str = "bedrock-agentcore") -> None:
        """Sign with the credentials of the function.

        Args:
            region: of the service; None: as the address says.
            service: signing name.
        """
        self.region = region
        self.service = service
        self._auth: SigV4Auth | None = None

    def configure(self, url: httpx2.URL) -> None:
        """Find the region."""
        found = _REGION.search(url.host)
        self.region = self.region or (found[1] if found else None)
        if self.region is None:
            raise AgentDefinitionError(
                f"The region of {url.host} is not in its name: give it, as in SigV4(region='eu-central-1')."
            )

    async def open(self) -> httpx2.Auth:
        """Find credentials, once."""
        if self._auth is None:
            if self.region is None:
                raise AgentDefinitionError("The region to sign for is not known: give it.")
            self._auth = await anyio.to_thread.run_sync(SigV4Auth, self.service, self.region, abandon_on_cancel=True)
        return self._auth


class Bearer:
    """A token that something else renews."""

    def __init__(self, find: Callable[[], str]) -> None:
        """Take a token.

        Args:
            find: gives it; called for each call.
        """
        self._find = find

    def configure(self, url: httpx2.URL) -> None:
        """Nothing depends on it."""

    async def open(self) -> httpx2.Auth:
        """Ask for the token."""
        return _Header(await _secret(self._find, "token"))


class ClientCredentials:
    """OAuth 2 client credentials at an endpoint that the configuration names: the tool server has no say in it.

    Source: https://datatracker.ietf.org/doc/html/rfc6749#section-4.4
    """

    def __init__(
        self,
        token_url: str,
        client_id: str,
        secret: Callable[[], str],
        *,
        scope: str | None = None,
        resource: str | None = None,
        in_body: bool = False,
    ) -> None:
        """Take a client's credentials.

        Args:
            token_url: of the endpoint that gives tokens.
            client_id: who asks.
            secret: gives the client's secret; called for each token.
            scope: texts separated by spaces.
            resource: address that the token is for (RFC 8707).
            in_body: the secret goes in the body, for endpoints that don't take HTTP Basic.

        Raises:
            AgentDefinitionError: the endpoint's address is not to be used.
        """
        self._url = checked_url(token_url, "the token endpoint")
        self._client_id = client_id
        self._secret = secret
        self._form = {"grant_type": "client_credentials"}
        self._form |= {name: value for name, value in (("scope", scope), ("resource", resource)) if value}
        self._in_body = in_body
        self._token = ""
        self._until = 0.0

    def configure(self, url: httpx2.URL) -> None:
        """Nothing depends on it."""

    async def open(self) -> httpx2.Auth:
        """Tokens are asked for with the first request."""
        return _Renewed(self)

    async def token(self, *, not_this: str = "") -> str:
        """A token that is valid now.

        Args:
            not_this: one that was refused.

        Raises:
            ToolError: there is none to be had.
        """
        if not self._token or self._token == not_this or time.time() >= self._until:
            self._token, life = await self._ask()
            self._until = time.time() + life - min(life * _EARLY, 60)
        return self._token

    async def _ask(self) -> tuple[str, float]:
        secret = await _secret(self._secret, "client's secret")
        form, headers = dict(self._form), {"accept": "application/json"}
        auth = httpx2.Auth()  # which adds nothing
        if self._in_body:
            form |= {"client_id": self._client_id, "client_secret": secret}
        else:
            auth = httpx2.BasicAuth(quote(self._client_id, safe=""), quote(secret, safe=""))
        guard = Guard(self._url, TOKEN_ANSWER_BYTES)
        try:
            with anyio.fail_after(TOKEN_SECONDS):
                async with httpx2.AsyncClient(transport=guard, timeout=None, trust_env=False) as client:
                    response = await client.post(self._url, data=form, headers=headers, auth=auth)
        except RefusedError as refused:
            raise self._failed(str(refused)) from None
        except (TimeoutError, httpx2.TransportError) as failure:
            raise self._failed(f"did not answer ({type(failure).__name__}).", retriable=True) from None
        try:
            answer: Any = response.json()
        except (RecursionError, ValueError):
            answer = None
        answer = answer if isinstance(answer, dict) else {}
        if response.status_code != HTTPStatus.OK:
            error = answer.get("error")
            why = f" ({error})" if isinstance(error, str) and _ERROR.fullmatch(error) else ""
            late = response.status_code == HTTPStatus.TOO_MANY_REQUESTS or response.is_server_error
            raise self._failed(
                f"answered {response.status_code}{why}: check the client's id and secret.", retriable=late
            )
        token, life = answer.get("access_token"), answer.get("expires_in", _LIFE_SECONDS)
        if str(answer.get("token_type", "bearer")).lower() != "bearer" or not _is_token(token):
            raise self._failed("answered without a bearer token.")
        known = isinstance(life, int | float) and 0 < life < 1e9  # noqa: PLR2004 - decades
        return str(token), float(life) if known else _LIFE_SECONDS

    def _failed(self, what: str, *, retriable: bool = False) -> ToolError:
        return ToolError(f"The token endpoint at {self._url.host} {what}", retriable=retriable)


class _Header(httpx2.Auth):
    def __init__(self, token: str) -> None:
        self._token = token

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        request.headers["authorization"] = f"Bearer {self._token}"
        yield request


class _Renewed(httpx2.Auth):
    """A refused token is replaced once: a request that was refused did nothing."""

    def __init__(self, credentials: ClientCredentials) -> None:
        self._credentials = credentials

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        token = await self._credentials.token()
        request.headers["authorization"] = f"Bearer {token}"
        response = yield request
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            request.headers["authorization"] = f"Bearer {await self._credentials.token(not_this=token)}"
            yield request


async def _secret(find: Callable[[], str], what: str) -> str:
    """What a callable gives; it may wait, so it runs beside the event loop."""
    found = await anyio.to_thread.run_sync(find, abandon_on_cancel=True)
    if not _is_token(found):
        raise ToolError(f"The {what} for the tool server is empty, or has characters other than visible ASCII.")
    return found


def _is_token(value: object) -> bool:
    return isinstance(value, str) and _TOKEN.fullmatch(value) is not None
