"""JSON of chat completions.

Source: https://platform.openai.com/docs/api-reference/chat
"""

from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, Field, StrictBool, StrictStr, model_validator

from lambda_llm.openai_types.common import (
    CompletionInput,
    Input,
    JSONObject,
    Text,
    Unsupported,
    Usage,
    Whole,
    check_stream_options,
    check_tools,
    refuse,
)

TOOLS_MAX: Final = 128
TOP_LOGPROBS_MAX: Final = 20

Name = Annotated[StrictStr, Field(pattern="^[a-zA-Z0-9_-]{1,64}$")]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class TextPart(Input):
    """One part of a message; this server supports text only."""

    type: Literal["text"]
    text: Text


class CalledFunction(Input):
    """The function of a tool call."""

    name: Text
    arguments: Text = Field(description="JSON")


class ToolCall(Input):
    """A tool call in an assistant message."""

    id: Text
    type: Literal["function"] = "function"
    function: CalledFunction


class Message(Input):
    """One message. `developer` is OpenAI's newer name for `system`."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Text | Annotated[list[TextPart], Field(min_length=1)] | None = None
    name: Text | None = None
    tool_calls: Annotated[list[ToolCall], Field(max_length=TOOLS_MAX)] | None = None
    tool_call_id: Text | None = None
    reasoning_content: Text | None = Field(None, description="the model's reasoning, for templates that use it")
    refusal: Unsupported = None
    audio: Unsupported = None
    function_call: Unsupported = None
    annotations: Annotated[list[Any], Field(max_length=0)] | None = None

    @model_validator(mode="after")
    def _fits_its_role(self) -> Self:
        if self.role != "assistant":
            for name in ("tool_calls", "reasoning_content"):
                if getattr(self, name) is not None:
                    raise refuse(name, f"a message of role '{self.role}' must have none")
        if (self.tool_call_id is not None) != (self.role == "tool"):
            if self.role == "tool":
                raise refuse("tool_call_id", "Field required", code="missing_required_parameter")
            raise refuse("tool_call_id", f"a message of role '{self.role}' must have none")
        if self.content is None and not self.tool_calls:
            if "content" in self.model_fields_set:
                raise refuse("content", "Input should be a valid string, or a list of parts")
            raise refuse("content", "Field required", code="missing_required_parameter")
        return self

    def rendered(self) -> dict[str, Any]:
        """The message in the form that chat templates expect."""
        content = self.content
        text = content if isinstance(content, str) or content is None else "".join(part.text for part in content)
        message: dict[str, Any] = {"role": "system" if self.role == "developer" else self.role, "content": text}
        if self.tool_calls:
            message["tool_calls"] = [call.model_dump() for call in self.tool_calls]
        if self.tool_call_id is not None:
            message["tool_call_id"] = self.tool_call_id
        if self.reasoning_content is not None:
            message["reasoning_content"] = self.reasoning_content
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
    tools: Annotated[list[NamedTool], Field(min_length=1, max_length=TOOLS_MAX)]


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


class JSONSchema(Input):
    """A named schema for the content."""

    name: Name
    description: Text | None = None
    schema_: JSONObject = Field(default_factory=dict, alias="schema")
    strict: StrictBool | None = None


class ResponseFormat(Input):
    """The format that the content is constrained by."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JSONSchema | None = None

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        if self.type == "json_schema" and self.json_schema is None:
            raise refuse("json_schema", "Field required", code="missing_required_parameter")
        if self.type != "json_schema" and self.json_schema is not None:
            raise refuse("json_schema", f"it belongs to the type 'json_schema', and the type is '{self.type}'")
        return self


class ChatCompletionRequest(CompletionInput):
    """Body of `POST /v1/chat/completions`."""

    messages: Annotated[list[Message], Field(min_length=1)]
    max_tokens: Annotated[Whole, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[Whole, Field(ge=1)] | None = None
    logprobs: StrictBool | None = None
    top_logprobs: Annotated[Whole, Field(ge=0, le=TOP_LOGPROBS_MAX)] | None = None
    response_format: ResponseFormat | None = None
    tools: Annotated[list[Tool], Field(max_length=TOOLS_MAX)] | None = None
    tool_choice: Literal["none", "auto", "required"] | ToolChoice | None = None
    parallel_tool_calls: StrictBool | None = None
    reasoning_effort: Effort | None = Field(None, description="for models whose chat template supports it")
    chat_template_kwargs: JSONObject | None = Field(None, description="variables for the model's chat template")
    # Only values without an effect: this server lacks what others would enable.
    store: Literal[False] | None = None
    service_tier: Literal["auto", "default"] | None = None
    metadata: Annotated[dict[str, Any], Field(max_length=0)] | None = None
    modalities: Annotated[list[Literal["text"]], Field(min_length=1, max_length=1)] | None = None
    verbosity: Literal["medium"] | None = None
    prompt_cache_key: Text | None = Field(None, description="not needed: prefixes are found by their content")
    prompt_cache_retention: Literal["in_memory"] | None = None
    safety_identifier: Text | None = Field(None, description="accepted for clients that send it; not used")
    audio: Unsupported = None
    function_call: Unsupported = None
    functions: Unsupported = None
    moderation: Unsupported = None
    prediction: Unsupported = None
    prompt_cache_options: Unsupported = None
    web_search_options: Unsupported = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        check_stream_options(self.stream_options, stream=self.stream)
        if self.top_logprobs is not None and not self.logprobs:
            raise refuse("top_logprobs", "set 'logprobs' to true with it, or leave it out")
        if self.logprobs and self.tools:
            raise refuse("logprobs", "it can't be combined with 'tools'; leave one of them out")
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


class ChatCompletion(BaseModel):
    """Response to a request without `stream`."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage


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
    """One event of a stream; `usage` is left out unless it was requested."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: Usage | None = None
