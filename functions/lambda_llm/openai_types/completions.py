"""The JSON of text completions.

Source: https://platform.openai.com/docs/api-reference/completions
"""

from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, Field, StrictBool, model_validator

from lambda_llm.openai_types.common import CHOICES_MAX, CompletionInput, Text, Unsupported, Usage, Whole, refuse

LOGPROBS_MAX: Final = 5
DEFAULT_TOKENS: Final = 16
"""The longest answer, as OpenAI has it, where the request doesn't say."""

TokenIds = Annotated[list[Annotated[Whole, Field(ge=0)]], Field(min_length=1)]


class CompletionRequest(CompletionInput):
    """Body of `POST /v1/completions`."""

    prompt: (
        Text
        | Annotated[list[Text], Field(min_length=1, max_length=CHOICES_MAX)]
        | TokenIds
        | Annotated[list[TokenIds], Field(min_length=1, max_length=CHOICES_MAX)]
    )
    max_tokens: Annotated[Whole, Field(ge=1)] | None = Field(None, description=f"default: {DEFAULT_TOKENS}")
    echo: StrictBool | None = Field(None, description="give the prompt back before the answer")
    logprobs: Annotated[Whole, Field(ge=0, le=LOGPROBS_MAX)] | None = None
    best_of: Literal[1] | None = None
    suffix: Unsupported = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.stream_options is not None and not self.stream:
            raise refuse("stream_options", "it is for streams only; set 'stream' to true, or leave it out")
        if self.echo and self.logprobs is not None:
            raise refuse("echo", "the prompt's own probabilities are not computed; leave out 'echo' or 'logprobs'")
        if len(self.prompts()) * (self.n or 1) > CHOICES_MAX:
            raise refuse("n", f"prompts and 'n' come to more than {CHOICES_MAX} answers")
        return self

    def prompts(self) -> list[str | list[int]]:
        """Each of them."""
        prompt = self.prompt
        if isinstance(prompt, str):
            return [prompt]
        if isinstance(prompt[0], int):
            return [[token for token in prompt if isinstance(token, int)]]
        return [each for each in prompt if not isinstance(each, int)]


class CompletionLogprobs(BaseModel):
    """The tokens of the answer."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]] | None
    text_offset: list[int]


class CompletionChoice(BaseModel):
    """One answer, or what a chunk adds to it."""

    index: int
    text: str
    logprobs: CompletionLogprobs | None = None
    finish_reason: Literal["stop", "length"] | None = None


class Completion(BaseModel):
    """Answer to a request, or one event of a streamed one; `usage` is left out of events unless asked for."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: Usage | None = None
