"""JSON of chat completions.

Source: https://platform.openai.com/docs/api-reference/chat
"""

import json
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, Field, StrictBool, StrictStr, model_validator

from lambda_llm.openai_types.common import (
    MANY,
    AcceptedInput,
    CompletionInput,
    Input,
    JSONObject,
    MaxTokens,
    Returned,
    Text,
    Unsupported,
    Usage,
    Verbosity,
    Whole,
    check_stream_options,
    check_tools,
    refuse,
)
from lambda_llm.openai_types.response_format import ResponseFormat

TOOLS_MAX: Final = 128
TOP_LOGPROBS_MAX: Final = 20

Name = Annotated[StrictStr, Field(pattern="^[a-zA-Z0-9_-]{1,64}$")]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class TextPart(Returned):
    """One part of a message; this server supports text only."""

    type: Literal["text", "refusal"]
    text: Text | None = None
    refusal: Text | None = None

    @model_validator(mode="after")
    def _has_its_text(self) -> Self:
        if getattr(self, self.type) is None:
            raise refuse(self.type, "Field required", code="missing_required_parameter")
        return self

    def written(self) -> str:
        """The part's text."""
        return (self.text if self.type == "text" else self.refusal) or ""


Parts = Annotated[list[TextPart], Field(fail_fast=True), BeforeValidator(MANY)]


def _as_json(arguments: Any) -> Any:
    return json.dumps(arguments, ensure_ascii=False) if isinstance(arguments, dict) else arguments


class CalledFunction(Returned):
    """The function of a tool call."""

    name: Text
    arguments: Annotated[Text, BeforeValidator(_as_json)] = Field(description="JSON")


class ToolCall(Returned):
    """A tool call in an assistant message."""

    id: Text
    type: Literal["function"] = "function"
    function: CalledFunction


class Message(Returned):
    """One message. `developer` is OpenAI's newer name for `system`."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Text | Annotated[list[TextPart], Field(fail_fast=True), BeforeValidator(MANY)] | None = Field(
        None, description="parts are joined by newlines"
    )
    name: Text | None = None
    tool_calls: Annotated[list[ToolCall], Field(max_length=TOOLS_MAX, fail_fast=True)] | None = None
    tool_call_id: Text | None = None
    reasoning_content: Text | None = Field(None, description="the model's reasoning, for templates that use it")
    reasoning: Any = Field(None, description="another name of `reasoning_content`, if it is a text")
    refusal: Text | None = Field(None, description="the text of a message without content")
    audio: Unsupported = None
    function_call: Unsupported = None

    @model_validator(mode="after")
    def _fits_its_role(self) -> Self:
        if self.role != "assistant" and self.tool_calls:
            raise refuse("tool_calls", f"a message of role '{self.role}' must have none")
        if self.role == "tool" and self.tool_call_id is None:
            raise refuse("tool_call_id", "Field required", code="missing_required_parameter")
        # What an assistant did not say may be null; what others say must be there.
        if self.content is None and not (self.tool_calls or self.refusal or self._thought()):
            if "content" not in self.model_fields_set:
                raise refuse("content", "Field required", code="missing_required_parameter")
            if self.role != "assistant":
                raise refuse("content", "Input should be a valid string, or a list of parts")
        if self.content == [] and self.role == "user":
            raise refuse("content", "List should have at least 1 item")
        return self

    def _thought(self) -> str | None:
        if self.role != "assistant":
            return None
        return self.reasoning_content or (self.reasoning if isinstance(self.reasoning, str) else None)

    def rendered(self, *, begun: bool = False) -> dict[str, Any]:
        """The message in the form that chat templates expect.

        Args:
            begun: an answer of the assistant's is continued: its parts are one text, as in llama-server.
        """
        content = self.content
        if isinstance(content, list):
            glued = begun and self.role == "assistant" and not self.tool_calls
            content = ("" if glued else "\n").join(part.written() for part in content)
        if content is None and not self.tool_calls:
            content = self.refusal or ""
        message: dict[str, Any] = {"role": "system" if self.role == "developer" else self.role, "content": content}
        if self.tool_calls:
            message["tool_calls"] = [call.model_dump() for call in self.tool_calls]
        if self.role == "tool":
            message["tool_call_id"] = self.tool_call_id
        if thought := self._thought():
            message["reasoning_content"] = thought
        return message


class Function(Input):
    """A function that the model may call."""

    name: Name
    description: Text | None = None
    parameters: JSONObject | None = Field(None, description="JSON Schema of the arguments")
    strict: StrictBool | None = Field(None, description="refuse `parameters` that can't be enforced completely")


class Tool(Input):
    """A tool; functions are the only kind."""

    type: Literal["function"]
    function: Function


class NamedFunction(Input):
    """The name of a function in `tools`."""

    name: Name


class NamedTool(Input):
    """A reference to one of `tools`."""

    type: Literal["function"]
    function: NamedFunction


class AllowedTools(Input):
    """A subset of `tools` that may be called."""

    mode: Literal["auto", "required"]
    tools: Annotated[list[NamedTool], Field(min_length=1, max_length=TOOLS_MAX, fail_fast=True)]


class ToolChoice(Input):
    """What the model must or may call: one function, or a subset of the tools."""

    type: Literal["function", "allowed_tools"]
    function: NamedFunction | None = None
    allowed_tools: AllowedTools | None = None

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        for name in ("function", "allowed_tools"):
            if (getattr(self, name) is None) == (self.type == name):
                raise refuse(name, f"it belongs to the type '{name}', and the type is '{self.type}'")
        return self

    def chosen(self) -> set[str]:
        """Names of the functions that may be called."""
        allowed = [tool.function for tool in self.allowed_tools.tools] if self.allowed_tools else [self.function]
        return {function.name for function in allowed if function}


class Prediction(Input):
    """A text that much of the answer may repeat, such as a file that is handed back changed."""

    type: Literal["content"]
    content: Text | Parts

    def text(self) -> str:
        """The text, of which there may be several parts."""
        return self.content if isinstance(self.content, str) else "".join(part.written() for part in self.content)


class ChatCompletionRequest(CompletionInput, AcceptedInput):
    """Body of `POST /v1/chat/completions`."""

    messages: Annotated[list[Message], Field(min_length=1, fail_fast=True), BeforeValidator(MANY)]
    max_tokens: MaxTokens | None = None
    max_completion_tokens: MaxTokens | None = None
    logprobs: StrictBool | None = None
    top_logprobs: Annotated[Whole, Field(ge=0, le=TOP_LOGPROBS_MAX)] | None = None
    response_format: ResponseFormat | None = None
    tools: Annotated[list[Tool], Field(max_length=TOOLS_MAX, fail_fast=True)] | None = None
    tool_choice: Literal["none", "auto", "required"] | ToolChoice | None = None
    parallel_tool_calls: StrictBool | None = None
    reasoning_effort: Effort | None = Field(None, description="for models whose chat template supports it")
    chat_template_kwargs: JSONObject | None = Field(None, description="variables for the model's chat template")
    continue_final_message: StrictBool | None = Field(
        None, description="whether the response continues a last message of the assistant; default: yes"
    )
    modalities: Annotated[list[Literal["text"]], Field(min_length=1, max_length=1)] | None = None
    verbosity: Verbosity | None = Field(None, description="accepted for clients that send it; changes nothing")
    prediction: Prediction | None = Field(
        None, description="what the answer may repeat: it is answered faster where it does, and the same in any case"
    )
    timings_per_token: StrictBool | None = Field(
        None, description="llama-server's: whether each chunk of a stream has `timings`"
    )
    audio: Unsupported = None
    function_call: Unsupported = None
    functions: Unsupported = None
    moderation: Unsupported = None
    prompt_cache_options: Unsupported = None
    web_search_options: Unsupported = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        check_stream_options(self.stream_options, stream=self.stream)
        if self.timings_per_token and not self.stream:
            raise refuse("timings_per_token", "it needs a stream; set 'stream' to true, or leave it out")
        if self.top_logprobs is not None and not self.logprobs:
            raise refuse("top_logprobs", "set 'logprobs' to true with it, or leave it out")
        choice = self.tool_choice.chosen() if isinstance(self.tool_choice, ToolChoice) else self.tool_choice
        check_tools([tool.function.name for tool in self.tools or ()], "function.name", choice)
        return self


class TopLogprob(BaseModel):
    """A token with its log probability and its UTF-8 bytes."""

    token: str
    logprob: float
    bytes: list[int]


class TokenLogprob(TopLogprob):
    """A generated token, with the most likely tokens at its position."""

    top_logprobs: list[TopLogprob]


class Logprobs(BaseModel):
    """Log probabilities of the content's tokens."""

    content: list[TokenLogprob]
    refusal: None = None


