"""What the policy has to know of a request: all of it numbers and names, nothing of the text."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any

from lambda_llm.backends import tokens
from lambda_llm.backends.contract import Operation


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
    most = tokens.output_tokens(operation, body, output_tokens)
    return Facts(operation, tokens.input_tokens(body), most, frozenset(_features(body)), place, region)


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
