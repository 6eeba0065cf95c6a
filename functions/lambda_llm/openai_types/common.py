"""The JSON that goes in and out, as far as several endpoints share it, named as OpenAI names it.

Source: https://platform.openai.com/docs/api-reference
"""

import json
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StrictStr
from pydantic_core import PydanticCustomError

STOP_TEXTS_MAX: Final = 4
CHOICES_MAX: Final = 16
"""Answers to one request; they are generated one after the other."""
BIASES_MAX: Final = 1024
SEED_MIN: Final = -(2**63)
SEED_MAX: Final = 2**63 - 1


def _whole_characters(text: str) -> str:
    """JSON's escapes can write half a surrogate pair, which is no character and has no UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise PydanticCustomError("string_unicode", "Input should hold whole characters, not half a pair") from None
    return text


def _sound(value: dict[str, Any]) -> dict[str, Any]:
    """The same for JSON of any form; and Python's reader knows numbers that JSON doesn't."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except ValueError:
        raise PydanticCustomError(
            "json_unsound", "Input should hold whole characters and numbers that JSON knows"
        ) from None
    except RecursionError:
        raise PydanticCustomError("json_depth", "Input should not be nested so deep") from None
    return value


Text = Annotated[StrictStr, AfterValidator(_whole_characters)]
JSONObject = Annotated[dict[str, Any], AfterValidator(_sound)]
_StopText = Annotated[StrictStr, Field(min_length=1), AfterValidator(_whole_characters)]
Whole = Annotated[int, Field(strict=True)]
Unsupported = Annotated[None, Field(description="not supported; null is accepted for clients that send it")]


class Input(BaseModel):
    """A part of a request: what is not known is refused by name, never ignored."""

    model_config = ConfigDict(extra="forbid")


def refuse(field: str, message: str, *, code: str = "invalid_value") -> PydanticCustomError:
    """The error that a validator of a whole object raises about one of its fields.

    Args:
        field: below the object, for example `content`.
        message: continues "'messages.0.content' can't be used: …".
        code: OpenAI's.
    """
    # A message of pydantic's is a template, and braces in it would be filled in.
    return PydanticCustomError("field", "{message}", {"message": message, "field": field, "code": code})


class StreamOptions(Input):
    """What a stream holds besides text."""

    include_usage: StrictBool = False
    include_obfuscation: Literal[False] | None = Field(None, description="never done, so that only false is accepted")


class SamplingInput(Input):
    """How answers are chosen, in all endpoints that generate."""

    model: StrictStr
    stream: StrictBool | None = False
    temperature: Annotated[float, Field(ge=0, le=2, strict=True)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1, strict=True)] | None = None
    top_k: Annotated[Whole, Field(ge=0, le=2**31 - 1, description="as llama.cpp has it; 0: all")] | None = None
    min_p: Annotated[float, Field(ge=0, le=1, strict=True, description="as llama.cpp has it")] | None = None
    repeat_penalty: Annotated[float, Field(gt=0, le=10, strict=True, description="as llama.cpp has it")] | None = None
    user: StrictStr | None = Field(None, description="whose conversation it is, where LAMBDA_LLM_TRUST_USER says so")


class CompletionInput(SamplingInput):
    """What chat and text completions have in common."""

    stream_options: StreamOptions | None = None
    seed: Annotated[Whole, Field(ge=SEED_MIN, le=SEED_MAX)] | None = None
    stop: _StopText | Annotated[list[_StopText], Field(max_length=STOP_TEXTS_MAX)] | None = None
    n: Annotated[Whole, Field(ge=1, le=CHOICES_MAX)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2, strict=True)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2, strict=True)] | None = None
    logit_bias: (
        Annotated[
            dict[Annotated[str, Field(pattern="^[0-9]{1,9}$")], Annotated[float, Field(ge=-100, le=100, strict=True)]],
            Field(max_length=BIASES_MAX, description="token ids of this model, as /tokenize gives them"),
        ]
        | None
    ) = None


class PromptTokensDetails(BaseModel):
    """Of the prompt's tokens."""

    cached_tokens: int


class CompletionTokensDetails(BaseModel):
    """Of the answer's tokens."""

    reasoning_tokens: int


class Usage(BaseModel):
    """Tokens of one request."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails
    completion_tokens_details: CompletionTokensDetails