class AnsweredFunction(BaseModel):
    """The function of a generated tool call; `arguments` is JSON."""

    name: str
    arguments: str


class AnsweredCall(BaseModel):
    """A generated tool call."""

    id: str
    type: Literal["function"] = "function"
    function: AnsweredFunction


class AnswerMessage(BaseModel):
    """The generated message; the last two fields are absent when empty."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: None = None
    reasoning_content: str | None = None
    tool_calls: list[AnsweredCall] | None = None


Reason = Literal["stop", "length", "tool_calls"]


class Choice(BaseModel):
    """One choice."""

    index: int
    message: AnswerMessage
    logprobs: Logprobs | None
    finish_reason: Reason


class Timings(BaseModel):
    """What the server measured until a chunk or the end, under llama-server's names; times are in milliseconds.

    Source: https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md
    """

    cache_n: int = Field(description="tokens of the prompt that were in the KV cache")
    prompt_n: int = Field(description="tokens of the prompt that were evaluated")
    prompt_ms: float = Field(description="from the start of the prefill to the first token")
    predicted_n: int = Field(description="tokens so far")
    predicted_ms: float = Field(description="from the first token to this chunk's last one")
    draft_n: int = Field(description="tokens that were guessed so far")
    draft_n_accepted: int = Field(description="those of them that were then chosen")


class ChatCompletion(BaseModel):
    """Response to a request without `stream`."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage
    timings: Timings | None = Field(None, description="of a single choice: what it cost the server")


class FunctionDelta(BaseModel):
    """What a chunk adds to the function of a tool call."""

    name: str | None = None
    arguments: str


class CallDelta(BaseModel):
    """What a chunk adds to a tool call; the first one has `id`, `type` and the function's name."""

    index: int
    id: str | None = None
    type: Literal["function"] | None = None
    function: FunctionDelta


class Delta(BaseModel):
    """What a chunk adds to a choice; None is left out of the JSON."""

    role: Literal["assistant"] | None = None
    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[CallDelta] | None = None


class ChunkChoice(BaseModel):
    """One chunk of one choice."""

    index: int
    delta: Delta
    logprobs: Logprobs | None = None
    finish_reason: Reason | None = None


class ChatCompletionChunk(BaseModel):
    """One event of a stream; `usage` and `timings` are left out unless they were requested."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: Usage | None = None
    timings: Timings | None = None
