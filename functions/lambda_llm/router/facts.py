"""What the policy has to know of a request: all of it numbers and names, nothing of the text."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
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


class Feature(StrEnum):
    """What a request may need of a model, beside text."""

    TOOLS = "tools"
    JSON_SCHEMA = "json_schema"
    IMAGES = "images"
    REASONING = "reasoning"
    LOGPROBS = "logprobs"


class Place(IntEnum):
    """Where a request may be answered; a smaller one is nearer."""

    LAMBDA = 0
    """In our own functions, and nowhere else."""
    ACCOUNT = 1
    """In AWS, for this account: Bedrock, SageMaker, servers of one's own."""
    ANYWHERE = 2
    """At other companies too."""


@dataclass(frozen=True)
class Facts:
    """A request, for the policy.

    Attributes:
        operation: what is asked for.
        input_tokens: estimate of its prompt, rather too high.
        output_tokens: most that it may get.
        features: that it needs.
        place: farthest place that it may be answered at.
        region: that it must be answered in; None: in any.
    """

    operation: Operation
    input_tokens: int
    output_tokens: int
    features: frozenset[Feature] = frozenset()
    place: Place = Place.ANYWHERE
    region: str | None = None


def facts_of(
    operation: Operation,
    body: Mapping[str, Any],
    *,
    output_tokens: int,
    place: Place = Place.ANYWHERE,
    region: str | None = None,
) -> Facts:
    """The facts of a request.

    Args:
        operation: what is asked for.
        body: its JSON; what is wrong in it is for the backend to say.
        output_tokens: longest answer where the request names none, and most that one may have.
        place: farthest that it may be answered at.
        region: that it must be answered in.
    """
    asked = next((body[name] for name in _LIMITS if _is_count(body.get(name))), None)
    generates = operation not in {Operation.EMBEDDINGS, Operation.RERANK}
    most = min(asked or output_tokens, output_tokens) * answers_of(body) if generates else 0
    return Facts(operation, _tokens(body), most, frozenset(_features(body)), place, region)


def answers_of(body: Mapping[str, Any]) -> int:
    """How many answers a server makes for a request, at least one."""
    return max(body[name] if _is_count(body.get(name)) else 1 for name in ("n", "best_of"))


def _is_count(said: Any) -> bool:
    return type(said) is int and said > 0


def _tokens(body: Mapping[str, Any]) -> int:
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


def _features(body: Mapping[str, Any]) -> Iterator[Feature]:
    if body.get("tools") or body.get("functions"):
        yield Feature.TOOLS
    text = body.get("text")
    formats = (body.get("response_format"), text.get("format") if isinstance(text, Mapping) else None)
    if any(isinstance(each, Mapping) and each.get("type") == "json_schema" for each in formats):
        yield Feature.JSON_SCHEMA
    if body.get("reasoning_effort") or body.get("reasoning") or body.get("thinking"):
        yield Feature.REASONING
    if body.get("logprobs") not in (None, False) or body.get("top_logprobs"):
        yield Feature.LOGPROBS
    if any(_is_image(part) for part in _parts(body)):
        yield Feature.IMAGES


def _parts(body: Mapping[str, Any]) -> Iterator[Any]:
    """The parts of all messages."""
    for name in ("messages", "input"):
        messages = body.get(name)
        for message in messages if isinstance(messages, list) else ():
            yield message
            content = message.get("content") if isinstance(message, Mapping) else None
            yield from content if isinstance(content, list) else ()


def _is_image(part: Any) -> bool:
    return isinstance(part, Mapping) and part.get("type") in ("image_url", "input_image", "image")
