"""Whatever a model is made to say under a schema's grammar, it is JSON that is valid under the schema."""

import json
import re
from collections.abc import Iterator
from datetime import datetime, time
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_llm.engine.decoder import Decoder
from lambda_llm.engine.errors import ConstraintError, SchemaError
from lambda_llm.engine.generate import FinishReason, Generation, GenerationRequest
from lambda_llm.engine.json_schema import grammar_of
from lambda_llm.engine.loaded_model import LoadedModel
from lambda_llm.engine.prefix_cache import PrefixCache
from lambda_llm.engine.sampling import Constraint, Sampler, Sampling
from lambda_llm.gguf.options import ModelOptions, Weights
from support.answers import OpenEngine


class Babbling(Decoder):
    """Any token may come, as far as the grammar lets it; the ends of things come gladly, so that there is an end."""

    def __init__(self, *positional: Any, **named: Any) -> None:
        super().__init__(*positional, **named)
        self.random = np.random.default_rng(1)
        pieces = [self.model.piece(token) for token in range(self.model.vocabulary_size)]
        closing = re.compile(rb'[\s"]*[\]}"]+')
        self.gladly = np.array([4.0 * bool(closing.fullmatch(piece)) for piece in pieces], np.float32)
        # Lead bytes of overlong forms, which are no UTF-8, and which llama.cpp reads nevertheless.
        self.gladly[[piece[:1] in {b"\xc0", b"\xc1", b"\xe0", b"\xf0"} for piece in pieces]] = -100
        self.gladly[[self.model.ends_turn(token) for token in range(self.model.vocabulary_size)]] = 8

    def evaluate(self, *_: Any) -> int:
        return 0

    def append(self, *_: Any) -> None:
        pass

    def logits(self) -> Any:
        return self.gladly + self.random.standard_normal(self.model.vocabulary_size, dtype=np.float32) * 2

    def say(self, grammar: str, most: int = 400) -> str | None:
        request = GenerationRequest([1], Sampling(constraint=Constraint(grammar), seed=1), max_tokens=most)
        going = Generation(request, self, PrefixCache(self))
        text = "".join(going)
        return text if going.stats.finish_reason is FinishReason.STOP else None

    def values(self, schema: Any, *, strict: bool = True, count: int = 12) -> list[Any]:
        """What it says that comes to an end."""
        grammar = grammar_of(schema, strict=strict)
        return [json.loads(text) for _ in range(count) if (text := self.say(grammar)) is not None]


@pytest.fixture(scope="module")
def babbling(demo_model: Path) -> Iterator[Babbling]:
    options = ModelOptions(context_length=2048, placement=Weights.COPIED, threads=1)
    with LoadedModel(str(demo_model), options.placement) as model, Babbling(model, options) as decoder:
        yield decoder


def an_object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


FORMATS = jsonschema.FormatChecker(["date", "uuid"])
FORMATS.checks("time", ValueError)(lambda text: bool(time.fromisoformat(text)) or True)
FORMATS.checks("date-time", ValueError)(lambda text: bool(datetime.fromisoformat(text)))
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


def test_every_number_between_bounds_can_be_said_and_no_other(babbling: Babbling) -> None:
    said = set(babbling.values({"type": "integer", "minimum": 7, "maximum": 13}, count=300))
    assert said == set(range(7, 14))


