"""What a schema refuses, and that no schema can keep the checker busy."""

from typing import Any

import pytest

from lambda_llm.agent.errors import ToolError
from lambda_llm.agent.tools.arguments import ARGUMENTS_BYTES, DEPTH, SCHEMA_BYTES, SENTENCE, check, check_schema

WEATHER: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
    "required": ["city"],
    "additionalProperties": False,
}
SLOW = "^(a+)+$"
SLOWED = "a" * 64 + "!"


def refused(schema: Any, arguments: dict[str, Any]) -> str:
    with pytest.raises(ToolError) as caught:
        check(schema, arguments)
    assert not caught.value.unknown
    assert len(str(caught.value)) <= SENTENCE
    return str(caught.value)


def test_what_fits_passes() -> None:
    check(WEATHER, {"city": "Paris", "days": 2})


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({}, "The arguments don't fit the tool's schema at $: missing: 'city'"),
        ({"city": 5}, "The arguments don't fit the tool's schema at $.city: 5 is not of type 'string'"),
        ({"city": "Paris", "days": 0}, "at $.days: 0 is less than the minimum of 1"),
        ({"city": "Paris", "days": True}, "at $.days: True is not of type 'integer'"),
        ({"city": "Paris", "country": "FR"}, "('country' was unexpected)"),
        ({"city": "Paris", "days": float("nan")}, "must be JSON, without NaN"),
        ({"city": "\ud800"}, "half characters"),
        ({"city": object()}, "must be JSON"),
        ({"city": "x" * ARGUMENTS_BYTES}, "must have at most 65,536 bytes; it is 65,548."),
    ],
)
def test_a_refusal_says_where_and_what(arguments: dict[str, Any], sentence: str) -> None:
    assert sentence in refused(WEATHER, arguments)


def test_many_missing_ones_are_counted() -> None:
    names = [f"n{number}" for number in range(40)]
    assert refused({"required": names}, {}).endswith("missing: 'n0', 'n1', 'n2', 'n3', 'n4' and 35 more")


def test_long_values_do_not_make_long_sentences() -> None:
    sentence = refused({"properties": {"k" * 900: {"type": "integer"}}}, {"k" * 900: "v" * 9000})
    assert len(sentence) == SENTENCE
    assert "is not of type" in refused({"properties": {"k" * 900: {"type": "integer"}}}, {"k" * 900: "v" * 90})


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"q": {"type": "string", "pattern": SLOW}}},
        {"patternProperties": {SLOW: {"type": "string"}}},
        {"patternProperties": {SLOW: {}}, "additionalProperties": False},
        {"patternProperties": {SLOW: {}}, "unevaluatedProperties": False},
        {"propertyNames": {"pattern": SLOW}},
        {"properties": {"q": {"$ref": "#/$defs/slow"}}, "$defs": {"slow": {"pattern": SLOW}}},
        {"properties": {"q": {"not": {"pattern": "^a"}}}},
        {"properties": {"q": {"if": {"pattern": "^b"}, "then": {"type": "integer"}}}},
        {"properties": {"q": {"oneOf": [{"pattern": "^a"}, {"pattern": "!$"}]}}},
        {"properties": {"q": {"format": "regex"}}},
        {"properties": {"q": {"pattern": "("}}},
        {"patternProperties": {"(": {}}},
    ],
)
def test_no_regular_expression_of_a_schema_is_run_and_what_is_not_judged_passes(schema: dict[str, Any]) -> None:
    check_schema(schema)
    check(schema, {"q": SLOWED, SLOWED: "x"})


def test_what_is_beside_a_pattern_is_still_judged() -> None:
    schema = {"properties": {"q": {"type": "string", "pattern": SLOW, "oneOf": [{"maxLength": 2}, {"maxLength": 3}]}}}
    assert "is not of type 'string'" in refused(schema, {"q": 5})
    assert "is not valid under any of the given schemas" in refused(schema, {"q": "four"})
    check(schema, {"q": "two"})


