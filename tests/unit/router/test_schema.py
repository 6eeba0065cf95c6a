"""The schema says what `parse` says, and what each field is for."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from lambda_llm.router.schema import schema
from scripts.docs import router_schema
from support.router import written


def changed(path: str, value: Any = None) -> dict[str, Any]:
    """A configuration with another value, or without one."""
    given = written()
    *steps, last = path.split("/")
    place = given
    for step in steps:
        place = place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return given


def test_it_is_published() -> None:
    """Editors get it from there."""
    assert router_schema.FILE.read_text(encoding="utf-8") == router_schema.content(), (
        "run python -m scripts.docs.router_schema"
    )


def test_it_is_a_schema_and_takes_what_is_right() -> None:
    made = schema()
    Draft202012Validator.check_schema(made)
    assert made["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert list(Draft202012Validator(made).iter_errors(written())) == []


@pytest.mark.parametrize(
    "wrong",
    [
        changed("version"),
        changed("backends/small/place"),
        changed("models/chat/backends"),
        changed("models/chat/hedge_seconds", 0),
        changed("tenants"),
        changed("tenants/acme/fallback", 1),
        changed("guardrails", {"pii": {"id": "a", "version": "1"}}),
    ],
)
def test_it_tells_what_is_wrong(wrong: dict[str, Any]) -> None:
    assert list(Draft202012Validator(schema()).iter_errors(wrong)) != []


def test_every_field_has_a_sentence() -> None:
    """But those that every kind of entry has, whose name says it."""
    made = schema()
    parts = {"Configuration": made, **made["$defs"]}
    silent = [
        (part, name)
        for part, content in parts.items()
        for name, field in content.get("properties", {}).items()
        if name != "kind" and "description" not in field
    ]
    assert silent == []
    assert parts["ConverseEntry"]["properties"]["context"]["description"] == "Tokens of prompt and answer together."
    assert "Attributes" not in json.dumps(made)
