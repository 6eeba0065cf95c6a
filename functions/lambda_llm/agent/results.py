"""What a model sees of a tool's outcome: delimited data, without control tokens, of a bounded size."""

import json
import re
from dataclasses import replace
from typing import Any, Final

from lambda_llm.agent.errors import AgentError
from lambda_llm.agent.references import Reference
from lambda_llm.agent.tools.tool import Outcome, Store

INLINE_BYTES: Final = 8_192
"""Most bytes of a result that stays in the state; a larger one becomes a reference."""

HEAD_CHARACTERS: Final = 2_000
"""How much of a larger result the model sees."""

ERROR_CHARACTERS: Final = 1_000
"""Most characters of an error's text: a tool may return a page of HTML as one."""

REFERENCES: Final = 16
"""Most references that one outcome may have."""

_CONTROL: Final = re.compile(
    r"<(?=[|｜/\w])|\[(?=/?(?:INST|TOOL|AVAILABLE|SYSTEM|IMG|PREFIX|MIDDLE|SUFFIX)\b)", re.IGNORECASE
)
"""How the control tokens of common templates begin: <|im_end|>, <｜User｜>, </s>, <tool_call>, [/INST], …"""


def bounded(outcome: Outcome, store: Store) -> Outcome:
    """The outcome as the state keeps it: small, plain JSON, whatever the tool returned.

    It belongs into the step that called the tool, because it may store the content.

    Args:
        outcome: of a source.
        store: for what is too large.
    """
    references = outcome.references[:REFERENCES]
    if outcome.status in {"error", "unknown"}:
        return replace(outcome, content=_head(_text(outcome.content), ERROR_CHARACTERS), references=references)
    try:
        text = json.dumps(outcome.content, ensure_ascii=False, allow_nan=False)
        encoded = text.encode()
    except (TypeError, ValueError, RecursionError) as error:  # lone surrogates are a ValueError, too
        said = f"The tool's result is no JSON ({type(error).__name__})."
        return replace(outcome, status="error", content=said, references=references)
    if len(encoded) <= INLINE_BYTES:
        return replace(outcome, references=references)
    plain = isinstance(outcome.content, str)
    content = {"head": _head(outcome.content if plain else text, HEAD_CHARACTERS)}
    kind = "text/plain" if plain else "application/json"
    try:
        stored = store.put(outcome.content.encode() if plain else encoded, kind)
    except AgentError as error:  # the call was made: what is left of its result is worth more than a failure
        return replace(outcome, content={**content, "note": f"The rest is lost: {error}"}, references=references)
    return replace(outcome, content=content, references=(stored, *references)[:REFERENCES])


def render(outcome: Outcome) -> str:
    """Content of the model's `tool` message: always one JSON document, so that its end is not in a tool's hands.

    Objects stay as they are; anything else becomes an object. References are shown by address, size and type. What
    begins like a control token is written with an escape, which JSON reads back as the same character.
    """
    if outcome.status == "ok":
        content = outcome.content if isinstance(outcome.content, dict) else {"result": outcome.content}
    else:
        content = {outcome.status: outcome.content}
    if outcome.references:
        content = {**content, "references": [_shown(reference) for reference in outcome.references]}
    return neutral(json.dumps(content, ensure_ascii=False))


def neutral(text: str) -> str:
    """JSON text in which nothing begins like a control token of a chat template."""
    return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def failed(error: AgentError, *, unknown: bool = False) -> Outcome:
    """An expected failure as an outcome."""
    return Outcome("unknown" if unknown else "error", str(error))


def _shown(reference: Reference) -> dict[str, Any]:
    return {"uri": reference.uri, "size": reference.size, "type": reference.type}


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content.encode(errors="replace").decode()
    try:
        return json.dumps(content, ensure_ascii=False).encode(errors="replace").decode()
    except (TypeError, ValueError, RecursionError):
        return f"a {type(content).__name__} that is no JSON"


def _head(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"
