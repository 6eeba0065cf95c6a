"""JSON that several endpoints share, with OpenAI's names.

Source: https://platform.openai.com/docs/api-reference
"""

import json
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictStr,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

MESSAGES_MAX: Final = 16_384
"""Messages, or parts of one: more have more tokens than any context."""
STOP_TEXTS_MAX: Final = 32
"""OpenAI takes 4; editors that complete code send up to 14."""
CHOICES_MAX: Final = 16
"""Maximum number of choices per request; they are generated one after the other."""
BIASES_MAX: Final = 1024
SEED_MIN: Final = -(2**63)
SEED_MAX: Final = 2**63 - 1


def _valid_unicode(text: str) -> str:
    """Refuse unpaired surrogates, which JSON's escapes can express, but UTF-8 can't."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise PydanticCustomError(
            "string_unicode", "Input should be valid Unicode, not half a surrogate pair"
        ) from None
    return text


def _valid_json(value: dict[str, Any]) -> dict[str, Any]:
    """Refuse unpaired surrogates and the numbers that Python's parser accepts in addition to JSON's."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except ValueError:
        raise PydanticCustomError("json_unsound", "Input should have valid Unicode and finite numbers only") from None
    except RecursionError:
        raise PydanticCustomError("json_depth", "Input should be nested less deeply") from None
    return value


Text = Annotated[StrictStr, AfterValidator(_valid_unicode)]
JSONObject = Annotated[dict[str, Any], AfterValidator(_valid_json)]
SomeText = Annotated[StrictStr, Field(min_length=1), AfterValidator(_valid_unicode)]
Whole = Annotated[int, Field(strict=True)]


_NEUTRAL: Final[tuple[Any, ...]] = (None, False, "", [])
"""What asks for nothing."""


def _neutral(value: Any) -> Any:
    """None for what asks for nothing, as clients send it for fields that their user did not set."""
    return None if any(value == each and type(value) is type(each) for each in _NEUTRAL) else value


Unsupported = Annotated[
    None,
    BeforeValidator(_neutral),
    WithJsonSchema({"enum": [*_NEUTRAL]}),
    Field(description="not supported; what asks for nothing is accepted for clients that send it"),
]


def _as_many_as_fit(tokens: int) -> int:
    if tokens == 0:
        raise PydanticCustomError("no_tokens", "Input should be at least 1, or -1 for as many as the context allows")
    return tokens


MaxTokens = Annotated[
    Whole, Field(ge=-1), AfterValidator(_as_many_as_fit), Field(description="-1: as many as the context allows")
]


def limit_of(tokens: int | None) -> int | None:
    """A value of `MaxTokens` as a limit; None: as many as the context allows."""
    return None if tokens == -1 else tokens


class Input(BaseModel):
    """A part of a request; unknown fields are refused by name, never ignored, unless they are null."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"additionalProperties": {"type": "null"}})

    @model_validator(mode="before")
    @classmethod
    def _without_unknown_nulls(cls, given: Any) -> Any:
        """Clients send null for what they don't set. Of the unknown names only the first is left to be refused."""
        if not isinstance(given, dict):
            return given
        known = {field.alias or name for name, field in cls.model_fields.items()}
        unknown = next((name for name, value in given.items() if name not in known and value is not None), None)
        return {name: value for name, value in given.items() if name in known or name == unknown}


class Returned(BaseModel):
    """A part of a message: SDKs send back what they were given, with fields of their own, which are ignored."""

    model_config = ConfigDict(extra="ignore")


def refuse(field: str, message: str, *, code: str = "invalid_value") -> PydanticCustomError:
    """An error about one field, for an object's validator to raise.

    Args:
        field: path below the object, for example `content`.
        message: continues "'messages.0.content' can't be used: …".
        code: OpenAI's error code.
    """
    # pydantic formats the message as a template: braces in a field's value must not be filled in.
    return PydanticCustomError("field", "{message}", {"message": message, "field": field, "code": code})


def at_most(count: int) -> Callable[[Any], Any]:
    """A validator that counts before any item is validated, and may have an error of its own."""

    def counted(given: Any) -> Any:
        if isinstance(given, dict | list) and len(given) > count:
            raise PydanticCustomError("too_many", "{message}", {"message": f"Input should have at most {count} items"})
        return given

    return counted


MANY: Final = at_most(MESSAGES_MAX)
"""Not in the schemas: tools that make requests from them would make huge ones."""