def test_a_property_may_have_the_name_of_a_keyword() -> None:
    schema = {"properties": {"pattern": {"type": "string"}, "$ref": {"type": "integer"}}, "required": ["pattern"]}
    check(schema, {"pattern": "(", "$ref": 1})
    assert "missing: 'pattern'" in refused(schema, {})
    assert "$ref" in refused(schema, {"pattern": "", "$ref": "x"})


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"properties": {"a": {"oneOf": [{"type": "integer"}, {"minimum": 2}]}}}, {"a": 1}, {"a": 3}),
        ({"properties": {"a": {"not": {"type": "null"}}}}, {"a": 1}, {"a": None}),
        ({"if": {"required": ["a"]}, "then": {"required": ["b"]}}, {"a": 1, "b": 2}, {"a": 1}),
        ({"properties": {"a": {"$ref": "#/$defs/n"}}, "$defs": {"n": {"type": "integer"}}}, {"a": 1}, {"a": "1"}),
        (
            {"properties": {"a": {"$ref": "#n"}}, "$defs": {"n": {"$anchor": "n", "type": "null"}}},
            {"a": None},
            {"a": 1},
        ),
        ({"properties": {"a": {"uniqueItems": True}}}, {"a": [1, "1", {}]}, {"a": [{"x": 1}, {"x": 1}]}),
        ({"properties": {"a": {"prefixItems": [{"const": 1}], "items": False}}}, {"a": [1]}, {"a": [1, 2]}),
        ({"properties": {"a": {"enum": ["x", 1]}}}, {"a": "x"}, {"a": True}),
        (
            {"$schema": "http://json-schema.org/draft-07/schema#", "properties": {"a": {"items": [{"const": 1}]}}},
            {"a": [1, 2]},
            {"a": [2]},
        ),
        (
            {
                "$schema": "http://json-schema.org/draft-04/schema#",
                "properties": {"a": {"minimum": 1, "exclusiveMinimum": True}},
            },
            {"a": 2},
            {"a": 1},
        ),
        (
            {"$ref": "#/$defs/t", "$defs": {"t": {"properties": {"t": {"$ref": "#/$defs/t"}}, "required": ["v"]}}},
            {"v": 1, "t": {"v": 2}},
            {"v": 1, "t": {"v": 1, "t": {}}},
        ),
    ],
)
def test_the_keywords_mean_what_they_mean(schema: dict[str, Any], good: dict[str, Any], bad: dict[str, Any]) -> None:
    check(schema, good)
    refused(schema, bad)


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        schema = {"properties": {"a": schema}}
    return schema


@pytest.mark.parametrize(
    ("schema", "sentence"),
    [
        ([], "must be a JSON object"),
        ({"$ref": "https://example.com/schema"}, "refers to 'https://example.com/schema', which it does not have"),
        ({"$ref": "file:///etc/passwd"}, "nothing is fetched"),
        ({"$ref": "#/$defs/gone"}, "which it does not have"),
        ({"$ref": "#/vendor", "vendor": {}}, "which it does not have"),
        ({"$ref": "#/required", "required": ["a"]}, "which it does not have"),
        ({"$ref": 5}, "is no JSON Schema at"),
        ({"type": "text"}, "is no JSON Schema at $.type"),
        ({"properties": {"a": 5}}, "is no JSON Schema at $.properties.a"),
        ({"properties": []}, "is no JSON Schema at $.properties"),
        ({"required": 5}, "is no JSON Schema at $.required"),
        ({"$schema": "https://example.com/mine"}, "is of the dialect 'https://example.com/mine'"),
        ({"$schema": 5}, "is of the dialect 5"),
        ({"properties": {"a": {"$id": "b", "$ref": "#/c"}}}, "an $id of its own"),
        (nested(DEPTH), f"at most {DEPTH} levels"),
        (nested(5_000), f"at most {DEPTH} levels"),
        ({"description": "x" * SCHEMA_BYTES}, "at most 65,536 bytes"),
        ({"enum": [float("inf")]}, "must be JSON"),
    ],
)
def test_a_schema_that_can_not_be_used_is_refused(schema: Any, sentence: str) -> None:
    with pytest.raises(ToolError) as caught:
        check_schema(schema)
    assert sentence in str(caught.value)
    assert len(str(caught.value)) <= SENTENCE


def doubling(keyword: str, leaf: str) -> dict[str, Any]:
    """A schema of 31 definitions, of which the last one is asked for 2^30 times."""
    definitions = {f"d{level}": {keyword: [{"$ref": f"#/$defs/d{level + 1}"}] * 2} for level in range(30)}
    return {"$ref": "#/$defs/d0", "$defs": {**definitions, "d30": {"type": leaf}}}


@pytest.mark.parametrize(
    ("schema", "arguments"),
    [
        ({"$ref": "#"}, {}),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}, {}),
        (doubling("allOf", "object"), {}),
        (doubling("anyOf", "string"), {}),
        (doubling("oneOf", "string"), {}),
        ({"properties": {"a": {"items": {"enum": list(range(5_000))}}}}, {"a": [4_999] * 5_000}),
    ],
    ids=["itself", "each other", "allOf", "anyOf", "oneOf", "enum"],
)
def test_checking_ends_whatever_the_schema(schema: dict[str, Any], arguments: dict[str, Any]) -> None:
    sentence = refused(schema, arguments)
    assert "would take too long" in sentence or "(RecursionError)" in sentence


def test_many_elements_are_told_apart_in_little_time() -> None:
    schema = {"properties": {"a": {"uniqueItems": True}}}
    elements = [{"x": number} for number in range(4_000)]
    check(schema, {"a": elements})
    assert "unlike each other" in refused(schema, {"a": [*elements, {"x": 7}]})


def test_a_number_that_can_not_be_divided_is_no_crash() -> None:
    assert "(OverflowError)" in refused({"properties": {"a": {"multipleOf": 0.5}}}, {"a": 10**400})


def test_deep_arguments_are_refused_without_going_down() -> None:
    arguments: dict[str, Any] = {}
    for _ in range(50_000):
        arguments = {"a": arguments}
    assert f"at most {DEPTH} levels" in refused({"type": "object"}, arguments)
    cyclic: dict[str, Any] = {}
    cyclic["self"] = cyclic
    assert f"at most {DEPTH} levels" in refused({"type": "object"}, cyclic)
    while arguments:  # one after the other, as nothing frees 50,000 levels at once
        arguments = arguments["a"]
