"""JSON Schemas as llguidance can enforce them: what it can't is refused by name, or widened.

llguidance ignores keywords that it does not know, and refuses a whole schema for one that it does not support. So each
keyword is checked here, at its place. docs/structured-output.md has the outcome.

Sources: https://github.com/guidance-ai/llguidance/blob/main/docs/json_schema.md,
https://json-schema.org/draft/2020-12/json-schema-validation
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, Final, NamedTuple, NoReturn

import llguidance

from lambda_llm.engine.errors import SchemaError
from lambda_llm.engine.schema_references import References

LIMITS: Final = llguidance.LLParserLimits(
    max_items_in_row=10_000,  # an object of 2,500 optional properties; llguidance's default is 2,000
    initial_lexer_fuel=1_000_000,  # 20 ms
    step_lexer_fuel=200_000,  # 14 ms a token
    step_max_items=200_000,  # 10 ms a token
    max_lexer_states=50_000,  # 100 MB
    max_grammar_size=500_000,
    precompute_large_lexemes=True,
    verbose_errors=False,  # they would quote the schema
)
"""What a grammar may cost; the times and sizes are those of llguidance's documentation. More is an error."""
DEPTH_MAX: Final = 48
"""Nested schemas. Each takes up to two levels of JSON, of which llguidance's parser reads 128."""
SCHEMAS_MAX: Final = 10_000
OPTIONAL_MAX: Final = 2_000
"""Optional properties of one object."""
PATTERNS_MAX: Final = 50
"""`patternProperties` of one object: llguidance compares each with each."""
SECONDS_MAX: Final = 2.0
"""Time for reading one schema, which is checked before each of its parts."""
LENGTH_MAX: Final = 2**32 - 1
"""Largest `minLength` and `maxLength`."""
_EXACT: Final = 2**53
"""Beyond it, llguidance rounds an integer of `enum` or `const` to a double."""
_WHITE_SPACE: Final = r" |\r?\n[ \t]{0,20}"
"""One space, or one line break with its indentation: a model can't go on with white space for ever."""