class StreamOptions(Input):
    """Options of a stream."""

    include_usage: StrictBool = False
    include_obfuscation: Literal[False] | None = Field(None, description="not supported; only false is accepted")


class SamplingInput(Input):
    """Fields of every endpoint that generates."""

    model: StrictStr | None = Field(None, description="may be left out, as one model is served")
    stream: StrictBool | None = False
    temperature: Annotated[float, Field(ge=0, le=2, strict=True)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1, strict=True, description="0: the most likely token only")] | None = None
    top_k: Annotated[Whole, Field(ge=-1, le=2**31 - 1, description="llama.cpp's top-k; 0 or -1: all tokens")] | None = (
        None
    )
    min_p: Annotated[float, Field(ge=0, le=1, strict=True, description="llama.cpp's min-p")] | None = None
    repeat_penalty: (
        # Logits are divided by it: far below 0.01 they would not be finite any more.
        Annotated[float, Field(ge=0.01, le=10, strict=True, description="llama.cpp's repetition penalty")] | None
    ) = None
    user: StrictStr | None = Field(None, description="the tenant, where LAMBDA_LLM_TENANT is user")


Verbosity = Literal["low", "medium", "high"]


class AcceptedInput(Input):
    """Fields of conversations that concern OpenAI's storage, billing and caches; all but one change nothing here."""

    prompt_cache_key: Text | None = Field(
        None, description="id of a conversation, whose keys and values are then not reused by others"
    )
    prompt_cache_retention: Text | None = None
    store: StrictBool | None = Field(None, description="nothing is stored")
    service_tier: Text | None = None
    metadata: dict[str, Any] | None = None
    safety_identifier: Text | None = None


def check_stream_options(options: Input | None, *, stream: bool | None) -> None:
    """Refuse `stream_options` without a stream.

    Raises:
        PydanticCustomError: see `refuse`.
    """
    if options is not None and not stream:
        raise refuse("stream_options", "it needs a stream; set 'stream' to true, or leave it out")


def check_tools(names: Sequence[str], name_field: str, choice: str | AbstractSet[str] | None) -> None:
    """Refuse two functions of one name, and a choice of functions that are not there.

    Args:
        names: of the functions, in the order of `tools`.
        name_field: path of a name below an item of `tools`, for example `function.name`.
        choice: `tool_choice`, where it is an object: the names of the functions that may be called.

    Raises:
        PydanticCustomError: see `refuse`.
    """
    for number, name in enumerate(names):
        if name in names[:number]:
            raise refuse(f"tools.{number}.{name_field}", f"there are two functions of the name {name!r}; rename one")
    if not names and choice not in (None, "none", "auto"):
        raise refuse("tool_choice", "there are no 'tools' to choose from")
    if isinstance(choice, AbstractSet) and (unknown := choice - set(names)):
        raise refuse("tool_choice", f"{min(unknown)!r} is not one of the 'tools'")


class CompletionInput(SamplingInput):
    """Fields of chat and text completions."""

    stream_options: StreamOptions | None = None
    seed: Annotated[Whole, Field(ge=SEED_MIN, le=SEED_MAX)] | None = None
    stop: SomeText | Annotated[list[SomeText], Field(max_length=STOP_TEXTS_MAX, fail_fast=True)] | None = None
    n: Annotated[Whole, Field(ge=1, le=CHOICES_MAX)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2, strict=True)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2, strict=True)] | None = None
    logit_bias: (
        Annotated[
            dict[Annotated[str, Field(pattern="^[0-9]{1,9}$")], Annotated[float, Field(ge=-100, le=100, strict=True)]],
            BeforeValidator(at_most(BIASES_MAX)),
            Field(max_length=BIASES_MAX, description="by token id; /tokenize returns the ids of a text"),
        ]
        | None
    ) = None

    def stops(self) -> list[str]:
        """The stop sequences, of which `stop` may be a single one."""
        return [self.stop] if isinstance(self.stop, str) else self.stop or []


class PromptTokensDetails(BaseModel):
    """Token counts of the prompt."""

    cached_tokens: int


class CompletionTokensDetails(BaseModel):
    """Token counts of the completion; the last two are those that were guessed, from `prediction` or anything else."""

    reasoning_tokens: int
    accepted_prediction_tokens: int = Field(0, description="guessed tokens that were then chosen")
    rejected_prediction_tokens: int = Field(0, description="guessed tokens that were not, and so no part of it")


class Usage(BaseModel):
    """Token counts of one request."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails
    completion_tokens_details: CompletionTokensDetails
