"""How many tokens a request takes: estimated before it is sent, and bounded where it is."""

import math
from collections.abc import Mapping
from typing import Any, Final

from lambda_llm.backends.contract import Operation

BYTES_PER_TOKEN: Final = 3
"""UTF-8 bytes of text that are counted as a token. English has about 4, so that an estimate is rather too high: what is
reserved for a request is settled by what it really took."""

MESSAGE_TOKENS: Final = 8
"""What a chat template adds to each message."""

IMAGE_TOKENS: Final = 1600
"""What an image is counted as, whatever its size: about what the largest one takes of Anthropic's models.
Source: https://docs.anthropic.com/en/docs/build-with-claude/vision"""

_LIMITS: Final = ("max_completion_tokens", "max_output_tokens", "max_tokens")
"""Fields that say how long an answer may be; the first that is given counts."""

_DEPTH_MAX: Final = 64
"""Nesting of a body below which nothing is counted: no API has as much."""

_FIELDS: Final[Mapping[Operation, tuple[str, ...]]] = {
    Operation.CHAT: ("max_tokens", "max_completion_tokens"),
    Operation.COMPLETIONS: ("max_tokens",),
    Operation.RESPONSES: ("max_output_tokens",),
    Operation.MESSAGES: ("max_tokens",),
}
"""Fields that limit an answer; the first is set where there is none."""

_LLAMA_CPP: Final = "n_predict"
"""Another one, of llama.cpp's server alone, where it counts more than they do.
Source: https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md"""


def generates(operation: Operation) -> bool:
    """Whether an answer is made token by token."""
    return operation not in {Operation.EMBEDDINGS, Operation.RERANK}


def output_tokens(operation: Operation, body: Mapping[str, Any], most: int) -> int:
    """Most tokens that a request may get, of all its answers together.

    Args:
        operation: what is asked for.
        body: its JSON; what is wrong in it is for the backend to say.
        most: longest answer where the request names none, and most that one may have.
    """
    if not generates(operation):
        return 0
    asked = next((body[name] for name in _LIMITS if _is_count(body.get(name))), None)
    return min(asked or most, most) * answers_of(body)


def bounded(operation: Operation, body: Mapping[str, Any], most: int) -> Mapping[str, Any]:
    """The body with a limit of its answers.

    Args:
        operation: what is asked for.
        body: its JSON.
        most: tokens of all answers together, as `output_tokens` says.
    """
    names = _FIELDS.get(operation)
    if names is None:
        return body
    each = most // answers_of(body)
    given = {name: body[name] for name in names if body.get(name) is not None} or {names[0]: each}
    if body.get(_LLAMA_CPP) is not None:
        given[_LLAMA_CPP] = body[_LLAMA_CPP]
    return {**body, **{name: min(said, each) for name, said in given.items()}}


def answers_of(body: Mapping[str, Any]) -> int:
    """How many answers a server makes for a request, at least one."""
    return max(body[name] if _is_count(body.get(name)) else 1 for name in ("n", "best_of"))


def input_tokens(body: Mapping[str, Any]) -> int:
    """Estimate of a prompt, from every text in the body: tools and schemas become a part of the prompt too."""
    size = images = messages = 0
    waiting: list[tuple[Any, int]] = [(body, 0)]
    while waiting:
        value, depth = waiting.pop()
        if isinstance(value, str):
            if value.startswith("data:image/"):
                images += 1
            else:
                size += len(value.encode(errors="replace"))
        elif isinstance(value, Mapping) and depth < _DEPTH_MAX:
            messages += "role" in value
            images += value.get("type") in ("image_url", "input_image") and not _has_data(value)
            for name, each in value.items():
                size += len(name)
                if not (value.get("type") == "base64" and name == "data"):
                    waiting.append((each, depth + 1))
            images += value.get("type") == "base64"
        elif isinstance(value, list) and depth < _DEPTH_MAX:
            if value and all(isinstance(each, int) for each in value):
                size += len(value) * BYTES_PER_TOKEN  # a prompt of tokens
            else:
                waiting.extend((each, depth + 1) for each in value)
    return math.ceil(size / BYTES_PER_TOKEN) + MESSAGE_TOKENS * messages + IMAGE_TOKENS * images


def _has_data(part: Mapping[str, Any]) -> bool:
    """Whether an image is in the body, where it is counted by its text."""
    url = part.get("image_url")
    url = url.get("url") if isinstance(url, Mapping) else url
    return isinstance(url, str) and url.startswith("data:image/")


def _is_count(said: Any) -> bool:
    return type(said) is int and said > 0
