"""Bearer tokens that are JWTs: signed by an issuer, whose public keys are fetched and cached."""

import logging
import re
import time
from typing import Any, Final

import cryptography.hazmat.primitives.asymmetric.rsa  # noqa: F401 - PyJWT imports it where it is: the zip must have it
import jwt
from jwt import PyJWK, PyJWKClient
from jwt.exceptions import PyJWKClientConnectionError, PyJWKClientError, PyJWKSetError, PyJWTError

from lambda_llm.authorizer.caller import Caller, Kind
from lambda_llm.authorizer.errors import IssuerError, UnusableKeyError
from lambda_llm.authorizer.keys import require_name
from lambda_llm.authorizer.settings import PREFIX, AuthorizerSettings

logger = logging.getLogger(__name__)

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""With a private key at the issuer alone: neither `none` nor a shared secret (HS256, …), which would be whatever a
forger takes for it, such as the public key."""

FETCH_SECONDS: Final = 3
"""Silence after which the issuer counts as unavailable."""

CACHED_SECONDS: Final = 300
"""For which the issuer's keys are kept: a key that it withdraws is still accepted for this long."""

PAUSE_SECONDS: Final = 30
"""Least time between fetches for a key id that is not among the cached ones, so that nobody can make the function send
the issuer a request for each of theirs."""

FAILED_PAUSE_SECONDS: Final = 5
"""Time after a failed fetch without another one."""

LEEWAY_SECONDS: Final = 10
"""By which the issuer's clock may differ."""

_DISCOVERY: Final = "/.well-known/openid-configuration"
_SHAPE: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class JWTs:
    """JWTs of one issuer for one audience."""

    def __init__(
        self,
        settings: AuthorizerSettings,
        *,
        pause_seconds: float = PAUSE_SECONDS,
        failed_pause_seconds: float = FAILED_PAUSE_SECONDS,
    ) -> None:
        """Take the settings; nothing is fetched yet.

        Args:
            settings: with an issuer and an audience.
            pause_seconds: see `PAUSE_SECONDS`.
            failed_pause_seconds: see `FAILED_PAUSE_SECONDS`.
        """
        self._settings = settings
        self._keys = _IssuerKeys(settings, pause_seconds, failed_pause_seconds)

    def recognizes(self, token: str) -> bool:
        """See `Kind`."""
        return _SHAPE.fullmatch(token) is not None

    def caller(self, token: str) -> Caller | None:
        """See `Kind`.

        Raises:
            IssuerError: the issuer's keys can't be fetched.
        """
        try:
            claims = jwt.decode(
                token,
                self._key(token),
                algorithms=ALGORITHMS,
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud"], "enforce_minimum_key_length": True},
            )
            tenant, plan = self._names(claims)
        except (PyJWTError, UnusableKeyError) as error:
            # PyJWT's texts may quote the token.
            logger.info("refused: JWT (%s)", type(error).__name__)
            return None
        return Caller(tenant, plan, "jwt")

    def _key(self, token: str) -> PyJWK:
        header = jwt.get_unverified_header(token)
        if header.get("alg") not in ALGORITHMS or not isinstance(header.get("kid"), str):
            raise jwt.InvalidAlgorithmError
        try:
            return self._keys.get_signing_key(header["kid"])
        except (PyJWKClientConnectionError, PyJWKSetError) as error:
            raise IssuerError(
                f"The public keys of the issuer {self._settings.issuer} can't be fetched ({error}): check "
                f"{PREFIX}ISSUER and {PREFIX}JWKS_URL, and that the function reaches them."
            ) from error

    def _names(self, claims: dict[str, Any]) -> tuple[str, str]:
        tenant = claims.get(self._settings.tenant_claim)
        plan = self._settings.plan
        if self._settings.plan_claim is not None:
            plan = claims.get(self._settings.plan_claim, plan)
        if not isinstance(tenant, str) or not isinstance(plan, str):
            raise UnusableKeyError("The claim with the tenant or the plan is no text: let the issuer add it.")
        return require_name("tenant", tenant), require_name("plan", plan)


def accepted(settings: AuthorizerSettings) -> list[Kind]:
    """JWTs, if the settings name their issuer."""
    return [] if settings.issuer is None else [JWTs(settings)]


class _IssuerKeys(PyJWKClient):
    """The issuer's keys: found by its OpenID configuration, and not asked for again at once when that failed."""

    def __init__(self, settings: AuthorizerSettings, pause_seconds: float, failed_pause_seconds: float) -> None:
        issuer = settings.issuer or ""
        super().__init__(
            settings.jwks_url or issuer,
            lifespan=CACHED_SECONDS,
            timeout=FETCH_SECONDS,
            cooldown_duration=pause_seconds,
        )
        self._issuer = issuer
        self._discovers = settings.jwks_url is None
        self._failed: float | None = None
        self._failed_pause_seconds = failed_pause_seconds

    def fetch_data(self) -> Any:
        if self._failed is not None and time.monotonic() - self._failed < self._failed_pause_seconds:
            raise PyJWKClientConnectionError("the last attempt failed a moment ago")
        try:
            if self._discovers:
                self.uri = self._discovered()
            fetched = super().fetch_data()
        except (PyJWKClientError, PyJWKSetError, ValueError) as error:
            self._failed = time.monotonic()
            raise PyJWKClientConnectionError(str(error)) from error
        self._failed = None
        return fetched

    def _discovered(self) -> str:
        address = self._issuer.rstrip("/") + _DISCOVERY
        document = PyJWKClient(address, cache_jwk_set=False, timeout=FETCH_SECONDS).fetch_data()
        found = document.get("jwks_uri")
        if document.get("issuer") != self._issuer or not isinstance(found, str) or not found.startswith("https://"):
            raise PyJWKClientError(f"{address} names another issuer, or no jwks_uri that begins with https://")
        return found
