"""Results of MCP tools as outcomes: JSON that is small, and references to the rest.

Source: https://modelcontextprotocol.io/specification/2025-11-25/server/tools#tool-result
"""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any, Final

from lambda_llm.agent.errors import ToolError
from lambda_llm.agent.references import TYPE, Reference
from lambda_llm.agent.tools.tool import Outcome, Store

INLINE_BYTES: Final = 16_384
"""Most of texts and structured content that stays in the outcome."""
HEAD_BYTES: Final = 2_048
"""Of a larger one, what stays beside its reference."""
PARTS: Final = 32
"""Parts of a result that are kept; the others are counted."""
ERROR_CHARACTERS: Final = 2_000
"""Most of what a tool says about its failure."""
LABEL_CHARACTERS: Final = 500
"""Most of an address or a name that a server gives."""

_OF_ANY_TYPE: Final = "application/octet-stream"


def outcome(result: Mapping[str, Any], store: Store) -> Outcome:
    """What a `CallToolResult` says.

    Structured content is preferred to text, which repeats it. Large and binary parts are put into the store.

    Args:
        result: as it came, parsed.
        store: for what is large.

    Raises:
        ToolError: it is no JSON, such as with NaN.
        AgentError: the store fails.
    """
    parts = [part for part in result.get("content") or () if isinstance(part, Mapping)]
    if result.get("isError"):
        said = "\n".join(str(part["text"]) for part in parts if part.get("type") == "text")
        return Outcome("error", clean(said, ERROR_CHARACTERS) or "The tool says that it failed, and not why.")
    keeper = _Keeper(store)
    kept = parts[:PARTS]
    content: Any
    if "structuredContent" in result:
        content = keeper.json(result["structuredContent"])
        others = [part for part in kept if part.get("type") != "text"]
        if others:
            content = {"result": content, "parts": [keeper.part(part) for part in others]}
    elif all(part.get("type") == "text" for part in kept):
        content = keeper.text("\n".join(str(part.get("text", "")) for part in kept), "text/plain")
    else:
        content = {"parts": [keeper.part(part) for part in kept]}
    if len(parts) > PARTS:
        content = {"result": content, "parts_left_out": len(parts) - PARTS}
    return Outcome("ok", content, tuple(keeper.references))


def clean(text: object, most: int) -> str:
    """A server's text, without characters that act on terminals or reorder what people read, and bounded."""
    kept = "".join(each for each in str(text)[: 4 * most] if each in "\n\t" or each.isprintable())
    return kept if len(kept) <= most else f"{kept[: most - 1]}…"


class _Keeper:
    def __init__(self, store: Store) -> None:
        self.references: list[Reference] = []
        self._store = store
        self._left = INLINE_BYTES

    def json(self, value: Any) -> Any:
        try:
            encoded = json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
        except (RecursionError, TypeError, ValueError):
            raise ToolError("its result is no JSON: it has NaN, Infinity or half characters.") from None
        return value if self._fits(encoded) else self._large(encoded, "application/json")

    def text(self, text: str, kind: str) -> Any:
        encoded = text.encode("utf-8", "replace")
        return encoded.decode() if self._fits(encoded) else self._large(encoded, kind)

    def part(self, part: Mapping[str, Any]) -> dict[str, Any]:
        kind = part.get("type")
        match kind:
            case "text":
                return {"type": "text", "text": self.text(str(part.get("text", "")), "text/plain")}
            case "image" | "audio":
                return {"type": kind} | self._binary(part.get("data"), part.get("mimeType"))
            case "resource_link":
                return {"type": kind} | _labels(part, "uri", "name", "title", "mimeType")
            case "resource":
                resource = part.get("resource")
                resource = resource if isinstance(resource, Mapping) else {}
                found = {"type": kind} | _labels(resource, "uri", "mimeType")
                if "text" in resource:
                    return found | {
                        "text": self.text(str(resource["text"]), _media_type(resource.get("mimeType"), "text/plain"))
                    }
                return found | self._binary(resource.get("blob"), resource.get("mimeType"))
        return {"type": clean(kind, 100), "left_out": "parts of this type are not known"}

    def _binary(self, data: Any, kind: Any) -> dict[str, Any]:
        try:
            content = base64.b64decode(data, validate=True)
        except (TypeError, ValueError, binascii.Error):
            return {"left_out": "its data is no base64"}
        return {"reference": self._put(content, _media_type(kind, _OF_ANY_TYPE))}

    def _fits(self, content: bytes) -> bool:
        fits = len(content) <= self._left
        if fits:
            self._left -= len(content)
        return fits

    def _large(self, content: bytes, kind: str) -> dict[str, Any]:
        head = content[:HEAD_BYTES].decode("utf-8", "ignore")
        return {"head": head, "bytes": len(content), "reference": self._put(content, kind)}

    def _put(self, content: bytes, kind: str) -> dict[str, Any]:
        reference = self._store.put(content, kind)
        if reference not in self.references:
            self.references.append(reference)
        return reference.to_json()


def _media_type(kind: object, otherwise: str) -> str:
    return kind if isinstance(kind, str) and TYPE.fullmatch(kind) else otherwise


def _labels(part: Mapping[str, Any], *names: str) -> dict[str, str]:
    return {name: clean(part[name], LABEL_CHARACTERS) for name in names if isinstance(part.get(name), str)}
