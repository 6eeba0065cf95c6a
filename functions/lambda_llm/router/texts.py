"""The text in requests and answers, for who must see all of it.

Closed: what is not known to be no text is taken for text, in every API's format and in fields that come later.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

_DEPTH_MAX: Final = 64
"""Nesting that is looked into; no API has as much, and what is deeper is refused."""

_PARAMETERS: Final = frozenset(
    {"model", "metadata", "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "user"}
)
"""Fields of a request whose text no model gets."""

_DATA: Final = re.compile(r"data:[a-z0-9.+-]*/?[a-z0-9.+-]*;base64,", re.IGNORECASE)
"""How a URL begins that is a picture or a file itself."""

_REFERENCES: Final = frozenset({"conversation", "previous_response_id"})
"""Fields of a request that stand for text which is elsewhere."""

_UNSEEN: Final = frozenset(
    {
        "audio",
        "audio_url",
        "document",
        "file",
        "image",
        "image_url",
        "input_audio",
        "input_file",
        "input_image",
        "item_reference",
        "video",
        "video_url",
    }
)
"""Types of parts that are no text, or stand for what is elsewhere."""

_ENVELOPE: Final = frozenset(
    {
        "call_id", "created_at", "encrypted_content", "embedding", "finish_reason", "id", "item_id", "model", "object",
        "obfuscation", "response_id", "service_tier", "signature", "status", "stop_reason", "system_fingerprint",
        "tool_call_id", "tool_use_id", "usage",
    }
)  # fmt: skip
"""Fields of an answer that have no text of the model."""

_ROLES: Final = frozenset({"assistant", "developer", "function", "system", "tool", "user"})
"""Roles of messages; a template would show a model any other one too."""

_TYPE: Final = re.compile(r"[a-z]{1,20}([_.][a-z0-9]{1,20}){0,5}")
"""What the type of a part looks like."""

_FREE: Final = frozenset({"arguments", "input", "parameters", "schema", "input_schema"})
"""Fields with an object of somebody's own, in which no field has a meaning that is known here."""

_NAME: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$.-]{0,63}")
"""What a field's name looks like; another key of an object is text."""

_NUMBERS: Final = ("index", "output_index", "content_index", "summary_index")
"""Fields of a stream's events that say which text a piece belongs to."""


class UnseenError(ValueError):
    """A request has something that nobody can check here; names the field."""


def asked(body: Mapping[str, Any]) -> Iterator[str]:
    """Every text of a request that a model may get, numbers within its content included.

    Args:
        body: of the request, in the format of any API.

    Raises:
        UnseenError: a part of it is no text: a picture, sound, a file, tokens, or what is kept elsewhere.
    """
    for name, value in body.items():
        if _is_elsewhere(name, value):
            raise UnseenError(name)
        if name not in _PARAMETERS and not isinstance(value, bool | int | float):
            if not _NAME.fullmatch(name):
                yield name
            yield from _texts(value, name, 1, free=False)


def _texts(value: Any, field: str, depth: int, *, free: bool) -> Iterator[str]:
    if depth > _DEPTH_MAX:
        raise UnseenError(field)
    if isinstance(value, str):
        if _DATA.match(value):
            raise UnseenError(field)
        if free or not _is_word(field, value):
            yield plain(value)
    elif isinstance(value, Mapping):
        yield from _texts_of_object(value, depth, free=free or field in _FREE)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each, "", depth + 1, free=free)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)


def _texts_of_object(value: Mapping[str, Any], depth: int, *, free: bool) -> Iterator[str]:
    kind = value.get("type")
    if not free and isinstance(kind, str) and kind in _UNSEEN and not _has_text(value):
        raise UnseenError(kind)
    for name, each in value.items():
        if not _NAME.fullmatch(name):
            yield name
        yield from _texts(each, name, depth + 1, free=free)


def _is_word(field: str, value: str) -> bool:
    """Whether a text is a word of the API."""
    return (field == "role" and value in _ROLES) or (field == "type" and _TYPE.fullmatch(value) is not None)


def _is_elsewhere(name: str, value: Any) -> bool:
    """Whether a field of a request stands for text which is not in it."""
    if name in _REFERENCES:
        return value is not None
    # A prompt that OpenAI keeps, by its id.
    return (name in {"prompt", "input"} and _is_tokens(value)) or (name == "prompt" and isinstance(value, Mapping))


def _is_tokens(value: Any) -> bool:
    """Whether a prompt is numbers of tokens, or one of several is."""
    if not isinstance(value, list):
        return False
    return any(isinstance(each, int) or (isinstance(each, list) and _is_tokens(each)) for each in value)


def _has_text(value: Mapping[str, Any]) -> bool:
    """Whether a part is one of Anthropic's documents that has its text in it."""
    source = value.get("source")
    return value.get("type") == "document" and isinstance(source, Mapping) and source.get("type") in {"text", "content"}


def answered(data: bytes) -> Iterator[tuple[str, str]]:
    """Every text of an answer, or of an event of one, with a name of what it continues.

    Pieces of one name follow each other in the text that the client puts together.

    Args:
        data: JSON, in the format of any API.

    Raises:
        ValueError, RecursionError: it is none.
    """
    yield from _pieces(json.loads(data), "", free=False)


def _pieces(value: Any, path: str, *, free: bool) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, plain(value)
    elif isinstance(value, Mapping):
        marks = [value.get("type"), *(value.get(name) for name in _NUMBERS)]
        here = f"{path}/{'.'.join(str(mark) for mark in marks if isinstance(mark, str | int))}"
        for name, each in value.items() if free else _of_the_model(value):
            if not _NAME.fullmatch(name):
                yield f"{here}#", name
            yield from _pieces(each, f"{here}.{name}", free=free or name in _FREE)
    elif isinstance(value, list):
        for number, each in enumerate(value):
            has_index = isinstance(each, Mapping) and "index" in each
            yield from _pieces(each, path if has_index else f"{path}[{number}]", free=free)
    elif free and isinstance(value, int | float) and not isinstance(value, bool):
        yield path, str(value)


def _of_the_model(value: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Fields of an object of the API that may have text of the model."""
    if value.get("object") == "response":  # the rest repeats the request
        yield from ((name, each) for name, each in value.items() if name in {"output", "error"})
        return
    for name, each in value.items():
        if name not in _ENVELOPE and not (isinstance(each, str) and _is_word(name, each)):
            yield name, each


def plain(text: str) -> str:
    r"""A text as whoever reads it sees it: JSON within a string without `\u…`, behind which anything could hide."""
    if "\\" not in text:
        return text
    try:
        return json.dumps(json.loads(text), ensure_ascii=False)
    except (ValueError, RecursionError):
        return text
