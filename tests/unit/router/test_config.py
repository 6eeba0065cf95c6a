"""The configuration: what a right one says, and the sentence that each wrong one gets."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lambda_llm.backends.contract import Operation
from lambda_llm.limits import APPCONFIG_BYTES
from lambda_llm.router.budget import Limit, Limits
from lambda_llm.router.config import digest, parse
from lambda_llm.router.errors import ConfigurationError
from lambda_llm.router.facts import Feature, Place
from lambda_llm.router.policy import Prefer, TimePrice, TokenPrice
from support.router import written

GUARDRAIL = {"id": "abc123", "version": "1", "region": "eu-central-1"}
KEY = "sk-live-1234567890"


def test_a_right_one() -> None:
    """In YAML and in JSON."""
    configuration = parse(yaml.safe_dump(written()).encode())
    assert configuration == parse(json.dumps(written()).encode())
    small, bedrock = configuration.options("chat")
    assert small.price == TimePrice(None, 200, 20)
    assert small.features == {Feature.TOOLS, Feature.JSON_SCHEMA}
    assert small.operations == {Operation.CHAT, Operation.EMBEDDINGS}
    assert (bedrock.place, bedrock.price) == (Place.ACCOUNT, TokenPrice(1, 5))
    assert configuration.models["chat"].prefer is Prefer.COST
    assert configuration.models["large"].prefer is Prefer.ORDER


def test_numbers_are_those_of_json() -> None:
    """Those with an exponent too, which YAML 1.1 takes for text."""
    given = written()
    given["backends"]["bedrock"]["price"] = {"input": 1e-6, "output": 2.5e-7, "cached": 1e3}
    content = json.dumps(given).replace("1000.0", "1E+3")
    price = parse(content.encode()).options("chat")[1].price
    assert price == TokenPrice(1e-6, 2.5e-7, 1000.0)


def test_a_tenant_has_its_own_rights_or_those_of_anybody() -> None:
    """Where there is no entry for anybody, who is not named has none."""
    configuration = parse(json.dumps(written()).encode())
    acme, other = configuration.tenant("acme"), configuration.tenant("other")
    assert acme is not None
    assert other is not None
    assert (acme.may_use("chat"), acme.may_use("large"), other.may_use("large")) == (True, False, True)
    given = written()
    del given["tenants"]["*"]
    assert parse(json.dumps(given).encode()).tenant("other") is None


def test_a_tenant_s_budgets_are_exact_and_rounded_down() -> None:
    """Decimal fractions of a dollar are not what a float makes of them."""
    given = written()
    given["tenants"]["acme"] |= {
        "minute": {"tokens": 60_000},
        "day": {"dollars": 0.29},
        "month": {"dollars": 0.0000019, "tokens": None},
    }
    acme = parse(json.dumps(given).encode()).tenants["acme"]
    assert acme.limits() == Limits(Limit(tokens=60_000), Limit(micro_dollars=290_000), Limit(micro_dollars=1))


def test_the_guardrails_of_a_request_are_the_tenant_s_and_the_model_s() -> None:
    """Each once."""
    given = written() | {"guardrails": {"a": GUARDRAIL, "b": GUARDRAIL}}
    given["models"]["chat"]["guardrail"] = given["tenants"]["*"]["guardrail"] = "a"
    given["tenants"]["acme"]["guardrail"] = "b"
    configuration = parse(json.dumps(given).encode())
    found = [configuration.guardrails_of(*each) for each in (("chat", "acme"), ("chat", "x"), ("large", "acme"))]
    assert found == [["b", "a"], ["a"], ["b"]]


def change(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def apply(given: dict[str, Any]) -> None:
        *steps, last = path.split("/")
        for step in steps:
            given = given[step]
        if value is None:
            del given[last]
        else:
            given[last] = value

    return apply


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (change("version", 2), "version: Input should be 1"),
        (change("models/chat/backends", ["small", "smal"]), "the model 'chat' names the backend 'smal'"),
        (change("models/chat/backends", ["small", "small"]), "names a backend twice"),
        (change("models/chat/backends", []), "at least 1 item"),
        (change("models/chat/backends", "small"), "models.chat.backends: it must be a list"),
        (change("models/chat/prefer", "cheap"), "'cheap' is none of order, cost, latency, utilization"),
        (change("models/chat/max_tokens", "1000"), "models.chat.max_tokens: Input should be a valid integer"),
        (change("models/chat/fallback", []), "models.chat.fallback: Extra inputs are not permitted"),
        (change("backends/small/features", ["tool"]), "'tool' is none of tools, json_schema"),
        (change("backends/small/operations", ["chat"]), "'chat' is none of /v1/chat/completions"),
        (change("backends/small/kind", "lambda"), "backends.small: Input tag 'lambda'"),
        (change("backends/small/place", None), "backends.small.lambda_invoke.place: Field required"),
        (change("backends/small/price", {"prefill": 0, "decode": 1}), "greater than 0"),
        (change("backends/small/function", "small"), "backends.small.lambda_invoke.function: String should match"),
        (change("backends/bedrock/region", "frankfurt"), "backends.bedrock.converse.region: String should match"),
        (change("backends/elsewhere/url", "http://api.example.com"), "must have an https address"),
        (change("backends/elsewhere/url", f"https://{KEY}@api.example.com"), "url: String should match"),
        (change("backends/elsewhere/auth/secret", KEY), "must be the ARN of a secret"),
        (change("tenants/acme/models", ["chat", "chess"]), "the tenant 'acme' names the model 'chess'"),
        (change("tenants/acme/minute", {"tokens": -1}), "greater than or equal to 0"),
        (change("tenants/acme/minute", {"tokens": 1.5}), "tenants.acme.minute.tokens: Input should be a valid integer"),
        (change("tenants/acme/day", {"dollars": 1e300}), "tenants.acme.day.dollars: Input should be less than"),
        (change("tenants/acme/hour", {}), "tenants.acme.hour: Extra inputs are not permitted"),
        (change("tenants", {}), "tenants: Dictionary should have at least 1 item"),
        (change("models/chat/guardrail", "pii"), "the model 'chat' names the guardrail 'pii', which is not there"),
        (change("tenants/acme/guardrail", "pii"), "the tenant 'acme' names the guardrail 'pii', which is not there"),
        (change("tenants/acme/batch_dollars", -1), "batch_dollars: Input should be greater than or equal to 0"),
        (
            change("tenants/acme", {"models": ["chat"], "batch_dollars": 1, "region": "eu-central-1"}),
            "tenants.acme: a tenant with batch_dollars can't have a region, which batches would not keep",
        ),
        (
            change("tenants/acme", {"models": ["chat"], "batch_dollars": 1, "guardrail": "pii"}),
            "tenants.acme: a tenant with batch_dollars can't have a guardrail, which batches would not keep",
        ),
        (change("guardrails", {"pii": GUARDRAIL | {"input": False, "output": False}}), "must check input, output or"),
        (change("guardrails", {"pii": GUARDRAIL | {"on_failure": "open"}}), "on_failure: Input should be 'closed'"),
        (change("guardrails", {"pii": GUARDRAIL | {"window": 100}}), "window: Input should be greater than or equal"),
        (change("guardrails", {"pii": GUARDRAIL | {"version": "0"}}), "version: String should match"),
        (change("backends/elsewhere/price", {"input": float("inf"), "output": 1}), "finite number"),
    ],
)
def test_a_wrong_one_is_refused_by_name(wrong: Callable[[dict[str, Any]], None], sentence: str) -> None:
    """And a key that somebody wrote into it is not repeated."""
    given = written()
    wrong(given)
    with pytest.raises(ConfigurationError) as refused:
        parse(yaml.safe_dump(given).encode())
    assert sentence in str(refused.value)
    assert KEY not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "must be a mapping"),
        (b"- 1", "must be a mapping"),
        (b"a: [", "no YAML or JSON in line 1"),
        (b"\x00", "no YAML or JSON"),
        (b"[" * 100_000, "no YAML or JSON"),
        (b"version: 1\nversion: 1", "in line 2: the key 'version' comes twice"),
        (b"1: 2", "a key must be text"),
        (b"a: &x [1]\nb: *x", "in line 2: aliases are not allowed"),
        (b"a: !!python/object/apply:os.getcwd []", "no YAML or JSON in line 1"),
        (b" " * (APPCONFIG_BYTES + 1), "and 1,048,576 are allowed"),
    ],
)
def test_what_is_no_configuration_at_all(content: bytes, sentence: str) -> None:
    """Each has one sentence."""
    with pytest.raises(ConfigurationError, match="configuration") as refused:
        parse(content)
    assert sentence in str(refused.value)


@given(st.binary(max_size=100) | st.text(alphabet="{}[]:,-!&*?|>%@`'\" \n#ab1", max_size=100).map(str.encode))
def test_noise_has_a_sentence(content: bytes) -> None:
    """And never another exception."""
    with pytest.raises(ConfigurationError):
        parse(content)


def test_two_contents_have_two_names() -> None:
    """By which a log tells which one was in use."""
    assert digest(b"a") != digest(b"b")
    assert len(digest(b"a")) == 12
