"""Whose a request is."""

import json

import pytest

from lambda_llm.router.config import parse
from lambda_llm.router.errors import ConfigurationError, UnknownError
from lambda_llm.router.identity import tenant_of
from lambda_llm.router.settings import Identity
from lambda_llm.web.front_door import FrontDoor, from_event
from lambda_llm.web.origin import SCOPE, Origin
from support.router import written

ROLE = "arn:aws:iam::123456789012:role/alice"
SESSION = "arn:aws:sts::123456789012:assumed-role/alice/laptop"


def configured(**tenants: dict[str, object]) -> bytes:
    return json.dumps({**written(), "tenants": tenants}).encode()


def entry(*principals: str) -> dict[str, object]:
    return {"models": ["*"], "principals": list(principals)}


async def origin(context: object) -> Origin:
    """What the door makes of a request context."""
    found: list[Origin] = []

    async def app(scope: dict[str, Origin], *_: object) -> None:
        found.append(scope[SCOPE])

    door = FrontDoor(app, from_event, tenants=False)  # type: ignore[arg-type]
    scope = {"type": "http", "path": "/", "aws.event": {"requestContext": context}}
    await door(scope, None, None)  # type: ignore[arg-type]
    return found[0]


@pytest.mark.parametrize(
    ("arn", "principal"),
    [
        (SESSION, ROLE),
        ("arn:aws-cn:sts::123456789012:assumed-role/a/b@c", "arn:aws-cn:iam::123456789012:role/a"),
        ("arn:aws:iam::123456789012:user/team/bob", "arn:aws:iam::123456789012:user/team/bob"),
        ("arn:aws:iam::123456789012:root", "arn:aws:iam::123456789012:root"),
        ("arn:aws:sts::123456789012:federated-user/bob", "arn:aws:sts::123456789012:federated-user/bob"),
        ("arn:aws:sts::123456789012:assumed-role/alice", None),
        ("alice", None),
        ("", None),
        (None, None),
        (["arn"], None),
    ],
)
async def test_a_function_url_and_a_rest_api_name_who_signed(arn: object, principal: str | None) -> None:
    assert (await origin({"authorizer": {"iam": {"userArn": arn}}})).principal == principal
    assert (await origin({"identity": {"userArn": arn}})).principal == principal


async def test_what_an_authorizer_says_signs_nothing() -> None:
    found = await origin({"authorizer": {"lambda": {"tenant": "acme", "iam": {"userArn": SESSION}}}})
    assert (found.tenant, found.principal) == ("acme", None)


def test_a_principal_is_its_tenant_s_or_one_of_its_own() -> None:
    configuration = parse(configured(acme=entry(ROLE), **{"*": entry()}))
    assert tenant_of(Identity.IAM, Origin(principal=ROLE), configuration) == "acme"
    other = "arn:aws:iam::123456789012:role/bob"
    assert tenant_of(Identity.IAM, Origin(principal=other), configuration) == other


def test_each_identity_believes_its_own_witness_alone() -> None:
    configuration = parse(configured(acme=entry(ROLE)))
    assert tenant_of(Identity.AUTHORIZER, Origin("acme"), configuration) == "acme"
    with pytest.raises(UnknownError, match="signed with AWS credentials"):
        tenant_of(Identity.IAM, Origin("acme"), configuration)
    with pytest.raises(UnknownError, match="with a key"):
        tenant_of(Identity.AUTHORIZER, Origin(principal=ROLE), configuration)


@pytest.mark.parametrize(
    ("tenants", "sentence"),
    [
        ({"a": entry(ROLE), "b": entry(ROLE)}, "of the tenants 'a' and 'b'"),
        ({"*": entry(ROLE)}, "give them a name"),
        ({"a": entry("arn:aws:iam::123456789012:role/*")}, "pattern"),
        ({"a": entry(SESSION)}, "pattern"),
        ({"a": {"models": ["*"], "principals": ROLE}}, "must be a list"),
    ],
)
def test_a_principal_belongs_to_one_tenant(tenants: dict[str, dict[str, object]], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        parse(configured(**tenants))
