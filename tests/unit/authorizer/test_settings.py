"""What the authorizer's variables may say."""

from typing import Any

import pytest

from lambda_llm.authorizer.errors import AuthorizerSettingsError
from lambda_llm.authorizer.settings import PREFIX, AuthorizerSettings

JWT = {"ISSUER": "https://example.com/", "AUDIENCE": "llm", "PLAN": "standard"}


def load(given: dict[str, str], *, jwt: bool = True) -> AuthorizerSettings:
    return AuthorizerSettings.load({"PATH": "/bin", **{PREFIX + name: value for name, value in given.items()}}, jwt=jwt)


def test_a_table_is_enough() -> None:
    assert load({"TABLE": "keys"}) == load({"TABLE": "keys"}, jwt=False) == AuthorizerSettings(table="keys")


def test_empty_ones_are_not_set() -> None:
    assert load({"TABLE": "keys", "ISSUER": "", "TENANT_CLAIM": ""}) == AuthorizerSettings(table="keys")


def test_every_setting_is_read() -> None:
    given = {**JWT, "TABLE": "keys", "JWKS_URL": "https://example.com/keys", "TENANT_CLAIM": "org", "PLAN_CLAIM": "p"}
    assert load(given) == AuthorizerSettings(
        table="keys",
        issuer="https://example.com/",
        audience="llm",
        jwks_url="https://example.com/keys",
        tenant_claim="org",
        plan_claim="p",
        plan="standard",
    )
    assert load(JWT).tenant_claim == "tenant"


REFUSED: list[tuple[dict[str, str], bool, str]] = [
    ({}, True, r"Nobody could be let in: set \S+_TABLE or \S+_ISSUER"),
    ({}, False, r"Nobody could be let in: set \S+_TABLE\."),
    ({"TABLE": "keys", "TABEL": "keys"}, True, r"AUTHORIZER_TABEL is not a setting of the authorizer, which has "),
    (
        {"TABLE": "keys", **JWT},
        False,
        r"_ISSUER is for JWTs, which this function can't verify: use the package authori",
    ),
    ({"TABLE": "keys", "PLAN": "standard"}, False, r"_PLAN is for JWTs"),
    ({**JWT, "AUDIENCE": ""}, True, r"_AUDIENCE is missing"),
    ({**JWT, "PLAN": ""}, True, r"The plan of a JWT is not known: set \S+_PLAN or \S+_PLAN_CLAIM"),
    ({**JWT, "PLAN": "Gold plan"}, True, r"_PLAN can't be used: 'Gold plan' can't be the name of a plan"),
    (
        {**JWT, "ISSUER": "http://example.com"},
        True,
        r"_ISSUER is 'http://example.com': expected a URL that begins with",
    ),
    ({**JWT, "ISSUER": "example.com"}, True, r"_ISSUER is 'example.com'"),
    ({**JWT, "ISSUER": "https://"}, True, r"_ISSUER is 'https://'"),
    ({**JWT, "JWKS_URL": "http://127.0.0.1/keys"}, True, r"_JWKS_URL is 'http://127.0.0.1/keys'"),
    ({**JWT, "JWKS_URL": "file:///etc/passwd"}, True, r"_JWKS_URL is "),
]


@pytest.mark.parametrize(("given", "jwt", "said"), REFUSED)
def test_what_can_t_be_used_is_refused(given: dict[str, str], said: str, *, jwt: bool) -> None:
    with pytest.raises(AuthorizerSettingsError, match=said):
        load(given, jwt=jwt)


@pytest.mark.parametrize("name", ["LAMBDA_LLM_MODEL", "LAMBDA_LLM_TABLE"])
def test_a_setting_of_another_function_is_refused(name: str) -> None:
    environment: dict[str, Any] = {f"{PREFIX}TABLE": "keys", name: "x"}
    with pytest.raises(AuthorizerSettingsError, match=rf"{name} is not a setting of the authorizer"):
        AuthorizerSettings.load(environment, jwt=True)
