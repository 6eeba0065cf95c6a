"""modules/front-door and the authorizer agree: what the one writes in HCL, the other has in code."""

import hashlib
import re
from dataclasses import fields

import pytest

from lambda_llm.authorizer import keys
from lambda_llm.authorizer.caller import Caller, allowed
from lambda_llm.authorizer.keys import StoredKey
from lambda_llm.authorizer.settings import PREFIX, AuthorizerSettings
from lambda_llm.packaging.functions import FUNCTIONS
from lambda_llm.policies.gateway import FORGOTTEN_SECONDS
from lambda_llm.policies.marks import Kind
from scripts.docs import hcl
from support.modules import ROOT

MODULE = ROOT / "modules/front-door"
BLOCKS = {block.address: block for block in hcl.module(MODULE)}
LOCALS = {
    name: value for block in hcl.module(MODULE) if block.kind == "locals" for name, value in block.attributes.items()
}
CALLER = Caller(tenant="acme", plan="free", key_id="key_1")


def test_a_tenant_s_api_key_is_the_one_that_the_authorizer_names() -> None:
    made = BLOCKS["aws_api_gateway_api_key.tenant"].attributes["value"]
    assert made == '"lambda-llm-${substr(sha256("${aws_api_gateway_rest_api.this[0].id}/${each.key}"), 0, 40)}"'
    assert '"${plan}/${tenant}" => ' in LOCALS["tenants"]
    named = allowed(CALLER, "arn:aws:execute-api:eu-central-1:123456789012:abc123/live/POST/v1/responses")
    digest = hashlib.sha256(b"abc123/free/acme").hexdigest()
    assert named["usageIdentifierKey"] == f"lambda-llm-{digest[:40]}"


def test_the_authorizer_s_answer_holds_for_every_path_and_reaches_the_access_log() -> None:
    answer = allowed(CALLER, "arn:aws:execute-api:eu-central-1:123456789012:abc123/live/POST/v1/responses")
    (statement,) = answer["policyDocument"]["Statement"]
    assert statement["Resource"] == "arn:aws:execute-api:eu-central-1:123456789012:abc123/live/*"
    logged = set(re.findall(r"\$context\.authorizer\.(?!error)(\w+)", LOCALS["access_log"]))
    assert logged == {"tenant", "key_id", "plan"} <= set(answer["context"])


def test_names_of_plans_and_tenants_are_those_that_keys_may_have() -> None:
    conditions = [rule.attributes["condition"] for rule in BLOCKS["var.plans"].inside("validation")]
    assert any(f'regex("{keys.NAME}", name)' in condition for condition in conditions)


def test_a_revoked_key_is_forgotten_as_soon_as_the_policy_demands() -> None:
    assert 0 < int(LOCALS["authorizer_ttl"]) <= FORGOTTEN_SECONDS / 2


def test_the_authorizer_is_told_what_it_reads() -> None:
    told = set(re.findall(rf"\b{PREFIX}\w+", LOCALS["authorizer_environment"]))
    assert told == {f"{PREFIX}{field.name.upper()}" for field in fields(AuthorizerSettings)}


def test_the_table_has_the_attributes_that_the_authorizer_reads() -> None:
    table = BLOCKS["aws_dynamodb_table.keys"]
    used = {table.attributes["hash_key"], table.inside("ttl")[0].attributes["attribute_name"]}
    assert used == {'"key_hash"', '"expires_at"'}
    assert {name.strip('"') for name in used} < {field.name for field in fields(StoredKey)}


@pytest.mark.parametrize("function", ["authorizer", "authorizer-jwt"])
def test_each_authorizer_is_a_package_of_the_project(function: str) -> None:
    assert f'"{function}"' in LOCALS["authorizer_function"]
    assert function in FUNCTIONS
    assert BLOCKS["module.authorizer"].attributes["mark"] == f'"{Kind.AUTHORIZER}"'
