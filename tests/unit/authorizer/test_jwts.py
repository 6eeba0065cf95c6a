"""Whose a JWT is: against an issuer on loopback, over TLS."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from lambda_llm.authorizer.caller import Caller
from lambda_llm.authorizer.errors import IssuerError
from lambda_llm.authorizer.jwts import ALGORITHMS, JWTs
from lambda_llm.authorizer.settings import AuthorizerSettings
from support.issuer import AUDIENCE, DISCOVERY, JWKS, Issuer, ec_key, issuing, jwk_of, rsa_key

ACME = Caller("acme", "standard", "jwt")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    with issuing(tmp_path_factory.mktemp("issuer")) as issuer:
        yield issuer


@pytest.fixture
def issuer(running: Issuer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Issuer]:
    """As it was at first."""
    monkeypatch.setenv("SSL_CERT_FILE", str(running.certificate))
    running.asked.clear()
    keys = dict(running.keys)
    yield running
    running.keys, running.published, running.document, running.status = keys, None, {}, 200


@pytest.fixture
def settings(issuer: Issuer) -> AuthorizerSettings:
    return AuthorizerSettings(issuer=issuer.url, audience=AUDIENCE, plan="standard")


@pytest.fixture
def jwts(settings: AuthorizerSettings) -> JWTs:
    return JWTs(settings)


@pytest.mark.parametrize(("kid", "algorithm"), [("rsa", "RS256"), ("ec", "ES256")])
def test_a_token_of_the_issuer_is_its_tenant_s(jwts: JWTs, issuer: Issuer, kid: str, algorithm: str) -> None:
    token = issuer.token(kid, algorithm)
    assert jwts.recognizes(token)
    assert jwts.caller(token) == ACME
    assert jwts.caller(issuer.token(kid, algorithm, aud=["other", AUDIENCE], nbf=None, iat=None)) == ACME
    assert issuer.asked == [DISCOVERY, JWKS], "the keys are fetched once"


def test_only_algorithms_with_a_private_key_are_known() -> None:
    assert {name for name in ALGORITHMS if name == "none" or name.startswith("HS")} == set()
    assert set(ALGORITHMS) <= jwt.algorithms.requires_cryptography


NOW = time.time()
REFUSED: dict[str, dict[str, Any]] = {
    "another issuer": {"iss": "https://example.com"},
    "no issuer": {"iss": None},
    "another audience": {"aud": "other"},
    "audiences of others": {"aud": ["other", "another"]},
    "no audience": {"aud": None},
    "expired": {"exp": NOW - 60},
    "never expiring": {"exp": None},
    "an expiry that is no time": {"exp": "tomorrow"},
    "not valid yet": {"nbf": NOW + 86_400},
    "issued in the future": {"iat": NOW + 86_400},
    "no tenant": {"tenant": None},
    "a tenant that is no name": {"tenant": "../acme"},
    "a tenant with a line's end": {"tenant": "acme\n"},
    "a tenant that is no text": {"tenant": ["acme"]},
    "a tenant that is a number": {"tenant": 7},
}


@pytest.mark.parametrize("claims", REFUSED.values(), ids=REFUSED)
def test_a_token_with_wrong_claims_is_refused(jwts: JWTs, issuer: Issuer, claims: dict[str, Any]) -> None:
    assert jwts.caller(issuer.token(**claims)) is None
    assert jwts.caller(issuer.token()) == ACME


def b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def unsigned(issuer: Issuer, algorithm: Any, kid: Any = "rsa") -> str:
    """Header and claims of a valid token, with another algorithm."""
    _, claims, _ = issuer.token().split(".")
    return f"{b64(json.dumps({'alg': algorithm, 'typ': 'JWT', 'kid': kid}).encode())}.{claims}"


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", None, 0, ["RS256"]], ids=str)
@pytest.mark.parametrize("signature", ["", "AAAA"])
def test_a_token_that_nobody_signed_is_refused(jwts: JWTs, issuer: Issuer, algorithm: Any, signature: str) -> None:
    assert jwts.caller(f"{unsigned(issuer, algorithm)}.{signature}") is None


@pytest.mark.parametrize("form", ["PEM", "DER", "JWK", "modulus"])
@pytest.mark.parametrize("hashed", ["256", "384", "512"])
def test_the_public_key_is_no_shared_secret(jwts: JWTs, issuer: Issuer, form: str, hashed: str) -> None:
    public = issuer.keys["rsa"].public_key()
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    secret = {
        "PEM": public.public_bytes(serialization.Encoding.PEM, info),
        "DER": public.public_bytes(serialization.Encoding.DER, info),
        "JWK": json.dumps(jwk_of(issuer.keys["rsa"], "rsa")).encode(),
        "modulus": public.public_numbers().n.to_bytes(256),
    }[form]
    signed = unsigned(issuer, f"HS{hashed}")
    signature = hmac.digest(secret, signed.encode(), f"sha{hashed}")
    assert jwts.caller(f"{signed}.{b64(signature)}") is None
    assert jwts.caller(issuer.token()) == ACME, "the token is right but for its signature"


def test_a_shared_secret_among_the_issuer_s_keys_is_no_key(jwts: JWTs, issuer: Issuer) -> None:
    secret = {"kty": "oct", "kid": "secret", "k": b64(b"x" * 32), "alg": "HS256"}
    issuer.published = json.dumps({"keys": [secret, jwk_of(issuer.keys["rsa"], "rsa")]}).encode()
    signed = unsigned(issuer, "HS256", "secret")
    assert jwts.caller(f"{signed}.{b64(hmac.digest(b'x' * 32, signed.encode(), 'sha256'))}") is None
    assert jwts.caller(issuer.token()) == ACME


def test_a_token_of_somebody_else_s_key_is_refused(jwts: JWTs, issuer: Issuer) -> None:
    assert jwts.caller(issuer.token(key=rsa_key())) is None
    assert jwts.caller(issuer.token("ec", "ES256", key=ec_key())) is None
    assert jwts.caller(issuer.token("rsa", "ES256", key=ec_key())) is None, "another kind than the key of this id"


def test_a_key_that_the_token_brings_along_is_not_believed(jwts: JWTs, issuer: Issuer) -> None:
    own = rsa_key()
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    for header in ({"jwk": jwk_of(own, "rsa")}, {"jku": "https://127.0.0.1:1/keys"}, {"x5u": "https://127.0.0.1:1/"}):
        assert jwts.caller(jwt.encode(claims, own, "RS256", {"kid": "rsa", **header})) is None
    assert issuer.asked == [DISCOVERY, JWKS]


def test_a_key_that_is_too_short_is_refused(jwts: JWTs, issuer: Issuer) -> None:
    issuer.keys = {**issuer.keys, "short": rsa_key(1024)}
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        token = issuer.token("short")
    assert jwts.caller(token) is None
    assert jwts.caller(issuer.token()) == ACME


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_token_that_was_changed_is_refused(jwts: JWTs, issuer: Issuer, part: int) -> None:
    parts = issuer.token().split(".")
    changed = {
        0: b64(json.dumps({"alg": "RS384", "typ": "JWT", "kid": "rsa"}).encode()),
        1: b64(json.dumps({"iss": issuer.url, "aud": AUDIENCE, "exp": NOW + 86_400, "tenant": "other"}).encode()),
        2: b64(hashlib.sha256(b"").digest() * 8),
    }
    parts[part] = changed[part]
    assert jwts.caller(".".join(parts)) is None


@pytest.mark.parametrize("token", ["a.b", "a.b.c.d", "sk-abc", "a.b.", "a b.c.d", "ä.b.c", "a.b.c\n", ""])
def test_what_has_not_the_form_of_a_token_is_not_taken_for_one(jwts: JWTs, token: str) -> None:
    assert not jwts.recognizes(token)


@pytest.mark.parametrize("token", ["a.b.c", "e30.e30.e30", f"{b64(b'[]')}.e30.e30", f"{b64(b'{' * 3000)}.e30.e30"])
def test_what_has_the_form_alone_is_refused_without_asking_the_issuer(jwts: JWTs, issuer: Issuer, token: str) -> None:
    assert jwts.recognizes(token)
    assert jwts.caller(token) is None
    assert issuer.asked == []


# -- the issuer's keys ------------------------------------------------------------------------------


def test_unknown_key_ids_don_t_make_it_ask_again_and_again(jwts: JWTs, issuer: Issuer) -> None:
    for number in range(50):
        assert jwts.caller(f"{unsigned(issuer, 'RS256', f'unknown-{number}')}.AAAA") is None
    assert issuer.asked == [DISCOVERY, JWKS]
    assert jwts.caller(issuer.token()) == ACME


def test_a_new_key_is_found_after_the_pause(settings: AuthorizerSettings, issuer: Issuer) -> None:
    jwts = JWTs(settings, pause_seconds=0)
    assert jwts.caller(issuer.token()) == ACME
    old = issuer.token()
    issuer.keys = {"new": rsa_key()}
    assert jwts.caller(issuer.token("new")) == ACME
    assert jwts.caller(issuer.token("new")) == ACME
    assert issuer.asked.count(JWKS) == 2
    assert jwts.caller(old) is None, "the key is gone"


def test_the_address_of_the_keys_can_be_given(settings: AuthorizerSettings, issuer: Issuer) -> None:
    jwts = JWTs(replace(settings, jwks_url=issuer.url + JWKS))
    assert jwts.caller(issuer.token()) == ACME
    assert issuer.asked == [JWKS]


OUTAGES: dict[str, dict[str, Any]] = {
    "an error": {"status": 500},
    "a redirect": {"status": 302},
    "no JSON": {"published": b"<html>"},
    "no object": {"published": b"[]"},
    "no keys": {"published": b'{"keys": []}'},
    "another issuer": {"document": {"issuer": "https://example.com"}},
    "an issuer with a slash": {"document": {"issuer": "https://127.0.0.1/"}},
    "no address of keys": {"document": {"jwks_uri": None}},
    "keys without TLS": {"document": {"jwks_uri": "http://127.0.0.1:1/keys"}},
    "keys in a file": {"document": {"jwks_uri": "file:///etc/passwd"}},
}


@pytest.mark.parametrize("changes", OUTAGES.values(), ids=OUTAGES)
def test_without_the_issuer_s_keys_nobody_is_let_in(
    settings: AuthorizerSettings, issuer: Issuer, changes: dict[str, Any]
) -> None:
    jwts = JWTs(settings, failed_pause_seconds=0)
    for name, value in changes.items():
        setattr(issuer, name, value)
    with pytest.raises(IssuerError, match=r"can't be fetched .*: check LAMBDA_LLM_AUTHORIZER_ISSUER"):
        jwts.caller(issuer.token())
    issuer.status, issuer.published, issuer.document = 200, None, {}
    assert jwts.caller(issuer.token()) == ACME


def test_a_key_for_another_use_is_none(jwts: JWTs, issuer: Issuer) -> None:
    issuer.published = json.dumps({"keys": [jwk_of(issuer.keys["rsa"], "rsa") | {"use": "enc"}]}).encode()
    assert jwts.caller(issuer.token()) is None


def test_an_issuer_that_fails_is_left_alone_for_a_while(jwts: JWTs, issuer: Issuer) -> None:
    issuer.status = 500
    for _ in range(20):
        with pytest.raises(IssuerError):
            jwts.caller(issuer.token())
    assert issuer.asked == [DISCOVERY]


def test_an_issuer_that_fails_later_keeps_those_in_who_were_known(settings: AuthorizerSettings, issuer: Issuer) -> None:
    jwts = JWTs(settings, pause_seconds=0)
    assert jwts.caller(issuer.token()) == ACME
    issuer.status = 500
    assert jwts.caller(issuer.token()) == ACME
    with pytest.raises(IssuerError):
        jwts.caller(f"{unsigned(issuer, 'RS256', 'unknown')}.AAAA")


def test_an_issuer_whose_certificate_nobody_vouches_for_is_not_believed(
    jwts: JWTs, issuer: Issuer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "none.pem").write_text("")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(IssuerError, match=r"CERTIFICATE_VERIFY_FAILED"):
        jwts.caller(issuer.token())
    assert issuer.asked == []


# -- claims -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "claims", "expected"),
    [
        ({}, {"plan": "gold"}, ACME),
        ({"plan_claim": "plan"}, {"plan": "gold"}, Caller("acme", "gold", "jwt")),
        ({"plan_claim": "plan"}, {}, ACME),
        ({"plan_claim": "plan", "plan": None}, {}, None),
        ({"plan_claim": "plan"}, {"plan": 7}, None),
        ({"plan_claim": "plan"}, {"plan": ""}, None),
        ({"plan_claim": "plan"}, {"plan": "Gold plan"}, None),
        ({"tenant_claim": "custom:org"}, {"custom:org": "other"}, Caller("other", "standard", "jwt")),
        ({"tenant_claim": "custom:org"}, {}, None),
    ],
)
def test_tenant_and_plan_come_from_the_claims_that_are_set(
    settings: AuthorizerSettings,
    issuer: Issuer,
    changes: dict[str, Any],
    claims: dict[str, Any],
    expected: Caller | None,
) -> None:
    assert JWTs(replace(settings, **changes)).caller(issuer.token(**claims)) == expected


def test_the_log_says_why_and_never_quotes_the_token(
    jwts: JWTs, issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    token = issuer.token(aud="other", secret="swordfish")  # noqa: S106 - in the token alone
    jwts.caller(token)
    assert "refused: JWT (InvalidAudienceError)" in caplog.text
    for part in (*token.split("."), "swordfish", "other"):
        assert part not in caplog.text
