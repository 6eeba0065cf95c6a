"""JSON of text completions.

Source: https://platform.openai.com/docs/api-reference/completions
"""

from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, Field, StrictBool, model_validator

from lambda_llm.openai_types.common import (
    CHOICES_MAX,
    CompletionInput,
    MaxTokens,
    Text,
    Unsupported,
    Usage,
    Whole,
    check_stream_options,
    refuse,
)
from lambda_llm.openai_types.response_format import ResponseFormat

LOGPROBS_MAX: Final = 5
DEFAULT_TOKENS: Final = 16
"""Default of `max_tokens`, as in OpenAI's API."""

TokenIds = Annotated[list[Annotated[Whole, Field(ge=0)]], Field(min_length=1, fail_fast=True)]


class CompletionRequest(CompletionInput):
    """Body of `POST /v1/completions`."""

    prompt: (
        Text | Annotated[list[Text | TokenIds], Field(min_length=1, max_length=CHOICES_MAX, fail_fast=True)] | TokenIds
    )
    max_tokens: MaxTokens | None = Field(
        None, description=f"default: {DEFAULT_TOKENS}; -1: as many as the context allows"
    )
    response_format: ResponseFormat | None = None
    echo: StrictBool | None = Field(None, description="return the prompt before the completion")
    logprobs: Annotated[Whole, Field(ge=0, le=LOGPROBS_MAX)] | None = None
    best_of: Literal[1] | None = None
    suffix: Unsupported = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        check_stream_options(self.stream_options, stream=self.stream)
        if self.echo and self.logprobs is not None:
            raise refuse("echo", "log probabilities of the prompt are not supported; leave out 'echo' or 'logprobs'")
        if len(self.prompts()) * (self.n or 1) > CHOICES_MAX:
            raise refuse("n", f"the number of prompts times 'n' is more than {CHOICES_MAX}; send several requests")
        return self

    def prompts(self) -> list[str | list[int]]:
        """The prompts, each a text or token ids."""
        prompt = self.prompt
        if isinstance(prompt, str):
            return [prompt]
        if isinstance(prompt[0], int):
            return [[token for token in prompt if isinstance(token, int)]]
        return [each for each in prompt if not isinstance(each, int)]


class CompletionLogprobs(BaseModel):
    """Log probabilities of the completion's tokens."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]] | None
    text_offset: list[int]


class CompletionChoice(BaseModel):
    """One choice, or what a chunk adds to it."""

    index: int
    text: str
    logprobs: CompletionLogprobs | None = None
    finish_reason: Literal["stop", "length"] | None = None


class Completion(BaseModel):
    """Response to a request, or one event of a stream; `usage` is left out of events unless it was requested."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: Usage | None = None
