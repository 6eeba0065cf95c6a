"""Where the `$ref`s of a JSON Schema point to.

Sources: RFC 6901 (JSON Pointer), https://json-schema.org/draft/2020-12/json-schema-core#section-8.2
"""

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import unquote

from lambda_llm.engine.errors import SchemaError

_NAMING: Final = ("$id", "id")
_ANCHORS: Final = ("$anchor", "$dynamicAnchor")


class References:
    """Resolves the references within one schema; nothing is ever fetched."""

    def __init__(self, schema: Any) -> None:
        self._whole = schema
        self._known: dict[str, Any] | None = None

    def resolve(self, target: Any) -> Any:
        """The schema that a `$ref` points to.

        Args:
            target: value of the `$ref`.

        Raises:
            SchemaError: it points nowhere in this schema; the text continues "'$ref' …".
        """
        if not isinstance(target, str):
            raise SchemaError("it must be a text like '#/$defs/name'")
        base, _, fragment = target.partition("#")
        found = self._whole
        if base:
            if base not in self._names:
                raise SchemaError(f"{target!r} points out of the schema, and nothing is fetched")
            found = self._names[base]
        if fragment and not fragment.startswith("/"):
            if f"#{fragment}" not in self._names:
                raise SchemaError(f"there is no {target!r}")
            return self._names[f"#{fragment}"]
        for step in fragment.split("/")[1:]:
            key = unquote(step).replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict) and key in found:
                found = found[key]
            elif isinstance(found, list) and key.isdecimal() and int(key) < len(found):
                found = found[int(key)]
            else:
                raise SchemaError(f"there is no {target!r}")
        return found

    @property
    def _names(self) -> dict[str, Any]:
        """Subschemas by the names that they give themselves: URIs, and anchors with their `#`."""
        if self._known is None:
            self._known = {}
            for node in _objects(self._whole):
                for keyword in _NAMING:
                    if isinstance(name := node.get(keyword), str):
                        self._known.setdefault(name if name.startswith("#") else name.partition("#")[0], node)
                for keyword in _ANCHORS:
                    if isinstance(name := node.get(keyword), str):
                        self._known.setdefault(f"#{name}", node)
        return self._known


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in a value, the outer ones first."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield value
        if isinstance(value, dict | list):
            waiting += reversed(value.values() if isinstance(value, dict) else value)