_TYPES: Final = ("object", "array", "string", "integer", "number", "boolean", "null")
_ANNOTATIONS: Final = frozenset({
    "$anchor", "$comment", "$defs", "$dynamicAnchor", "$id", "$recursiveAnchor", "$schema", "$vocabulary",
    "components", "contentEncoding", "contentMediaType", "contentSchema", "default", "definitions",
    "deprecated", "description", "discriminator", "enumDescriptions", "enumNames", "errorMessage", "example",
    "examples", "externalDocs", "id", "markdownDescription", "nullable", "propertyOrdering", "readOnly",
    "title", "writeOnly", "xml",
})  # fmt: skip
"""Keywords without an effect on validity: those of JSON Schema, OpenAPI, Gemini and editors. Neither has any `x-…`."""
_OF_TYPE: Final[Mapping[str, Sequence[str]]] = {
    "object": (
        "properties", "required", "additionalProperties", "patternProperties", "propertyNames", "minProperties",
        "maxProperties", "dependentRequired", "dependentSchemas", "dependencies", "unevaluatedProperties",
    ),
    "array": (
        "items", "prefixItems", "additionalItems", "minItems", "maxItems", "uniqueItems", "contains", "minContains",
        "maxContains", "unevaluatedItems",
    ),
    "string": ("minLength", "maxLength", "pattern", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}  # fmt: skip
"""Keywords that apply to values of one type only."""
_REFERENCES: Final = ("$ref", "$recursiveRef", "$dynamicRef")
_CHOICES: Final = ("allOf", "anyOf", "oneOf")
_APPLICATORS: Final = frozenset({*_REFERENCES, *_CHOICES})
"""Keywords that apply other schemas to the same value."""
_KNOWN: Final = (
    _ANNOTATIONS | _APPLICATORS | {"type", "const", "enum"} | {name for each in _OF_TYPE.values() for name in each}
)
_EXCLUSIVE: Final = {"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"}
FORMATS: Final = ("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri")
"""Values of `format` that llguidance enforces."""

_NOT_ONE: Final = "that only one of its schemas matches can't be proven: use 'anyOf'"

Schema = dict[str, Any] | bool


class Enforceable(NamedTuple):
    """A schema that llguidance compiles.

    Attributes:
        schema: its `$ref`s point to its own `$defs` only.
        widened: what it does not enforce of the original, one text each; empty: it enforces everything.
    """

    schema: Mapping[str, Any]
    widened: Sequence[str] = ()

    def grammar(self) -> str:
        """The schema as JSON for llguidance's `%json`, with the white space that is allowed."""
        return json.dumps({"x-guidance": {"whitespace_pattern": _WHITE_SPACE}, **self.schema})


def reading_deadline() -> float:
    """When schemas that are read from now on must have been read, as `time.monotonic` tells it."""
    return time.monotonic() + SECONDS_MAX


def enforceable(schema: Any, *, strict: bool, deadline: float | None = None) -> Enforceable:
    """Turn a JSON Schema into one that llguidance compiles.

    Args:
        schema: an object, or a boolean.
        strict: refuse what can't be enforced. Otherwise it is left out, so that more is valid: at most any value of the
            type that the schema names.
        deadline: of `reading_deadline`, which several schemas may share; None: one of its own.

    Raises:
        SchemaError: only with `strict`; the text has the keyword and its path.
    """
    deadline = reading_deadline() if deadline is None else deadline
    if strict:
        return _Reading(schema, deadline, strict=True).result()
    for depth in (DEPTH_MAX, 4, 1):
        try:
            return _Reading(schema, deadline, depth).result()
        except SchemaError:
            continue
    return widest(schema)


def widest(schema: Any) -> Enforceable:
    """A schema for any value of the types that `schema` names."""
    return Enforceable(_of_its_types(schema), ["all but its type"])


def _of_its_types(schema: Any) -> dict[str, Any]:
    try:
        return {"type": _types(schema)}
    except SchemaError:
        return {}


def _types(schema: Any) -> list[str]:
    """The types that a schema names or implies.

    Raises:
        SchemaError: it names what is no type, or none.
    """
    if not isinstance(schema, dict):
        raise SchemaError("must be an object or a boolean")
    if "type" in schema:
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        if not types or not all(isinstance(each, str) and each in _TYPES for each in types):
            raise SchemaError(f"must be one of {', '.join(_TYPES)}, or a list of them")
        return list(dict.fromkeys(types))
    # JSON Schema would let all values of other types pass; but who names properties means an object.
    implied = [name for name, keywords in _OF_TYPE.items() if schema.keys() & {*keywords}]
    if len(implied) != 1:
        raise SchemaError("names no type")
    return implied


@lru_cache(4096)
def _problem(schema: str) -> str:
    """Why llguidance can't compile a schema, in one line; an empty text where it can."""
    grammar = llguidance.LLMatcher.grammar_from_json_schema(schema)
    failed, messages = llguidance.LLMatcher.validate_grammar_with_warnings(grammar, limits=LIMITS)
    return one_line(messages[0]) if failed else ""


def one_line(message: str) -> str:
    """An error of llguidance's: its last line names the problem, those above it quote the input."""
    message = message.partition("<backtrace>")[0]
    lines = [line.strip() for line in message.splitlines() if line.strip() and "<non-verbose/>" not in line]
    line = lines[-1] if lines else message
    if line.startswith("panic:"):
        return "it is too large"
    if line.startswith("oneOf constraints are not supported"):
        return _NOT_ONE
    return line.removeprefix("error: ").removeprefix("Unsatisfiable schema: ").partition(": json-schema:")[0][:200]


class _LeftOutError(Exception):
    """A keyword is left out of the schema."""


class _Reading:
    """Reads one schema, keyword by keyword."""

    def __init__(self, schema: Any, deadline: float, depth_max: int = DEPTH_MAX, *, strict: bool = False) -> None:
        self._whole = schema
        self._deadline = deadline
        self._depth_max = depth_max
        self._strict = strict
        self._references = References(schema)
        self._widened: list[str] = []
        self._count = 0
        self._definitions: dict[str, Schema] = {}
        self._implied: set[int] = set()  # ids of schemas whose type is
        self._defined: dict[tuple[int, bool], str] = {}
        self._unread: list[tuple[str, Any, str, bool]] = []
        # Keywords that constrain one value together: whether llguidance can combine them is known only once every
        # `$ref` has its definition. Inner ones come first, within a definition.
        self._combined: list[tuple[dict[str, Any], str, str]] = []

    def result(self) -> Enforceable:
        """The schema that llguidance compiles.

        Raises:
            SchemaError: llguidance can't compile it, or it is strict and can't be enforced.
        """
        root = self._read(self._whole, "", 0)
        if root is False:
            self._note("", "", "no value is valid")
        schema = root if isinstance(root, dict) else {}
        combined = [self._combined]
        while self._unread:
            name, definition, path, shared = self._unread.pop()
            self._combined = []
            self._definitions[name] = self._read(definition, path, 0, shared=shared)
            combined.append(self._combined)
        self._break_circles()
        # Definitions that were found later are, as a rule, inside of those found before.
        for node, keyword, path in [each for group in reversed(combined) for each in group]:
            self._combine(node, keyword, path)
        if problem := self._problem(schema):
            raise SchemaError(f"llguidance can't compile it ({problem}): simplify it")
        return Enforceable(self._with_definitions(schema), self._widened)

    def _combine(self, node: dict[str, Any], keyword: str, path: str) -> None:
        """Leave out a keyword that llguidance can't combine with the others of a schema."""
        problem = ""
        if keyword == "oneOf":
            # llguidance proves that only one choice matches, but neither behind a reference nor by numbers.
            choices = [self._referred(each) for each in node.pop("oneOf")]
            keyword = "anyOf" if _exclude_each_other(choices) and "anyOf" not in node else "oneOf"
            node[keyword] = choices
            problem = self._unproven(choices)
        if problem := problem or self._problem(node):
            self._note(keyword, path, problem)
            value = node.pop(keyword)
            if keyword == "oneOf" and "anyOf" not in node:
                node["anyOf"] = _distinct(value)

    def _unproven(self, choices: Sequence[Schema]) -> str:
        """Why values of other types may match several choices: those whose type is only implied let them pass."""
        types = {json.dumps(each.get("type")) for each in choices if isinstance(each, dict)}
        return _NOT_ONE if len(types) > 1 and any(id(each) in self._implied for each in choices) else ""

    def _referred(self, schema: Schema) -> Schema:
        if isinstance(schema, dict) and [*schema] == ["$ref"]:
            found = self._definitions[schema["$ref"].rpartition("/")[2]]
            if isinstance(found, dict):
                copied = dict(found)
                self._implied |= {id(copied)} if id(found) in self._implied else set()
                return copied
        return schema

    def _break_circles(self) -> None:
        """Leave out references that lead to themselves without a step into a value."""
        for name, definition in self._definitions.items():
            seen, current = {name}, definition
            while isinstance(current, dict) and "$ref" in current:
                following = current["$ref"].rpartition("/")[2]
                if following == name and isinstance(definition, dict):
                    self._note("$ref", "", "it refers to itself")
                    del definition["$ref"]
                    break
                if following in seen:
                    break
                seen.add(following)
                current = self._definitions[following]

    def _problem(self, node: dict[str, Any]) -> str:
        return _problem(json.dumps(self._with_definitions(node)))

    def _with_definitions(self, node: dict[str, Any]) -> dict[str, Any]:
        return {**node, "$defs": self._definitions} if self._definitions else node

    # -- what can't be enforced ---------------------------------------------------------------------

    def _note(self, keyword: str, path: str, reason: str = "") -> None:
        """Record what is not enforced.

        Raises:
            SchemaError: the schema is strict.
        """
        subject = f"{keyword!r}{_at(path)}" if keyword else f"the schema{_at(path)}"
        because = f" ({reason})" if reason else ""
        if self._strict:
            raise SchemaError(
                f"{subject} can't be enforced{because}: leave it out, or set 'strict' to false to have it ignored"
            )
        self._widened.append(f"{subject}{because}")

    def _leave_out(self, keyword: str, path: str, reason: str = "") -> NoReturn:
        self._note(keyword, path, reason)
        raise _LeftOutError

    def _malformed(self, keyword: str, path: str, expected: str) -> NoReturn:
        """Leave out a keyword whose value is not what JSON Schema wants.

        Raises:
            SchemaError: the schema is strict.
        """
        if self._strict:
            raise SchemaError(f"{keyword!r}{_at(path)} {expected}" if keyword else f"a schema {expected}{_at(path)}")
        self._leave_out(keyword, path, f"it {expected}")

    def _spend(self) -> None:
        """Count a schema.

        Raises:
            SchemaError: there are too many, or they take too long.
        """
        self._count += 1
        if self._count > SCHEMAS_MAX:
            raise SchemaError(f"it has more than {SCHEMAS_MAX:,} schemas: simplify it")
        if time.monotonic() > self._deadline:
            raise SchemaError(f"it takes longer than {SECONDS_MAX:g} s to read: simplify it")

    # -- one schema ---------------------------------------------------------------------------------

    def _read(self, schema: Any, path: str, depth: int, *, shared: bool = False) -> Schema:
        """An enforceable schema for any JSON.

        Args:
            schema: any JSON.
            path: of the schema in the whole one, or the reference that led to it.
            depth: below that.
            shared: other schemas apply to the same value.
        """
        self._spend()
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, dict):
            with suppress(_LeftOutError):
                self._malformed("", path, "must be an object or a boolean")
            return True
        node = _of_its_types(schema)
        if depth > self._depth_max:
            self._note("", path, f"it is nested deeper than {self._depth_max} levels")
            return node
        self._type(schema, node, path)
        for keyword in schema:
            if keyword not in _KNOWN and not keyword.startswith("x-"):
                self._note(keyword, path)
        self._of_type(schema, node, path, depth)
        for keyword in ("const", "enum"):
            if keyword in schema:
                with suppress(_LeftOutError):
                    self._value(keyword, schema[keyword], path)
                    self._put(node, keyword, schema[keyword], path)
        self._apply(schema, node, path, depth, shared=shared)
        if not shared and not schema.keys() & _APPLICATORS:
            _close(schema, node)
        return node

    def _type(self, schema: Mapping[str, Any], node: dict[str, Any], path: str) -> None:
        if node and "type" not in schema:
            self._implied.add(id(node))
        if "type" in schema and not node:
            with suppress(_LeftOutError):
                self._malformed("type", path, f"must be one of {', '.join(_TYPES)}, or a list of them")

    def _of_type(self, schema: Mapping[str, Any], node: dict[str, Any], path: str, depth: int) -> None:
        """Read the keywords that apply to values of one type."""
        types = node.get("type", _TYPES)
        if "object" in types:
            self._object(schema, node, path, depth)
        if "array" in types:
            self._array(schema, node, path, depth)
        if "string" in types:
            self._string(schema, node, path)
        if "number" in types or "integer" in types:
            self._number(schema, node, path)

    def _put(self, node: dict[str, Any], keyword: str, value: Any, path: str) -> None:
        """Add a keyword that may not combine with others."""
        node[keyword] = value
        self._combined.append((node, keyword, path))

    def _value(self, keyword: str, value: Any, path: str) -> None:
        """Check `const` and `enum`."""
        if keyword == "enum" and not (isinstance(value, list) and value):
            self._malformed("enum", path, "must be a list of values")
        if any(isinstance(each, int) and abs(each) > _EXACT for each in _scalars(value)):
            self._leave_out(keyword, path, "an integer beyond 2^53 is not exact")
        if problem := _problem(json.dumps({keyword: value})):
            self._leave_out(keyword, path, problem)

    def _apply(self, schema: Mapping[str, Any], node: dict[str, Any], path: str, depth: int, *, shared: bool) -> None:
        """Read the keywords that apply other schemas to the same value."""
        shared = shared or "allOf" in schema or len(schema.keys() - _ANNOTATIONS - {"type"}) > 1
        for keyword in _CHOICES:
            if keyword in schema:
                with suppress(_LeftOutError):
                    self._put(node, keyword, self._choices(keyword, schema[keyword], path, depth, shared=shared), path)
        for keyword in _REFERENCES:
            if keyword in schema:
                with suppress(_LeftOutError):
                    try:
                        found = self._references.resolve(schema[keyword])
                    except SchemaError as error:
                        self._leave_out(keyword, path, str(error))
                    self._put(node, "$ref", f"#/$defs/{self._name(found, schema[keyword], shared=shared)}", path)

    def _name(self, schema: Any, path: str, *, shared: bool) -> str:
        """The name of the definition of a schema, which is read later."""
        key = id(schema), shared
        if isinstance(schema, dict) and key in self._defined:
            return self._defined[key]
        name = f"r{len(self._definitions)}"
        self._definitions[name] = True
        self._unread.append((name, schema, path, shared))
        if isinstance(schema, dict):
            self._defined[key] = name
        return name

    def _choices(self, keyword: str, schemas: Any, path: str, depth: int, *, shared: bool) -> list[Schema]:
        """The schemas of `allOf`, `anyOf` or `oneOf`, without those that have no effect."""
        if not isinstance(schemas, list) or not schemas:
            self._malformed(keyword, path, "must be a list of schemas")
        choices = [
            self._read(each, f"{path}.{keyword}.{at}", depth + 1, shared=shared) for at, each in enumerate(schemas)
        ]
        if keyword == "anyOf":
            choices = _distinct(choices)
            if any(each is True or each == {} for each in choices):
                raise _LeftOutError
        if keyword == "allOf":
            choices = [each for each in choices if each is not True and each != {}]
            if not choices:
                raise _LeftOutError
        return choices

    # -- keywords of one type -----------------------------------------------------------------------

    def _whole_number(self, schema: Mapping[str, Any], keyword: str, path: str, most: int = _EXACT) -> int:
        value = schema[keyword]
        if not _is_number(value) or value % 1 or value < 0:
            self._malformed(keyword, path, "must be a whole number, 0 or more")
        if value > most:
            self._leave_out(keyword, path, f"it is greater than {most:,}")
        return int(value)

    def _together(self, node: dict[str, Any], base: Mapping[str, Any], keywords: Sequence[str], path: str) -> None:
        """Leave out what llguidance can't compile of keywords that constrain one value."""
        for wanted in (*((name,) for name in keywords), keywords):  # each alone, then all
            given = {name: node[name] for name in wanted if name in node}
            if given and (problem := _problem(json.dumps({**base, **given}))):
                for name in given:
                    del node[name]
                self._note(next(iter(given)), path, problem)

    def _string(self, schema: Mapping[str, Any], node: dict[str, Any], path: str) -> None:
        for keyword in ("minLength", "maxLength"):
            if keyword in schema:
                with suppress(_LeftOutError):
                    node[keyword] = self._whole_number(schema, keyword, path, LENGTH_MAX)
        for keyword in ("pattern", "format"):
            if keyword in schema:
                with suppress(_LeftOutError):
                    if not isinstance(schema[keyword], str):
                        self._malformed(keyword, path, "must be a text")
                    if keyword == "format" and schema["format"] not in FORMATS:
                        self._leave_out(keyword, path, f"it must be one of {', '.join(FORMATS)}")
                    node[keyword] = schema[keyword]
        self._together(node, {"type": "string"}, ("minLength", "maxLength", "pattern", "format"), path)

    def _number(self, schema: Mapping[str, Any], node: dict[str, Any], path: str) -> None:
        for keyword in _OF_TYPE["number"]:
            value = schema.get(keyword)
            with suppress(_LeftOutError):
                if keyword in _EXCLUSIVE and isinstance(value, bool):  # draft 4: it is said of the bound beside it
                    if value and _is_number(schema.get(_EXCLUSIVE[keyword])):
                        node[keyword] = schema[_EXCLUSIVE[keyword]]
                elif keyword in schema:
                    if not _is_number(value):
                        self._malformed(keyword, path, "must be a number")
                    node[keyword] = value
        kind = "number" if "number" in node.get("type", _TYPES) else "integer"
        self._together(node, {"type": kind}, _OF_TYPE["number"], path)

    def _array(self, schema: Mapping[str, Any], node: dict[str, Any], path: str, depth: int) -> None:
        for keyword in ("minItems", "maxItems"):
            if keyword in schema:
                with suppress(_LeftOutError):
                    node[keyword] = self._whole_number(schema, keyword, path)
        self._together(node, {"type": "array"}, ("minItems", "maxItems"), path)
        # Before draft 2020-12 a tuple was a list of `items`, with the rest in `additionalItems`.
        old = isinstance(schema.get("items"), list)
        first, rest = ("items", "additionalItems") if old else ("prefixItems", "items")
        if first in schema:
            with suppress(_LeftOutError):
                if not isinstance(schema[first], list):
                    self._malformed(first, path, "must be a list of schemas")
                node["prefixItems"] = [
                    self._read(each, f"{path}.{number}", depth + 1) for number, each in enumerate(schema[first])
                ]
        rest = self._evaluated(schema, rest, "unevaluatedItems", path)
        if rest in schema:
            node["items"] = self._read(schema[rest], f"{path}.items", depth + 1)
        if schema.get("uniqueItems", False) is not False:
            self._note("uniqueItems", path)
        if "contains" in schema:
            self._note("contains", path)

    def _evaluated(self, schema: Mapping[str, Any], keyword: str, unevaluated: str, path: str) -> str:
        """The keyword with the schema of what others don't name; `unevaluated…` has it where no schema is applied."""
        if schema.get(unevaluated, True) is True or schema.get(unevaluated) == {}:
            return keyword
        if keyword not in schema and not schema.keys() & _APPLICATORS:
            return unevaluated
        if schema.get(keyword, True) is True:
            self._note(unevaluated, path)
        return keyword

    def _object(self, schema: Mapping[str, Any], node: dict[str, Any], path: str, depth: int) -> None:
        with suppress(_LeftOutError):
            self._properties(schema, node, path, depth)
        for keyword in ("minProperties", "maxProperties"):
            if keyword in schema:
                with suppress(_LeftOutError):
                    node[keyword] = self._whole_number(schema, keyword, path)
        named = node.get("required", ())
        repeatable = node.get("additionalProperties", True) is not False or "patternProperties" in node
        if repeatable and node.get("minProperties", 0) > max(1, len(named)):
            del node["minProperties"]
            self._note("minProperties", path, "a name could come twice")
        if {"minProperties", "maxProperties", "patternProperties"} & node.keys():
            self._counted(node, path)
        for keyword in ("dependentRequired", "dependentSchemas", "dependencies"):
            if schema.get(keyword):
                self._note(keyword, path)

    def _properties(self, schema: Mapping[str, Any], node: dict[str, Any], path: str, depth: int) -> None:
        required = self._names_of(schema, path)
        properties = self._schemas("properties", schema, path)
        if len(properties.keys() - {*required}) > OPTIONAL_MAX:
            self._leave_out("properties", path, f"it has more than {OPTIONAL_MAX:,} optional ones")
        if properties:
            node["properties"] = {
                name: self._read(each, f"{path}.{name}", depth + 1) for name, each in properties.items()
            }
        rest = self._evaluated(schema, "additionalProperties", "unevaluatedProperties", path)
        if rest in schema:
            node["additionalProperties"] = self._read(schema[rest], f"{path}.additionalProperties", depth + 1)
        patterns = self._schemas("patternProperties", schema, path)
        if len(patterns) > PATTERNS_MAX:
            node["additionalProperties"] = True
            self._note("patternProperties", path, f"there are more than {PATTERNS_MAX}")
            patterns = {}
        for pattern, each in patterns.items():
            if problem := _problem(json.dumps({"type": "string", "pattern": pattern})):
                node["additionalProperties"] = True  # which names the pattern means is unknown
                self._note("patternProperties", path, problem)
            else:
                node.setdefault("patternProperties", {})[pattern] = self._read(each, f"{path}.{pattern}", depth + 1)
        if "propertyNames" in schema:
            self._property_names(schema["propertyNames"], node, path)
        if required:
            self._required(required, node, path)

    def _schemas(self, keyword: str, schema: Mapping[str, Any], path: str) -> dict[str, Any]:
        value = schema.get(keyword, {})
        if not isinstance(value, dict):
            self._malformed(keyword, path, "must be an object of schemas")
        return value

    def _names_of(self, schema: Mapping[str, Any], path: str) -> list[str]:
        required = schema.get("required", [])
        if isinstance(required, list) and all(isinstance(each, str) for each in required):
            return required
        with suppress(_LeftOutError):
            self._malformed("required", path, "must be a list of names")
        return []

    def _required(self, required: Sequence[str], node: dict[str, Any], path: str) -> None:
        rest = node.get("additionalProperties", True) is not False or "patternProperties" in node
        properties = node.get("properties", {})
        node["required"] = [name for name in dict.fromkeys(required) if properties.get(name, rest) is not False]
        if missing := [name for name in required if name not in node["required"]]:
            self._note("required", path, f"no value is valid for {missing[0]!r}")

    def _property_names(self, names: Any, node: dict[str, Any], path: str) -> None:
        """Names of properties are texts: llguidance knows them as `properties` and `patternProperties` only."""
        keywords = names.keys() - _ANNOTATIONS if isinstance(names, dict) else set()
        if names is True or (isinstance(names, dict) and not keywords):
            return
        if keywords == {"type"} and "string" in _of_its_types(names).get("type", ()):
            return
        rest = node.get("additionalProperties", True)
        listed = isinstance(names, dict) and (names.get("enum") or ([names["const"]] if "const" in names else None))
        if listed and isinstance(listed, list) and "patternProperties" not in node:
            given = node.get("properties", {})
            node["properties"] = {
                name: given.get(name, rest) for name in (*given, *listed) if name in listed and isinstance(name, str)
            }
            node["additionalProperties"] = False
        elif (
            isinstance(names, dict)
            and [*names.keys() - _ANNOTATIONS - {"type"}] == ["pattern"]
            and not (
                {"properties", "patternProperties"} & node.keys()
                or _problem(json.dumps({"type": "string", "pattern": names["pattern"]}))
            )
        ):
            node |= {"patternProperties": {names["pattern"]: rest}, "additionalProperties": False}
        else:
            self._note("propertyNames", path)

    def _counted(self, node: dict[str, Any], path: str) -> None:
        """Leave out what llguidance can't combine of the keywords that count or match names."""
        base = {"type": "object", "required": node.get("required", [])} | {
            "properties": dict.fromkeys(node.get("properties", ()), True),
            "additionalProperties": node.get("additionalProperties", True) is not False,
        }
        keywords = ("patternProperties", "minProperties", "maxProperties")
        given = {name: node[name] for name in keywords if name in node}
        if "patternProperties" in given:
            given["patternProperties"] = dict.fromkeys(given["patternProperties"], True)
        self._together(given, base, keywords, path)
        for name in keywords:
            if name in node and name not in given:
                del node[name]
                if name == "patternProperties":
                    node["additionalProperties"] = True


