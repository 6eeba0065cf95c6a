"""Arguments are checked against a tool's schema before the tool gets them.

A schema comes from a server, so checking must end whatever it says. No regular expression of a schema is run, nothing
is fetched, and the work is counted. What is not judged here (`pattern`, `patternProperties`, the `unevaluated` and
dynamic keywords) never refuses arguments: the server judges it again.
"""

import json
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any, Final
from urllib.parse import unquote

from jsonschema import (
    Draft4Validator,
    Draft6Validator,
    Draft7Validator,
    Draft201909Validator,
    Draft202012Validator,
    SchemaError,
    ValidationError,
)
from jsonschema.exceptions import best_match
from jsonschema.validators import extend

from lambda_llm.agent.errors import ToolError

SCHEMA_BYTES: Final = 65_536
"""Most that a schema may have, as JSON."""
ARGUMENTS_BYTES: Final = 65_536
"""Most that arguments may have, as JSON."""
DEPTH: Final = 48
"""Most levels of objects and lists, in schemas and in arguments."""
SENTENCE: Final = 500
"""Most characters of a refusal."""

_STEPS: Final = 100_000
"""Keywords, and members that they look at, until checking is given up: some tenths of a second."""
_ERRORS: Final = 20
"""Violations among which the clearest is told."""

_ONE: Final = frozenset(
    {"additionalItems", "additionalProperties", "contains", "else", "if", "not", "propertyNames", "then"}
)
_MANY: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_NAMED: Final = frozenset({"$defs", "definitions", "dependencies", "dependentSchemas", "properties"})
_PLAIN: Final = frozenset(
    {
        *("$anchor", "$ref", "$schema", "const", "dependentRequired", "enum", "exclusiveMaximum", "exclusiveMinimum"),
        *("maxContains", "maxItems", "maxLength", "maxProperties", "maximum", "minContains", "minItems", "minLength"),
        *("minProperties", "minimum", "multipleOf", "required", "type", "uniqueItems"),
    }
)
_NOT_JUDGED: Final = frozenset(
    {
        *("pattern", "patternProperties", "unevaluatedItems", "unevaluatedProperties"),
        *("$dynamicRef", "$recursiveRef"),
    }
)
"""Keywords of which the rest of a schema then says less than it means: see `_Reading`."""

_left: ContextVar[int] = ContextVar("steps that are left")


class _TooMuchWorkError(Exception):
    """Checking would not end soon."""


