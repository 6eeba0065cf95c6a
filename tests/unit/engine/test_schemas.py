"""Whatever a model is made to say under a schema, it is JSON that is valid under the schema."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, time
from pathlib import Path
from typing import Any

import jsonschema
import llguidance
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_llm.engine.decoder import Decoder
from lambda_llm.engine.errors import ConstraintError, EngineError, SchemaError
from lambda_llm.engine.generate import FinishReason, Generation, GenerationRequest
from lambda_llm.engine.loaded_model import LoadedModel
from lambda_llm.engine.matcher import compiled
from lambda_llm.engine.prefix_cache import PrefixCache
from lambda_llm.engine.sampling import Sampling
from lambda_llm.engine.schemas import enforceable
from lambda_llm.gguf.options import ModelOptions, Weights
from support.answers import OpenEngine
from support.constrained import accepts, as_answer, as_parameters, call


class Babbling(Decoder):
    """Any token may come, as far as the schema lets it; the ends of things come gladly, so that there is an end."""

    def __init__(self, *positional: Any, **named: Any) -> None:
        super().__init__(*positional, **named)
        self.random = np.random.default_rng(1)
        pieces = [self.model.piece(token) for token in range(self.model.vocabulary_size)]
        closing = re.compile(rb'[\s"]*[\]}"]+')
        self.gladly = np.array([4.0 * bool(closing.fullmatch(piece)) for piece in pieces], np.float32)
        self.gladly[[self.model.ends_turn(token) for token in range(self.model.vocabulary_size)]] = 8

    def evaluate(self, *_: Any) -> int:
        return 0

    def append(self, *_: Any, **__: Any) -> None:
        pass

    def logits(self) -> Any:
        return self.gladly + self.random.standard_normal(self.model.vocabulary_size, dtype=np.float32) * 2

    def say(self, schema: Any, *, strict: bool, most: int = 400) -> str | None:
        sampling = Sampling(
            constraint=as_answer(enforceable(schema, strict=strict)), seed=int(self.random.integers(2**31))
        )
        going = Generation(GenerationRequest([1], sampling, max_tokens=most), self, PrefixCache(self))
        text = "".join(going)
        return text if going.stats.finish_reason is FinishReason.STOP else None

    def values(self, schema: Any, *, strict: bool = True, count: int = 12) -> list[Any]:
        """What it says that comes to an end."""
        return [json.loads(text) for _ in range(count) if (text := self.say(schema, strict=strict)) is not None]


@pytest.fixture(scope="module")
def babbling(demo_model: Path) -> Iterator[Babbling]:
    options = ModelOptions(context_length=2048, placement=Weights.COPIED, threads=1)
    with LoadedModel(str(demo_model), options.placement) as model, Babbling(model, options) as decoder:
        yield decoder


def an_object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


FORMATS = jsonschema.FormatChecker(["uuid", "ipv4", "ipv6"])


def _is_a_time(text: str) -> bool:
    """As Python reads it, but for what llguidance knows of no calendar: leap seconds, the year 0, 29 February."""
    text = re.sub(
        r"^0000", "2000", re.sub(r"^\d{4}-02-29", "2000-02-29", re.sub(r":60(?=[.Z+-])", ":59", text.upper()))
    )
    text = re.sub(r"\.\d+", "", text)
    return bool((time if text[2:3] == ":" else datetime).fromisoformat(text)) or True


for _name in ("date", "time", "date-time"):
    FORMATS.checks(_name, ValueError)(_is_a_time)
TEXT, NUMBER = {"type": "string"}, {"type": "number"}


@pytest.mark.parametrize(
    "schema",
    [
        TEXT,
        {"type": "string", "minLength": 2, "maxLength": 5},
        {"type": "string", "minLength": 150, "maxLength": 260},
        {"type": "string", "maxLength": 0},
        {"type": "string", "format": "date-time"},
        {"type": "string", "format": "date"},
        {"type": "string", "format": "time"},
        {"type": "string", "format": "uuid"},
        {"type": "string", "format": "ipv4"},
        {"type": "string", "format": "email", "maxLength": 30},
        {"type": "string", "pattern": "^[a-f]{2,4}(-[0-9]+)?$"},
        {"type": "integer", "multipleOf": 7, "minimum": -50, "maximum": 50},
        {"type": "number", "minimum": 0.25, "exclusiveMaximum": 0.75},
        {"type": "object", "patternProperties": {"^x[0-9]$": {"type": "boolean"}}, "additionalProperties": False},
        {"type": "object", "propertyNames": {"enum": ["a", "b"]}, "additionalProperties": {"type": "integer"}},
        {"type": "object", "propertyNames": {"pattern": "^[a-c]$"}, "additionalProperties": {"type": "integer"}},
        {"allOf": [{"properties": {"a": TEXT}, "required": ["a"]}, {"properties": {"b": NUMBER}, "required": ["b"]}]},
        {"oneOf": [an_object(kind={"const": "x"}), an_object(kind={"const": "y"}, size={"type": "integer"})]},
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "type": "array",
            "items": [TEXT, {"type": "boolean"}],
            "additionalItems": False,
            "minItems": 2,
        },
        {"type": "integer"},
        NUMBER,
        {"type": "integer", "minimum": -3, "maximum": 217},
        {"type": "integer", "exclusiveMinimum": 99, "exclusiveMaximum": 101},
        {"type": "integer", "minimum": 8},
        {"type": "number", "minimum": 0, "maximum": 1},
        {"type": "number", "exclusiveMinimum": 0},
        {"type": "number", "exclusiveMinimum": -2, "exclusiveMaximum": 2},
        {"type": "number", "maximum": -7},
        {"type": "boolean"},
        {"type": "null"},
        {"enum": ["plain", 'with "quotes"', "back\\slash", "new\nline", "é🎉", 5, None, {"a": [1]}]},
        {"const": 'a"b\\c'},
        {"type": ["string", "null"], "maxLength": 3},
        {"type": ["object", "null"], "properties": {"a": NUMBER}, "required": ["a"]},
        {"anyOf": [{"type": "integer"}, an_object(kind={"const": "x"})]},
        {"allOf": [{"type": "boolean"}]},
        {"type": "array"},
        {"type": "array", "items": {"type": "boolean"}},
        {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 4},
        {"type": "array", "items": NUMBER, "minItems": 3},
        {"type": "array", "items": NUMBER, "maxItems": 0},
        {"type": "array", "prefixItems": [TEXT, {"type": "boolean"}], "items": False},
        {"type": "object"},
        {"type": "object", "additionalProperties": {"type": "integer"}},
        {"type": "object", "additionalProperties": False},
        an_object(),
        an_object(name=TEXT, age={"type": "integer", "minimum": 0}),
        an_object(**{'odd "name"\\': {"type": "boolean"}, "string": TEXT, "ws": NUMBER, "root": {"type": "null"}}),
        an_object(a=TEXT, b=NUMBER, c={"type": "boolean"}, d={"type": "null"}) | {"required": []},
        an_object(a=TEXT, b=NUMBER, c={"type": "boolean"}, d={"type": "null"}) | {"required": ["c"]},
        an_object(a=an_object(b={"type": "array", "items": an_object(c=TEXT)})),
        {"$ref": "#/$defs/a~1b%20c", "$defs": {"a/b c": {"type": "boolean"}}},
        {"$defs": {"x": TEXT, "y": {"x": NUMBER}}, **an_object(a={"$ref": "#/$defs/x"}, b={"$ref": "#/$defs/y/x"})},
        {
            "$defs": {"node": an_object(value=NUMBER, next={"anyOf": [{"type": "null"}, {"$ref": "#/$defs/node"}]})},
            "$ref": "#/$defs/node",
            "title": "A list",
            "description": "that points to itself",
        },
        {},
        True,
    ],
    ids=str,
)
def test_what_is_said_is_valid(babbling: Babbling, schema: Any) -> None:
    values = babbling.values(schema)
    assert values, "some of it must come to an end"
    for value in values:
        jsonschema.validate(value, schema, format_checker=FORMATS)


LEAVES = st.sampled_from(
    [{"type": "integer", "minimum": -12}, {"type": "number", "maximum": 3}, {"type": "boolean"}, {"enum": ["a", 'b"']}]
)
NAMES = st.text(st.characters(codec="utf-8"), max_size=4)
SCHEMAS = st.recursive(
    LEAVES
    | st.builds(
        lambda least, more: {"type": "string", "minLength": least, "maxLength": least + more},
        st.integers(0, 3),
        st.integers(0, 3),
    ),
    lambda inner: (
        st.builds(lambda item, most: {"type": "array", "items": item, "maxItems": most}, inner, st.integers(0, 3))
        | st.builds(lambda choices: {"anyOf": choices}, st.lists(inner, min_size=1, max_size=3))
        | st.dictionaries(NAMES, inner, max_size=4).flatmap(
            lambda properties: st.sets(st.sampled_from(sorted(properties)) if properties else st.nothing()).map(
                lambda required: an_object(**properties) | {"required": sorted(required)}
            )
        )
    ),
    max_leaves=8,
)


@settings(max_examples=60)
@given(schema=SCHEMAS)
def test_what_is_said_is_valid_under_any_schema(babbling: Babbling, schema: Any) -> None:
    for value in babbling.values(schema, count=2):
        jsonschema.validate(value, schema)


KEYWORDS = [
    *("type", "enum", "const", "properties", "required", "additionalProperties", "patternProperties", "propertyNames"),
    *(
        "minProperties",
        "maxProperties",
        "dependentRequired",
        "unevaluatedProperties",
        "items",
        "prefixItems",
        "contains",
    ),
    *("minItems", "maxItems", "uniqueItems", "minLength", "maxLength", "pattern", "format", "minimum", "maximum"),
    *("exclusiveMinimum", "multipleOf", "anyOf", "oneOf", "allOf", "not", "if", "$ref", "$defs", "title", "x-any"),
]
WORDS = ["string", "object", "array", "integer", "number", "null", "any", "a", "#", "#/$defs/a", "^a", "(", "date"]
JUNK: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 20) | st.floats(allow_nan=False) | st.sampled_from(WORDS),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYWORDS), inner, max_size=4)
        | st.dictionaries(st.sampled_from(["a", "b", "^a"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=300)
@given(schema=st.dictionaries(st.sampled_from(KEYWORDS), JUNK, min_size=1, max_size=5))
def test_whatever_comes_as_a_schema_has_an_answer(babbling: Babbling, schema: Any) -> None:
    assert compiled(as_answer(enforceable(schema, strict=False)), babbling.trie).compiled
    with suppress(SchemaError):
        assert not enforceable(schema, strict=True).widened


def test_every_number_between_bounds_can_be_said_and_no_other(babbling: Babbling) -> None:
    said = set(babbling.values({"type": "integer", "minimum": 7, "maximum": 13}, count=300))
    assert said == set(range(7, 14))


def test_any_object_is_an_object(babbling: Babbling) -> None:
    said = babbling.values({"type": "object"})
    assert said
    assert all(isinstance(value, dict) for value in said)


WEBHOOK = {"if": {"properties": {"a": {"const": 1}}}, "then": {"required": ["b"]}}


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ([], "a schema must be an object or a boolean"),
        ({"type": "text"}, "'type' must be one of object, array, string"),
        ({"type": []}, "'type' must be one of"),
        ({"type": {"a": 1}}, "'type' must be one of"),
        (an_object(a={"not": TEXT}), "'not' at 'a' can't be enforced: leave it out, or set 'strict' to false"),
        (WEBHOOK, "'if' can't be enforced"),
        ({"type": "array", "uniqueItems": True}, "'uniqueItems' can't be enforced"),
        ({"type": "array", "contains": TEXT}, "'contains' can't be enforced"),
        ({"type": "object", "dependentRequired": {"a": ["b"]}}, "'dependentRequired' can't be enforced"),
        ({"type": "object", "dependencies": {"a": ["b"]}}, "'dependencies' can't be enforced"),
        ({"type": "object", "propertyNames": {"type": "integer"}}, "'propertyNames' can't be enforced"),
        ({"type": "object", "propertyNames": {"maxLength": 3}}, "'propertyNames' can't be enforced"),
        ({"type": "object", "minProperties": 2}, "'minProperties' can't be enforced (a name could come twice)"),
        ({"allOf": [an_object()], "unevaluatedProperties": False}, "'unevaluatedProperties' can't be enforced"),
        ({"$dynamicRef": "#other"}, "'$dynamicRef' can't be enforced (there is no '#other')"),
        ({"type": "string", "minLenght": 3}, "'minLenght' can't be enforced"),
        (an_object(a={"type": "string", "pattern": "^(?!b)"}), "'pattern' at 'a' can't be enforced (look-around"),
        ({"type": "string", "pattern": "["}, "'pattern' can't be enforced"),
        ({"type": "string", "pattern": 5}, "'pattern' must be a text"),
        ({"type": "string", "format": "iri"}, "'format' can't be enforced (it must be one of date-time, time"),
        ({"type": "string", "minLength": 5, "maxLength": 4}, "'minLength' can't be enforced"),
        ({"type": "string", "maxLength": 10**12}, "'maxLength' can't be enforced (it is greater than 4,294,967,295)"),
        ({"type": "string", "maxLength": -1}, "'maxLength' must be a whole number"),
        ({"type": "string", "maxLength": True}, "'maxLength' must be a whole number"),
        ({"type": "string", "maxLength": 1.5}, "'maxLength' must be a whole number"),
        ({"type": "number", "minimum": "1"}, "'minimum' must be a number"),
        ({"type": "integer", "minimum": 1e20}, "'minimum' can't be enforced"),
        ({"type": "integer", "minimum": 5, "maximum": 4}, "'minimum' can't be enforced (minimum (5) is greater"),
        ({"type": "number", "multipleOf": 0}, "'multipleOf'"),
        ({"enum": []}, "'enum' must be a list of values"),
        ({"enum": "ab"}, "'enum' must be a list of values"),
        ({"const": 2**53 + 1}, "'const' can't be enforced (an integer beyond 2^53 is not exact)"),
        ({"type": "string", "enum": [1]}, "'enum' can't be enforced (incompatible types)"),
        ({"anyOf": []}, "'anyOf' must be a list of schemas"),
        ({"oneOf": [{"type": "string"}, {"type": "string", "minLength": 1}]}, "'oneOf' can't be enforced (that only"),
        ({"oneOf": [an_object(v={"const": 1}), an_object(v={"const": 1.0})]}, "'oneOf' can't be enforced"),
        ({"oneOf": [{"required": ["a"]}, TEXT]}, "'oneOf' can't be enforced (that only one of its schemas"),
        (an_object(a={"allOf": [TEXT, NUMBER]}), "'allOf' at 'a' can't be enforced (incompatible types)"),
        ({"type": "object", "properties": []}, "'properties' must be an object of schemas"),
        ({"type": "object", "properties": {"a": 5}}, "a schema must be an object or a boolean at 'a'"),
        ({"type": "object", "required": "a"}, "'required' must be a list of names"),
        (an_object(a=TEXT) | {"required": ["b"]}, "'required' can't be enforced (no value is valid for 'b')"),
        ({"type": "object", "patternProperties": {"a": {}, "b": {}}}, "'patternProperties' can't be enforced"),
        ({"type": "object", "patternProperties": {f"^{n}$": {} for n in range(51)}}, "there are more than 50"),
        ({"type": "array", "prefixItems": 5}, "'prefixItems' must be a list of schemas"),
        ({"$ref": "https://example.com/schema.json"}, "'$ref' can't be enforced ('https://example.com/schema.json' p"),
        ({"$ref": 5}, "'$ref' can't be enforced (it must be a text like '#/$defs/name')"),
        ({"$ref": "#/$defs/x"}, "'$ref' can't be enforced (there is no '#/$defs/x')"),
        ({"$ref": "#"}, "'$ref' can't be enforced (it refers to itself)"),
        (an_object(a=TEXT, b=an_object(c={"$ref": "#/properties/x/0"})), "'$ref' at 'b.c' can't be enforced"),
        (False, "the schema can't be enforced (no value is valid)"),
        ({"type": "object", "properties": {f"n{n}": TEXT for n in range(3000)}}, "more than 2,000 optional ones"),
    ],
    ids=lambda each: str(each)[:80],
)
def test_what_can_t_be_enforced_is_refused_by_name_or_widened(babbling: Babbling, schema: Any, says: str) -> None:
    with pytest.raises(SchemaError, match=re.escape(says)):
        enforceable(schema, strict=True)
    widened = enforceable(schema, strict=False)
    assert widened.widened
    assert babbling.values(schema, strict=False), "some of it must come to an end"


def test_a_schema_that_is_too_deep_or_too_large_is_refused_or_widened(babbling: Babbling) -> None:
    deep: Any = TEXT
    for _ in range(100):
        deep = {"type": "array", "items": deep}
    wide = an_object(**{f"p{number}": an_object(**{f"q{n}": TEXT for n in range(150)}) for number in range(100)})
    for schema, says, value in ((deep, "deeper than 48 levels", "[[]]"), (wide, "more than 10,000 schemas", "{}")):
        with pytest.raises(SchemaError, match=says):
            enforceable(schema, strict=True)
        constraint = as_answer(enforceable(schema, strict=False))
        assert accepts(babbling, constraint, value)
        assert not accepts(babbling, constraint, '"a"')


@pytest.mark.parametrize(
    ("schema", "inside", "outside"),
    [
        ({"type": "integer", "minimum": -(2**53) + 1, "maximum": 2**53 - 1}, ["1", "-5"], ["1.5", '"a"']),
        ({"type": "integer", "maximum": 2**63 - 1}, ["9223372036854775807"], ["9223372036854775808"]),
        ({"type": "string", "maxLength": 65535}, ['"a"'], ["1"]),
        ({"type": "array", "items": {"type": "integer"}, "maxItems": 100_000}, ["[1,2]"], ['["a"]']),
        ({"type": "string", "minLength": 1.0}, ['"a"'], ['""']),
        ({"type": "array", "items": [TEXT, NUMBER]}, ['["a",1]', '["a", 1, null]'], ['[1,"a"]']),
        (
            {"properties": {"a": {"anyOf": [TEXT, {"type": "null"}]}, "b": {"$ref": "#/properties/a/anyOf/0"}}},
            ['{"a":null,"b":"x"}'],
            ['{"a":null,"b":null}'],
        ),
        ({"type": "object", "properties": {"a": False, "b": TEXT}}, ['{"b":"x"}'], ['{"a":1}']),
        ({"enum": [f"value-{number * 7919 % 99991}" for number in range(1000)]}, ['"value-7919"'], ['"value-1x"']),
        ({"anyOf": [{"type": "array", "items": {"$ref": "#"}}] * 40}, ["[[[]],[]]"], ["1"]),
        (
            {"type": "object", "properties": {f"p{n}": TEXT for n in range(1000)}, "additionalProperties": False},
            ['{"p5":"x"}', '{"p1": "", "p999": ""}'],
            ['{"q":"x"}'],
        ),
        ({"type": "object", "properties": {"a": TEXT}}, ['{"a":"x"}', "{}"], ['{"b":1}', '{"a":"x","b":1}']),
        ({"type": "object", "properties": {"a": TEXT}, "additionalProperties": True}, ['{"a":"x","b":1}'], ['{"a":1}']),
        ({"type": "object", "properties": {"a": TEXT}, "required": ["b"]}, ['{"a":"x","b":1}'], ['{"a":"x"}']),
        (
            {
                "allOf": [{"$ref": "#/$defs/base"}, {"properties": {"b": NUMBER}, "required": ["b"]}],
                "$defs": {"base": {"type": "object", "properties": {"a": TEXT}}},
            },
            ['{"a":"x","b":1}', '{"b":1}'],
            ['{"a":1,"b":1}', '{"a":"x"}'],
        ),
        ({"type": "integer", "exclusiveMinimum": True, "minimum": 4}, ["5"], ["4"]),
        ({"$id": "https://example.com/a", "$ref": "https://example.com/a#/$defs/b", "$defs": {"b": TEXT}}, ['""'], "1"),
        ({"$ref": "#there", "$defs": {"b": {"$anchor": "there", "type": "null"}}}, ["null"], ["1"]),
        ({"$ref": "#/$defs/a~1b%20c", "$defs": {"a/b c": {"type": "boolean"}}}, ["true"], ["1"]),
        (
            {
                "oneOf": [{"$ref": "#/$defs/cat"}, {"$ref": "#/$defs/dog"}],
                "$defs": {
                    "cat": an_object(kind={"const": "cat"}, lives={"type": "integer"}),
                    "dog": an_object(kind={"const": "dog"}, tricks={"type": "array", "items": TEXT}),
                },
                "discriminator": {"propertyName": "kind"},
            },
            ['{"kind": "cat", "lives": 9}', '{"kind": "dog", "tricks": []}'],
            ['{"kind": "cat", "tricks": []}'],
        ),
        (
            {"oneOf": [an_object(version={"const": 1}), an_object(version={"enum": [2, 3]}, more={"type": "null"})]},
            ['{"version": 1}', '{"version": 3, "more": null}'],
            ['{"version": 1, "more": null}', '{"version": 2}'],
        ),
        (an_object(a=TEXT), ['{"a": ""}', '{\n  "a": ""\n}', '{"a":""}'], ['{"a":  ""}', '{\n\n"a":""}', ' {"a":""}']),
        ({"type": "string"}, ['"\\n \\u0007 é🎉"'], ['"\\ud800"', '"\n"', '"\\x"']),
    ],
    ids=lambda each: str(each)[:80],
)
def test_a_schema_holds_for_an_answer_and_for_a_tool_s_arguments(
    babbling: Babbling, schema: Any, inside: list[str], outside: list[str]
) -> None:
    for strict in (True, False):
        enforced = enforceable(schema, strict=strict)
        assert not enforced.widened
        answer, arguments = as_answer(enforced), as_parameters(schema, strict=strict)
        for text in inside:
            assert accepts(babbling, answer, text)
            assert accepts(babbling, arguments, call(text))
        for text in outside:
            assert not accepts(babbling, answer, text)
            assert not accepts(babbling, arguments, call(text))


def test_a_schema_that_multiplies_itself_is_refused_or_widened(babbling: Babbling) -> None:
    """Each choice of one part goes with each choice of the others: 4 to the power of 6."""
    choices = [
        [an_object(**{f"a{n}_{m}": {"const": m}}) | {"additionalProperties": True} for m in range(4)] for n in range(6)
    ]
    schema = {"allOf": [{"anyOf": each} for each in choices]}
    with pytest.raises(ConstraintError, match=r"can't compile it \(it is too large\)"):
        compiled(replace(as_answer(enforceable(schema, strict=True)), wider=None), babbling.trie)
    value = json.dumps({f"a{n}_0": 0 for n in range(6)})
    assert accepts(babbling, as_answer(enforceable(schema, strict=False)), value)


def test_a_schema_that_takes_too_long_to_read_is_refused_or_widened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lambda_llm.engine.schemas.SECONDS_MAX", -1)
    with pytest.raises(SchemaError, match="it takes longer than"):
        enforceable(an_object(a=TEXT), strict=True)
    assert enforceable(an_object(a=TEXT), strict=False).schema == {"type": ["object"]}


def test_over_its_limits_a_schema_is_widened_on_the_way_or_ends_the_answer(
    babbling: Babbling, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a pattern costs may show only while it is followed."""
    limits = llguidance.LLParserLimits(step_lexer_fuel=5_000, verbose_errors=False)
    monkeypatch.setattr("lambda_llm.engine.matcher.LIMITS", limits)
    costly = as_answer(enforceable({"type": "string", "pattern": "(.*x.*){20}y(.{0,50}z){10}"}, strict=True))
    text = '"' + "abxy" * 30
    with pytest.raises(EngineError, match=r"can't follow the grammar any further \(lexer error"):
        accepts(babbling, replace(costly, wider=None), text, whole=False)
    assert accepts(babbling, costly, f'{text}"')
    assert not accepts(babbling, costly, "1")


def test_no_schema_is_written_to_standard_error(babbling: Babbling, capfd: pytest.CaptureFixture[str]) -> None:
    """A schema holds the client's words."""
    babbling.values({"enum": ["Xylophone", "\r\n\t\0\x7f\u2028", "]}", "::="]})
    assert "Xylophone" not in "".join(capfd.readouterr())


def test_a_model_can_say_what_the_schema_wants(open_engine: OpenEngine) -> None:
    engine = open_engine()
    schema = an_object(answer={"enum": ["yes", "no"]}, count={"type": "integer", "minimum": 1, "maximum": 9})
    sampling = Sampling(temperature=0, constraint=as_answer(enforceable(schema, strict=True)))
    prompt = engine.model.tokenize("Hello", add_special=True)
    going = engine.generate(GenerationRequest(prompt, sampling, max_tokens=80))
    value = json.loads("".join(going))
    jsonschema.validate(value, schema)
