"""The authorizer's settings, read from `LAMBDA_LLM_AUTHORIZER_*` environment variables."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final, Self
from urllib.parse import urlsplit

from lambda_llm.authorizer.errors import AuthorizerSettingsError, UnusableKeyError
from lambda_llm.authorizer.keys import require_name

PREFIX: Final = "LAMBDA_LLM_AUTHORIZER_"
OURS: Final = "LAMBDA_LLM_"


@dataclass(frozen=True)
class AuthorizerSettings:
    """All settings; each field is the variable `LAMBDA_LLM_AUTHORIZER_<FIELD>`. Keys, JWTs or both are accepted.

    Attributes:
        table: name of the table with the keys; None: keys are not accepted.
        issuer: of JWTs, exactly as their `iss` has it; None: they are not accepted.
        audience: that a JWT's `aud` must have.
        jwks_url: where the issuer's public keys are; default: what its OpenID configuration says.
        tenant_claim: claim with the tenant's name.
        plan_claim: claim with the plan's name; None: `plan` holds for all JWTs.
        plan: plan of a JWT without `plan_claim`; None: such a JWT is refused.
    """

    table: str | None = None
    issuer: str | None = None
    audience: str | None = None
    jwks_url: str | None = None
    tenant_claim: str = "tenant"
    plan_claim: str | None = None
    plan: str | None = None

    @classmethod
    def load(cls, environment: Mapping[str, str], *, jwt: bool) -> Self:
        """Read the environment.

        Args:
            environment: the process's variables.
            jwt: whether this function can verify JWTs.

        Raises:
            AuthorizerSettingsError: names what is wrong and what was expected.
        """
        known = [field.name for field in fields(cls)]
        given = {
            name.removeprefix(PREFIX).lower(): value for name, value in environment.items() if name.startswith(OURS)
        }
        for name in sorted(name for name in environment if name.startswith(OURS)):
            if name.removeprefix(PREFIX).lower() not in known or not name.startswith(PREFIX):
                names = ", ".join(f"{PREFIX}{field.upper()}" for field in known)
                raise AuthorizerSettingsError(
                    f"{name} is not a setting of the authorizer, which has {names}: unset it."
                )
        settings = cls(**{name: value for name, value in given.items() if value})
        settings._require_usable(jwt=jwt)
        return settings

    def _require_usable(self, *, jwt: bool) -> None:
        of_jwt = [name for name in ("issuer", "audience", "jwks_url", "plan_claim", "plan") if getattr(self, name)]
        if of_jwt and not jwt:
            raise AuthorizerSettingsError(
                f"{PREFIX}{of_jwt[0].upper()} is for JWTs, which this function can't verify: use the package "
                "authorizer-jwt."
            )
        if self.table is None and self.issuer is None:
            either = f" or {PREFIX}ISSUER" if jwt else ""
            raise AuthorizerSettingsError(f"Nobody could be let in: set {PREFIX}TABLE{either}.")
        if self.issuer is None:
            return
        if self.audience is None:
            raise AuthorizerSettingsError(
                f"{PREFIX}AUDIENCE is missing: without it, a token that was issued for any other service would do."
            )
        if self.plan is None and self.plan_claim is None:
            raise AuthorizerSettingsError(f"The plan of a JWT is not known: set {PREFIX}PLAN or {PREFIX}PLAN_CLAIM.")
        for name, url in (("ISSUER", self.issuer), ("JWKS_URL", self.jwks_url)):
            if url is not None and (urlsplit(url).scheme != "https" or not urlsplit(url).hostname):
                raise AuthorizerSettingsError(
                    f"{PREFIX}{name} is {url!r}: expected a URL that begins with https://, as nobody may change keys "
                    "on their way."
                )
        try:
            if self.plan is not None:
                require_name("plan", self.plan)
        except UnusableKeyError as error:
            raise AuthorizerSettingsError(f"{PREFIX}PLAN can't be used: {error}") from None