def _close(schema: Mapping[str, Any], node: dict[str, Any]) -> None:
    """Leave other properties out where nobody asked for them: a model might go on with them for ever."""
    names = node.get("properties", {}).keys()
    counted = {"patternProperties", "minProperties", "additionalProperties"} & node.keys()
    if names and not counted and "additionalProperties" not in schema and names >= {*node.get("required", ())}:
        node["additionalProperties"] = False


def _at(path: str) -> str:
    return f" at {path.removeprefix('.')!r}" if path else ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _exclude_each_other(choices: Sequence[Schema]) -> bool:
    """Whether the choices are objects with different values of one required property."""
    objects = [each for each in choices if isinstance(each, dict) and each.get("type") == ["object"]]
    if len(objects) < len(choices):
        return False
    for name in set.intersection(*({*each.get("required", ())} for each in objects)):
        named = [each.get("properties", {}).get(name) for each in objects]
        listed = [_listed(each) for each in named if isinstance(each, dict)]
        values = [(isinstance(value, bool), value) for each in listed for value in each]
        if len(listed) == len(objects) and all(listed) and len(set(values)) == len(values):
            return True
    return False


def _listed(schema: Mapping[str, Any]) -> list[Any]:
    """The values that a schema lists; none where they are not all plain ones."""
    values = [schema["const"]] if "const" in schema else schema.get("enum", [])
    return [] if any(isinstance(each, list | dict) for each in values) else values


def _distinct(schemas: Sequence[Schema]) -> list[Schema]:
    """The schemas without repetitions: each would cost llguidance as much as the first."""
    return list({json.dumps(each): each for each in schemas}.values())


def _scalars(value: Any) -> Iterator[Any]:
    """Every value in a value that is neither a list nor an object."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list | dict):
            waiting += value.values() if isinstance(value, dict) else value
        else:
            yield value
