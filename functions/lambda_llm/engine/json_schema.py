"""JSON Schema to GBNF: output constrained by the grammar is valid under the schema.

llama-cpp-python has a converter, too; docs/decisions/0010-own-schema-converter.md says why it is not used.

Sources: https://json-schema.org/draft/2020-12/json-schema-validation,
https://github.com/ggml-org/llama.cpp/blob/master/grammars/README.md
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import unquote

from lambda_llm.engine.errors import SchemaError
from lambda_llm.engine.gbnf import DIGITS, literal, numbers

_DEPTH_MAX: Final = 64
_RULES_MAX: Final = 5_000
_COUNT_MAX: Final = 10_000
"""Largest value of `minLength`, `maxLength`, `minItems` and `maxItems`."""
_BLOCK: Final = 100
"""llama.cpp expands a repetition into one rule per item, so a long one is built from blocks of this length."""

_ANNOTATIONS: Final = {
    "$id", "$schema", "$comment", "$defs", "definitions", "title", "description", "default", "examples", "deprecated",
    "readOnly", "writeOnly", "nullable", "discriminator",
}  # fmt: skip
"""Keywords without an effect on validity."""
_OBJECT: Final = {"properties", "required", "additionalProperties"}
_ARRAY: Final = {"items", "prefixItems", "minItems", "maxItems"}
_STRING: Final = {"minLength", "maxLength", "format"}
_BOUNDS: Final = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
_OF_TYPE: Final = {
    "object": _OBJECT, "array": _ARRAY, "string": _STRING, "integer": _BOUNDS, "number": _BOUNDS,
    "boolean": set[str](), "null": set[str](),
}  # fmt: skip
"""Keywords that the grammar enforces, by type; a strict schema may have no others."""

_BASICS: Final = {
    "ws": r'" "? | "\n" [ \t]{0,20}',
    "hex": "[0-9a-fA-F]",
    # No control characters, no unpaired surrogates, nothing outside of Unicode.
    "char": r'[ !\x23-\x5B\x5D-\x7E\x80-\uD7FF\uE000-\U0010FFFF] | "\\" (["\\/bfnrt] | '
    r'"u" ([0-9a-cA-CefEF] hex hex hex | [dD] [0-7] hex hex))',
    "string": r'"\"" char* "\""',
    "whole": f"[0-9] | [1-9] [0-9]{{1,{DIGITS}}}",
    "integer": '"-"? whole',
    "fraction": f'"." [0-9]{{1,{DIGITS}}}',
    "number": '"-"? whole fraction? ([eE] [-+]? [0-9]{1,2})?',
    "boolean": '"true" | "false"',
    "null": '"null"',
    "object": '"{" ws (string ws ":" ws value (ws "," ws string ws ":" ws value)*)? ws "}"',
    "array": '"[" ws (value (ws "," ws value)*)? ws "]"',
    "value": "object | array | string | number | boolean | null",
    "date": '[0-9]{4} "-" ("0" [1-9] | "1" [0-2]) "-" ("0" [1-9] | "1" [0-9] | "2" [0-8])',
    "time": '([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9] ":" [0-5] [0-9] ("." [0-9]{1,6})? ("Z" | [-+] ([01] [0-9] | "2" '
    '[0-3]) ":" [0-5] [0-9])',
    "date-string": r'"\"" date "\""',
    "time-string": r'"\"" time "\""',
    "date-time-string": r'"\"" date "T" time "\""',
    "uuid-string": r'"\"" hex{8} "-" hex{4} "-" hex{4} "-" hex{4} "-" hex{12} "\""',
}
"""Rules that every grammar includes. A day is at most 28, which exists in every month."""
_FORMATS: Final = {name.removesuffix("-string"): name for name in _BASICS if name.endswith("-string")}


class Grammar:
    """A grammar under construction; `text` returns it once `root` is defined."""

    def __init__(self) -> None:
        self._rules: dict[str, str] = {}

    def define(self, name: str, expression: str) -> str:
        """Add a rule; returns its name."""
        self._rules[name] = expression
        return name

    def add(self, expression: str) -> str:
        """Add a rule under a generated name; returns the name.

        Raises:
            SchemaError: there are more than 5,000 rules.
        """
        if len(self._rules) > _RULES_MAX:
            raise SchemaError("it is too large: simplify it")
        return self.define(f"r{len(self._rules)}", expression)

    def json(self, schema: Any, *, strict: bool) -> str:
        """Add rules for JSON that is valid under `schema`; returns an expression that matches it.

        Args:
            schema: JSON Schema: an object, or true.
            strict: refuse keywords that the grammar can't enforce. Otherwise they are ignored.

        Raises:
            SchemaError: the schema can't be used; the text has the path to the problem.
        """
        return _Conversion(self, schema, strict=strict).convert(schema, "", 0)

    def text(self) -> str:
        """All rules, one per line."""
        rules = {**_BASICS, **self._rules}
        return "\n".join(f"{name} ::= {expression}" for name, expression in rules.items())


class _Conversion:
    """Converts one schema, which its `$ref`s point into."""

    def __init__(self, grammar: Grammar, schema: Any, *, strict: bool) -> None:
        self._grammar = grammar
        self._whole = schema
        self._strict = strict
        self._references: dict[str, str] = {}

    def convert(self, schema: Any, path: str, depth: int) -> str:
        """An expression that matches what is valid under `schema`."""
        if depth > _DEPTH_MAX:
            raise SchemaError(f"it is nested deeper than {_DEPTH_MAX} levels{_at(path)}: simplify it")
        if schema is True or schema == {}:
            return "value"
        if not isinstance(schema, dict):
            raise SchemaError(f"a schema must be an object{_at(path)}")
        for keyword, convert in self._compound(path, depth).items():
            if keyword in schema:
                self._check(schema, {keyword, "type"}, path)
                return convert(schema[keyword])
        types = schema.get("type", self._implied_type(schema))
        if isinstance(types, list):
            if not types:
                raise SchemaError(f"'type' must name a type{_at(path)}")
            self._check(schema, {"type"}.union(*(_OF_TYPE.get(str(each), ()) for each in types)), path)
            return self._either(
                [{**_only(schema, _OF_TYPE.get(str(each), ())), "type": each} for each in types], path, depth
            )
        if types is None:
            self._check(schema, set(), path)
            return "value"
        if not isinstance(types, str) or types not in _OF_TYPE:
            raise SchemaError(f"'type' must be one of {', '.join(_OF_TYPE)}{_at(path)}")
        self._check(schema, {"type", *_OF_TYPE[types]}, path)
        return {
            "object": lambda: self._object(schema, path, depth),
            "array": lambda: self._array(schema, path, depth),
            "string": lambda: self._string(schema, path),
            "integer": lambda: self._bounded(schema, path, fractions=False),
            "number": lambda: self._bounded(schema, path, fractions=True),
        }.get(types, lambda: types)()

    def _compound(self, path: str, depth: int) -> dict[str, Callable[[Any], str]]:
        """Converters for the keywords that stand alone, without others beside them."""
        known: dict[str, Callable[[Any], str]] = {
            "$ref": lambda target: self._reference(target, path, depth),
            "const": lambda value: literal(json.dumps(value, ensure_ascii=False)),
            "enum": lambda values: self._enum(values, path),
            "anyOf": lambda schemas: self._either(schemas, f"{path}.anyOf", depth),
            "allOf": lambda schemas: self._all(schemas, path, depth),
        }
        return (
            known if self._strict else known | {"oneOf": lambda schemas: self._either(schemas, f"{path}.oneOf", depth)}
        )

    def _check(self, schema: Mapping[str, Any], enforced: set[str], path: str) -> None:
        """In a strict schema, refuse keywords that the grammar would not enforce."""
        unknown = sorted(schema.keys() - enforced - _ANNOTATIONS)
        if self._strict and unknown:
            raise SchemaError(
                f"{unknown[0]!r}{_at(path)} can't be enforced: leave it out, or set 'strict' to false to have it "
                "ignored"
            )

    def _implied_type(self, schema: Mapping[str, Any]) -> str | None:
        """The type of a schema without `type`, by its keywords."""
        return next((name for name, keywords in _OF_TYPE.items() if schema.keys() & keywords), None)

    def _reference(self, target: Any, path: str, depth: int) -> str:
        if not isinstance(target, str) or not (target == "#" or target.startswith("#/")):
            raise SchemaError(f"'$ref'{_at(path)} must point into the schema itself, as '#/$defs/name' does")
        if target not in self._references:
            found: Any = self._whole
            for step in target.split("/")[1:]:
                key = unquote(step).replace("~1", "/").replace("~0", "~")
                if not isinstance(found, dict) or key not in found:
                    raise SchemaError(f"'$ref'{_at(path)} points to {target!r}, which does not exist")
                found = found[key]
            name = self._references[target] = self._grammar.add("")
            self._grammar.define(name, self.convert(found, target, depth + 1))
        return self._references[target]

    def _enum(self, values: Any, path: str) -> str:
        if not isinstance(values, list) or not values:
            raise SchemaError(f"'enum' must be a list of values{_at(path)}")
        return self._grammar.add(" | ".join(literal(json.dumps(value, ensure_ascii=False)) for value in values))

    def _either(self, schemas: Any, path: str, depth: int) -> str:
        if not isinstance(schemas, list) or not schemas:
            raise SchemaError(f"a list of schemas is expected{_at(path)}")
        choices = [self.convert(each, f"{path}.{number}", depth + 1) for number, each in enumerate(schemas)]
        return self._grammar.add(" | ".join(dict.fromkeys(choices)))

    def _all(self, schemas: Any, path: str, depth: int) -> str:
        if isinstance(schemas, list) and len(schemas) == 1:
            return self.convert(schemas[0], f"{path}.allOf.0", depth + 1)
        if self._strict or not isinstance(schemas, list):
            raise SchemaError(f"'allOf'{_at(path)} must contain exactly one schema: merge them into one")
        return "value"

    def _object(self, schema: Mapping[str, Any], path: str, depth: int) -> str:
        properties = schema.get("properties", {})
        required = schema.get("required", [])
        if not isinstance(properties, dict):
            raise SchemaError(f"'properties' must be an object{_at(path)}")
        if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
            raise SchemaError(f"'required' must be a list of names{_at(path)}")
        others = schema.get("additionalProperties", True)
        if not properties and others is not False:
            value = self.convert(others, f"{path}.additionalProperties", depth + 1)
            if missing := [name for name in required if self._strict]:
                raise SchemaError(f"{missing[0]!r} is required{_at(path)}, but not among its properties")
            pair = f'string ws ":" ws {value}'
            return self._grammar.add(f'"{{" ws ({pair} (ws "," ws {pair})*)? ws "}}"')
        if missing := [name for name in required if name not in properties and self._strict]:
            raise SchemaError(f"{missing[0]!r} is required{_at(path)}, but not among its properties")
        # Where additional properties are allowed, an object without them is valid, too.
        first, later = "", ""
        for name, property_schema in reversed(properties.items()):
            value = self.convert(property_schema, f"{path}.{name}", depth + 1)
            pair = self._grammar.add(f'{literal(json.dumps(name, ensure_ascii=False))} ws ":" ws {value}')
            following = self._grammar.add(f'ws "," ws {pair} {later}')
            beginning = f"{pair} {later}"
            if name in required:
                first, later = self._grammar.add(beginning), following
            else:
                first = self._grammar.add(f"{beginning} | {first}" if first else f"({beginning})?")
                later = self._grammar.add(f"{following} | {later}" if later else f"({following})?")
        return self._grammar.add(f'"{{" ws {first} ws "}}"')

    def _array(self, schema: Mapping[str, Any], path: str, depth: int) -> str:
        least, most = self._counts(schema, "minItems", "maxItems", path)
        tuple_of = schema.get("prefixItems", [])
        if not isinstance(tuple_of, list):
            raise SchemaError(f"'prefixItems' must be a list of schemas{_at(path)}")
        if tuple_of and (self._strict or schema.get("items") is False):
            if schema.get("items", True) is not False or {"minItems", "maxItems"} & schema.keys():
                raise SchemaError(
                    f"'prefixItems'{_at(path)} needs 'items' set to false, without 'minItems' and 'maxItems'"
                )
            each = [self.convert(each, f"{path}.{number}", depth + 1) for number, each in enumerate(tuple_of)]
            return self._grammar.add('"[" ws ' + ' ws "," ws '.join(each) + ' ws "]"')
        if schema.get("items") is False:
            return self._grammar.add('"[" ws "]"')
        item = self._grammar.add(self.convert(schema.get("items", True), f"{path}.items", depth + 1))
        if most == 0:
            return self._grammar.add('"[" ws "]"')
        further = self._repeated(
            self._grammar.add(f'ws "," ws {item}'), max(least - 1, 0), None if most is None else most - 1
        )
        items = f"{item} {further}" if least else f"({item} {further})?"
        return self._grammar.add(f'"[" ws {items} ws "]"')

    def _string(self, schema: Mapping[str, Any], path: str) -> str:
        if "format" in schema:
            rule = _FORMATS.get(str(schema["format"]))
            if self._strict and (rule is None or {"minLength", "maxLength"} & schema.keys()):
                raise SchemaError(
                    f"'format'{_at(path)} must be one of {', '.join(_FORMATS)}, without 'minLength' and 'maxLength', "
                    "to be enforced: leave it out"
                )
            if rule:
                return rule
        least, most = self._counts(schema, "minLength", "maxLength", path)
        if (least, most) == (0, None):
            return "string"
        characters = self._repeated("char", least, most)
        return self._grammar.add(rf'"\"" {characters} "\""')

    def _counts(self, schema: Mapping[str, Any], least: str, most: str, path: str) -> tuple[int, int | None]:
        for name in (least, most):
            value = schema.get(name, 0)
            if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _COUNT_MAX:
                raise SchemaError(f"{name!r}{_at(path)} must be a whole number up to {_COUNT_MAX:,}")
        if schema.get(least, 0) > schema.get(most, _COUNT_MAX):
            raise SchemaError(f"{least!r}{_at(path)} is greater than {most!r}")
        return schema.get(least, 0), schema.get(most)

    def _repeated(self, item: str, least: int, most: int | None) -> str:
        """`item` between `least` and `most` times, without ambiguity, so that llama.cpp tracks few parser states."""
        blocks, rest = divmod(least, _BLOCK)
        parts = []
        if blocks:
            parts.append(f"{self._grammar.add(f'{item}{{{_BLOCK}}}')}{{{blocks}}}")
        if rest:
            parts.append(f"{item}{{{rest}}}")
        if most is None:
            parts.append(f"{item}*")
        elif most > least:
            blocks, rest = divmod(most - least, _BLOCK)
            optional = f"{item}{{0,{rest}}}" if rest else ""
            if blocks:
                whole = self._grammar.add(f"{item}{{{_BLOCK}}}")
                fewer = self._grammar.add(f"{item}{{0,{_BLOCK - 1}}}")
                for _ in range(blocks):
                    optional = self._grammar.add(f"{fewer} | {whole} {optional}")
            parts.append(optional)
        return " ".join(parts)

    def _bounded(self, schema: Mapping[str, Any], path: str, *, fractions: bool) -> str:
        bounds = {name: schema[name] for name in sorted(_BOUNDS & schema.keys())}
        if not bounds:
            return "number" if fractions else "integer"
        for name, value in bounds.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or value % 1 != 0:
                if not self._strict:
                    return "number" if fractions else "integer"
                raise SchemaError(f"{name!r}{_at(path)} must be a whole number to be enforced")
            if abs(value) >= 10**DIGITS:
                raise SchemaError(f"{name!r}{_at(path)} must have at most {DIGITS} digits")
        choices = numbers({name: int(value) for name, value in bounds.items()}, fractions=fractions)
        if not choices:
            raise SchemaError(f"no number is valid{_at(path)}")
        return self._grammar.add(" | ".join(choices))


def _at(path: str) -> str:
    return f" at {path.removeprefix('.')!r}" if path else ""


def _only(schema: Mapping[str, Any], names: Any) -> dict[str, Any]:
    return {name: value for name, value in schema.items() if name in names}


def grammar_of(schema: Any, *, strict: bool, after_reasoning: bool = False) -> str:
    """A grammar for JSON that is valid under `schema`, and nothing else.

    Args:
        schema: JSON Schema: an object, or true.
        strict: see `Grammar.json`.
        after_reasoning: allow up to two characters of white space before the JSON.

    Raises:
        SchemaError: the schema can't be used.
    """
    grammar = Grammar()
    value = grammar.json(schema, strict=strict)
    grammar.define("root", rf"[ \n]{{0,2}} {value}" if after_reasoning else value)
    return grammar.text()