def test_any_object_is_an_object(babbling: Babbling) -> None:
    said = [json.loads(text) for _ in range(12) if (text := babbling.say(grammar_of({"type": "object"}, strict=True)))]
    assert said
    assert all(isinstance(value, dict) for value in said)


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ([], "a schema must be an object"),
        ({"type": "text"}, "'type' must be one of object, array, string"),
        ({"type": []}, "'type' must name a type"),
        ({"type": {"a": 1}}, "'type' must be one of"),
        (
            an_object(a={"type": "string", "pattern": "a"}),
            "'pattern' at 'a' can't be enforced: leave it out, or set 's",
        ),
        (an_object(a={"type": "integer", "multipleOf": 2}), "'multipleOf' at 'a' can't be enforced"),
        ({"oneOf": [TEXT]}, "'oneOf' can't be enforced"),
        ({"not": TEXT}, "'not' can't be enforced"),
        ({"type": "array", "uniqueItems": True}, "'uniqueItems' can't be enforced"),
        ({"$ref": "#/$defs/x", "type": "string", "minLength": 1}, "'minLength' can't be enforced"),
        ({"type": "string", "format": "email"}, "'format' must be one of date, time, date-time, uuid"),
        ({"type": "string", "format": "date", "minLength": 3}, "without 'minLength' and 'maxLength'"),
        ({"type": "string", "minLength": 5, "maxLength": 4}, "'minLength' is greater than 'maxLength'"),
        ({"type": "string", "maxLength": 10**6}, "'maxLength' must be a whole number up to 10,000"),
        ({"type": "string", "maxLength": -1}, "'maxLength' must be a whole number"),
        ({"type": "string", "maxLength": True}, "'maxLength' must be a whole number"),
        ({"type": "number", "minimum": 0.5}, "'minimum' must be a whole number to be enforced"),
        ({"type": "number", "minimum": float("inf")}, "'minimum' must be a whole number"),
        ({"type": "number", "minimum": "1"}, "'minimum' must be a whole number"),
        ({"type": "number", "minimum": 10**20}, "'minimum' must have at most 15 digits"),
        ({"type": "integer", "minimum": 5, "maximum": 4}, "no number is valid"),
        ({"enum": []}, "'enum' must be a list of values"),
        ({"enum": "ab"}, "'enum' must be a list of values"),
        ({"anyOf": []}, "a list of schemas is expected at 'anyOf'"),
        ({"allOf": [TEXT, NUMBER]}, "'allOf' must contain exactly one schema"),
        ({"type": "object", "properties": []}, "'properties' must be an object"),
        ({"type": "object", "properties": {"a": 5}}, "a schema must be an object at 'a'"),
        ({"type": "object", "required": "a"}, "'required' must be a list of names"),
        (an_object(a=TEXT) | {"required": ["b"]}, "'b' is required, but not among its properties"),
        ({"type": "array", "prefixItems": [TEXT]}, "'prefixItems' needs 'items' set to false"),
        ({"type": "array", "prefixItems": 5}, "'prefixItems' must be a list of schemas"),
        ({"$ref": "https://example.com/schema.json"}, "'$ref' must point into the schema itself"),
        ({"$ref": 5}, "'$ref' must point into the schema itself"),
        ({"$ref": "#/$defs/x"}, "'$ref' points to '#/$defs/x', which does not exist"),
        (an_object(**{f"n{number}": TEXT for number in range(3000)}), "it is too large: simplify it"),
    ],
    ids=str,
)
def test_a_strict_schema_that_can_t_be_held_to_is_refused(schema: Any, says: str) -> None:
    with pytest.raises(SchemaError, match=re.escape(says)):
        grammar_of(schema, strict=True)


def test_what_is_wrong_with_a_choice_is_reported_under_its_own_keyword() -> None:
    with pytest.raises(SchemaError, match="at 'oneOf'"):
        grammar_of({"oneOf": []}, strict=False)


def test_a_schema_without_end_is_refused() -> None:
    schema: Any = TEXT
    for _ in range(100):
        schema = {"type": "array", "items": schema}
    with pytest.raises(SchemaError, match="nested deeper than 64 levels"):
        grammar_of(schema, strict=True)


@pytest.mark.parametrize("schema", [{"$ref": "#"}, {"anyOf": [TEXT, {"$ref": "#"}]}], ids=str)
def test_a_schema_that_is_nothing_but_itself_is_refused(babbling: Babbling, schema: Any) -> None:
    with pytest.raises(ConstraintError, match="can't parse the grammar"):
        Sampler(babbling, Sampling(constraint=Constraint(grammar_of(schema, strict=True))))


@pytest.mark.parametrize(
    "schema",
    [
        an_object(a={"type": "string", "pattern": "^a+$"}, b={"type": "number", "multipleOf": 0.5}),
        {"oneOf": [TEXT, NUMBER]},
        {"type": "string", "format": "email"},
        {"type": "number", "minimum": 0.5},
        {"allOf": [TEXT, {"minLength": 2}]},
        {"type": "object", "patternProperties": {"^x": TEXT}},
        {"type": "array", "prefixItems": [TEXT, NUMBER]},
        an_object(a=TEXT) | {"required": ["a", "b"]},
    ],
    ids=str,
)
def test_a_schema_that_is_not_strict_is_followed_as_far_as_it_goes(babbling: Babbling, schema: Any) -> None:
    assert babbling.values(schema, strict=False)
    with pytest.raises(SchemaError):
        grammar_of(schema, strict=True)


def test_no_schema_makes_llama_cpp_speak_of_it(babbling: Babbling, capfd: pytest.CaptureFixture[str]) -> None:
    """It writes a grammar that it can't read to standard error, and the grammar holds the client's words."""
    babbling.values({"enum": ["Xylophone", "\r\n\t\0\x7f\u2028", "]}", "::="]})
    assert "Xylophone" not in "".join(capfd.readouterr())


def test_a_model_can_say_what_the_schema_wants(open_engine: OpenEngine) -> None:
    engine = open_engine()
    schema = an_object(answer={"enum": ["yes", "no"]}, count={"type": "integer", "minimum": 1, "maximum": 9})
    sampling = Sampling(temperature=0, constraint=Constraint(grammar_of(schema, strict=True)))
    prompt = engine.model.tokenize("Hello", add_special=True)
    going = engine.generate(GenerationRequest(prompt, sampling, max_tokens=80))
    value = json.loads("".join(going))
    jsonschema.validate(value, schema)