def check(schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
    """Refuse arguments that a tool's schema does not allow.

    Args:
        schema: JSON Schema, of the draft that it names, or 2020-12.
        arguments: of a call.

    Raises:
        ToolError: in one sentence of at most `SENTENCE` characters, with which a model can mend its call.
    """
    validator = _validator(schema)
    _measured(arguments, "The arguments", ARGUMENTS_BYTES)
    _left.set(_STEPS)
    try:
        errors = validator.iter_errors(arguments)
        error = best_match(found for found, _ in zip(errors, range(_ERRORS), strict=False))
    except _TooMuchWorkError:
        raise ToolError("The arguments can't be checked against the tool's schema: it would take too long.") from None
    except (ArithmeticError, RecursionError, TypeError, ValueError) as failure:
        raise ToolError(
            f"The arguments can't be checked against the tool's schema ({type(failure).__name__})."
        ) from failure
    if error is not None:
        raise ToolError(
            _cut(f"The arguments don't fit the tool's schema at {_cut(error.json_path, 150)}: {error.message}")
        )


def check_schema(schema: object) -> None:
    """Refuse a schema by which arguments can't be checked.

    Raises:
        ToolError: in one sentence of at most `SENTENCE` characters.
    """
    _validator(schema)


def _validator(schema: object) -> Any:
    if not isinstance(schema, Mapping):
        raise ToolError("The tool's schema must be a JSON object.")
    _measured(schema, "The tool's schema", SCHEMA_BYTES)
    dialect = schema.get("$schema", _DEFAULT)
    kind = _DIALECTS.get(dialect.rstrip("#").replace("http://", "https://")) if isinstance(dialect, str) else None
    if kind is None:
        raise ToolError(_cut(f"The tool's schema is of the dialect {dialect!r}; drafts 4 to 2020-12 are known."))
    judged = _Reading(schema).judged
    try:
        kind.check_schema(judged)
    except SchemaError as error:
        raise ToolError(
            _cut(f"The tool's schema is no JSON Schema at {_cut(error.json_path, 150)}: {error.message}")
        ) from None
    except (ArithmeticError, RecursionError, TypeError, ValueError) as failure:
        raise ToolError(f"The tool's schema is no JSON Schema ({type(failure).__name__}).") from failure
    _check_references(judged)
    return kind(judged)


class _Reading:
    """What of a schema is judged: keywords that are known, where they are schemas.

    Without a keyword that is not judged, a schema allows more. Under `not`, `if` and `oneOf` that would refuse what is
    right, so a schema that has such a keyword anywhere loses `not` and `if`, and its `oneOf` is an `anyOf`.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._loose = _has_any(schema, _NOT_JUDGED)
        self.judged = self._schema(schema, top=True)

    def _schema(self, schema: Any, *, top: bool = False) -> Any:
        if not isinstance(schema, Mapping):
            return schema
        if not top and ("$id" in schema or "id" in schema):
            raise ToolError("The tool's schema has a part with an $id of its own, which is not taken.")
        found = {
            key: self._keyword(key, value) for key, value in schema.items() if key in _PLAIN | _ONE | _MANY | _NAMED
        }
        if "items" in schema:
            items = schema["items"]
            found["items"] = [self._schema(each) for each in items] if isinstance(items, list) else self._schema(items)
        if "patternProperties" in schema:
            found.pop("additionalProperties", None)  # which properties are additional, a pattern decides
        if self._loose:
            for keyword in ("not", "if", "then", "else", "maxContains"):
                found.pop(keyword, None)
            if "oneOf" in found:
                others = found.get("allOf", [])
                found["allOf"] = [*(others if isinstance(others, list) else []), {"anyOf": found.pop("oneOf")}]
        return found

    def _keyword(self, key: str, value: Any) -> Any:
        if key in _ONE:
            return self._schema(value)
        if key in _MANY and isinstance(value, list):
            return [self._schema(each) for each in value]
        if key in _NAMED and isinstance(value, Mapping):
            return {name: self._schema(each) for name, each in value.items()}
        return value


def _has_any(value: Any, keys: frozenset[str]) -> bool:
    """Whether an object has one of them, at any depth; a property of that name counts too, which does no harm."""
    if isinstance(value, Mapping):
        return not keys.isdisjoint(value) or any(_has_any(each, keys) for each in value.values())
    return isinstance(value, list) and any(_has_any(each, keys) for each in value)


def _check_references(schema: Any) -> None:
    """Refuse a `$ref` that points out of what is judged."""
    anchors = {node["$anchor"] for node in _objects(schema) if isinstance(node.get("$anchor"), str)}
    for node in _objects(schema):
        target = node.get("$ref")
        if isinstance(target, str) and not _is_there(schema, target, anchors):
            raise ToolError(
                _cut(f"The tool's schema refers to {target!r}, which it does not have; nothing is fetched.")
            )


def _is_there(schema: Any, target: str, anchors: set[str]) -> bool:
    base, _, fragment = target.partition("#")
    if base:
        return False
    if not fragment.startswith("/"):
        return not fragment or fragment in anchors
    found = schema
    for step in unquote(fragment).split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict) and key in found:
            found = found[key]
        elif isinstance(found, list) and key.isdecimal() and int(key) < len(found):
            found = found[int(key)]
        else:
            return False
    return isinstance(found, dict | bool)


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from _objects(each)
    elif isinstance(value, list):
        for each in value:
            yield from _objects(each)


def _measured(value: Mapping[str, Any], what: str, most: int) -> None:
    """Refuse what is too deep, too large, or no JSON."""
    level: list[Any] = [value]
    for _ in range(DEPTH):
        level = [
            each
            for node in level
            for each in (node.values() if isinstance(node, Mapping) else node)
            if isinstance(each, Mapping | list | tuple)
        ]
        if not level:
            break
        if len(level) > most:
            raise ToolError(f"{what} must have at most {most:,} bytes.")
    else:
        raise ToolError(f"{what} must have at most {DEPTH} levels of objects and lists.")
    try:
        size = len(json.dumps(value, allow_nan=False, ensure_ascii=False).encode())
    except (TypeError, ValueError):  # lone surrogates too
        raise ToolError(f"{what} must be JSON, without NaN, Infinity and half characters.") from None
    if size > most:
        raise ToolError(f"{what} must have at most {most:,} bytes; it is {size:,}.")


def _cut(text: str, most: int = SENTENCE) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _required(_: Any, required: Any, instance: Any, __: Any) -> Iterator[ValidationError]:
    """All that is missing, in one violation, without the instance's text."""
    missing = [name for name in required if name not in instance] if isinstance(instance, dict) else []
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""  # noqa: PLR2004 - as many as are told
        yield ValidationError(f"missing: {', '.join(map(repr, missing[:5]))}{more}")


def _unique(_: Any, unique: Any, instance: Any, __: Any) -> Iterator[ValidationError]:
    """In linear time, unlike jsonschema's."""
    if unique and isinstance(instance, list):
        texts = {json.dumps(each, sort_keys=True) for each in instance}
        if len(texts) != len(instance):
            yield ValidationError("the elements must be unlike each other")


def _counted(keyword: Any) -> Any:
    def counting(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        work = 1 + sum(len(each) for each in (value, instance) if isinstance(each, dict | list))
        left = _left.get() - work
        if left < 0:
            raise _TooMuchWorkError
        _left.set(left)
        yield from keyword(validator, value, instance, schema) or ()

    return counting


def _counting(kind: Any) -> Any:
    own = {"required": _required, "uniqueItems": _unique}
    return extend(kind, {name: _counted(own.get(name, keyword)) for name, keyword in kind.VALIDATORS.items()})


_DEFAULT: Final = "https://json-schema.org/draft/2020-12/schema"
_DIALECTS: Final = {
    _DEFAULT: _counting(Draft202012Validator),
    "https://json-schema.org/draft/2019-09/schema": _counting(Draft201909Validator),
    "https://json-schema.org/draft-07/schema": _counting(Draft7Validator),
    "https://json-schema.org/draft-06/schema": _counting(Draft6Validator),
    "https://json-schema.org/draft-04/schema": _counting(Draft4Validator),
}
